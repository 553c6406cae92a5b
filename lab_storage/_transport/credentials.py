"""The caller's credentials, as they are copied and renewed."""

from __future__ import annotations

from typing import Any

import attrs


class CredentialsError(Exception):
    """The caller's ``refresh_api_key_hook`` failed. Never reaches a caller."""


@attrs.frozen
class Keys:
    """The caller's credentials as they were copied, and the configuration they were copied to.

    A ``refresh_api_key_hook`` sets new ones there, some hooks only when the old are about to
    expire. So they are carried over to the next configuration, unless the caller has
    changed its own.
    """

    theirs: dict[str, str]
    configuration: Any

    def current(self, theirs: dict[str, str]) -> dict[str, str]:
        """What to begin with, where the caller's are ``theirs`` now."""
        return dict(self.configuration.api_key if theirs == self.theirs else theirs)
