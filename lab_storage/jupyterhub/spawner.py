"""`LabSpawner`: starts, polls and stops the lab of a user's server.

JupyterHub calls a spawner on its event loop, and `lab_storage.LabStorage` blocks. So each call
gets a thread of a pool, and a `lab_storage.Timeout`. When the Hub gives a call up, because a
person stops a start or the Hub itself stops, it cancels a coroutine; that cancels the `Timeout`,
and the thread is free within 0.25 s. The Hub waits for a second before it removes what a start
has left, and by then nothing is made any more.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import timedelta
from typing import Any, NoReturn

import structlog
from jupyterhub import spawner as hub_spawner
from kubernetes import client, config
from tornado.web import HTTPError
from traitlets import Bool, Integer, List, TraitError, Unicode, Union, default
from traitlets import Callable as CallableTrait
from traitlets import Dict as DictTrait

from lab_storage import (
    FAIL_FAST,
    LabObjectNames,
    LabObjects,
    LabStorage,
    LabStorageError,
    MissingSecretError,
    OperationCancelledError,
    PodDiagnosis,
    PodPhase,
    PodStartError,
    Timeout,
)
from lab_storage.jupyterhub.manifests import (
    Manifest,
    Settings,
    find,
    notebook_of,
    read_lab_file,
    replace_text,
)
from lab_storage.jupyterhub.names import slug
from lab_storage.jupyterhub.profiles import ProfileError, choose, form_of, from_form
from lab_storage.jupyterhub.threads import in_thread

# The user of the lab file, in whose place each user of the Hub is put.
FILE_USER = "jovyan"
DIAGNOSIS_TIME = timedelta(seconds=5)
TOKENS = "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"
# What is used before a profile is chosen: the names and the storage of a spawner, and how long
# the Hub waits; and what a Hub that was started again uses without it, to find a lab and its
# claims.
NOT_IN_PROFILES = frozenset(
    {
        "env_config_map",
        "keep",
        "live",
        "namespace",
        "namespace_prefix",
        "pod",
        "profile_list",
        "quota",
        "start_timeout",
        "token_secret",
    }
)


@functools.cache
def shared_storage() -> LabStorage:
    """Make the one storage that all spawners share; it is safe to use from many threads."""
    configuration = client.Configuration()
    config.load_config(client_configuration=configuration)
    logger = structlog.wrap_logger(
        logging.getLogger("JupyterHub.labs"),  # its lines go into the Hub's log
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.LogfmtRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return LabStorage(client.ApiClient(configuration), logger)


@functools.cache
def shared_live_storage(prefix: str, namespace: str | None) -> LabStorage:
    """Make the one storage with a watch of all labs that all spawners share."""
    return shared_storage().live(prefix, namespace=namespace)


def with_hint(text: str, diagnosis: PodDiagnosis | None) -> str:
    """Add what to do about it, if it is known what is wrong."""
    if diagnosis is None or diagnosis.trouble is None:
        return text
    return f"{text.rstrip('.')}. {diagnosis.trouble.hint}"


def fail(
    text: str, reason: str, status: int = 500, cause: BaseException | None = None
) -> NoReturn:
    """Raise what the Hub shows to the user whose start failed.

    Not our own error as it is: into its ``reason`` the Hub would write its own, and of a
    TimeoutError, which ours can be, it would not show the text.
    """
    if hasattr(hub_spawner, "SpawnException"):  # from JupyterHub 6 on
        raise hub_spawner.SpawnException(text, reason=reason, status_code=status) from cause
    error: Any = HTTPError(status, "%s", text, reason=reason)
    error.jupyterhub_message = text
    raise error from cause


class LabSpawner(hub_spawner.Spawner):  # type: ignore[misc]
    """Starts, polls and stops the lab of one server.

    What is set on any spawner counts: ``image``, ``cmd``, ``args``, ``cpu_limit``,
    ``cpu_guarantee``, ``mem_limit``, ``mem_guarantee``, ``environment``, ``notebook_dir``,
    ``default_url``, options and hooks. What is not set is as the lab file says. For manifests of
    your own, override `manifests`.
    """

    lab_file = Unicode(
        "lab.yaml", config=True, help="The manifests of a lab, written for the user jovyan."
    )
    namespace_prefix = Unicode(
        "lab-",
        config=True,
        help="The namespaces of labs start with this. All that do belong to this Hub: to start a "
        "lab, it deletes one that exists.",
    )
    namespace = Unicode(
        "",
        config=True,
        help="A namespace that all labs share, instead of one for each. It exists already. The "
        "names in the lab file have to have the user jovyan in them then.",
    )
    live = Bool(
        False,
        config=True,
        help="Poll and wait through one watch for all labs, instead of a request for each poll "
        "and a connection for each start. It needs the right to list and watch pods in all "
        "namespaces, or in the shared one.",
    )
    keep = List(
        Unicode(),
        config=True,
        help="Kinds of which objects stay when a lab is stopped, and are used by the next start, "
        "such as PersistentVolumeClaim.",
    )
    env_config_map = Unicode(
        "lab-env", config=True, help="The ConfigMap in the lab file that gets the environment."
    )
    quota = Unicode("lab-quota", config=True, help="The ResourceQuota in the lab file, if any.")
    pod = Unicode("lab", config=True, help="The Pod in the lab file.")
    container = Unicode(
        "", config=True, help="The container that is the notebook; the first, if empty."
    )
    token_secret = Unicode(
        "hub-tokens",
        config=True,
        help="The Secret that is added for the tokens by which a notebook talks to the Hub.",
    )
    lab_url = Unicode(
        "http://lab.{namespace}:8888",
        config=True,
        help="Where the Hub and its proxy reach a lab: the Service in the lab file. {namespace}, "
        "{slug} and {pod_ip} stand for those of the lab; the last one is read once the pod runs.",
    )
    image = Unicode(
        None, allow_none=True, config=True, help="The notebook's image, instead of the file's."
    )
    profile_list = Union(
        [List(DictTrait()), CallableTrait()],
        config=True,
        help="Choices for users: a list of mappings with `display_name`, and optionally `slug`, "
        "`description`, `default` and `override`, which sets traits of the spawner; or a function "
        "of the spawner that returns such a list.",
    )
    fail_fast = List(
        Unicode(),
        sorted(FAIL_FAST),
        config=True,
        help="Reasons for which a start fails at once. With a cluster autoscaler, leave out "
        "Unschedulable: it passes when a node comes.",
    )
    poll_timeout = Integer(10, config=True, help="Seconds that a poll may take.")
    stop_timeout = Integer(120, config=True, help="Seconds that the removal of a lab may take.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slug = "--".join(slug(part) for part in (self.user.name, self.name) if part)
        namespace = self.namespace or self.namespace_prefix + self.slug
        self.words = {FILE_USER: self.slug}
        if not self.namespace:
            self.words = {f"lab-{FILE_USER}": namespace, **self.words}
        names = (
            replace_text(each, self.words) for each in (self.env_config_map, self.quota, self.pod)
        )
        self.names = LabObjectNames(self.user.name, namespace, *names)
        self.storage = self.make_storage()
        # The start that is under way, or that has failed and left something behind.
        self.starting: Timeout | None = None
        # How the lab ended; None as long as there is one, or may be.
        self.status: int | None = None
        # Held while the lab is created or deleted.
        self.changing = asyncio.Lock()
        self.cleared = asyncio.Event()
        # What a profile has replaced: the next start may be by another.
        self._replaced: dict[str, Any] = {}

    # The base class sets it after its constructor has begun.
    api_token: Any

    # Of the base class, what differs in a pod

    @default("ip")
    def _listen_on_all_addresses_of_the_pod(self) -> str:
        return "0.0.0.0"  # noqa: S104 - a pod has an address of its own

    @default("port")
    def _listen_on_the_port_of_the_lab_file(self) -> int:
        return 8888

    @default("cmd")
    def _run_what_the_lab_file_or_the_image_says(self) -> None:
        return None

    @default("env_keep")
    def _keep_nothing_of_the_environment_of_the_hub(self) -> list[str]:
        # Its PATH, for one, is not that of the notebook's image.
        return []

    @default("profile_list")
    def _offer_no_profiles(self) -> list[Mapping[str, Any]]:
        return []

    @default("options_form")
    def _ask_for_a_profile(self) -> Callable[[LabSpawner], str] | str:
        return (lambda spawner: form_of(spawner.profiles())) if self.profile_list else ""

    @default("options_from_form")
    def _read_the_profile(self) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        return from_form if self.profile_list else dict

    @default("apply_user_options")
    def _options_are_applied_by_the_start(self) -> Callable[..., None]:
        return lambda *_: None

    # What the Hub calls

    async def start(self) -> str:
        """Create the lab, and wait until its pod runs."""
        # A second less than the Hub allows, whose own error would say less than ours.
        timeout = self.starting = self.timeout("Starting lab", self.start_timeout - 1)
        self.status = None
        self.cleared.clear()
        # Here and not in the thread: what a Hub knows of a user is in its database, whose
        # objects belong to the thread of the loop.
        lab = self.lab()
        try:
            async with self.changing:
                # What a Hub that was killed may have left; hardly ever anything.
                await in_thread(timeout, self.remove, lab, timeout)
                self.cleared.set()
                phase = await in_thread(timeout, self.create, lab, timeout)
            url = await self.url(timeout) if phase is PodPhase.RUNNING else ""
        # A ValueError is one of the configuration, such as a word in `keep` that is not a kind.
        except (LabStorageError, ValueError) as error:
            known = error.diagnosis if isinstance(error, PodStartError) else None
            fail(with_hint(str(error), known), type(error).__name__, cause=error)
        if phase is not PodPhase.RUNNING:
            text = f"the pod {self.names.namespace}/{self.names.pod} "
            text += f"is {phase.value}" if phase else "has been deleted"
            known = await in_thread(timeout, self.diagnose, timeout)
            if known is not None and known.trouble is not None:
                text = with_hint(f"{text}: {known}", known)
            fail(text, "ended")
        self.starting = None
        return url

    async def progress(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the events of the pod. The Hub ends this when the start is over."""
        await self.cleared.wait()  # before, there could be the pod of an earlier lab
        names = self.names
        timeout = self.timeout("Watching events", self.start_timeout + self.http_timeout)
        events = self.storage.watch_pod_events(names.pod, names.namespace, timeout)
        seen = 0
        try:
            while message := await in_thread(timeout, next, events, None):
                seen += 1
                # Nobody knows how many there will be: each brings the bar nearer to its end.
                yield {"message": message, "progress": 100 * seen // (seen + 5)}
        except LabStorageError as error:
            self.log.warning("No more events of %s: %s", names.namespace, error)
        finally:
            events.close()

    async def poll(self) -> int | None:
        """Return how the lab has ended; None as long as there is something to stop."""
        if self.starting is not None:
            # One that has failed counts too: the Hub calls stop only if this is None.
            return None
        if self.status is not None:
            return self.status
        try:
            phase = await self.phase()
        except LabStorageError as error:
            # That says nothing about the lab. Raised, it would make a Hub that starts forget
            # the lab, which may run on.
            self.log.warning("Cannot poll %s: %s", self.names.namespace, error)
            return None
        if phase not in (PodPhase.SUCCEEDED, PodPhase.FAILED, None):
            return None
        # The Hub does not stop what has ended by itself, and the rest of the lab is still there.
        try:
            await self.stop()
        except (LabStorageError, HTTPError, ValueError) as error:
            self.log.warning("Cannot remove %s: %s", self.names.namespace, error)
        self.status = 0 if phase is PodPhase.SUCCEEDED else 1
        return self.status

    async def stop(self, now: bool = False) -> None:  # noqa: ARG002 - the Hub's parameter
        """Delete the lab, or what there is of it, and wait until it is gone."""
        if self.starting is not None:
            self.starting.cancel()
        async with self.changing:
            # Not twice: by now there could be another lab of that name, of another spawner.
            if self.status is not None:
                return
            timeout = self.timeout("Stopping lab", self.stop_timeout)
            lab = self.lab(is_to_start=False) if self.deletes_objects else None
            await in_thread(timeout, self.remove, lab, timeout)
            self.starting = None
            self.status = 0

    async def get_url(self) -> str:
        """Return where the lab is, for a Hub that was killed during a start."""
        url = await self.url(self.timeout("Finding lab", self.poll_timeout))
        return url + str(self.server.base_url)

    # What it is made of

    def manifests(self) -> list[Manifest]:
        """Return the manifests of this server's lab: override this for your own.

        Those of the lab file with this user in the place of jovyan, the settings of this spawner,
        the environment from the Hub in the config map, and a Secret with the tokens of the Hub.

        Raises
        ------
        ValueError, OSError
            If the lab cannot be written: the text is shown to the user.
        """
        lab: list[Manifest] = replace_text(
            read_lab_file(self.lab_file),
            {f"/user/{FILE_USER}/": self.server.base_url, **self.words},
        )
        environment = {name: str(value) for name, value in self.get_env().items()}
        tokens = {name: environment.pop(name) for name in TOKENS if name in environment}
        config_map = find(lab, "ConfigMap", self.names.env_config_map, "env_config_map")
        config_map["data"] = {**(config_map.get("data") or {}), **environment}
        notebook = notebook_of(find(lab, "Pod", self.names.pod, "pod"), self.container)
        self.settings().apply(notebook)
        secret_name = replace_text(self.token_secret, self.words)
        sources = notebook.get("envFrom") or []
        notebook["envFrom"] = [*sources, {"secretRef": {"name": secret_name}}]
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret_name}}
        return [*lab, {**secret, "stringData": tokens}]

    def settings(self) -> Settings:
        """Return what is set on this spawner for the notebook's container."""
        cpu = {"limits": self.cpu_limit, "requests": self.cpu_guarantee}
        memory = {"limits": self.mem_limit, "requests": self.mem_guarantee}
        resources = {
            field: {
                name: str(value)
                for name, value in (("cpu", cpu[field]), ("memory", memory[field]))
                if value
            }
            for field in ("limits", "requests")
        }
        args = [str(each) for each in self.get_args()]
        return Settings(
            image=self.image,
            command=list(self.cmd) if self.cmd else None,
            args=args if args or self.cmd else None,
            limits=resources["limits"],
            requests=resources["requests"],
        )

    def profiles(self) -> list[Mapping[str, Any]]:
        """Return the profiles that are offered to this user."""
        offered = self.profile_list
        return list(offered(self) if callable(offered) else offered)

    def use_profile(self) -> None:
        """Set what the chosen profile says, in the place of what an earlier one said.

        Raises
        ------
        ProfileError
            If the profile does not exist, sets what is not a trait of this spawner or is not
            for profiles to set, or sets a trait to a value that it does not take.
        """
        for name, value in self._replaced.items():
            setattr(self, name, value)
        self._replaced = {}
        profiles = self.profiles()
        if not profiles:
            return
        profile = choose(profiles, self.user_options.get("profile"))
        for name, value in (profile.get("override") or {}).items():
            if not self.has_trait(name):
                raise ProfileError(f"a profile sets {name!r}, which is not a trait of LabSpawner")
            if name in NOT_IN_PROFILES:
                raise ProfileError(
                    f"a profile sets {name!r}, which must be the same for all profiles: "
                    f"set c.LabSpawner.{name}"
                )
            replaced = getattr(self, name)
            try:
                setattr(self, name, value)
            except TraitError as error:
                raise ProfileError(f"a profile sets {name!r} to a wrong value: {error}") from error
            self._replaced[name] = replaced

    # How it is done

    def make_storage(self) -> LabStorage:
        """Return the storage: one for all spawners."""
        if self.live:
            prefix = "" if self.namespace else self.namespace_prefix
            return shared_live_storage(prefix, self.namespace or None)
        return shared_storage()

    async def url(self, timeout: Timeout) -> str:
        """Return where the Hub and its proxy reach the lab."""
        address = ""
        if "{pod_ip}" in self.lab_url:
            lab = await in_thread(timeout, self.storage.read_lab_objects, self.names, timeout)
            address = (lab.pod.status.pod_ip if lab else None) or ""
            if ":" in address:
                address = f"[{address}]"  # RFC 3986, section 3.2.2
        namespace = self.names.namespace
        return str(self.lab_url.format(namespace=namespace, slug=self.slug, pod_ip=address))

    def timeout(self, operation: str, seconds: float) -> Timeout:
        """Begin a deadline for something that is done to this lab."""
        return Timeout(operation, timedelta(seconds=seconds), self.names.username)

    def lab(self, *, is_to_start: bool = True) -> LabObjects:
        """Make the lab of this server; what is wrong with it is shown to the user."""
        try:
            self.use_profile()
        except ProfileError as error:
            # A profile that is not offered any more must not keep a lab from being stopped.
            if is_to_start:
                fail(str(error), "profile", 400, error)
        is_shared = bool(self.namespace)
        try:
            manifests = self.manifests()
            return LabObjects.from_manifests(manifests, self.names, shared_namespace=is_shared)
        except (LabStorageError, ValueError, TypeError, OSError) as error:
            self.log.error("Cannot make the lab of %s: %s", self.names.username, error)  # noqa: TRY400
            fail(f"the lab cannot be made: {error}", "lab_file", cause=error)

    def create(self, lab: LabObjects, timeout: Timeout) -> PodPhase | None:
        """Create the lab, and wait until its pod has started. Blocks."""
        self.storage.create(lab, timeout, keep_existing=self.keep)
        return self.storage.wait_for_pod_start(
            self.names.pod, self.names.namespace, timeout, fail_fast=self.fail_fast
        )

    def diagnose(self, timeout: Timeout) -> PodDiagnosis | None:
        """Find out why the pod does not run, as far as that can be had soon. Blocks."""
        try:
            return self.storage.read_pod_diagnosis(self.names, timeout.partial(DIAGNOSIS_TIME))
        except OperationCancelledError:
            raise
        except LabStorageError as error:
            self.log.warning("No diagnosis of %s: %s", self.names.namespace, error)
            return None

    @property
    def deletes_objects(self) -> bool:
        """Whether a lab is deleted object by object: its namespace has to stay."""
        return bool(self.namespace or self.keep)

    def remove(self, lab: LabObjects | None, timeout: Timeout) -> None:
        """Delete the lab, or what there is of it, and wait until it is gone. Blocks."""
        if self.deletes_objects and lab is not None:
            self.storage.delete_objects(lab, timeout, keep=self.keep)
            return
        # The pod goes in a second, by itself. With its namespace it has its full grace period,
        # and the namespace looks again after half of that.
        self.storage.delete_pod(self.names, timeout)
        self.storage.delete_namespace(self.names.namespace, timeout)

    async def phase(self) -> PodPhase | None:
        """Read the phase of the pod; after a restart of the Hub, look for the lab first."""
        timeout = self.timeout("Polling lab", self.poll_timeout)
        if self.api_token:
            return await in_thread(timeout, self.storage.read_pod_phase, self.names, timeout)
        phase, token = await in_thread(timeout, self.find_again, timeout)
        self.api_token = token
        return phase

    def find_again(self, timeout: Timeout) -> tuple[PodPhase | None, str]:
        """Look for the lab that an earlier Hub has started, and the token it was given. Blocks.

        The Hub itself keeps only a hash of the token, and has to know it to revoke it when the
        lab is stopped.
        """
        secret_name = replace_text(self.token_secret, self.words)
        try:
            secret = self.storage.read_secret(secret_name, self.names.namespace, timeout)
            token = base64.b64decode((secret.data or {}).get("JUPYTERHUB_API_TOKEN", "")).decode()
        except MissingSecretError:
            token = ""
        lab = self.storage.read_lab_objects(self.names, timeout)
        # One that is not whole, be it half made or half removed, counts as none.
        return (PodPhase.of(lab.pod.status.phase) if lab else None), token
