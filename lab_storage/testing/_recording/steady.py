"""The first pass: what needs no look at other values."""

from __future__ import annotations

import re
from typing import Any

import attrs

from .exchanges import Body, Exchange
from .urls import resource_of
from .values import as_dict, as_list

TIME = "2026-01-01T00:00:00"
TOKEN = "(token)"  # noqa: S105 - what stands for one
CERTIFICATE = "(certificate)"
SECRET = "scrubbed"  # noqa: S105 - likewise

# The same in base64, as in a Secret's `data` and in a webhook's `caBundle`.
_SECRET_BASE64 = "c2NydWJiZWQ="  # noqa: S105
_CERTIFICATE_BASE64 = "KGNlcnRpZmljYXRlKQ=="

# RFC 3339; Kubernetes' MicroTime has six digits of a second.
_TIMES = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----\n?|\Z)", re.DOTALL)
_PEM_BASE64 = re.compile(r"\bLS0tLS1CRUdJTi[A-Za-z0-9+/]+=*")
# RFC 7515, section 3.1: three parts, of which the first two are JSON objects.
_JWT = re.compile(r"\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]*")

# The columns of a Table that count from now.
_AGES = {"Age", "Duration", "First Seen", "Last Seen"}
# The reasons of refusals whose message says nothing about values.
_SAFE_REASONS = {"AlreadyExists", "Conflict", "Forbidden", "NotFound", "Unauthorized"}
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def steady(
    exchange: Exchange,
    *,
    hidden: dict[str, str] | None = None,
    keep_secrets: bool = False,
) -> Exchange:
    """Take out of a request, and of its answer, what needs no look at others.

    Parameters
    ----------
    exchange
        Left unchanged.
    hidden
        Texts, and what stands for them.
    keep_secrets
        Whether the values of Secrets stay.
    """
    pass_ = _Steady(resource_of(exchange.request.url), hidden or {}, keep_secrets)
    request = attrs.evolve(exchange.request, body=pass_.body(exchange.request.body))
    response = exchange.response
    if response is not None:
        headers = {name: pass_.text(value) for name, value in response.headers.items()}
        response = attrs.evolve(response, headers=headers, body=pass_.body(response.body))
    return Exchange(request, response)


@attrs.define
class _Steady:
    """The first pass, over one exchange."""

    resource: str
    hidden: dict[str, str]
    keep_secrets: bool
    # Where the ages are. Of a watch, the first event alone says it.
    ages: list[int] = attrs.field(factory=list)

    def body(self, body: Body) -> Body:
        if "text" in body and self._hides_secrets:
            return {"text": SECRET}
        return {form: self.value(content) for form, content in body.items()}

    @property
    def _hides_secrets(self) -> bool:
        return self.resource == "/secrets" and not self.keep_secrets

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        if not self.keep_secrets:
            value = self._without_secrets(value)
        if value.get("kind") == "Table":
            value = self._without_ages(value)
        component = value.get("reportingComponent") or value.get("reportingController")
        if component and str(value.get("reportingInstance")).startswith(f"{component}-"):
            # Of an event: the program that wrote it, and the machine it runs on.
            value = {**value, "reportingInstance": f"{component}-host"}
        fields = value.get("managedFields")
        if isinstance(fields, list):
            # Sorted by their times, which are gone.
            value = {**value, "managedFields": sorted(fields, key=_manager)}
        return {self.text(key): self.value(value[key]) for key in sorted(value)}

    def text(self, text: str) -> str:
        for known, instead in self.hidden.items():
            text = text.replace(known, instead)
        text = _TIMES.sub(lambda time: f"{TIME}{'.000000' if time[1] else ''}Z", text)
        text = _PEM.sub(CERTIFICATE, text)
        text = _PEM_BASE64.sub(_CERTIFICATE_BASE64, text)
        return _JWT.sub(TOKEN, text)

    def _without_secrets(self, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("kind") != "Secret" and not self._hides_secrets:
            return value
        value = dict(value)
        for field, instead in (("data", _SECRET_BASE64), ("stringData", SECRET)):
            if isinstance(value.get(field), dict):
                value[field] = dict.fromkeys(value[field], instead)
        metadata = as_dict(value.get("metadata"))
        annotations = as_dict(metadata.get("annotations"))
        if _LAST_APPLIED in annotations:
            annotations = {**annotations, _LAST_APPLIED: SECRET}
            value["metadata"] = {**metadata, "annotations": annotations}
        if "op" in value and "value" in value:  # of a JSON patch, RFC 6902
            value["value"] = SECRET
        if value.get("kind") == "Status" and value.get("reason") not in _SAFE_REASONS:
            value.pop("details", None)
            value["message"] = SECRET
        return value

    def _without_ages(self, table: dict[str, Any]) -> dict[str, Any]:
        columns = as_list(table.get("columnDefinitions"))
        if columns:
            names = [as_dict(column).get("name") for column in columns]
            self.ages = [place for place, name in enumerate(names) if name in _AGES]
        rows = [self._without_age(row) for row in as_list(table.get("rows"))]
        return {**table, "rows": rows} if rows else table

    def _without_age(self, row: Any) -> Any:
        cells = as_list(as_dict(row).get("cells"))
        if not cells:
            return row
        return {
            **row,
            "cells": ["0s" if place in self.ages else cell for place, cell in enumerate(cells)],
        }


def _manager(field: Any) -> list[str]:
    keys = ("operation", "manager", "subresource", "apiVersion", "fieldsType")
    return [str(as_dict(field).get(key, "")) for key in keys]
