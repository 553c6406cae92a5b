"""The recordings of pods that do not come up or stay up are whole, and of nobody's machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.statuses.cases import CASES
from tests.statuses.record import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

#: A file is read by people; the longest has two more statuses.
BYTES = 20_000
#: Addresses of networks for tests, and of loopback.
ADDRESSES = re.compile(r"(?:198\.18\.0|192\.0\.2|127\.0\.0)\.\d+")


@pytest.fixture(params=sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def recording(request: pytest.FixtureRequest) -> Path:
    """One file."""
    return request.param


def test_all_cases_are_recorded() -> None:
    """Each case has a file, and each file a case."""
    assert set(CASES) == {path.stem for path in FOLDER.glob("*.yaml")}


def test_recording_is_whole(recording: Path) -> None:
    """It says what is wrong, as its case does, and all in it is about that one pod."""
    found = yaml.load(recording.read_text(), yaml.CSafeLoader)
    uid = found["pod"]["metadata"]["uid"]
    about = {event["involvedObject"].get("uid", uid) for event in found["events"]}
    case = CASES[recording.stem]

    assert case.description == found["description"]
    assert recording.stem == found["pod"]["metadata"]["namespace"]
    assert (case.log is not None) == ("log" in found)
    assert {uid} >= about
    notes = [step.note for step in case.steps if step.note is not None]
    assert notes == [moment["note"] for moment in found.get("moments", [])]


def test_recording_is_of_no_machine(recording: Path) -> None:
    """It is small, and has no address, folder or name of where it was made."""
    text = recording.read_text()

    assert len(text) < BYTES
    assert [] == [each for each in re.findall(r"\b\d+(?:\.\d+){3}\b", text)
                  if not ADDRESSES.fullmatch(each)]  # fmt: skip
    assert "managedFields" not in text
    assert "lab-storage-node-" not in text
