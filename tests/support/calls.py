"""Calls of the library as its own modules see them."""

from __future__ import annotations

from typing import Any

from kubernetes import client

from lab_storage import Timeout
from lab_storage._api.call import Call
from lab_storage._api.client import Client


def call_of(timeout: Timeout, logger: Any, api_client: Any = None) -> Call:
    """A call of no method; without a client, one that sends nothing."""
    if api_client is None:
        api_client = client.ApiClient(client.Configuration())
    return Call(Client(api_client), timeout, logger)
