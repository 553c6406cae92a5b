"""A cluster to play with: an embedded API server, until Ctrl-C.

    python cluster.py &
    export KUBECONFIG=kubeconfig

Its pods start as those of the tests do: nothing is pulled, and nothing runs.
"""

from __future__ import annotations

import json
import signal
from datetime import timedelta
from pathlib import Path

from lab_storage.testing import EmbeddedServer

with EmbeddedServer() as server:
    server.script_pods(delay=timedelta(seconds=1))  # pulling an image takes so long
    Path("kubeconfig").write_text(json.dumps(server.kubeconfig()))
    print("A cluster runs; its kubeconfig is in the file kubeconfig", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("The cluster has gone")
