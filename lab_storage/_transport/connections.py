"""What requests are sent by: sessions, made anew when what they were made of has changed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from math import inf
from time import monotonic
from typing import Any

import attrs
import urllib3

from lab_storage._transport.credentials import Credentials
from lab_storage._transport.exchange import Exchange
from lab_storage._transport.files import FileContent, WatchedFile
from lab_storage._transport.fork import renew_after_fork, renew_if_forked
from lab_storage._transport.pool import check_manager, take_over
from lab_storage._transport.session import Session
from lab_storage._transport.tls import Identity, check_context, tls_context

# What a pool manager is given for TLS, by the attribute of the configuration it comes from.
_FROM_CONFIGURATION = {
    "ca_certs": "ssl_ca_cert",
    "cert_file": "cert_file",
    "key_file": "key_file",
    "ca_cert_data": "ca_cert_data",
}
_FILES = "ca_certs", "cert_file", "key_file"
# How often files are looked at, which costs as much as a tenth of a request. One that is needed
# sooner is read when a certificate does not fit.
LOOK_SECONDS = 1.0


class Connections:
    """Gives the session for the next request.

    It takes over class and settings of the caller's pool manager, and from its configuration what
    has changed since (a credential plugin may name other certificates). The files of
    certificates are known from the construction on. A session is made at the first request,
    and anew when a file or the configuration has changed, in a forked child, and when
    credentials were refused.

    Raises
    ------
    TypeError
        If the caller's pool manager or its TLS context would make connections on which no
        deadline can be kept.
    """

    def __init__(self, api_client: Any) -> None:
        # Python imports this codec at its first use, which is to look up a name in a call.
        "häuschen".encode("idna")
        self._api_client = api_client
        self._credentials = Credentials(api_client)
        self._given = _tls_attributes(self._credentials.configuration)
        self._files: dict[str, WatchedFile] = {}
        # The last that a session could be made of: a file may be half written.
        self._identity: Identity | None = None
        self._session: Session | None = None
        self._sources: tuple[Any, ...] = ()
        self._is_secure = False
        self._looked_at = -inf
        self.after_fork()
        renew_after_fork(self)
        manager = self._callers_manager()
        if issubclass(type(manager), urllib3.PoolManager):
            _check(manager)
            self._watch(self._tls_settings(manager))

    def after_fork(self) -> None:
        """Drop the connections, which are the parent's, without a word on the wire."""
        # Reentrant: a signal handler may make a request while this thread makes a session.
        self._lock = threading.RLock()
        self._session = None

    def close(self) -> None:
        """Close the connections that are not in use; the next request opens new ones."""
        renew_if_forked()
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def session(self) -> Session:
        """Give the session for a request.

        Raises
        ------
        OSError, ValueError
            If none can be made, for want of a file or because of what it contains.
        """
        renew_if_forked()
        session = self._session
        if session is None or not self._fits():
            with self._lock:
                session = self._session
                if session is None or not self._fits():
                    session = self._open()
        return session

    def renew(self, session: object) -> None:
        """Make another after ``session``, unless that has happened: credentials were refused.

        What the caller has changed in its configuration since counts then.
        """
        with self._lock:
            if self._session is session:
                self._credentials.update()
                # Not closed: others may be in the middle of a request.
                self._session = None

    def renew_files(self, session: object) -> bool:
        """Read the files once more, because a certificate does not fit; whether that is news.

        So is what the caller has changed in its configuration, and a session that was made after
        ``session`` already.
        """
        with self._lock:
            self._credentials.update()
            are_new = [file.read() for file in self._files.values()]
            if self._session is session and (
                any(are_new) or self._sources != self._current_sources()
            ):
                self._session = None
            return self._session is not session

    def credentials(self, exchange: Exchange) -> dict[str, str]:
        """Give the headers that say who asks: see `Credentials.headers`. Blocks."""
        return self._credentials.headers(exchange)

    def _fits(self) -> bool:
        """Whether what the session was made of is as it was."""
        return self._sources == self._current_sources() and not self._have_files_changed()

    def _have_files_changed(self) -> bool:
        now = monotonic()
        if not self._is_secure or now - self._looked_at < LOOK_SECONDS:
            return False
        if any(file.has_changed for file in self._files.values()):
            # Until a session is made of it, so says everybody who looks.
            return True
        self._looked_at = now
        return False

    def _current_sources(self) -> tuple[Any, ...]:
        configuration = self._credentials.configuration
        return self._callers_manager(), configuration.host, *_tls_attributes(configuration)

    def _open(self) -> Session:
        sources = self._current_sources()
        manager, host = sources[:2]
        is_ours = _is_urllib3s(manager)
        if issubclass(type(manager), urllib3.PoolManager):
            manager = self._take_over(manager, host)
        self._sources = sources
        self._session = session = Session(self._api_client, manager, host, is_ours=is_ours)
        return session

    def _take_over(self, theirs: urllib3.PoolManager, host: str) -> urllib3.PoolManager:
        try:
            _check(theirs)
        except TypeError as error:
            raise ValueError(str(error)) from error
        is_proxy_secure = theirs.proxy is not None and theirs.proxy.scheme == "https"
        self._is_secure = is_proxy_secure or host.lower().startswith("https:")
        if not self._is_secure:
            # To read the system's authorities takes 20 ms.
            return take_over(theirs, None, None)
        settings = self._tls_settings(theirs)
        self._watch(settings)
        self._looked_at = monotonic()
        for file in self._files.values():
            if file.has_changed:
                file.read()
        identity = self._latest_identity(settings)
        try:
            contexts = _tls_contexts(theirs, identity)
        except (OSError, ValueError):
            if self._identity is None:
                raise
            contexts = _tls_contexts(theirs, self._identity)
        else:
            self._identity = identity
        return take_over(theirs, *contexts)

    def _latest_identity(self, settings: Mapping[str, Any]) -> Identity:
        def content(name: str) -> FileContent | None:
            path = settings[name]
            return self._files[path].content() if path else None

        return Identity(
            authorities=content("ca_certs"),
            certificate=content("cert_file"),
            key=content("key_file"),
            authorities_data=settings["ca_cert_data"],
            authorities_folder=settings["ca_cert_dir"],
            password=settings["key_password"],
        )

    def _watch(self, settings: Mapping[str, Any]) -> None:
        paths = [settings[name] for name in _FILES if settings[name]]
        self._files = {path: self._files.get(path) or WatchedFile(path) for path in paths}

    def _tls_settings(self, manager: Any) -> dict[str, Any]:
        """The pool's own; those of the configuration where it has none, or where these are new."""
        options = manager.connection_pool_kw
        settings = {name: options.get(name) for name in ("ca_cert_dir", "key_password")}
        current = _tls_attributes(self._credentials.configuration)
        for name, now, given in zip(_FROM_CONFIGURATION, current, self._given, strict=True):
            settings[name] = (options.get(name) or now) if now == given else now
        return settings

    def _callers_manager(self) -> Any:
        return getattr(self._api_client.rest_client, "pool_manager", None)


