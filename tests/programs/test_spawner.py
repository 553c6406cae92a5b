"""What `lab_storage.jupyterhub` makes of a lab file and of what is set on a spawner."""

from __future__ import annotations

import asyncio
import re
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client
from traitlets.config import Config

from lab_storage import LabStorage
from tests.support.labs import EXAMPLE

pytest.importorskip("jupyterhub", reason="JupyterHub is not installed (extra `jupyterhub`)")

from jupyterhub.orm import Server, Spawner
from tornado.web import HTTPError

from lab_storage.jupyterhub import LabSpawner
from lab_storage.jupyterhub.manifests import replace_text
from lab_storage.jupyterhub.names import LONGEST_PART, slug
from lab_storage.jupyterhub.profiles import ProfileError, choose, form_of
from lab_storage.jupyterhub.spawner import NOT_IN_PROFILES

PROFILES: list[dict[str, Any]] = [
    {"display_name": "Small <1>", "override": {"cpu_limit": 1, "mem_limit": "1G"}},
    {"display_name": "Large", "slug": "large", "default": True, "override": {"cpu_limit": 8}},
]


class OfflineSpawner(LabSpawner):  # type: ignore[misc,unused-ignore]
    """A spawner that no Hub has made, and whose storage is never used."""

    def make_storage(self) -> LabStorage:
        """Make a storage of no API server."""
        return LabStorage(client.ApiClient(client.Configuration()), structlog.get_logger())


def spawner_of(
    name: str = "ada",
    server: str = "",
    spawner_class: type[LabSpawner] = OfflineSpawner,
    **settings: Any,
) -> LabSpawner:
    """Make a spawner as a Hub does."""
    user = SimpleNamespace(name=name, escaped_name=name, url=f"/user/{name}/", settings={})
    hub = SimpleNamespace(
        public_host="", api_url="http://hub:8081/hub/api", base_url="/hub/", url="http://hub:8081"
    )
    place = Server(proto="http", ip="", port=8888, base_url=f"/user/{name}/", cookie_name="lab")
    orm = Spawner(name=server, server=place)
    config = Config({"LabSpawner": {"lab_file": str(EXAMPLE), **settings}})
    spawner = spawner_class(
        user=user, hub=hub, orm_spawner=orm, config=config, oauth_client_id="client"
    )
    spawner.api_token = "t0ken"
    return spawner


