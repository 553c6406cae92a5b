"""TLS contexts whose sockets keep deadlines, and the files they are made of."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from urllib3.util.ssl_ import create_urllib3_context, resolve_cert_reqs

from lab_storage._transport.sockets import socket_classes


class _BorrowedContext:
    """Somebody's TLS context, whose sockets keep deadlines when they are ours."""

    def __init__(self, context: ssl.SSLContext) -> None:
        object.__setattr__(self, "_context", context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # What urllib3 sets for each connection, as it does on the caller's own.
        setattr(self._context, name, value)

    def wrap_socket(self, sock: Any, server_hostname: str | None = None, **options: Any) -> Any:
        """As `ssl.SSLContext.wrap_socket`, but of another class."""
        create = socket_classes()[1]._create  # type: ignore[attr-defined]
        return create(sock=sock, context=self._context, server_hostname=server_hostname, **options)


def borrow_context(context: ssl.SSLContext) -> Any:
    """Have sockets that keep deadlines made of a context that is not to be changed."""
    return _BorrowedContext(context)


def with_deadline_sockets(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have ``context`` make sockets that keep deadlines."""
    context.sslsocket_class = socket_classes()[1]
    return context


def create_context(options: Mapping[str, Any]) -> tuple[ssl.SSLContext, bool]:
    """What urllib3 would make for each connection; and whether it trusts nobody yet."""
    context = create_urllib3_context(cert_reqs=resolve_cert_reqs(options.get("cert_reqs")))
    authorities = options.get("ca_certs"), options.get("ca_cert_dir"), options.get("ca_cert_data")
    if any(authorities):
        context.load_verify_locations(*authorities)
    return with_deadline_sockets(context), not any(authorities)
