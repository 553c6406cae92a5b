"""What has happened to objects, and what of that has been reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

from lab_storage._api.versions import identity, is_later, place_of, skeleton_of, version_of

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"
LISTED: Final = "LISTED"

# How many objects that are gone are remembered, in case the server repeats something of them.
MOST_GONE = 1000


@attrs.frozen
class Change:
    """What happened to an object.

    Attributes
    ----------
    type
        ``ADDED``, ``MODIFIED`` or ``DELETED``; or ``LISTED``, which says that
        all that exists has been reported.
    object
        The object as the server sent it. Of a deletion that was found out by
        listing, its metadata alone: uid, name and namespace.
    """

    type: str
    object: dict[str, Any]

    @property
    def uid(self) -> str:
        """The UID, or where a server sends none, the name."""
        return identity(self.object)


class Reported:
    """The objects that exist as far as they were reported, and the latest that are gone."""

    def __init__(self) -> None:
        # By UID: version, and what a DELETED needs to say. Not the objects, which
        # can be large and of which there can be many waits.
        self._known: dict[str, tuple[str | None, dict[str, Any]]] = {}
        # Who has a name now, and who was deleted at which version.
        self._holders: dict[tuple[str, str], str] = {}
        self._gone: dict[str, str | None] = {}

    def compare(self, items: Sequence[dict[str, Any]], version: str | None) -> Iterator[Change]:
        """Yield what has happened, by a list of all objects at a version.

        A list is the truth: also where its version is an older one, as after a backup of etcd has
        been restored.
        """
        listed = {identity(item) for item in items}
        for uid in [uid for uid in self._known if uid not in listed]:
            yield self._delete(uid, version)
        for item in items:
            known = self._known.get(identity(item))
            if version_of(item) is None or known is None or known[0] != version_of(item):
                yield from self.learn(item)

    def is_outdated_by(self, items: Sequence[dict[str, Any]]) -> bool:
        """Whether a list of all objects shows anything later than what was reported."""
        return self._known.keys() != {identity(item) for item in items} or any(
            is_later(version_of(item) or "", self._known[identity(item)][0]) for item in items
        )

    def is_stale(self, content: dict[str, Any]) -> bool:
        """Whether this was reported before, or is from before what was reported."""
        uid, version = identity(content), version_of(content)
        holder = self._holders.get(place_of(content), uid)
        known, _ = self._known.get(holder, (None, {}))
        return version is not None and not (
            is_later(version, known) and is_later(version, self._gone.get(uid))
        )

    def learn(self, content: dict[str, Any]) -> Iterator[Change]:
        """Yield what is new about an object that exists."""
        uid, version, place = identity(content), version_of(content), place_of(content)
        holder = self._holders.get(place, uid)
        if holder != uid:
            yield self._delete(holder, version)
        kind = MODIFIED if uid in self._known else ADDED
        self._gone.pop(uid, None)
        self._known[uid] = version, skeleton_of(content)
        self._holders[place] = uid
        yield Change(kind, content)

    def forget(self, content: dict[str, Any]) -> bool:
        """Take note that an object is gone; whether it was reported to exist."""
        uid = identity(content)
        if uid not in self._known:
            return False
        self._delete(uid, version_of(content))
        return True

    def _delete(self, uid: str, version: str | None) -> Change:
        _, skeleton = self._known.pop(uid)
        self._holders.pop(place_of(skeleton), None)
        self._gone[uid] = version
        if len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]
        return Change(DELETED, skeleton)
