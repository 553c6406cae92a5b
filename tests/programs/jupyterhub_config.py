"""The configuration of the JupyterHub that the tests run, with the library's spawner."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from lab_storage.jupyterhub import LabSpawner

settings: dict[str, Any] = json.loads(os.environ["LAB_STORAGE_TEST_HUB"])


class AnnotatedLabSpawner(LabSpawner):  # type: ignore[misc,unused-ignore]
    """Annotates the pod, since that is what the kubelets of the tests listen to."""

    annotations: Mapping[str, str] = {}

    def manifests(self) -> list[dict[str, Any]]:
        """Write the lab."""
        lab = super().manifests()
        for manifest in lab:
            if manifest["kind"] == "Pod":
                manifest["metadata"].setdefault("annotations", {}).update(self.annotations)
        return lab


def annotate(spawner: AnnotatedLabSpawner, options: Mapping[str, str]) -> None:
    """Take what a user has chosen for annotations, and perhaps another lab file."""
    spawner.lab_file = options.get("lab_file", settings["lab_file"])
    spawner.annotations = {key: value for key, value in options.items() if key != "lab_file"}


c = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub's

c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = AnnotatedLabSpawner
c.LabSpawner.lab_file = settings["lab_file"]
c.LabSpawner.lab_url = settings["lab_url"]
c.LabSpawner.update(settings["traits"])
c.LabSpawner.poll_timeout = 2
c.Spawner.apply_user_options = annotate
# Often enough to see within a test that a lab has died.
c.Spawner.poll_interval = 1

c.JupyterHub.bind_url = settings["public_url"]
c.JupyterHub.hub_bind_url = settings["hub_url"]
c.ConfigurableHTTPProxy.api_url = settings["proxy_api_url"]
c.ConfigurableHTTPProxy.command = settings["proxy_command"]
# All in the working folder.
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.cookie_secret_file = "cookie-secret"
# What it finds when it is started again is looked at while it answers already.
c.JupyterHub.init_spawners_timeout = 1
# Labs outlive the Hub.
c.JupyterHub.cleanup_servers = False
c.JupyterHub.allow_named_servers = True
# A start is answered at once, a stop when it is over.
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0, "slow_stop_timeout": 120}
c.JupyterHub.services = [{"name": "tests", "api_token": settings["api_token"]}]
c.JupyterHub.load_roles = [
    {
        "name": "tests",
        "services": ["tests"],
        "scopes": ["access:servers", "admin:users", "servers", "shutdown", "tokens"],
    }
]
