"""A server that misbehaves as told: raw sockets, plain or TLS, on the loopback.

.. code-block:: python

    with Villain(json_answer(PENDING)) as villain:         # the same answer for ever
        storage = LabStorage(villain.api_client(), logger)

    Villain(reset, status(503), json_answer(PENDING))      # one after another, the last for ever
    Villain(lambda request: reset if request.method == "POST" else silence)

A script is a row of acts, one for each request in the order of their arrival, of
which the last is repeated; or one function that gives the act for a `Seen` request.
An act is a function of a `Peer`, which is a connection with a request on it.

==============================  ====================================================
`answer`, `json_answer`         a whole answer
`status`                        a refusal, with a ``Status`` of Kubernetes
`silence`                       nothing, until the client leaves or the villain closes
`reset`, `hang_up`              the request was read; then the connection is reset, closed
`raw`                           any bytes, then the connection is closed
`drip`                          an answer a byte at a time: its headers, body or chunk
`stall`                         an answer's headers and half of its body, then silence
`truncate`                      an answer that ends before it is whole
`stream`                        a watch: lines, pauses, signals, and how it ends
`tunnel`                        what a proxy does for CONNECT
==============================  ====================================================

What was seen is in `Villain.requests` and `Villain.connections`;
`Villain.wait_for_requests` blocks until something has arrived, and
`Villain.wait_until_left` until no client is connected any more.

`Cluster` is a script that remembers: what was created is there, with its
``managedFields``, and can be read, listed and deleted. `black_hole` is an address where
connecting never ends.
"""

from __future__ import annotations

import ctypes
import functools
import json
import socket
import ssl
import struct
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import attrs
import trustme
from kubernetes import client

TOKEN = "Bearer t0ken"
_BYTES_PER_READ = 1 << 16
# Python has no name for it.
_SO_ATTACH_FILTER = 26


@attrs.frozen
class Seen:
    """A request as it came in.

    ``headers`` are by their names in lower case; ``target`` is what stood between method and
    version, as a proxy gets it; ``connection`` counts from 1.
    """

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)
    connection: int

    @property
    def json(self) -> Any:
        """What the body says."""
        return json.loads(self.body)

    @property
    def is_watch(self) -> bool:
        """Whether it asks for a stream."""
        return self.query.get("watch") == "true"


class GoneError(Exception):
    """The client has closed the connection, or the villain has."""


