"""What headless Chromium makes of built pages: `look` gives what a reader would stumble over.

Chromium gets the pages from a server on loopback. ``pages.js`` loads each in a frame of each
width, and posts what it has found; so there is no driver between the two.
"""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

#: Chromium under the names that distributions give it.
NAMES = ("chromium", "chromium-browser", "google-chrome")
SCRIPT = Path(__file__).with_name("pages.js")
HARNESS = b"""<!doctype html><meta charset="utf-8">
<iframe style="height: 900px; border: 0"></iframe>
<script src="/pages.js"></script>"""
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Blink's number of it.
DARK = "--blink-settings=preferredColorScheme=0"
LOOK_SECONDS = 240


def find_chromium() -> str | None:
    """Give the path of the browser, if it is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class _Handler(SimpleHTTPRequestHandler):
    """Serves the pages, the script and its task, and takes its result."""

    def __init__(
        self, task: dict[str, Any], result: queue.Queue[Any], *arguments: Any, **more: Any
    ):
        self._own = {
            "/harness.html": ("text/html", HARNESS),
            "/pages.js": ("text/javascript", SCRIPT.read_bytes()),
            "/task": ("application/json", json.dumps(task).encode()),
        }
        self._result = result
        super().__init__(*arguments, **more)

    def do_GET(self) -> None:
        """Answer with a file, or with what is ours."""
        if self.path not in self._own:
            super().do_GET()
            return
        kind, content = self._own[self.path]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        """Take what was found."""
        self._result.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def look(
    html: Path, chromium: str, profile: Path, *, pages: Sequence[str], pictures: Sequence[str],
    widths: Sequence[int], dark: bool,
) -> dict[str, Any]:  # fmt: skip
    """Have Chromium look at pages and pictures below a folder, in light or in dark.

    What it gives has ``dark``, ``looked`` (at how many) and ``findings``.
    """
    task = {"pages": pages, "pictures": pictures, "widths": widths}
    results: queue.Queue[Any] = queue.Queue()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Handler, task, results, directory=str(html))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/harness.html"
    options = [*OPTIONS, f"--user-data-dir={profile}", "--window-size=1500,1000"]
    browser = subprocess.Popen(
        [chromium, *options, *([DARK] if dark else []), "--remote-debugging-port=0", url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        found: dict[str, Any] = results.get(timeout=LOOK_SECONDS)
        return found
    finally:
        browser.terminate()
        browser.wait(30)
        server.shutdown()
        thread.join()
        server.server_close()
