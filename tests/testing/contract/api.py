"""How the contract tests ask a server, and what they compare of its answers."""

from __future__ import annotations

import itertools
import json
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

Json = dict[str, Any]
MERGE = "application/merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

# A controller that has lost its server, or shares two cores with much else, takes its time.
WAIT_SECONDS = 120.0
WATCH_SECONDS = 10
# The headers that depend on the request; the others are the server's own.
COMPARED_HEADERS = ("Content-Type", "Retry-After", "Warning", "X-Content-Type-Options")

_TIMES = frozenset(
    {
        "creationTimestamp",
        "deletionTimestamp",
        "eventTime",
        "firstTimestamp",
        "lastTimestamp",
        "lastTransitionTime",
        "time",
    }
)
_MADE_UP = {
    "ca.crt": "<certificate>",
    "clusterIP": "<address>",
    "clusterIPs": ["<address>"],
    "continue": "<token>",
    "description": "<description>",
    "fieldsV1": "<fields>",
    "kubernetes.io/description": "<description>",
    "uid": "<uid>",
}
_IN_TEXT = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uid>"),
    (
        re.compile(
            r"(current: |in record \(|in object meta: |too old resource version: )\d+( \(\d+\))?"
        ),
        r"\1<version>",
    ),
    (re.compile(r"(resourceVersion=|continue=)(?!0|1&|1$|9999|Zm9v)\w+"), r"\1<known>"),
    (re.compile(r"(kube-api-access-|generated-)[a-z0-9]{5}\b"), r"\1<random>"),
    (re.compile(r"\.[0-9a-f]{16}\b"), ".<random>"),
    (re.compile(r"(default-scheduler-)\S+"), r"\1<host>"),
    # Each JSON parser has its own words for what it cannot read.
    (
        re.compile(r'((json parse error|continue key is not valid|redacted>"): ).*', re.DOTALL),
        r"\1<problem>",
    ),
    (re.compile(r"^\d+(s|m|h)[\dsmh]*$"), "<age>"),
    (re.compile(r"^10\.\d+\.\d+\.\d+$"), "<address>"),
    # Values that are too long for any field.
    (re.compile(r"x{1000,}"), "<long>"),
    # The whole object, in a message about one field of it.
    (
        re.compile(r'(patch: |^)Invalid value: "\{.*\}": ', re.DOTALL),
        r'\1Invalid value: "<object>": ',
    ),
)


class Server(Protocol):
    """What the contract is about, and what is done to it besides asking."""

    host: str

    def token(self, user: str, /) -> str:
        """Give the bearer token of a user."""

    def expire_versions(self) -> object:
        """Have all resource versions of before answered by 410."""

    def paused_kubelet(self) -> AbstractContextManager[None]:
        """Have pods neither start nor go meanwhile."""

    def custom_resource(
        self, plural: str, kind: str, group: str, schema: Json, /
    ) -> AbstractContextManager[object]:
        """Have a custom resource with a status meanwhile."""

    def paused_controllers(self) -> AbstractContextManager[None]:
        """Have neither ServiceAccounts made nor quotas counted meanwhile."""


