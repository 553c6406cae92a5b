"""Any cluster, in the place of a control plane of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from kubernetes import client, config

from .control_plane import ControlPlane

if TYPE_CHECKING:
    from pathlib import Path


class RemoteCluster:
    """What ``--kubeconfig`` names. Tests that do more to it than ask are skipped.

    Parameters
    ----------
    kubeconfig
        A file whose current context is that of an administrator.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    def api_client(self, user: str = "admin", **configuration: Any) -> client.ApiClient:
        """A client as :meth:`ControlPlane.api_client` gives one.

        Users other than ``admin`` are impersonated.
        https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
        """
        settings = client.Configuration()
        config.load_kube_config(str(self._kubeconfig), client_configuration=settings)
        for name, value in configuration.items():
            setattr(settings, name, value)
        api_client = client.ApiClient(settings)
        if user != "admin":
            api_client.set_default_header("Impersonate-User", user)
        return api_client

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_") or not hasattr(ControlPlane, name):
            raise AttributeError(name)
        words = name.replace("_", " ")
        pytest.skip(f"{words}: needs a control plane of our own, not one of --kubeconfig")


#: What the fixture ``control_plane`` is.
Cluster = ControlPlane | RemoteCluster
