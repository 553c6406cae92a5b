"""The real server, and what it said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.plane.remote import Cluster

FOLDER = Path(__file__).with_name("recordings")


class RealServer:
    """A control plane, as the scenarios see it."""

    def __init__(self, plane: Cluster) -> None:
        self.host: str = plane.host
        self.ca_file = str(plane.ca_file)
        self.token = plane.token
        self._plane = plane

    def expire_versions(self) -> object:
        """Have all resource versions of before answered by 410."""
        return self._plane.expire_versions()

    def paused_kubelet(self) -> AbstractContextManager[None]:
        """Have pods neither start nor go meanwhile."""
        return self._plane.pause_kubelet()

    def paused_controllers(self) -> AbstractContextManager[None]:
        """Neither ServiceAccounts are made nor quotas counted."""
        return self._plane.pause_controller_manager()


def recorded(scenario: str) -> list[dict[str, Any]]:
    """What the real server said in a scenario."""
    lines = (FOLDER / f"{scenario}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