class Peer:
    """A client's connection, and the request on it."""

    def __init__(self, villain: Villain, sock: Any, number: int) -> None:
        self.villain = villain
        self.number = number
        self.request: Any = None
        self._sock = sock
        self._unread = b""

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        try:
            self._sock.settimeout(None)
            self._sock.sendall(data)
        except OSError as error:
            raise GoneError from error

    def pause(self, seconds: float | None) -> None:
        """Say nothing for so long, or for ever with `None`; `GoneError` once the client leaves."""
        try:
            self._sock.settimeout(seconds)
            data = self._sock.recv(_BYTES_PER_READ)
        except TimeoutError:
            return
        except OSError as error:
            raise GoneError from error
        if not data:
            raise GoneError
        self._unread += data

    def take_no_more(self) -> None:
        """Drop each packet that comes, unacknowledged, as a balancer that has forgotten it does.

        By a filter that lets no byte through: socket(7), SO_ATTACH_FILTER; BPF_RET.
        """
        instruction = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(instruction))
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def close(self) -> None:
        """Close the connection in order."""
        raise GoneError

    def reset(self) -> None:
        """Close it so that the client gets a RST (RFC 9293, section 3.5.2)."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise GoneError

    def relay(self, host: str, port: int) -> None:
        """Pass bytes both ways between the client and another server."""
        with socket.create_connection((host, port)) as server:
            back = threading.Thread(target=_pump, args=(server, self._sock), daemon=True)
            back.start()
            self._sock.settimeout(None)
            _pump(self._sock, server)
            back.join()
        raise GoneError

    def read_request(self) -> Seen:
        """Read the next request whole."""
        while b"\r\n\r\n" not in self._unread:
            self.pause(None)
        head, self._unread = self._unread.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(headers.get("content-length", 0))
        while len(self._unread) < length:
            self.pause(None)
        body, self._unread = self._unread[:length], self._unread[length:]
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        self.request = Seen(method, target, parts.path, query, headers, body, self.number)
        return self.request


def _pump(source: Any, sink: Any) -> None:
    with suppress(OSError):
        while data := source.recv(_BYTES_PER_READ):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


Act = Callable[[Peer], None]
Script = Callable[[Seen], Act]


def in_turn(*acts: Act) -> Script:
    """Give one act after another, and the last for ever."""
    rest = list(acts)
    lock = threading.Lock()

    def script(request: Seen) -> Act:
        with lock:
            return rest.pop(0) if len(rest) > 1 else rest[0]

    return script


class Villain:
    """The server. A context manager; see the module's text.

    Parameters
    ----------
    script
        Acts, or one function that chooses them.
    tls
        Whether it speaks TLS, by a certificate for 127.0.0.1 and localhost of `authority`.
    client_certificates
        Whether it asks for one of the client's.
    handshake
        What it does in place of a TLS handshake: ``"silent"`` or ``"dripping"``.
    reads
        Whether it reads what is sent. If not, a large request cannot be sent to its end.

    Attributes
    ----------
    requests
        The requests, in the order of their arrival.
    connections
        How many connections there have been, those that never got to a request too.
    context
        What it speaks TLS by; another may be put in its place.
    """

    def __init__(
        self,
        *script: Act | Script,
        tls: bool = False,
        client_certificates: bool = False,
        handshake: str | None = None,
        reads: bool = True,
    ) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.tls = tls or handshake is not None
        self._script: Any = script[0] if len(script) == 1 and not _is_act(script[0]) else None
        if self._script is None:
            self._script = in_turn(*cast("tuple[Act, ...]", script or (silence,)))
        self._handshake = handshake
        self._reads = reads
        self._changed = threading.Condition()
        self._open: dict[int, Any] = {}
        self._threads: list[threading.Thread] = []
        self._drain = threading.Event()
        self._closing = False
        self.context = server_context(client_certificates) if self.tls else None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="villain", daemon=True)

    def __enter__(self) -> Villain:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._drain.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        with self._changed:
            for sock in self._open.values():
                with suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
            threads = list(self._threads)
        for thread in threads:
            thread.join(5)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def api_client(self, **settings: Any) -> client.ApiClient:
        """Make the official client for it; ``settings`` are attributes of its configuration."""
        configuration = client.Configuration()
        configuration.host = self.url
        configuration.api_key = {"authorization": TOKEN}
        # Also where it speaks no TLS: to read all the world's authorities takes its time.
        configuration.ssl_ca_cert = str(authority().file)
        for name, value in settings.items():
            setattr(configuration, name, value)
        return client.ApiClient(configuration)

    def wait_for_requests(self, count: int = 1, seconds: float = 10.0) -> list[Seen]:
        """Block until ``count`` requests have arrived, and give all of them."""
        self._wait(lambda: len(self.requests) >= count, seconds, f"{count} requests")
        return list(self.requests)

    def wait_for_connections(self, count: int = 1, seconds: float = 10.0) -> None:
        """Block until there have been ``count`` connections."""
        self._wait(lambda: self.connections >= count, seconds, f"{count} connections")

    def wait_until_left(self, open_: int = 0, seconds: float = 10.0) -> None:
        """Block until no more than ``open_`` connections are open."""
        # Behind bytes that nobody reads, the end of a connection cannot be seen.
        self._drain.set()
        self._wait(lambda: len(self._open) <= open_, seconds, f"{open_} connections open")

    @property
    def open_connections(self) -> int:
        """How many connections are open just now."""
        return len(self._open)

    @property
    def closing(self) -> bool:
        """Whether the test is over."""
        return self._closing

    def _wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise AssertionError(
                    f"no {what} in {seconds} s; there are {len(self.requests)} requests on "
                    f"{self.connections} connections, of which {len(self._open)} are open"
                )

    def _accept(self) -> None:
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self.connections += 1
                number = self.connections
                self._open[number] = sock
                self._changed.notify_all()
                thread = threading.Thread(
                    target=self._serve, args=(sock, number), name="villain", daemon=True
                )
                self._threads = [one for one in self._threads if one.is_alive()]
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._converse(sock, number)
        except (GoneError, OSError):
            pass
        finally:
            with self._changed:
                last = self._open.pop(number)
                last.close()
                self._changed.notify_all()

    def _converse(self, sock: Any, number: int) -> None:
        if self._handshake is not None:
            self._stall_handshake(Peer(self, sock, number))
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            with self._changed:
                self._open[number] = sock
            try:
                sock.do_handshake()
            except ssl.SSLError:
                # To close it with something unread would overtake the alert by a reset.
                while socket.socket.recv(sock, _BYTES_PER_READ):
                    pass
                raise
        peer = Peer(self, sock, number)
        if not self._reads:
            self._drain.wait()
            while sock.recv(_BYTES_PER_READ):
                pass
            return
        while True:
            request = peer.read_request()
            with self._changed:
                self.requests.append(request)
                self._changed.notify_all()
            self._script(request)(peer)

    def _stall_handshake(self, peer: Peer) -> None:
        # A ServerHello that never gets to its end: record type 22, TLS 1.2, 16 kB
        # (RFC 8446, section 5.1).
        record = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"
        while True:
            if self._handshake == "dripping" and record:
                peer.send(record[:1])
                record = record[1:] or b"\x00"
                peer.pause(0.02)
            else:
                peer.pause(None)


def _is_act(function: Any) -> bool:
    return getattr(function, "is_act", False)


def act(function: Act) -> Act:
    """Mark a function of a `Peer` as an act, for use as a script."""
    function.is_act = True  # type: ignore[attr-defined]
    return function


def _head(status_: int, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status_} Because",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def answer(status_: int, body: bytes, headers: Mapping[str, str] | None = None) -> Act:
    """Answer with a whole body; ``headers`` on top of the ordinary ones."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields.update(headers or {})

    @act
    def run(peer: Peer) -> None:
        peer.send(_head(status_, fields) + body)

    return run


