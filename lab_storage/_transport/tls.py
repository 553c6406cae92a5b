"""TLS contexts whose sockets keep deadlines."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from typing import Any

import attrs
from urllib3.util.ssl_ import resolve_cert_reqs

from lab_storage._transport.files import FileContent
from lab_storage._transport.sockets import socket_classes

_OPTIONS = ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET


@attrs.frozen
class Identity:
    """Whom to trust and who we are: authorities, and the certificate of this side."""

    authorities: FileContent | None
    certificate: FileContent | None
    key: FileContent | None
    authorities_data: str | bytes | None = None
    authorities_folder: str | None = None
    password: str | None = attrs.field(default=None, repr=False)

    @property
    def names_authorities(self) -> bool:
        """Whether anybody is trusted by name, and not those whom the system trusts."""
        return any((self.authorities, self.authorities_data, self.authorities_folder))

    def load_authorities(self, context: Any) -> None:
        """Have ``context`` trust the authorities."""
        if self.authorities is not None:
            try:
                # Comments may contain anything, but certificates are ASCII.
                context.load_verify_locations(
                    cadata=self.authorities.data.decode("ascii", "ignore")
                )
            except (ssl.SSLError, ValueError) as error:
                raise ValueError(f"{self.authorities.path}: {error}") from error
        if self.authorities_data or self.authorities_folder:
            context.load_verify_locations(None, self.authorities_folder, self.authorities_data)

    def load_certificate(self, context: Any) -> None:
        """Have ``context`` show this side's certificate."""
        if self.certificate is None:
            return
        key = self.certificate if self.key is None else self.key
        with self.certificate.on_disk() as certificate_path, key.on_disk() as key_path:
            try:
                context.load_cert_chain(certificate_path, key_path, self._ask_for_password)
            except ssl.SSLError as error:
                raise ValueError(f"{self.certificate.path}, {key.path}: {error}") from error

    def _ask_for_password(self) -> str:
        # Without this, OpenSSL asks at the terminal.
        if self.password is None:
            path = (self.key or self.certificate).path  # type: ignore[union-attr]
            raise ValueError(f"{path}: the private key is encrypted, and there is no password")
        return self.password


class DeadlineContext:
    """A TLS context, the caller's or ours, whose sockets keep deadlines when we make them."""

    def __init__(self, context: ssl.SSLContext) -> None:
        object.__setattr__(self, "_context", context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # What urllib3 sets for each connection. It does so on the caller's own, too.
        if getattr(self._context, name) != value:
            setattr(self._context, name, value)

    def wrap_socket(self, sock: Any, server_hostname: str | None = None, **options: Any) -> Any:
        """As `ssl.SSLContext.wrap_socket`, but of another class."""
        kind: Any = socket_classes()[1]
        context = _inner_context(self._context)
        if not hasattr(kind, "_create"):
            # gevent's, which is its own constructor
            return kind(sock=sock, _context=context, server_hostname=server_hostname, **options)
        return kind._create(sock=sock, context=context, server_hostname=server_hostname, **options)


def _is_truststore(context: Any) -> bool:
    return type(context).__module__.partition(".")[0] == "truststore"


def _inner_context(context: Any) -> Any:
    # That of truststore holds a lock during a handshake, however long another's takes.
    return context._ctx if _is_truststore(context) else context


def check_context(context: Any) -> None:
    """Refuse a TLS context whose sockets could not keep a deadline.

    Raises
    ------
    TypeError
        If it is one.
    """
    if _is_truststore(context):
        # It checks a certificate after the handshake there, by the system's own means.
        suits = sys.platform not in {"darwin", "win32"} and hasattr(context, "_ctx")
    else:
        # PyOpenSSL's has sockets of its own. A subclass may make others, too.
        wrap = getattr(type(context), "wrap_socket", None)
        origin = str(getattr(wrap, "__module__", None)).partition(".")[0]
        suits = hasattr(context, "_wrap_socket") and origin in {"ssl", "gevent", "eventlet"}
    if not suits:
        kind = f"{type(context).__module__}.{type(context).__qualname__}"
        raise TypeError(
            f"the api_client's pool has a TLS context of the class {kind}, on whose connections "
            "no deadline can be kept. Use an ssl.SSLContext"
        )


def tls_context(
    options: Mapping[str, Any], given: ssl.SSLContext | None, identity: Identity
) -> DeadlineContext:
    """Make the context for a pool of ``options``, or use the one that is ``given``.

    A context that is given is the caller's. It gets the same as it would by the first request
    of the caller's client: the authorities and the certificate that are named beside it.
    """
    context = _new_context(options) if given is None else given
    check_context(context)
    if _is_truststore(context):
        # That loads the system's authorities, which it would do at each connection.
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    identity.load_authorities(context)
    if given is None and not identity.names_authorities:
        context.load_default_certs()
    identity.load_certificate(context)
    return DeadlineContext(context)


def _new_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """What `urllib3.util.ssl_.create_urllib3_context` would make, unless something is injected.

    Of PyOpenSSL's context, which can replace urllib3's, no socket keeps a deadline.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = options.get("ssl_minimum_version") or ssl.TLSVersion.TLSv1_2
    if options.get("ssl_maximum_version"):
        context.maximum_version = options["ssl_maximum_version"]
    context.options |= _OPTIONS
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    context.post_handshake_auth = True
    context.hostname_checks_common_name = False
    if resolve_cert_reqs(options.get("cert_reqs")) != ssl.CERT_REQUIRED:
        context.check_hostname = False
        context.verify_mode = resolve_cert_reqs(options.get("cert_reqs"))
    if os.environ.get("SSLKEYLOGFILE"):
        context.keylog_filename = os.path.expandvars(os.environ["SSLKEYLOGFILE"])
    return context