class Api:
    """Asks a server and keeps what it said, without what differs from run to run.

    Parameters
    ----------
    server
        Which server.
    pool
        The connections to it.
    """

    def __init__(self, server: Server, pool: urllib3.PoolManager) -> None:
        self.server = server
        self._pool = pool
        self.namespace = f"contract-{secrets.token_hex(4)}"
        self.log: list[Json] = []

    def path(self, resource: str, name: str | None = None, group: str = "") -> str:
        """The path of a resource in the namespace of this run, or of an object."""
        start = f"/apis/{group}/v1" if group else "/api/v1"
        end = f"/{name}" if name else ""
        return f"{start}/namespaces/{self.namespace}/{resource}{end}"

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: str | None = "admin",
        kept: bool = True,
        **headers: str,
    ) -> Any:
        """Make a request, keep the answer, and give its body."""
        response = self._send(method, path, body, user, headers)
        answer: Any = response.data.decode()
        if response.headers.get("Content-Type", "").startswith("application/json"):
            answer = json.loads(answer)
        if kept:
            said = {
                name: response.headers[name]
                for name in COMPARED_HEADERS
                if name in response.headers
            }
            self._keep(f"{method} {path}", response.status, said, answer)
        return answer

    def ask_until_refused(self, resource: str, manifest: Json, text: str) -> None:
        """Create an object until that is refused with a text, and keep that answer.

        Admission knows of quotas and ServiceAccounts from a cache, which learns of a
        change a moment after it can be read.
        """
        path, name = self.path(resource), manifest["metadata"]["name"]
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            answer = self.ask("POST", path, manifest, kept=False)
            if text in answer.get("message", ""):
                break
            assert time.monotonic() < deadline, answer
            if answer["kind"] != "Status":
                self.ask("DELETE", f"{path}/{name}", {"gracePeriodSeconds": 0}, kept=False)
            time.sleep(0.02)
        self.ask("POST", path, manifest)

    def make(self, resource: str, manifest: Json, group: str = "") -> Any:
        """Create an object without keeping the answer, and give it."""
        made = self.ask("POST", self.path(resource, group=group), manifest, kept=False)
        assert made["kind"] != "Status", made
        return made

    def try_to_make(self, resource: str, manifest: Json, group: str = "") -> None:
        """Create an object, keep the answer, and delete it again if it was made."""
        path = self.path(resource, group=group)
        made = self.ask("POST", path, manifest)
        if made["kind"] != "Status":
            gone = f"{path}/{made['metadata']['name']}"
            self.ask("DELETE", gone, {"gracePeriodSeconds": 0}, kept=False)
            self.wait(gone, lambda found: found["kind"] == "Status")

    def make_namespace(self) -> None:
        """Create the namespace, and wait until pods may be made in it."""
        manifest = {"metadata": {"name": self.namespace}}
        self.ask("POST", "/api/v1/namespaces", manifest, kept=False)
        self.wait_for_controllers()

    def wait_for_controllers(self) -> None:
        """Wait for what they put into a new namespace."""
        account = self.path("serviceaccounts", "default")
        for path in (account, self.path("configmaps", "kube-root-ca.crt")):
            self.wait(path, lambda found: found["kind"] != "Status")

    def wait(self, path: str, condition: Callable[[Any], bool]) -> Any:
        """Ask until a condition holds, without keeping the answers."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            answer = self.ask("GET", path, kept=False)
            if condition(answer):
                return answer
            assert time.monotonic() < deadline, f"{path} is still {answer}"
            time.sleep(0.02)

    def watch(self, path: str, events: int, **headers: str) -> None:
        """Watch, keep so many events, and hang up; fewer if the server ends it."""
        target = f"{path}{'&' if '?' in path else '?'}watch=1&timeoutSeconds={WATCH_SECONDS}"
        response = self._send("GET", target, None, "admin", headers, preload_content=False)
        try:
            if response.status != 200:
                lines = [response.read()]
            else:
                lines = list(itertools.islice(response, events))
            self._keep(f"WATCH {path}", response.status, {}, [json.loads(each) for each in lines])
        finally:
            response.close()

    def events(self, path: str) -> list[Any]:
        """Watch until the server ends it, and give the events without keeping them."""
        response = self._send("GET", path, None, "admin", {})
        assert response.status == 200, response.data
        return [json.loads(line) for line in response.data.splitlines()]

    def _send(
        self,
        method: str,
        path: str,
        body: object,
        user: str | None,
        headers: Mapping[str, str],
        **options: Any,
    ) -> urllib3.BaseHTTPResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if user is not None:
            sent["Authorization"] = f"Bearer {self.server.token(user)}"
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return self._pool.request(
            method,
            self.server.host + quote(path, safe="/?&=%,!()+"),
            body=data,
            headers=sent,
            retries=False,
            **options,
        )

    def keep(self, what: str, value: object) -> None:
        """Keep something that has been made of answers."""
        self._keep(what, 0, {}, value)

    def _keep(self, request: str, status: int, headers: Json, body: object) -> None:
        entry = {"request": request, "status": status, "headers": headers, "body": body}
        self.log.append(self._normal(entry))

    def _normal(self, value: Any, key: str = "") -> Any:
        if value is None:
            return None
        if key in _TIMES:
            return "<time>"
        if key in _MADE_UP and value not in ("None", ["None"]):
            return _MADE_UP[key]
        if key == "resourceVersion" and str(value).isdecimal():
            return "<version>"
        if key == "managedFields":
            # The server sorts them by their times, which are to the second.
            value = sorted(value, key=lambda entry: entry["manager"])
        if isinstance(value, dict):
            return {self._text(name): self._normal(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [self._normal(each) for each in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        text = text.replace(self.namespace, "<namespace>")
        for pattern, replacement in _IN_TEXT:
            text = pattern.sub(replacement, text)
        return text