def _tls_attributes(configuration: Any) -> tuple[Any, ...]:
    return tuple([getattr(configuration, name, None) for name in _FROM_CONFIGURATION.values()])


def _tls_contexts(theirs: urllib3.PoolManager, identity: Identity) -> tuple[Any, Any]:
    """Make the context for the server, and that for the proxy, which we show no certificate."""
    options = theirs.connection_pool_kw
    context = tls_context(options, options.get("ssl_context"), identity)
    proxy = options.get("_proxy_config")
    if proxy is None or theirs.proxy is None or theirs.proxy.scheme != "https":
        return context, None
    nobody = attrs.evolve(identity, certificate=None, key=None)
    return context, tls_context(options, proxy.ssl_context, nobody)


def _check(manager: urllib3.PoolManager) -> None:
    options = getattr(manager, "connection_pool_kw", {})
    proxy = options.get("_proxy_config")
    for context in (options.get("ssl_context"), getattr(proxy, "ssl_context", None)):
        if context is not None:
            check_context(context)
    check_manager(manager)


def _is_urllib3s(manager: Any) -> bool:
    """Whether requests by it are urllib3's own, and not of something that stands in for it."""
    return (
        issubclass(type(manager), urllib3.PoolManager)
        and "request" not in vars(manager)
        and "urlopen" not in vars(manager)
        and type(manager).request is urllib3.PoolManager.request
        and type(manager).urlopen.__module__.partition(".")[0] == "urllib3"
    )
