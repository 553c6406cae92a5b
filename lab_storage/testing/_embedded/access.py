"""The users of the embedded server, their tokens, and clients for them."""

from __future__ import annotations

import secrets
import threading
from typing import Any

from kubernetes import client


class Access:
    """The users of a server, their tokens and their clients."""

    #: Tokens and their users, as the connections look them up.
    _known: dict[str, str]

    def __init__(self) -> None:
        self._known = {}
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        """Where the server listens, as ``Configuration.host`` takes it."""
        raise NotImplementedError

    def token(self, user: str = "admin") -> str:
        """Return the bearer token of a user; the same one each time.

        Parameters
        ----------
        user
            Any name.

        Returns
        -------
        str
            The token.
        """
        with self._lock:
            if user not in self._tokens:
                self._tokens[user] = secrets.token_urlsafe(16)
                self._known[self._tokens[user]] = user
            return self._tokens[user]

    def revoke(self, user: str) -> None:
        """Revoke a user's token: it is answered 401 from now on, and `token` makes a new one.

        Parameters
        ----------
        user
            The name of the user.
        """
        with self._lock:
            token = self._tokens.pop(user, None)
            if token is not None:
                del self._known[token]

    def api_client(self, user: str = "admin", **configuration: Any) -> client.ApiClient:
        """Return a new client for a user, who may do anything that is not forbidden.

        Parameters
        ----------
        user
            The name of the user.
        configuration
            More attributes of the client's ``Configuration``.

        Returns
        -------
        kubernetes.client.ApiClient
            The client; the caller closes it.
        """
        settings = client.Configuration()
        settings.host = self.host
        settings.proxy = None  # Not through a proxy of the environment: it is on loopback.
        settings.api_key = {"authorization": f"Bearer {self.token(user)}"}
        for name, value in configuration.items():
            setattr(settings, name, value)
        return client.ApiClient(settings)

    def kubeconfig(self, user: str = "admin") -> dict[str, Any]:
        """Return a kubeconfig for a user, to be written as JSON, which is valid YAML.

        Parameters
        ----------
        user
            The name of the user.

        Returns
        -------
        dict
            Its content.
        """
        name = "embedded"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": self.host}}],
            "users": [{"name": user, "user": {"token": self.token(user)}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        }
