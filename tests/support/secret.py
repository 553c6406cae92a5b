"""A Secret, and whether any of its values shows in a text."""

from __future__ import annotations

import base64
from typing import Any

from tests.support.states import NAMES

# With what is escaped in JSON, in HTML and by Python: whole and in parts it must not show.
VALUE = 'hunter2-"quoted"\\slash\nline-\u00fcmlaut-hunter3'
PLAIN = "correcthorsebatterystaple"
ENCODED = [base64.b64encode(value.encode()).decode() for value in (VALUE, PLAIN)]
NEEDLES = ["hunter2", "hunter3", PLAIN, *ENCODED, *[text[:16] for text in ENCODED]]
SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "lab-secrets", "namespace": NAMES.namespace},
    "data": {"token": ENCODED[0], "password": ENCODED[1]},
    "stringData": {"token": VALUE, "password": PLAIN},
}
SECRET_PATH = f"/api/v1/namespaces/{NAMES.namespace}/secrets"


def assert_nothing_shows(text: str) -> None:
    """Fail if a value, or a part of one, is in a text."""
    assert [] == [needle for needle in NEEDLES if needle in text]
