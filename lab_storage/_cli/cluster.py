"""The API server: by a kubeconfig and a context, or by the pod that this runs in."""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION

from lab_storage._cli.failures import Exit, FailedError
from lab_storage.exceptions import OperationTimeoutError
from lab_storage.timeout import Timeout

__all__ = ["connect", "connect_by", "context_names"]


def connect(kubeconfig: str | None, context: str | None) -> Any:
    """Make a client of the official library; nothing is sent to the server.

    Parameters
    ----------
    kubeconfig
        The file; by default that of ``KUBECONFIG``, ``~/.kube/config``, or in a pod its
        ServiceAccount
        (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
    context
        The context in it; by default its current one.

    Returns
    -------
    kubernetes.client.ApiClient
        The client.

    Raises
    ------
    FailedError
        If there is no such file or context, or it cannot be used.
    """
    files = kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION
    # `KUBECONFIG` may name several; those that do not exist are ignored.
    there = any(Path(name).expanduser().exists() for name in files.split(os.pathsep) if name)
    if not there and kubeconfig is None and context is None and _is_in_pod():
        return _load("ServiceAccount of this pod", _from_pod)
    where = f"kubeconfig {files}"
    if not there:
        raise FailedError(Exit.USAGE, f"{where}: no such file; select one with --kubeconfig")
    if context is not None:
        _check_context(files, context)
    # Not persistent: the file is the user's, and not for this program to write.
    return _load(
        where,
        lambda: config.new_client_from_config(files, context=context, persist_config=False),
    )


def connect_by(kubeconfig: str | None, context: str | None, timeout: Timeout) -> Any:
    """Do as `connect` does, by the deadline: a kubeconfig may name a program for credentials.

    Parameters
    ----------
    kubeconfig, context
        As in `connect`.
    timeout
        How long it may take. What has not ended by then goes on in a thread of its own, which
        ends with this program.

    Returns
    -------
    kubernetes.client.ApiClient
        The client.

    Raises
    ------
    FailedError
        If `connect` fails, or has not returned by the deadline.
    """
    outcomes: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcomes.put((connect(kubeconfig, context), None))
        except BaseException as error:
            outcomes.put((None, error))

    threading.Thread(target=run, name="kubeconfig", daemon=True).start()
    try:
        api_client, error = outcomes.get(timeout=timeout.left())
    except (queue.Empty, OperationTimeoutError):
        text = "the kubeconfig's program for credentials has not ended"
        late = OperationTimeoutError(timeout.operation, timeout.user, timeout.elapsed(), text)
        raise FailedError(Exit.TIMEOUT, str(late)) from None
    if error is not None:
        raise error
    return api_client


def _is_in_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ


def _from_pod() -> Any:
    from kubernetes.client import ApiClient, Configuration

    settings = Configuration()
    config.load_incluster_config(client_configuration=settings)
    return ApiClient(settings)


def context_names(kubeconfig: str | None) -> list[str]:
    """List the contexts of a kubeconfig.

    Parameters
    ----------
    kubeconfig
        The file, as in `connect`.

    Returns
    -------
    list of str
        Their names.

    Raises
    ------
    FailedError
        If the file does not exist or is not a kubeconfig.
    """
    files = kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION

    def names() -> list[str]:
        merged = config.kube_config.KubeConfigMerger(files).config
        return [str(each["name"]) for each in merged["contexts"].value]

    found: list[str] = _load(f"kubeconfig {files}", names)
    return found


def _check_context(files: str, context: str) -> None:
    """Fail with the contexts that exist: the client library says only what it looked for."""
    known = context_names(files)
    if context not in known:
        text = f'kubeconfig {files}: no context "{context}" in it'
        raise FailedError(Exit.USAGE, f"{text} (it has: {', '.join(known) or 'none'})")


def _load(where: str, load: Any) -> Any:
    with _overheard() as said:
        try:
            loaded = load()
        except config.ConfigException as error:
            # It shows a part of the file with everything in it, tokens too.
            text = re.sub(r"\{.*\}", "{…}", str(error), flags=re.DOTALL)
            raise FailedError(Exit.USAGE, f"{where}: {text}") from None
        except yaml.YAMLError as error:
            raise FailedError(Exit.USAGE, f"{where}: invalid YAML: {error}") from error
        except OSError as error:
            raise FailedError(Exit.USAGE, f"{where}: {error}") from error
        # For a file that is not a kubeconfig the loader raises TypeError, KeyError,
        # AttributeError and others; for a certificate that is not base64 those of binascii.
        except Exception as error:
            raise FailedError(Exit.USAGE, f"{where}: not a valid kubeconfig: {error}") from error
    if said:
        # If a program for credentials fails, the loader writes that to the log only, and goes
        # on without credentials.
        raise FailedError(Exit.USAGE, f"{where}: {said[0]}")
    return loaded


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Collect the errors that are logged to the root logger."""
    said: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    handler = Collect(logging.ERROR)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield said
    finally:
        root.removeHandler(handler)
