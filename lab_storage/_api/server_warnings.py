"""What an API server warns of, in ``Warning`` headers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any

from lab_storage.exceptions import one_line

# The same text is not logged again for so long.
QUIET_SECONDS = 60.0
# So many texts are remembered, and so much of each.
_MOST_TEXTS = 200
_LONGEST_TEXT = 1000
# RFC 7234, section 5.5: code, agent, quoted text, and perhaps a date.
_WARNING = re.compile(r'\b\d{3} [^\s"]+ "((?:[^"\\]|\\.)*)"')


class ServerWarnings:
    """The warnings of a server, each text of them once a minute.

    Kubernetes warns so of what it drops, of deprecated resources, and of what a policy has against
    an object (https://kubernetes.io/blog/2020/09/03/warnings/).
    """

    def __init__(self) -> None:
        # When each was last given. Single operations, which need no lock.
        self._given: dict[str, float] = {}

    def new_in(self, headers: Mapping[str, str], *, withheld: str | None = None) -> Iterator[str]:
        """Yield the texts in an answer's headers that have not been given within a minute.

        Parameters
        ----------
        headers
            Of an answer, as urllib3 gives them.
        withheld
            What to give in place of any text.
        """
        for found in _texts(headers):
            text = withheld or found
            now = monotonic()
            given = self._given.pop(text, None)
            if given is None or now - given >= QUIET_SECONDS:
                given = now
                yield text
            self._given[text] = given
            if len(self._given) > _MOST_TEXTS:
                self._given.pop(next(iter(list(self._given))), None)


def _texts(headers: Any) -> list[str]:
    if headers.get("Warning") is None:
        return []
    lines = headers.getlist("Warning") if hasattr(headers, "getlist") else [headers["Warning"]]
    texts = [text for line in lines for text in _WARNING.findall(line) or [line]]
    return [one_line(re.sub(r"\\(.)", r"\1", text))[:_LONGEST_TEXT] for text in texts]
