"""The configuration that requests are made with, and the credentials that a hook renews in it."""

from __future__ import annotations

import copy
from json import JSONDecodeError
from math import inf
from typing import Any

from kubernetes.client.exceptions import OpenApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from lab_storage._transport.background import Background
from lab_storage._transport.exchange import Exchange, ExchangeOverError
from lab_storage._transport.interruptions import find_interruption

# How many storages may be in their hooks at once; the others wait.
MOST_HOOKS = 16

_background = Background("lab_storage-credentials", MOST_HOOKS)
# What a credential plugin, a request for a token or a token file may fail with.
_FAILURES = HTTPError, OpenApiException, ConfigException, OSError, JSONDecodeError


class CredentialsError(Exception):
    """The caller's ``refresh_api_key_hook`` failed. Never reaches a caller."""


class Credentials:
    """A copy of the caller's configuration, which its ``refresh_api_key_hook`` may change.

    There is one for the life of a storage. A hook sets new credentials in it, some hooks
    only when the old ones are about to expire, so they are kept until the caller changes its own.
    """

    def __init__(self, api_client: Any) -> None:
        self._api_client = api_client
        self._theirs = api_client.configuration
        # Not deepcopy: it copies what a hook is bound to, and in client 31 it
        # sets the levels of the loggers.
        self.configuration = copy.copy(self._theirs)
        self._seen = _attributes(self._theirs)
        vars(self.configuration).update(_attributes(self._theirs))

    def update(self) -> None:
        """Take over what the caller has changed in its configuration since the last time."""
        theirs = self._api_client.configuration
        attributes = _attributes(theirs)
        changed = {
            name: value
            for name, value in attributes.items()
            if theirs is not self._theirs or self._seen.get(name) != value
        }
        self._theirs, self._seen = theirs, attributes
        vars(self.configuration).update({name: copy.copy(each) for name, each in changed.items()})

    def headers(self, exchange: Exchange) -> dict[str, str]:
        """Give the headers that say who sends a request. Blocks while the hook does.

        The hook is called by one thread at a time. Those that ask meanwhile wait for the same
        call, and have its result.

        Raises
        ------
        CredentialsError
            If the hook failed.
        ExchangeOverError
            If the exchange is over first. The hook goes on.
        """
        if self.configuration.refresh_api_key_hook is None:
            return self._ask()
        try:
            run = _background.run(self, self._ask, exchange, inf)
        except ExchangeOverError as over:
            over.waiting_for = "refresh_api_key_hook to return"
            raise
        error = run.error
        is_interrupted = (
            run.is_inline
            and isinstance(error, TimeoutError)
            and find_interruption(error) is not None
        )
        if isinstance(error, _FAILURES) and not is_interrupted:
            raise CredentialsError(
                f"the credentials could not be refreshed: {type(error).__name__}: {error}"
            ) from error
        return run.result()

    def _ask(self) -> dict[str, str]:
        configuration = self.configuration
        if configuration.refresh_api_key_hook is not None and not configuration.api_key:
            # auth_settings asks the hook only where there is a key already.
            configuration.refresh_api_key_hook(configuration)
        return {
            setting["key"]: setting["value"]
            for setting in configuration.auth_settings().values()
            if setting["value"]
        }


def _attributes(configuration: Any) -> dict[str, Any]:
    """Copy what a configuration holds, and the keys in it."""
    return {
        name: dict(value) if isinstance(value, dict) else value
        for name, value in vars(configuration).items()
    }
