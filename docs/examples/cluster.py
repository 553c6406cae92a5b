"""A cluster to play with: an embedded API server, until Ctrl-C or ``kill``.

    python cluster.py &
    export KUBECONFIG=$PWD/kubeconfig

Its pods start like those of the tests: nothing is pulled, and nothing runs.
"""

from __future__ import annotations

import json
import signal
from datetime import timedelta
from pathlib import Path

from lab_storage.testing import EmbeddedServer

with EmbeddedServer() as server:
    server.script_pods(delay=timedelta(seconds=1))  # pulling an image takes so long
    kubeconfig = Path("kubeconfig").resolve()
    kubeconfig.write_text(json.dumps(server.kubeconfig()))
    print(f"A cluster is running; its kubeconfig is {kubeconfig}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("The cluster is gone")