def find(lab: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Find an object of a lab."""
    (found,) = (m for m in lab if m["kind"] == kind and m["metadata"]["name"] == name)
    return found


def notebook_of(spawner: LabSpawner) -> dict[str, Any]:
    """Return the container that is the notebook."""
    containers: list[dict[str, Any]] = find(spawner.manifests(), "Pod", "lab")["spec"][
        "containers"
    ]
    return containers[0]


def test_hub_finds_the_spawner_by_its_name() -> None:
    """``c.JupyterHub.spawner_class = "lab"`` is enough."""
    (found,) = entry_points(group="jupyterhub.spawners", name="lab")
    assert LabSpawner is found.load()


class TestNames:
    """Users and servers as parts of Kubernetes names."""

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("ada", r"ada"),
            ("ada-lovelace", r"ada-lovelace-[0-9a-f]{8}"),
            ("Émilie", r"emilie-[0-9a-f]{8}"),
            ("42", r"x-42-[0-9a-f]{8}"),
            ("***", r"x-[0-9a-f]{8}"),
        ],
    )
    def test_names_stay_readable(self, name: str, expected: str) -> None:
        """What does not fit is left out, and a hash keeps names apart."""
        assert re.fullmatch(expected, slug(name))

    @given(st.text(min_size=1))
    def test_parts_are_those_of_jupyterhub(self, name: str) -> None:
        """A Hub that was upgraded finds its labs: version 6 has the scheme as a module."""
        slugs = pytest.importorskip("jupyterhub.slugs", reason="JupyterHub 5 has no slugs")
        try:
            name.encode()
        except UnicodeEncodeError:
            return  # not a name that a Hub can store
        assert slugs.safe_slug(name, max_length=LONGEST_PART) == slug(name)

    def test_named_servers_have_namespaces_of_their_own(self) -> None:
        """A server's name is the second part."""
        assert "lab-ada--night" == spawner_of(server="night").names.namespace


class TestManifests:
    """The lab file, filled."""

    def test_lab_is_as_the_file_says_where_nothing_is_set(self) -> None:
        """Image, command, arguments and resources stay."""
        (pod,) = (m for m in yaml.safe_load_all(EXAMPLE.read_text()) if m["kind"] == "Pod")
        expected = pod["spec"]["containers"][0]
        notebook = notebook_of(spawner_of())
        for field in ("image", "args", "resources"):
            assert expected[field] == notebook[field]
        assert "command" not in notebook

    def test_settings_reach_the_notebook(self) -> None:
        """What people set on any spawner counts."""
        notebook = notebook_of(
            spawner_of(
                image="lab:2",
                cmd=["start-notebook"],
                args=["--debug"],
                cpu_limit=1.5,
                cpu_guarantee=0.25,
                mem_limit="2G",
                mem_guarantee="1G",
            )
        )
        assert ("lab:2", ["start-notebook"], ["--debug"]) == (
            notebook["image"],
            notebook["command"],
            notebook["args"],
        )
        assert {"cpu": "1.5", "memory": str(2 * 1024**3)} == notebook["resources"]["limits"]
        assert {"cpu": "0.25", "memory": str(1024**3)} == notebook["resources"]["requests"]

    def test_home_is_on_the_claim(self) -> None:
        """In the documentation's shared lab, for any user: the image's own is /home/jovyan."""
        spawner = spawner_of(
            lab_file=str(EXAMPLE.parent / "lab-shared.yaml"),
            env_config_map="env-jovyan",
            pod="lab-jovyan",
            namespace="notebooks",
        )
        notebook = find(spawner.manifests(), "Pod", "lab-ada")["spec"]["containers"][0]
        (mount,) = notebook["volumeMounts"]
        homes = [each["value"] for each in notebook["env"] if each["name"] == "HOME"]
        assert ["/home/ada"] == homes
        assert ["/home/ada"] * 2 == [mount["mountPath"], notebook["workingDir"]]

    def test_environment_goes_to_the_config_map(self) -> None:
        """With what the Hub says of the server, but without its tokens."""
        spawner = spawner_of(
            environment={"GREETING": "hello"}, default_url="/lab", notebook_dir="/home/{username}"
        )
        data = find(spawner.manifests(), "ConfigMap", "lab-env")["data"]
        expected = {
            "GREETING": "hello",
            "JUPYTERHUB_DEFAULT_URL": "/lab",
            "JUPYTERHUB_ROOT_DIR": "/home/ada",
            "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/",
            "CONTAINER_SIZE": "small",
        }
        assert expected == {name: data[name] for name in expected}
        assert [] == [name for name, value in data.items() if "t0ken" in value]

    def test_tokens_are_in_a_secret(self) -> None:
        """The notebook takes its environment from it, too."""
        lab = spawner_of().manifests()
        assert "t0ken" == find(lab, "Secret", "hub-tokens")["stringData"]["JUPYTERHUB_API_TOKEN"]
        notebook = find(lab, "Pod", "lab")["spec"]["containers"][0]
        assert {"secretRef": {"name": "hub-tokens"}} == notebook["envFrom"][-1]

    def test_environment_of_the_hub_stays_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The Hub's PATH is not that of the notebook's image."""
        monkeypatch.setenv("JUPYTERHUB_SINGLEUSER_APP", "of the Hub")
        lab = spawner_of().manifests()
        data = find(lab, "ConfigMap", "lab-env")["data"]
        assert {"JUPYTERHUB_SINGLEUSER_APP", "PATH"}.isdisjoint(data)

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (None, "lab.yaml: No such file or directory"),
            ("a: [", "lab.yaml, line 1, column 5: invalid YAML"),
            ("- 1", "lab.yaml: document 1 is not a mapping"),
            (
                "kind: Pod",
                "the lab file has no ConfigMap 'lab-env', which c.LabSpawner.env_config_map names",
            ),
            (
                "{kind: ConfigMap, metadata: {name: lab-env}}",
                "the lab file has no Pod 'lab', which c.LabSpawner.pod names",
            ),
            ("{kind: List, items: [1]}", "lab.yaml: an item of document 1 is not a mapping"),
            ("{kind: Pod, metadata: [1]}", "the lab file has no ConfigMap 'lab-env'"),
            (
                EXAMPLE.read_text().replace("restartPolicy:", "restartPolice:"),
                "spec.restartPolice is not a field",
            ),
        ],
    )
    def test_broken_lab_file_is_explained(
        self, content: str | None, expected: str, tmp_path: Path
    ) -> None:
        """The user reads what is wrong, and not "Internal Server Error"."""
        file = tmp_path / "lab.yaml"
        if content is not None:
            file.write_text(content)
        with pytest.raises(HTTPError) as error:
            spawner_of(lab_file=str(file)).lab()
        text = getattr(error.value, "jupyterhub_message", str(error.value))
        assert expected in text

    @pytest.mark.parametrize("user", ["jovyanne", "the-jovyan"])
    def test_name_that_contains_the_one_of_the_file_is_put_in_once(self, user: str) -> None:
        """What has been put in is not searched again."""
        spawner = spawner_of(user)
        namespace = find(spawner.manifests(), "Namespace", f"lab-{spawner.slug}")
        assert spawner.names.namespace == namespace["metadata"]["name"]
        assert spawner.lab()
        text = {"a": ["/user/jovyan/lab", "lab-jovyan jovyan"]}
        words = {"/user/jovyan/": f"/user/{user}/", **spawner.words}
        own = f"lab-{spawner.slug} {spawner.slug}"
        assert {"a": [f"/user/{user}/lab", own]} == replace_text(text, words)

    def test_nulls_in_the_lab_file_are_as_if_left_out(self, tmp_path: Path) -> None:
        """As for the API server."""
        lab = list(yaml.safe_load_all(EXAMPLE.read_text()))
        container = next(each for each in lab if each["kind"] == "Pod")["spec"]["containers"][0]
        container |= {"resources": None, "envFrom": None}
        find(lab, "ConfigMap", "lab-env")["data"] = None
        file = tmp_path / "lab.yaml"
        file.write_text(yaml.safe_dump_all(lab))
        notebook = notebook_of(spawner_of(lab_file=str(file), cpu_limit=2))
        assert {"limits": {"cpu": "2.0"}} == notebook["resources"]
        assert [{"secretRef": {"name": "hub-tokens"}}] == notebook["envFrom"]


class TestProfiles:
    """Choices that an administrator offers."""

    @pytest.mark.parametrize(
        ("profile", "expected"),
        [
            ({"description": "x"}, "a profile has no display_name"),
            (
                {"display_name": "Small", "override": {"cpu_limit": "many"}},
                "a profile sets 'cpu_limit' to a wrong value: ",
            ),
            (
                {"display_name": "Small", "override": {"cpus": 1}},
                "a profile sets 'cpus', which is not a trait of LabSpawner",
            ),
            (
                {"display_name": "Small", "override": {"keep": ["PersistentVolumeClaim"]}},
                "a profile sets 'keep', which must be the same for all profiles",
            ),
        ],
    )
    def test_profile_that_is_not_described_well_is_explained(
        self, profile: dict[str, Any], expected: str
    ) -> None:
        """The user reads what is wrong, and not "Internal Server Error"."""
        with pytest.raises(HTTPError) as error:
            spawner_of(profile_list=[profile]).lab()
        assert expected in getattr(error.value, "jupyterhub_message", str(error.value))

    def test_profile_that_is_gone_does_not_keep_a_lab_from_being_stopped(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only kinds and names count for that."""
        spawner = spawner_of(profile_list=PROFILES, keep=["PersistentVolumeClaim"])
        spawner.user_options = {"profile": "huge"}
        removed: list[Any] = []
        delete = lambda *_, keep: removed.append(keep)  # noqa: E731
        monkeypatch.setattr(spawner.storage, "delete_objects", delete)
        asyncio.run(spawner.stop())
        assert [["PersistentVolumeClaim"]] == removed
        assert 0 == spawner.status

    def test_word_that_is_not_a_kind_is_explained(self) -> None:
        """The user reads what is wrong with the configuration."""
        spawner = spawner_of(keep=["PersistentVolumeClaims"])
        with pytest.raises(HTTPError) as error:
            asyncio.run(spawner.start())
        text = getattr(error.value, "jupyterhub_message", str(error.value))
        assert "keep has 'PersistentVolumeClaims', which is not a kind of this lab" in text

    def test_chosen_profile_is_used(self) -> None:
        """It sets traits of the spawner."""
        spawner = spawner_of(profile_list=PROFILES)
        spawner.user_options = {"profile": slug("Small <1>")}
        spawner.use_profile()
        assert (1, 1024**3) == (spawner.cpu_limit, spawner.mem_limit)

    def test_default_profile_is_used_where_none_is_chosen(self) -> None:
        """A start by the REST API brings no form."""
        spawner = spawner_of(profile_list=PROFILES)
        spawner.use_profile()
        assert 8 == spawner.cpu_limit

    def test_profile_can_bring_its_own_lab_file(self, tmp_path: Path) -> None:
        """For what no setting makes, such as a node selector; a stop finds its objects too."""
        lab = list(yaml.safe_load_all(EXAMPLE.read_text()))
        find(lab, "Pod", "lab")["spec"]["nodeSelector"] = {"accelerator": "gpu"}
        file = tmp_path / "lab-gpu.yaml"
        file.write_text(yaml.safe_dump_all(lab))
        profile = {"display_name": "GPU", "override": {"lab_file": str(file)}}
        for is_to_start in (True, False):
            spawner = spawner_of(profile_list=[profile])
            pod: Any = spawner.lab(is_to_start=is_to_start).pod
            assert {"accelerator": "gpu"} == pod.spec.node_selector

    @pytest.mark.parametrize("name", sorted(NOT_IN_PROFILES))
    def test_what_must_be_the_same_for_all_is_a_trait(self, name: str) -> None:
        """A word that is not would forbid nothing."""
        assert LabSpawner.class_traits()[name].metadata.get("config")

    def test_next_start_forgets_the_last_profile(self) -> None:
        """What only the first profile set is as configured again."""
        spawner = spawner_of(profile_list=PROFILES, mem_limit="4G")
        spawner.user_options = {"profile": slug("Small <1>")}
        spawner.use_profile()
        spawner.user_options = {"profile": "large"}
        spawner.use_profile()
        assert (8, 4 * 1024**3) == (spawner.cpu_limit, spawner.mem_limit)

    def test_profile_that_is_not_offered_is_refused(self) -> None:
        """A user's options can come from anywhere."""
        spawner = spawner_of(profile_list=PROFILES)
        spawner.user_options = {"profile": "huge"}
        with pytest.raises(HTTPError) as error:
            spawner.lab()
        assert 400 == error.value.status_code
        with pytest.raises(ProfileError, match=r"choose one of: .*large"):
            choose(PROFILES, "huge")

    def test_form_shows_the_profiles(self) -> None:
        """Each is a radio button, whatever its name contains."""
        form = form_of(PROFILES)
        assert 2 == form.count('type="radio"')
        assert 'value="large" checked' in form
        assert "Small &lt;1&gt;" in form

    def test_form_is_read(self) -> None:
        """Its fields are lists."""
        spawner = spawner_of(profile_list=PROFILES)
        assert {"profile": "large"} == spawner.options_from_form({"profile": ["large"]})
        assert {} == spawner.options_from_form({})

    def test_there_is_no_form_without_profiles(self) -> None:
        """The Hub starts the server at once then."""
        assert "" == spawner_of().options_form


class TestComingFromKubespawner:
    """What the guide for users of kubespawner promises."""

    PAGE = (EXAMPLE.parent.parent / "guides" / "kubespawner.md").read_text()

    def test_table_of_names_is_right(self) -> None:
        """The claims of users, in the column of this spawner."""
        rows = re.findall(
            r"^\| `(\S+)` \| `claim-\S+` \| `claim-(\S+)` \|$", self.PAGE, re.MULTILINE
        )
        assert ["ada", "ada-lovelace", "ada@x.org"] == [user for user, _ in rows]
        assert [slug(user) for user, _ in rows] == [name for _, name in rows]

    @pytest.mark.parametrize(
        ("user", "claim"), [("ada-lovelace", "claim-ada-lovelace"), ("grace", "claim-grace")]
    )
    def test_claims_of_kubespawner_are_used(self, user: str, claim: str) -> None:
        """The guide's class names them in the claim itself and in the pod."""
        (code,) = re.findall(r"^import json\n.*?(?=^c\.)", self.PAGE, re.MULTILINE | re.DOTALL)
        page: dict[str, Any] = {}
        exec(code, page)
        migrated = type("Migrated", (page["MigratedLabSpawner"], OfflineSpawner), {})
        names = {"env_config_map": "env-jovyan", "pod": "lab-jovyan", "namespace": "notebooks"}
        lab_file = str(EXAMPLE.parent / "lab-shared.yaml")

        lab = spawner_of(user, spawner_class=migrated, lab_file=lab_file, **names).manifests()

        assert find(lab, "PersistentVolumeClaim", claim)
        (pod,) = (each for each in lab if each["kind"] == "Pod")
        (volume,) = pod["spec"]["volumes"]
        assert claim == volume["persistentVolumeClaim"]["claimName"]
        # As kubespawner mounts it, since files in it may name the path.
        notebook = pod["spec"]["containers"][0]
        (mount,) = notebook["volumeMounts"]
        assert ["/home/jovyan"] * 2 == [mount["mountPath"], notebook["workingDir"]]