def json_answer(content: Any, status_: int = 200, headers: Mapping[str, str] | None = None) -> Act:
    """Answer with JSON."""
    return answer(status_, _encoded(content), headers)


def status(
    code: int,
    reason: str = "",
    message: str = "",
    details: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Act:
    """Refuse as Kubernetes does."""
    return json_answer(status_content(code, reason, message, details), code, headers)


def status_content(
    code: int, reason: str = "", message: str = "", details: Any = None
) -> dict[str, Any]:
    """Give the ``Status`` of a refusal, as it stands in an ``ERROR`` event too."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message or f"refused with {code}",
        "reason": reason,
        "details": details,
        "code": code,
    }


@act
def silence(peer: Peer) -> None:
    """Say nothing."""
    while True:
        peer.pause(None)


@act
def reset(peer: Peer) -> None:
    """Reset the connection."""
    peer.reset()


@act
def hang_up(peer: Peer) -> None:
    """Close the connection without an answer."""
    peer.close()


def raw(data: bytes) -> Act:
    """Send ``data`` as it is, and close the connection."""

    @act
    def run(peer: Peer) -> None:
        peer.send(data)
        peer.close()

    return run


def drip(part: str, body: Any = b"{}", seconds: float = 0.02) -> Act:
    """Answer a byte every ``seconds`` from ``part`` on: ``headers``, ``body`` or ``chunk``.

    It never gets to the end: padding that means nothing is dripped before it.
    """
    content = _encoded(body)

    @act
    def run(peer: Peer) -> None:
        if part == "headers":
            rest = iter(b"HTTP/1.1 200 OK\r\nX-Padding: ")
        elif part == "body":
            peer.send(_head(200, {"Content-Length": str(1 << 20)}))
            rest = iter(content[:-1])
        else:
            peer.send(_head(200, {"Transfer-Encoding": "chunked"}) + b"%x\r\n" % (1 << 20))
            rest = iter(content[:-1])
        while True:
            peer.send(bytes([next(rest, ord("x" if part == "headers" else " "))]))
            peer.pause(seconds)

    return run


def stall(body: Any, *, chunked: bool = False) -> Act:
    """Answer with the headers and half of the body, and then with silence."""
    content = _encoded(body)

    @act
    def run(peer: Peer) -> None:
        length = (
            {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(content))}
        )
        size = b"%x\r\n" % len(content) if chunked else b""
        peer.send(_head(200, length) + size + content[: len(content) // 2])
        silence(peer)

    return run


def truncate(body: Any, *, chunked: bool = False) -> Act:
    """Close the connection before the body is whole."""
    content = _encoded(body)

    @act
    def run(peer: Peer) -> None:
        if chunked:
            size = b"%x\r\n" % (len(content) + 10)
            peer.send(_head(200, {"Transfer-Encoding": "chunked"}) + size + content)
        else:
            peer.send(_head(200, {"Content-Length": str(len(content) + 10)}) + content)
        peer.close()

    return run


def _play(peer: Peer, step: Any) -> None:
    """Perform a step of `stream`."""
    if isinstance(step, dict):
        step = json.dumps(step).encode() + b"\n"
    if isinstance(step, bytes):
        peer.send(b"%x\r\n%b\r\n" % (len(step), step))
    elif isinstance(step, (int, float)):
        peer.pause(step)
    elif isinstance(step, threading.Event):
        while not step.is_set():
            peer.pause(0.01)
    elif callable(step):
        _play(peer, step())
    elif isinstance(step, Iterable):
        for one in step:
            _play(peer, one)


def stream(*steps: Any, end: str = "silence") -> Act:
    """Answer as a watch does, in chunks.

    Parameters
    ----------
    steps
        What happens in turn: a `dict` is a line of JSON, `bytes` are sent as they are
        (the newline is yours), a number is a pause in seconds, a `threading.Event` is waited
        for, a function without parameters is called and what it gives is the next step
        (`None` for nothing), an iterable is steps.
    end
        ``"silence"``; ``"orderly"``, after which the connection can be used again;
        ``"cut"`` in the middle of a chunk; ``"reset"``; ``"close"`` without the last chunk.
    """

    @act
    def run(peer: Peer) -> None:
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        peer.send(_head(200, headers))
        _play(peer, steps)
        if end == "silence":
            silence(peer)
        elif end == "orderly":
            peer.send(b"0\r\n\r\n")
        elif end == "reset":
            peer.reset()
        else:
            peer.send(b"ff\r\n{" if end == "cut" else b"")
            peer.close()

    return run


@act
def tunnel(peer: Peer) -> None:
    """Answer CONNECT as a proxy does (RFC 9110, section 9.3.6)."""
    host, _, port = peer.request.target.rpartition(":")
    peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    peer.relay(host, int(port))


@contextmanager
def black_hole() -> Iterator[int]:
    """Give a port of 127.0.0.1 where a connection is neither accepted nor refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        # Once the queue of a listening socket is full, Linux drops what comes (listen(2)).
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for filler in fillers:
                filler.close()


class Authority:
    """A certificate authority, with its files in a directory.

    Attributes
    ----------
    file
        Its own certificate.
    client_certificate, client_key
        A certificate for a client, and its key.
    """

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self.file = directory / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.file))
        self._server = self._authority.issue_cert("127.0.0.1", "localhost", "villain.example")
        certificate = self._authority.issue_cert("lab@villain.example")
        self.client_certificate = directory / "client.pem"
        self.client_key = directory / "client.key"
        certificate.cert_chain_pems[0].write_to_path(str(self.client_certificate))
        certificate.private_key_pem.write_to_path(str(self.client_key))

    def server_context(self, client_certificates: bool) -> ssl.SSLContext:
        """Make what a server of it speaks TLS by."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.configure_cert(context)
        if client_certificates:
            context.verify_mode = ssl.CERT_REQUIRED
            self._authority.configure_trust(context)
        return context


@functools.cache
def authority() -> Authority:
    """Give the one authority of this process."""
    import atexit
    import tempfile

    directory = tempfile.TemporaryDirectory(prefix="villain-")
    atexit.register(directory.cleanup)
    return Authority(Path(directory.name))


@functools.cache
def server_context(client_certificates: bool) -> ssl.SSLContext:
    """Give what the villain speaks TLS by: one for all of them."""
    return authority().server_context(client_certificates)


class Cluster:
    """A script that remembers what was created: as little of an API server as it takes.

    POST creates, with ``managedFields``, and refuses a second one of a name; GET gives one
    object, or a list, of which a ``metadata.name`` selector leaves one; DELETE deletes, if a UID
    in the preconditions is the object's. A watch says nothing. A namespace comes with its
    default ServiceAccount, a quota with its status.

    Parameters
    ----------
    before
        May give an act that is performed in place of the request.
    after
        May give an act that is performed in place of the answer: the request has taken effect.

    Attributes
    ----------
    objects
        What is there, by path.
    created
        Each path that was created, in order.
    """

    def __init__(
        self,
        before: Callable[[Seen], Act | None] = lambda _: None,
        after: Callable[[Seen], Act | None] = lambda _: None,
    ) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.created: list[str] = []
        self._before = before
        self._after = after
        self._lock = threading.RLock()
        self._version = 0

    def __call__(self, request: Seen) -> Act:
        """Answer a request."""
        refused = self._before(request)
        if refused is not None:
            return refused
        with self._lock:
            answered = getattr(self, f"_{request.method.lower()}")(request)
        return self._after(request) or answered

    def put(self, path: str, content: Mapping[str, Any], manager: str = "kubectl") -> None:
        """Have an object at ``path``, made by ``manager``."""
        with self._lock:
            self._version += 1
            *_, plural, name = path.split("/")
            field = {"manager": manager, "operation": "Update"}
            metadata = {
                **content.get("metadata", {}),
                "name": name,
                "uid": str(uuid.uuid4()),
                "resourceVersion": str(self._version),
                "managedFields": [field],
            }
            self.objects[path] = {**content, "metadata": metadata}
            self.created.append(path)
            if plural == "namespaces":
                self.put(f"{path}/serviceaccounts/default", {"kind": "ServiceAccount"}, "kcm")
            if plural == "resourcequotas":
                hard = (content.get("spec") or {}).get("hard")
                self.objects[path]["status"] = {"hard": hard}

    def _post(self, request: Seen) -> Act:
        content = request.json
        name = content["metadata"]["name"]
        path = f"{request.path}/{name}"
        if path in self.objects:
            plural = request.path.rsplit("/", 1)[1]
            message = f'{plural} "{name}" already exists'
            details = {"name": name, "kind": plural}
            return status(409, "AlreadyExists", message, details)
        self.put(path, content, request.query["fieldManager"])
        return json_answer(self.objects[path], 201)

    def _get(self, request: Seen) -> Act:
        if request.is_watch:
            return stream()
        if request.path in self.objects:
            return json_answer(self.objects[request.path])
        if not {"fieldSelector", "limit"} & {*request.query}:
            return self._not_found(request)
        wanted = request.query.get("fieldSelector", "").partition("metadata.name=")[2]
        parts = {path: path.rpartition("/") for path in self.objects}
        items = [
            self.objects[path]
            for path, (parent, _, name) in parts.items()
            if parent == request.path and wanted in ("", name)
        ]
        return json_answer({"metadata": {"resourceVersion": str(self._version)}, "items": items})

    def _delete(self, request: Seen) -> Act:
        found = self.objects.get(request.path)
        if found is None:
            return self._not_found(request)
        wanted = (request.json.get("preconditions") or {}).get("uid")
        if wanted not in (None, found["metadata"]["uid"]):
            return status(409, "Conflict", "Precondition failed: UID in precondition")
        for path in [path for path in self.objects if path.startswith(f"{request.path}/")]:
            del self.objects[path]
        return json_answer(self.objects.pop(request.path))

    def _not_found(self, request: Seen) -> Act:
        *_, plural, name = request.path.split("/")
        return status(404, "NotFound", f'{plural} "{name}" not found')
