"""``lab-storage gc``: which labs it selects, and that it deletes no more than those."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import structlog
from kubernetes import client

from lab_storage import LabStorage, LabSummary, PodPhase, PodSummary, Timeout
from lab_storage._cli.inventory import Criteria, age, table
from lab_storage.testing import EmbeddedServer
from tests.support.labs import brief_lab_of, timeout_of

from .conftest import RunHere

NOW = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def lab(name: str, *pods: PodPhase, hours: float = 2, is_terminating: bool = False) -> LabSummary:
    """A lab that is some hours old, with pods in these phases."""
    created = NOW - hours * HOUR
    return LabSummary(
        name,
        f"uid-{name}",
        created,
        is_terminating,
        tuple(
            PodSummary(f"pod{number}", "uid", phase, False, False, created)
            for number, phase in enumerate(pods)
        ),
    )


LABS = [
    lab("a-runs", PodPhase.RUNNING),
    lab("b-failed", PodPhase.FAILED),
    lab("c-done-and-runs", PodPhase.SUCCEEDED, PodPhase.RUNNING),
    lab("d-pending", PodPhase.PENDING),
    lab("e-pending-shortly", PodPhase.PENDING, hours=0.1),
    lab("f-empty"),
    lab("g-new", hours=0.1),
    lab("h-going", PodPhase.FAILED, is_terminating=True),
    lab("i-runs-and-pending", PodPhase.RUNNING, PodPhase.PENDING),
]


class TestCriteria:
    """The selection, without any server."""

    @pytest.mark.parametrize(
        ("criteria", "expected"),
        [
            (Criteria(ended=True), {"b-failed": "ended: pod0 is Failed"}),
            (
                Criteria(pending_longer_than=HOUR),
                {"d-pending": "pod0 has been Pending for 2h"},
            ),
            (Criteria(no_pod=True), {"f-empty": "has no pod, and is 2h old"}),
            (Criteria(ended=True, keep=["b-failed"]), {}),
            (
                Criteria(keep=[each.namespace for each in LABS if each.namespace != "a-runs"]),
                {"a-runs": "not in the file of labs to keep"},
            ),
        ],
    )
    def test_labs_are_selected_with_a_reason(
        self, criteria: Criteria, expected: dict[str, str]
    ) -> None:
        """One that is being deleted already is never among them."""
        selected = criteria.select(LABS, NOW)
        assert expected == {each.lab.namespace: each.reason for each in selected}

    @pytest.mark.parametrize(
        ("seconds", "expected"),
        [(0, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (86400 * 3, "3d"), (-5, "0s")],
    )
    def test_age_has_one_unit(self, seconds: int, expected: str) -> None:
        """As kubectl writes it; a server's clock may be ahead of ours."""
        assert expected == age(NOW - timedelta(seconds=seconds), NOW)

    def test_table_has_a_line_for_each_pod(self) -> None:
        """And one for a lab without any."""
        lines = list(table(LABS, NOW))
        assert 12 == len(lines)
        assert ["f-empty", "-", "-", "2h", "-"] == lines[7].split()
        assert "Terminating" == lines[9].split()[1]


@pytest.fixture
def labs(server: EmbeddedServer) -> dict[str, str]:
    """Four labs, one of which has failed; their UIDs by namespace."""
    with LabStorage(server.api_client(), structlog.get_logger()) as storage:
        for user, start in (("a", "run"), ("b", "run"), ("c", "run"), ("d", "fail")):
            storage.create(brief_lab_of(user, {"lab-storage.test/start": start}), timeout_of(20))
            storage.wait_for_pod_start("lab", f"lab-{user}", timeout_of(20))
        found = storage.list_labs("lab-", Timeout("Listing", timedelta(seconds=20)))
    return {each.namespace: each.uid for each in found}


def namespaces(run_here: RunHere) -> list[str]:
    """The labs that there are."""
    _, output, _ = run_here("list", "--prefix", "lab-", "--json")
    return [each["namespace"] for each in json.loads(output)]


