"""The parts of a URL of the API."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit


def parts(url: str) -> tuple[str, list[tuple[str, str]]]:
    """The path of a URL, and its query decoded."""
    split = urlsplit(url)
    return split.path, parse_qsl(split.query, keep_blank_values=True)


def joined(path: str, query: list[tuple[str, str]]) -> str:
    """Put a path and a query together."""
    return f"{path}?{urlencode(query)}" if query else path


def resource_of(url: str) -> str:
    """``group/resource`` of a URL, the core group's name being empty.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
    """
    parts = urlsplit(url).path.strip("/").split("/")
    if parts[0] == "api":
        group, parts = "", parts[2:]
    elif parts[0] == "apis":
        group, parts = "".join(parts[1:2]), parts[3:]
    else:
        return ""
    if parts[0:1] == ["namespaces"] and len(parts) > 2 and parts[2] not in ("status", "finalize"):
        parts = parts[2:]
    return f"{group}/{parts[0]}" if parts else ""
