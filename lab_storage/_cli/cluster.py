"""Which API server: a kubeconfig and a context, or the pod that this runs in."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION

from lab_storage._cli.failures import Exit, FailedError

__all__ = ["connect"]


def connect(kubeconfig: str | None, context: str | None) -> Any:
    """Make a client of the official library; nothing is sent to the server.

    Parameters
    ----------
    kubeconfig
        The file; by default what ``KUBECONFIG`` names, ``~/.kube/config``, or in a pod its
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
    # `KUBECONFIG` may name several; those that are not there are passed over.
    there = any(Path(name).expanduser().exists() for name in files.split(os.pathsep) if name)
    if not there and kubeconfig is None and context is None and _is_in_pod():
        return _load("ServiceAccount of this pod", _from_pod)
    where = f"kubeconfig {files}"
    if not there:
        raise FailedError(Exit.USAGE, f"{where}: no such file; name one by --kubeconfig")
    if context is not None:
        _check_context(files, context)
    # Not persistent: what is the user's file is not for this program to write.
    return _load(
        where,
        lambda: config.new_client_from_config(files, context=context, persist_config=False),
    )


def _is_in_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ


def _from_pod() -> Any:
    from kubernetes.client import ApiClient, Configuration

    settings = Configuration()
    config.load_incluster_config(client_configuration=settings)
    return ApiClient(settings)


def _check_context(files: str, context: str) -> None:
    """Say which contexts there are, instead of where the client library looked in vain."""

    def names() -> list[str]:
        merged = config.kube_config.KubeConfigMerger(files).config
        return [str(each["name"]) for each in merged["contexts"].value]

    known = _load(f"kubeconfig {files}", names)
    if context not in known:
        there = ", ".join(known) or "none"
        raise FailedError(
            Exit.USAGE, f'kubeconfig {files}: no context "{context}" in it (there is {there})'
        )


def _load(where: str, load: Any) -> Any:
    with _overheard() as said:
        try:
            loaded = load()
        except config.ConfigException as error:
            # It names a part of the file by all that is in it, tokens too.
            text = re.sub(r"\{.*\}", "{…}", str(error), flags=re.DOTALL)
            raise FailedError(Exit.USAGE, f"{where}: {text}") from None
        # A file that is no kubeconfig gets TypeError, KeyError, AttributeError and others
        # of the loader, and those of YAML; a certificate that is none those of base64.
        except Exception as error:
            text = f"cannot be used: {type(error).__name__}: {error}"
            raise FailedError(Exit.USAGE, f"{where}: {text}") from error
    if said:
        # Of a credentials program that failed the loader tells the log alone, and goes on
        # without credentials.
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
