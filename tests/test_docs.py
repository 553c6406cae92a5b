"""All code in the README and the documentation, page by page, on an embedded server."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab_storage import LabStorage, OperationTimeoutError
from lab_storage.testing import Delays, EmbeddedServer
from tests.support.labs import brief_lab_of, lab_of, names_of, timeout_of

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
RBAC = DOCS / "guides" / "rbac.md"
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
]
#: What a page needs besides the library and its extras `cli` and `testing`.
NEEDS = {
    "docs/guides/celery.md": "celery",
    "docs/guides/kubespawner.md": "jupyterhub",
    "docs/guides/metrics.md": "jupyterhub",
    "docs/guides/spawner.md": "jupyterhub",
}
BLOCK = re.compile(r"^ *```(\S*)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
#: Languages of blocks that are run or compared, and directives of Sphinx.
LANGUAGES = {"python", "console", "text", "{eval-rst}", "{toctree}"}
PAGE_SECONDS = 240


def title(page: Path) -> str:
    """The page's path."""
    return page.relative_to(ROOT).as_posix()


def has_code(page: Path) -> bool:
    """Whether there is anything to run."""
    return bool({"python", "console"} & set(BLOCK.findall(page.read_text())))


@pytest.mark.parametrize("page", [page for page in PAGES if has_code(page)], ids=title)
def test_code_of_page_runs(page: Path, tmp_path: Path) -> None:
    """What a page says can be followed from its first block to its last."""
    pytest.importorskip("sybil", reason="sybil is not installed: extra `tests`")
    module = NEEDS.get(title(page))
    if module is not None and importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: extra `programs`")
    folder = tmp_path / "reader"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    kubeconfig = tmp_path / "kubeconfig"
    with EmbeddedServer() as server:
        kubeconfig.write_text(json.dumps(server.kubeconfig()))
        environment = {
            **os.environ,
            "CELERY_BROKER_URL": "memory://",
            "CELERY_RESULT_BACKEND": "cache+memory://",
            "COLUMNS": "100",
            "KUBECONFIG": str(kubeconfig),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests/support/documents.py"), str(page)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PAGE_SECONDS,
        )
    if done.returncode != 0:
        pytest.fail(f"{title(page)}\n{done.stdout}", pytrace=False)


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_languages_of_blocks_are_known(page: Path) -> None:
    """Each block says its language, so that none escapes from being run by a typo."""
    opened = BLOCK.findall(page.read_text())[::2]
    assert set() == set(opened) - LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a file leads to one that is there, on a forge's pages too."""
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_example_programs_are_short() -> None:
    """What people copy has fewer than 40 lines; the rest is in the library."""
    lines = {each.name: len(each.read_text().splitlines()) for each in EXAMPLES.glob("*.py")}
    assert {"cluster.py", "trial_config.py"} <= set(lines)
    assert {} == {name: number for name, number in lines.items() if number >= 40}


def rules_of_role() -> set[tuple[str, str]]:
    """The resources and verbs of the role in ``docs/examples/rbac.yaml``."""
    manifests = yaml.safe_load_all((EXAMPLES / "rbac.yaml").read_text())
    (role,) = (each for each in manifests if each["kind"] == "ClusterRole")
    return {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def rules_of_table() -> set[tuple[str, str]]:
    """The resources and verbs of the table in ``docs/guides/rbac.md``."""
    rows = re.findall(r"^\| ([a-z,/ ]+) \| ([a-z, ]+) \|", RBAC.read_text(), re.MULTILINE)
    return {
        (resource, verb)
        for resources, verbs in rows[1:]
        for resource in resources.split(", ")
        for verb in verbs.split(", ")
    }


def test_table_of_role_says_what_its_manifest_says() -> None:
    """The guide's table and the example's manifest are the same role."""
    assert rules_of_role() == rules_of_table()


def test_role_is_the_least(logger: Any) -> None:
    """All methods together ask for all that the role allows, and for nothing else."""
    names = names_of("jovyan")
    lab = brief_lab_of("jovyan")
    timeout = timeout_of(60)
    pod, namespace = names.pod, names.namespace
    # What is late is not only listed but watched.
    late = Delays(service_account=timedelta(seconds=0.3), namespace=timedelta(seconds=0.3))
    with (
        EmbeddedServer(delays=late) as server,
        server.api_client() as api_client,
        LabStorage(api_client, logger) as storage,
    ):
        storage.create(lab, timeout, operation_id="first")
        storage.create(lab, timeout, operation_id="first")
        storage.wait_for_pod_start(pod, namespace, timeout)
        next(storage.watch_pod_events(pod, namespace, timeout))
        # The events that are there were listed; what comes later is watched.
        watching = timeout.partial(timedelta(seconds=1))
        with pytest.raises(OperationTimeoutError):
            list(storage.watch_pod_events(pod, namespace, watching))
        storage.read_lab_objects(names, timeout)
        storage.read_pod_phase(names, timeout)
        storage.read_secret(lab.secrets[0].metadata.name, namespace, timeout)
        storage.list_namespaces("lab-", timeout)
        failing = names_of("failing")
        storage.create(lab_of("failing", {"lab-storage.test/start": "fail"}), timeout)
        storage.wait_for_pod_start(failing.pod, failing.namespace, timeout)
        storage.read_pod_diagnosis(failing, timeout, log_lines=1)
        storage.delete_objects(lab, timeout, keep=("PersistentVolumeClaim",))
        storage.create(lab, timeout, keep_existing=("PersistentVolumeClaim",))
        storage.delete_pod(names, timeout)
        storage.delete_objects(lab, timeout)
        storage.create(lab, timeout)
        storage.delete_namespace(namespace, timeout)
        asked = {(str(each.resource), str(each.verb)) for each in server.requests}
    # Discovery, and kinds beyond those of most labs, which it does without.
    asked -= {("None", "None"), ("ingresses", "list"), ("poddisruptionbudgets", "list")}
    # Here all of these go at once, and the limits of a quota are known at once. On a real server
    # finalizers and controllers take some time.
    late_there = {(resource, "watch") for resource, verb in asked if verb == "delete"}
    late_there |= {("persistentvolumeclaims", "delete"), ("persistentvolumeclaims", "watch")}
    assert rules_of_role() == asked | late_there
