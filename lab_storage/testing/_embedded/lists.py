"""Lists: their query parameters, which are those of watches too, and pages.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (Efficient
detection of changes, Retrieving large results sets in chunks, Resource versions).
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

import attrs

from .errors import (
    APIError,
    bad_request,
    expired,
    forbidden_field,
    invalid_options,
    unsupported,
    version_too_large,
)
from .requests import whole_number
from .selectors import Selector
from .store import key_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .errors import Cause
    from .resources import Object, Resource
    from .store import Store

_CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can "
    "start a new list without the continue parameter, or use the continue token in this response "
    "to retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)
_MATCH = "resourceVersionMatch"
_NO_WATCH_LIST = (
    "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
)


@attrs.frozen
class ListOptions:
    """The query of a list or a watch.

    Attributes
    ----------
    selector
        Which objects.
    watch
        Whether it is a watch.
    version
        The resource version; 0 where none is given, or "0" is.
    version_given
        Whether there is one at all, be it 0.
    match
        How the version is meant: ``Exact``, ``NotOlderThan`` or nothing.
    limit
        How many objects a page may have; 0 for all.
    token
        Where the page before ended.
    timeout_seconds
        How long a watch lasts; ``None`` for ever.
    bookmarks
        Whether a watch may send bookmarks.
    initial_events
        Whether a watch begins with what exists and says where that ends;
        ``None`` where nothing is said about it.
    """

    selector: Selector
    watch: bool
    version: int
    version_given: bool
    match: str
    limit: int
    token: str
    timeout_seconds: int | None
    bookmarks: bool
    initial_events: bool | None

    @classmethod
    def parse(
        cls, resource: Resource, query: Mapping[str, str], *, watch_list: bool = True
    ) -> ListOptions:
        """Read a query.

        Parameters
        ----------
        resource, query
            Of what, and how.
        watch_list
            Whether watches may begin with ``sendInitialEvents``.

        Raises
        ------
        APIError
            400, 422: it cannot be read, or does not go together.
        """
        watch = _flag(query, "watch") or False
        timeout = query.get("timeoutSeconds")
        limit = max(whole_number(query.get("limit") or "0"), 0)
        timeout_seconds = whole_number(timeout) if timeout else None
        selector = Selector.parse(
            resource, query.get("labelSelector", ""), query.get("fieldSelector", "")
        )
        initial = _flag(query, "sendInitialEvents")
        causes = list(_match_of_list(query, initial=initial))
        if watch:
            causes = list(_match_of_watch(query, initial=initial, watch_list=watch_list))
        if causes:
            raise invalid_options("ListOptions", *causes)
        return cls(
            selector=selector,
            watch=watch,
            version=_version(query.get("resourceVersion", ""), watch=watch),
            version_given=bool(query.get("resourceVersion")),
            match=query.get(_MATCH, ""),
            limit=limit,
            token=query.get("continue", ""),
            timeout_seconds=timeout_seconds,
            bookmarks=_flag(query, "allowWatchBookmarks") or False,
            initial_events=initial,
        )


def _flag(query: Mapping[str, str], name: str) -> bool | None:
    return query[name].lower() not in ("0", "false") if name in query else None


def _version(text: str, *, watch: bool) -> int:
    if not text or text.isdecimal():
        return int(text or 0)
    message = (
        f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": '
        "invalid syntax"
    )
    # A watch lets this error through as it is, without a reason.
    raise APIError(500, message) if watch else bad_request(f"invalid resource version: {message}")


def _match_of_watch(
    query: Mapping[str, str], *, initial: bool | None, watch_list: bool
) -> Iterator[Cause]:
    match = query.get(_MATCH, "")
    if query.get("continue"):
        yield forbidden_field(_MATCH, f"{_MATCH} is forbidden when continue is provided")
    elif initial is not None:
        if match != "NotOlderThan":
            text = f"sendInitialEvents requires setting {_MATCH} to NotOlderThan"
            yield forbidden_field(_MATCH, text)
        if not watch_list:
            yield forbidden_field("sendInitialEvents", _NO_WATCH_LIST)
        if match not in ("", "NotOlderThan"):
            yield unsupported(_MATCH, match, ["NotOlderThan"])
    elif match:
        text = f"{_MATCH} is forbidden for watch unless sendInitialEvents is provided"
        yield forbidden_field(_MATCH, text)


def _match_of_list(query: Mapping[str, str], *, initial: bool | None) -> Iterator[Cause]:
    match, version = query.get(_MATCH, ""), query.get("resourceVersion", "")
    if initial is not None:
        text = "sendInitialEvents is forbidden for list"
        yield forbidden_field("sendInitialEvents", text)
    elif match and not version:
        text = f"{_MATCH} is forbidden unless resourceVersion is provided"
        yield forbidden_field(_MATCH, text)
    elif match not in ("", "Exact", "NotOlderThan"):
        yield unsupported(_MATCH, match, ["Exact", "NotOlderThan", ""])
    elif match == "Exact" and version == "0":
        text = f'{_MATCH} "exact" is forbidden for resourceVersion "0"'
        yield forbidden_field(_MATCH, text)


def list_objects(
    store: Store, resource: Resource, namespace: str | None, options: ListOptions
) -> tuple[list[Object], dict[str, Any]]:
    """Give a page of a list, and the list's metadata.

    All pages of a list show the version of the first, unless that has been
    compacted: then the 410 carries a token to go on with what is there now.

    Raises
    ------
    APIError
        400: an invalid token; 410: compacted; 504: a version to come.
    """
    with store.lock:
        if options.version > store.version:
            raise version_too_large(options.version, store.version)
        version, start = store.version, ""
        # With a limit and without a match a version is meant exactly, for old clients' sake.
        exact = options.match == "Exact" or (options.limit and not options.match)
        limit = options.limit
        if options.token:
            version, start = _opened(options)
            objects = _items_after(store, resource, namespace, version, start)
            version = version if version >= 0 else store.version
        elif options.version and exact:
            version = options.version
            objects = store.items_at(resource, namespace, version)
        else:
            objects = store.items(resource, namespace)
            if not options.version_given:
                store.note_list(resource)
            if options.version_given and not options.version:
                limit = 0  # Version 0 is answered from the cache, which does not count.
    chosen = [obj for obj in objects if options.selector.matches(obj)]
    metadata: dict[str, Any] = {"resourceVersion": str(version)}
    if limit and len(chosen) > limit:
        metadata["continue"] = _token(version, key_of(chosen[limit - 1]))
        if options.selector.empty:
            metadata["remainingItemCount"] = len(chosen) - limit
        chosen = chosen[:limit]
    return chosen, metadata


def _items_after(
    store: Store, resource: Resource, namespace: str | None, version: int, start: str
) -> list[Object]:
    if version < 0:
        objects = store.items(resource, namespace)
    else:
        try:
            objects = store.items_at(resource, namespace, version)
        except APIError:
            raise expired(_CONTINUE_EXPIRED, _token(-1, start)) from None
    return [obj for obj in objects if key_of(obj) > start]


def _token(version: int, start: str) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _opened(options: ListOptions) -> tuple[int, str]:
    if options.version:
        raise bad_request("specifying resource version is not allowed when using continue")
    try:
        padded = options.token + "=" * (-len(options.token) % 4)
        content = json.loads(base64.urlsafe_b64decode(padded))
        return int(content["rv"]), str(content["start"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        text = f"invalid continue token: continue key is not valid: {error}"
        raise bad_request(text) from None
