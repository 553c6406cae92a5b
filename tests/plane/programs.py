"""What the programs of the control plane are started with: files and flags."""

from __future__ import annotations

import base64
import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

#: Those that an assets folder holds; the stand-in kubelet comes from here.
BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")

#: The name of the one node.
NODE = "lab-node"

#: Who may log in, by token: user name and groups of each. The components are
#: bound to their roles by the server itself; `lab`, `tenant` and `nobody` may do nothing
#: until somebody binds them.
#: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings
USERS = {
    "admin": ("admin", ("system:masters",)),
    "kube-controller-manager": ("system:kube-controller-manager", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kubelet": (f"system:node:{NODE}", ("system:masters",)),
    "lab": ("lab", ()),
    "tenant": ("tenant", ()),
    "nobody": ("nobody", ()),
}

#: Where the stand-in kubelet is started: the folder that holds the package ``tests``.
ROOT = Path(__file__).resolve().parents[2]

#: The scheduler's plugins that look at volumes. Beside the stand-in kubelet nothing makes
#: volumes, so that with them no pod with a claim would ever be bound to the node.
VOLUME_PLUGINS = ("NodeVolumeLimits", "VolumeBinding", "VolumeRestrictions", "VolumeZone")


#: The controllers that labs meet. All of them take five seconds longer to start.
#: Not among them: the node's lifecycle, which is the stand-in's, and volumes.
CONTROLLERS = (
    "endpoints-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
)


#: Those that a real node needs besides: what volumes are bound by, and what notices that a
#: node is ready, or no longer.
NODE_CONTROLLERS = (
    "node-lifecycle-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-protection-controller",
    "taint-eviction-controller",
)


@dataclass(frozen=True)
class Layout:
    """Where everything is: the binaries, the folder of this run, its ports."""

    assets: Path
    folder: Path
    api_port: int
    etcd_port: int
    peer_port: int
    #: Whether the node is a real one.
    real_node: bool = False

    @property
    def host(self) -> str:
        """The URL of kube-apiserver."""
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def etcd(self) -> str:
        """The URL of etcd, for clients."""
        return f"http://127.0.0.1:{self.etcd_port}"

    @property
    def ca_file(self) -> Path:
        """The certificate that kube-apiserver makes for itself, its issuer's included."""
        return self.folder / "certificates" / "apiserver.crt"

    def log(self, program: str) -> Path:
        """What a program says."""
        return self.folder / f"{program}.log"

    def kubeconfig(self, user: str) -> Path:
        """The file a user logs in with."""
        return self.folder / f"{user}.kubeconfig"


def write_files(layout: Layout) -> dict[str, str]:
    """Write what the programs read, and give the token of each user."""
    tokens = {user: secrets.token_hex(16) for user in USERS}
    # Columns: token, user name, uid, groups.
    # https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file
    rows = (
        f'{tokens[user]},{name},{user},"{",".join(groups)}"'
        for user, (name, groups) in USERS.items()
    )
    write(layout.folder / "tokens.csv", "\n".join(rows) + "\n")
    write(layout.folder / "service-accounts.key", _private_key())
    for user, token in tokens.items():
        write(layout.kubeconfig(user), json.dumps(_kubeconfig(layout, user, token)))
    write(layout.folder / "scheduler.yaml", json.dumps(_scheduler_configuration(layout)))
    return tokens


def command(program: str, layout: Layout) -> list[str]:
    """The command line of a program."""
    if program == "kubelet":
        return [sys.executable, "-m", "tests.plane.kubelet", str(layout.kubeconfig("kubelet"))]
    flags = {
        "etcd": _etcd,
        "kube-apiserver": _apiserver,
        "kube-controller-manager": _controller_manager,
        "kube-scheduler": _scheduler,
    }
    return [str(layout.assets / program), *flags[program](layout)]


def _etcd(layout: Layout) -> list[str]:
    peers = f"http://127.0.0.1:{layout.peer_port}"
    return [
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={layout.etcd}",
        f"--advertise-client-urls={layout.etcd}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        # The ports are held by the process of the tests.
        "--socket-reuse-port=true",
        # What it holds ends with it, so it need not reach the disk.
        "--unsafe-no-fsync=true",
        "--log-level=warn",
    ]


def _apiserver(layout: Layout) -> list[str]:
    key = layout.folder / "service-accounts.key"
    return [
        f"--etcd-servers={layout.etcd}",
        f"--secure-port={layout.api_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--permit-port-sharing=true",
        f"--cert-dir={layout.ca_file.parent}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.0.0.0/16",
        "--authorization-mode=RBAC",
        f"--token-auth-file={layout.folder / 'tokens.csv'}",
        # The service `kubernetes` needs no endpoints here, and a loopback
        # address would not be a valid one.
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        # A real node's name means nothing to the resolver.
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _controller_manager(layout: Layout) -> list[str]:
    controllers = CONTROLLERS + (NODE_CONTROLLERS if layout.real_node else ())
    return [
        f"--kubeconfig={layout.kubeconfig('kube-controller-manager')}",
        f"--service-account-private-key-file={layout.folder / 'service-accounts.key'}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        f"--controllers={','.join(controllers)}",
    ]


def _scheduler(layout: Layout) -> list[str]:
    return [f"--config={layout.folder / 'scheduler.yaml'}", "--secure-port=0"]


def _scheduler_configuration(layout: Layout) -> dict[str, object]:
    """https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/."""
    disabled = () if layout.real_node else VOLUME_PLUGINS
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        # Its own limits, 50 a second, would make 500 pods wait for ten seconds.
        "clientConnection": {
            "kubeconfig": str(layout.kubeconfig("kube-scheduler")),
            "qps": 500,
            "burst": 1000,
        },
        "profiles": [
            {
                "schedulerName": "default-scheduler",
                "plugins": {"multiPoint": {"disabled": [{"name": name} for name in disabled]}},
            }
        ],
    }


def _kubeconfig(layout: Layout, user: str, token: str) -> dict[str, object]:
    """https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/."""
    cluster = {"server": layout.host, "certificate-authority": str(layout.ca_file)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "plane", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": user}}],
        "current-context": "plane",
    }


def _private_key() -> str:
    """A new P-256 key to sign the tokens of service accounts with, in PEM.

    An ECPrivateKey of RFC 5915 (version 1, the number, the curve prime256v1)
    without the public half, which its readers compute: so no cryptographic
    library is needed. Any number below the order of the curve's group is a
    private key; with its highest bit cleared it is.
    """
    number = bytearray(secrets.token_bytes(32))
    number[0] &= 0x7F
    der = bytes.fromhex("303102010104 20") + number + bytes.fromhex("a00a06082a8648ce3d030107")
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n"


def write(path: Path, text: str) -> None:
    """Write a file for the owner alone, as the folder is: some hold credentials."""
    path.touch(mode=0o600)
    path.write_text(text)
