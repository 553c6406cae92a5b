"""Certificates: files that change or are gone, and TLS contexts that are the caller's."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from kubernetes import client
from structlog.testing import LogCapture

from lab_storage import KubernetesError, LabStorage, PodPhase
from lab_storage._transport import connections
from tests.plane.programs import ROOT
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase
from tests.support.villain import Authority, Villain, authority, json_answer


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    """Another authority than the villain's usual one."""
    directory = tmp_path / "other"
    directory.mkdir()
    return Authority(directory)


@pytest.fixture
def villain() -> Iterator[Villain]:
    """It speaks TLS, and closes the connection after each answer."""
    with Villain(json_answer(PENDING, headers={"Connection": "close"}), tls=True) as server:
        yield server


class TestFiles:
    """Rotating a file needs no new storage."""

    @pytest.fixture(autouse=True)
    def _looks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files are looked at before each request."""
        monkeypatch.setattr(connections, "LOOK_SECONDS", 0.0)

    def test_new_authority_counts_once_its_file_has_changed(
        self, villain: Villain, other: Authority, tmp_path: Path, storage_of: StorageOf
    ) -> None:
        """The file is replaced in place by old and new, as a rotation does it."""
        file = tmp_path / "ca.pem"
        file.write_bytes(authority().file.read_bytes())
        storage = storage_of(villain, ssl_ca_cert=str(file))
        before = read_phase(storage, timeout_of(5))
        file.write_bytes(authority().file.read_bytes() + other.file.read_bytes())
        villain.context = other.server_context(client_certificates=False)

        assert [PodPhase.PENDING] * 2 == [before, read_phase(storage, timeout_of(5))]
        assert 2 == villain.connections

    def test_files_are_looked_at_once_a_second(
        self,
        villain: Villain,
        other: Authority,
        tmp_path: Path,
        storage_of: StorageOf,
        log: LogCapture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Before anything goes wrong."""
        clock = [1000.0]
        monkeypatch.setattr(connections, "LOOK_SECONDS", 1.0)
        monkeypatch.setattr(connections, "monotonic", lambda: clock[0])
        file = tmp_path / "ca.pem"
        file.write_bytes(authority().file.read_bytes())
        storage = storage_of(villain, ssl_ca_cert=str(file))
        read_phase(storage, timeout_of(5))
        read_phase(storage, timeout_of(5))
        clock[0] += 1.5
        file.write_bytes(other.file.read_bytes())
        villain.context = other.server_context(client_certificates=False)
        read_phase(storage, timeout_of(5))

        assert 3 == villain.connections
        assert ["debug"] * 3 == [entry["log_level"] for entry in log.entries]

    def test_certificate_that_does_not_fit_has_its_files_read_once_more(
        self,
        villain: Villain,
        other: Authority,
        tmp_path: Path,
        storage_of: StorageOf,
        log: LogCapture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Also where it is not time yet to look at them."""
        monkeypatch.setattr(connections, "LOOK_SECONDS", 3600.0)
        file = tmp_path / "ca.pem"
        file.write_bytes(authority().file.read_bytes())
        storage = storage_of(villain, ssl_ca_cert=str(file))
        read_phase(storage, timeout_of(5))
        file.write_bytes(other.file.read_bytes())
        villain.context = other.server_context(client_certificates=False)

        assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
        (warning,) = [each for each in log.entries if each["log_level"] == "warning"]
        assert "certificate verify failed" in warning["reason"]

    def test_certificate_that_does_not_fit_is_final_if_its_files_are_the_same(
        self, villain: Villain, other: Authority, storage_of: StorageOf
    ) -> None:
        """After one connection."""
        storage = storage_of(villain, ssl_ca_cert=str(other.file))
        with pytest.raises(KubernetesError, match="certificate verify failed"):
            read_phase(storage, timeout_of(5))

        assert 1 == villain.connections

    def test_new_client_certificate_is_shown(
        self, other: Authority, tmp_path: Path, storage_of: StorageOf
    ) -> None:
        """Certificate and key are replaced, and the server does not accept the old ones."""
        certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
        certificate.write_bytes(authority().client_certificate.read_bytes())
        key.write_bytes(authority().client_key.read_bytes())
        answer = json_answer(PENDING, headers={"Connection": "close"})
        with Villain(answer, tls=True, client_certificates=True) as villain:
            storage = storage_of(villain, cert_file=str(certificate), key_file=str(key))
            before = read_phase(storage, timeout_of(5))
            context = authority().server_context(client_certificates=False)
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(other.file)
            villain.context = context
            certificate.write_bytes(other.client_certificate.read_bytes())
            key.write_bytes(other.client_key.read_bytes())

            assert [PodPhase.PENDING] * 2 == [before, read_phase(storage, timeout_of(5))]

    def test_half_written_file_leaves_the_old_one_in_use(
        self, villain: Villain, tmp_path: Path, storage_of: StorageOf
    ) -> None:
        """What cannot be read as a certificate counts for nothing, until it can be."""
        file = tmp_path / "ca.pem"
        file.write_bytes(authority().file.read_bytes())
        storage = storage_of(villain, ssl_ca_cert=str(file))
        phases = [read_phase(storage, timeout_of(5))]
        file.write_bytes(authority().file.read_bytes()[:100])
        phases.append(read_phase(storage, timeout_of(5)))

        assert [PodPhase.PENDING] * 2 == phases

    def test_files_may_be_gone_before_the_first_call(
        self, tmp_path: Path, storage_of: StorageOf
    ) -> None:
        """As those that the official client makes of the data in a kubeconfig."""
        files = {
            "ssl_ca_cert": authority().file,
            "cert_file": authority().client_certificate,
            "key_file": authority().client_key,
        }
        copies = {name: tmp_path / name for name in files}
        for name, copy in copies.items():
            copy.write_bytes(files[name].read_bytes())
        settings = {name: str(copy) for name, copy in copies.items()}
        with Villain(json_answer(PENDING), tls=True, client_certificates=True) as villain:
            storage = storage_of(villain, **settings)
            for copy in copies.values():
                copy.unlink()
            phases = [read_phase(storage, timeout_of(5))]
            storage.close()
            phases.append(read_phase(storage, timeout_of(5)))

        assert [PodPhase.PENDING] * 2 == phases

    def test_another_file_that_a_credential_plugin_names_is_used(
        self, other: Authority, storage_of: StorageOf
    ) -> None:
        """Client certificates may come from a plugin, in a new file each time."""
        asked: list[int] = []

        def refresh(configuration: Any) -> None:
            asked.append(1)
            if len(asked) > 1:
                configuration.cert_file = str(other.client_certificate)
                configuration.key_file = str(other.client_key)

        answer = json_answer(PENDING, headers={"Connection": "close"})
        with Villain(answer, tls=True, client_certificates=True) as villain:
            storage = storage_of(
                villain,
                refresh_api_key_hook=refresh,
                cert_file=str(authority().client_certificate),
                key_file=str(authority().client_key),
            )
            before = read_phase(storage, timeout_of(5))
            context = authority().server_context(client_certificates=False)
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(other.file)
            villain.context = context

            assert [PodPhase.PENDING] * 2 == [before, read_phase(storage, timeout_of(5))]

    def test_encrypted_key_is_an_error_and_asks_nobody(
        self, tmp_path: Path, storage_of: StorageOf
    ) -> None:
        """The error names the file; nothing is sent."""
        key = tmp_path / "encrypted.key"
        plain = load_pem_private_key(authority().client_key.read_bytes(), None)
        encryption = BestAvailableEncryption(b"secret")
        key.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        with Villain(json_answer(PENDING), tls=True, client_certificates=True) as villain:
            storage = storage_of(
                villain, cert_file=str(authority().client_certificate), key_file=str(key)
            )
            with pytest.raises(KubernetesError, match=rf"{key}.*is encrypted"):
                read_phase(storage, timeout_of(5))

        assert 0 == villain.connections

    @pytest.mark.parametrize("setting", ["ssl_ca_cert", "cert_file"])
    def test_file_that_contains_something_else_is_named(
        self, setting: str, tmp_path: Path, storage_of: StorageOf
    ) -> None:
        """OpenSSL's own text does not say which file it was."""
        file = tmp_path / "readme.txt"
        file.write_text("No certificate here.")
        with Villain(json_answer(PENDING), tls=True) as villain:
            storage = storage_of(villain, **{setting: str(file)})
            with pytest.raises(KubernetesError, match=rf"cannot be set up: .*{file}"):
                read_phase(storage, timeout_of(5))

        assert 0 == villain.connections

    def test_comments_beside_an_authority_may_be_in_any_language(
        self, villain: Villain, tmp_path: Path, storage_of: StorageOf
    ) -> None:
        """Bundles have a name above each certificate."""
        file = tmp_path / "ca.pem"
        file.write_bytes("# Főtanúsítvány\n".encode() + authority().file.read_bytes())

        phase = read_phase(storage_of(villain, ssl_ca_cert=str(file)), timeout_of(5))
        assert PodPhase.PENDING is phase

    @pytest.mark.parametrize("has_memory", [True, False])
    def test_certificate_is_loaded_with_and_without_files_in_memory(
        self, has_memory: bool, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not all systems have them."""
        if not has_memory:
            monkeypatch.delattr("os.memfd_create", raising=False)
        with Villain(json_answer(PENDING), tls=True, client_certificates=True) as villain:
            storage = storage_of(
                villain,
                cert_file=str(authority().client_certificate),
                key_file=str(authority().client_key),
            )
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))


class TestContexts:
    """Whoever puts a TLS context into the pool of a client means it to be used."""

    def test_authorities_of_the_configuration_count_beside_it(self, logger: Any) -> None:
        """As when somebody only wants to turn a check off."""
        with Villain(json_answer(PENDING), tls=True) as villain:
            context = ssl.create_default_context()
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            api_client = villain.api_client()
            api_client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = context
            with LabStorage(api_client, logger) as storage:
                assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
        assert ssl.SSLSocket is context.sslsocket_class

    def test_one_that_cannot_keep_a_deadline_is_refused_at_once(self, logger: Any) -> None:
        """The error says which class it is, and what to use."""

        class Context:
            pass

        api_client = client.ApiClient(client.Configuration())
        api_client.rest_client.pool_manager = urllib3.PoolManager(ssl_context=Context())
        with pytest.raises(
            TypeError, match=r"TLS context of the class .*Context.*ssl\.SSLContext"
        ):
            LabStorage(api_client, logger)

    def test_one_that_wraps_sockets_itself_is_refused_at_once(self, logger: Any) -> None:
        """Whatever it makes of a socket may have no deadline."""

        class Context(ssl.SSLContext):
            def wrap_socket(self, *_: Any, **__: Any) -> Any:
                raise NotImplementedError

        api_client = client.ApiClient(client.Configuration())
        context = Context(ssl.PROTOCOL_TLS_CLIENT)
        api_client.rest_client.pool_manager = urllib3.PoolManager(ssl_context=context)
        with pytest.raises(TypeError, match="TLS context of the class"):
            LabStorage(api_client, logger)


# What injects something replaces it in the whole process.
INJECTED = """
import ssl, structlog, time
{inject}
from structlog.testing import LogCapture
from lab_storage import LabStorage, OperationTimeoutError, KubernetesError
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase
from tests.support.villain import Villain, authority, drip, json_answer
logger = structlog.wrap_logger(None, [LogCapture()], structlog.BoundLogger)
with Villain(json_answer(PENDING), drip("body", PENDING), tls=True) as villain:
    api_client = villain.api_client()
    {prepare}
    with LabStorage(api_client, logger) as storage:
        print(read_phase(storage, timeout_of(5)))
        begin = time.monotonic()
        try:
            read_phase(storage, timeout_of(0.5))
        except OperationTimeoutError:
            print("in time" if time.monotonic() - begin < 1.5 else "late")
        storage.close()
with Villain(tls=True) as villain:
    villain.context = other()
    with LabStorage(villain.api_client(), logger) as storage:
        try:
            read_phase(storage, timeout_of(5))
        except KubernetesError as error:
            print("verify failed" in str(error))
"""
OTHER = """
def other():
    import pathlib, tempfile
    from tests.support.villain import Authority
    return Authority(pathlib.Path(tempfile.mkdtemp())).server_context(False)
"""


def run_injected(inject: str, prepare: str = "pass") -> list[str]:
    """Run calls in a process where TLS is another's, and give what they print."""
    code = OTHER + INJECTED.format(inject=inject, prepare=prepare)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout.splitlines()


class TestInjected:
    """Programs that put another TLS into the whole process."""

    def test_deadlines_hold_with_truststore(self) -> None:
        """It replaces `ssl.SSLContext`; certificates are checked all the same."""
        pytest.importorskip("truststore", reason="truststore is not installed: extra `tests`")
        said = run_injected("import truststore; truststore.inject_into_ssl()")
        assert ["PodPhase.PENDING", "in time", "True"] == said

    def test_deadlines_hold_with_a_context_of_truststore(self) -> None:
        """One that the caller has put into its pool."""
        pytest.importorskip("truststore", reason="truststore is not installed: extra `tests`")
        said = run_injected(
            "import truststore",
            "api_client.rest_client.pool_manager.connection_pool_kw['ssl_context'] = "
            "truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)",
        )
        assert ["PodPhase.PENDING", "in time", "True"] == said

    def test_deadlines_hold_where_pyopenssl_is_injected_into_urllib3(self) -> None:
        """Its contexts are not used."""
        pytest.importorskip("OpenSSL", reason="pyOpenSSL is not installed: extra `tests`")
        pytest.importorskip("urllib3.contrib.pyopenssl")
        said = run_injected("import urllib3.contrib.pyopenssl as p; p.inject_into_urllib3()")
        assert ["PodPhase.PENDING", "in time", "True"] == said

    def test_context_of_pyopenssl_is_refused_at_once(self, logger: Any) -> None:
        """Its sockets are not Python's."""
        pytest.importorskip("OpenSSL", reason="pyOpenSSL is not installed: extra `tests`")
        pyopenssl = pytest.importorskip("urllib3.contrib.pyopenssl")
        api_client = client.ApiClient(client.Configuration())
        context = pyopenssl.PyOpenSSLContext(ssl.PROTOCOL_TLS_CLIENT)
        api_client.rest_client.pool_manager = urllib3.PoolManager(ssl_context=context)
        with pytest.raises(TypeError, match=r"PyOpenSSLContext.*no deadline can be kept"):
            LabStorage(api_client, logger)