class TestCommand:
    """The command, on an API server."""

    def test_nothing_is_deleted_without_yes(self, run_here: RunHere, labs: dict[str, str]) -> None:
        """It shows what it would delete, and why."""
        code, output, errors = run_here("gc", "--prefix", "lab-", "--ended")
        assert (0, "lab-d: ended: lab is Failed\n") == (code, output)
        assert "nothing was deleted; to delete 1 lab, add --yes" in errors
        assert list(labs) == namespaces(run_here)

    def test_selected_labs_are_deleted_with_yes(
        self, run_here: RunHere, labs: dict[str, str]
    ) -> None:
        """Each by the UID that it was listed with."""
        code, output, _ = run_here("gc", "--prefix", "lab-", "--ended", "--yes", "--json")
        (deleted,) = json.loads(output)
        assert (0, "lab-d", labs["lab-d"], True) == (
            code,
            deleted["namespace"],
            deleted["uid"],
            deleted["deleted"],
        )
        assert ["lab-a", "lab-b", "lab-c"] == namespaces(run_here)

    def test_it_says_how_many_it_has_deleted(
        self, run_here: RunHere, labs: dict[str, str]
    ) -> None:
        """The lines before are the same as without --yes."""
        lines = ["lab-d: ended: lab is Failed", "Deleted: 1 lab"]
        assert 4 == len(labs)
        code, output, _ = run_here("gc", "--prefix", "lab-", "--ended", "--yes")
        assert (0, lines) == (code, output.splitlines())

    def test_empty_keep_file_does_not_delete_everything(
        self, run_here: RunHere, labs: dict[str, str], tmp_path: Path
    ) -> None:
        """A Hub's empty database is not a reason to."""
        file = tmp_path / "keep.txt"
        file.write_text("# nobody\n\n")
        command = ("gc", "--prefix", "lab-", "--keep-file", str(file), "--yes")
        code, _, errors = run_here(*command)
        assert 2 == code
        assert "these are 4 of 4 labs; to delete them all the same, add --all" in errors
        assert list(labs) == namespaces(run_here)
        assert 0 == run_here(*command, "--all")[0]
        assert [] == namespaces(run_here)

    def test_labs_in_the_keep_file_stay(
        self, run_here: RunHere, labs: dict[str, str], tmp_path: Path
    ) -> None:
        """Those that the Hub knows; comments are allowed."""
        file = tmp_path / "keep.txt"
        file.write_text("lab-a # ada\nlab-b\nlab-c\n")
        code, _, _ = run_here("gc", "--prefix", "lab-", "--keep-file", str(file), "--yes")
        assert (0, ["lab-a", "lab-b", "lab-c"]) == (code, namespaces(run_here))
        assert labs

    def test_keep_file_may_come_from_windows(
        self, run_here: RunHere, labs: dict[str, str], tmp_path: Path
    ) -> None:
        """A byte order mark is not part of the first name, nor CRLF of any."""
        file = tmp_path / "keep.txt"
        file.write_bytes("\ufefflab-a\r\nlab-b \r\n\tlab-c\r\n".encode())
        code, _, _ = run_here("gc", "--prefix", "lab-", "--keep-file", str(file), "--yes")
        assert (0, ["lab-a", "lab-b", "lab-c"]) == (code, namespaces(run_here))
        assert labs

    @pytest.mark.parametrize("line", ["lab-a, lab-b", "lab-a lab-b", '"lab-a"', "lab_a"])
    def test_line_that_names_no_namespace_is_refused(
        self, run_here: RunHere, labs: dict[str, str], tmp_path: Path, line: str
    ) -> None:
        """It was meant to keep a lab."""
        file = tmp_path / "keep.txt"
        file.write_text(f"# labs\n{line}\nlab-c\nlab-d\n")
        command = ("gc", "--prefix", "lab-", "--keep-file", str(file), "--yes")
        code, _, errors = run_here(*command)
        assert 2 == code
        assert f"keep.txt:2: {line!r} is not the name of a namespace" in errors
        assert list(labs) == namespaces(run_here)

    def test_labs_that_are_being_deleted_make_no_room_for_more(
        self, run_here: RunHere, labs: dict[str, str], server: EmbeddedServer, tmp_path: Path
    ) -> None:
        """Two of four are on their way: the other two are all that there are."""
        server.hold_namespaces()
        core = client.CoreV1Api(server.api_client())
        for name in ("lab-a", "lab-b"):
            core.delete_namespace(name)
        file = tmp_path / "keep.txt"
        file.write_text("")
        command = ("gc", "--prefix", "lab-", "--keep-file", str(file), "--yes")
        code, _, errors = run_here(*command)
        assert 2 == code
        assert "these are 2 of 2 labs" in errors
        assert labs

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (("--prefix", "lab-"), "which labs? Select them by at least one of: --ended"),
            (("--prefix", "", "--ended"), "--prefix must not be empty"),
            (
                ("--prefix", "lab-", "--keep-file", "/nowhere/keep.txt"),
                "/nowhere/keep.txt: No such file or directory",
            ),
            (("--ended",), "Missing option '--prefix'"),
        ],
    )
    def test_bad_usage_is_explained(
        self, arguments: tuple[str, ...], text: str, run_here: RunHere
    ) -> None:
        """Before anything is asked."""
        code, _, errors = run_here("gc", *arguments)
        assert 2 == code
        assert text in errors
