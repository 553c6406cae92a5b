"""A real node: containerd and the kubelet, in namespaces of their own.

Where things are:

* All processes, and all that containers run, are in the PID and mount namespaces of the
  keeper (:mod:`tests.plane.enclosure`). The mount namespace is a copy of the host's, so that
  pods can mount folders of it, with a ``/run`` of its own, which holds all that the
  node keeps, and a layer above ``/var/lib`` and ``/var/log``, some paths in which are
  beyond configuration.
* containerd is in a network namespace, the node's, with a bridge for the pods. A veth pair
  joins the bridge and the host, so that host and pods reach each other directly. The kubelet is
  in the host's network, from where it reaches kube-apiserver on loopback.
* The containers' control groups are in one folder, named as that of this run.

So several can run at once. What two of them must not share is the address; whoever gets to
make the host's end of the veth pair, whose name has a number, has the network of that number.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import node_registry
from .enclosure import SYSTEM_PATH
from .keeper_process import CommandError, ControlPlaneError
from .node_image import IMAGES, write_archive
from .programs import NODE, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .keeper_process import KeeperProcess
    from .programs import Layout

#: What Debian's packages bring, by the name of the package.
PACKAGES = {
    "containerd": ("containerd", "containerd-shim-runc-v2", "ctr"),
    "containernetworking-plugins": (),
    "busybox-static": ("busybox",),
    "iproute2": ("ip",),
    "runc": ("runc",),
    "util-linux": ("nsenter", "setpriv", "unshare"),
}
PLUGINS = Path("/usr/lib/cni")
PLUGINS_NEEDED = ("bridge", "host-local", "loopback")

#: In the node's own /run: no such folder is on the host.
HOME = Path("/run/node")
SOCKET = Path("/run/containerd/containerd.sock")
#: For measuring networks, and so nobody's: https://www.rfc-editor.org/rfc/rfc2544#appendix-C.2.2
NETWORKS = range(256)
#: What containers write is kept in memory, and this is the most.
DISK = "2g"

IN_NETWORK = ("nsenter", "--net=/run/netns/node")

MOUNTS = """
mount --make-rshared /
mount -t tmpfs -o mode=755,size=$1 lab-node /run
for folder in lib log; do
    above=/run/$folder/above work=/run/$folder/work
    mkdir -p $above $work
    mount -t overlay -o lowerdir=/var/$folder,upperdir=$above,workdir=$work overlay /var/$folder
done
mkdir -p $2/kubelet $2/logs $2/plugins $2/cni
# Version 2 has one hierarchy of control groups, version 1 one for each controller.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    # The kubelet wants all there are; of these systemd hands on some.
    for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
        echo +$controller >/sys/fs/cgroup/cgroup.subtree_control
    done
    mkdir /sys/fs/cgroup/$3
else
    for hierarchy in $(ls -d /sys/fs/cgroup/*/ | xargs -n 1 realpath | sort -u); do
        mkdir $hierarchy/$3
    done
fi
ip netns add node
ip -n node link set lo up
"""
NETWORK = """
ip link add $1 type veth peer name host netns node
ip address add $2.1/24 dev $1
ip link set $1 up
ip -n node link add pods type bridge
ip -n node link set host master pods
ip -n node link set host up
ip -n node address add $2.2/24 dev pods
ip -n node link set pods up
ip -n node route add default via $2.1
"""


def why_not(assets: Path) -> str | None:
    """What keeps a real node from running here, or None."""
    if sys.platform != "linux":
        return f"it needs Linux, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "only root can make its namespaces"
    path = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"
    lacking = {
        package
        for package, programs in PACKAGES.items()
        if not all(shutil.which(program, path=path) for program in programs)
    }
    if not all((PLUGINS / name).exists() for name in PLUGINS_NEEDED):
        lacking.add("containernetworking-plugins")
    busybox = shutil.which("busybox", path=path)
    # The loader's path stands at the beginning of a program that needs one.
    if busybox and b"/ld-" in Path(busybox).read_bytes()[:4096]:
        lacking.add("busybox-static")
    if lacking:
        return f"it needs packages that are not installed: {', '.join(sorted(lacking))}"
    if not os.access(assets / "kubelet", os.X_OK):
        return f"there is no kubelet in {assets}"
    return None


class Node:
    """Prepares the node, and knows its command lines."""

    def __init__(self, keeper: KeeperProcess, layout: Layout) -> None:
        self._keeper = keeper
        self._layout = layout
        self._cni = HOME / "cni"

    def prepare(self) -> None:
        """Make mounts, networks and files; nothing runs yet."""
        self._shell(MOUNTS, DISK, str(HOME), self._layout.folder.name)
        self.network = self._claim_network()
        folder = self._layout.folder
        write(folder / "resolv.conf", "")
        write(folder / "containerd.toml", self._containerd_configuration())
        self.configure_kubelet()
        self.mend_network()
        mirror = folder / "registries" / node_registry.HOST
        mirror.mkdir(parents=True)
        server = f"http://127.0.0.1:{node_registry.PORT}"
        write(mirror / "hosts.toml", f'server = "{server}"\n[host."{server}"]\n')
        write_archive(Path(shutil.which("busybox") or ""), folder / "images.tar")

    @property
    def address(self) -> str:
        """The node's address, which is the host's for the pods too."""
        return f"{self.network}.1"

    def containerd(self) -> list[str]:
        """Its command line."""
        configuration = str(self._layout.folder / "containerd.toml")
        return [*IN_NETWORK, "containerd", "--config", configuration]

    def registry(self) -> list[str]:
        """The command line of a registry, which has the image too."""
        arguments = [str(node_registry.PORT), str(self._layout.folder / "images.tar")]
        return [*IN_NETWORK, sys.executable, "-I", "-S", node_registry.__file__, *arguments]

    def kubelet(self) -> list[str]:
        """Its command line."""
        return [
            str(self._layout.assets / "kubelet"),
            f"--config={self._layout.folder / 'kubelet.yaml'}",
            f"--kubeconfig={self._layout.kubeconfig('kubelet')}",
            f"--hostname-override={NODE}",
            f"--node-ip={self.address}",
            f"--root-dir={HOME / 'kubelet'}",
            f"--cert-dir={HOME / 'certificates'}",
        ]

    def configure_kubelet(self, **changed: object) -> None:
        """Write its configuration, with other values where they are given."""
        configuration = {**self._kubelet_configuration(), **changed}
        write(self._layout.folder / "kubelet.yaml", json.dumps(configuration))

    def run(self, *argv: str) -> str:
        """Run a command on the node, and give what it said."""
        return self._keeper.run(*argv)

    def import_images(self) -> bool:
        """Have containerd know the images; whether it was ready to."""
        archive = str(self._layout.folder / "images.tar")
        try:
            self._keeper.run("ctr", "--namespace", "k8s.io", "images", "import", archive)
        except CommandError:
            return False
        return True

    def break_network(self) -> None:
        """Have new pods get no network: its plugin is not installed."""
        broken = {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "calico"}]}
        self._write_network(broken)

    def mend_network(self) -> None:
        """Have new pods get one."""
        self._write_network(self._network_configuration())

    def _write_network(self, configuration: Mapping[str, object]) -> None:
        # The folder is the node's alone.
        path = str(self._layout.folder / "pods.conflist")
        Path(path).write_text(json.dumps(configuration))
        self._keeper.run("cp", path, str(self._cni))

    def _shell(self, script: str, *arguments: str) -> None:
        self._keeper.run("sh", "-ec", script, "sh", *arguments)

    def _claim_network(self) -> str:
        for number in NETWORKS:
            network = f"198.18.{number}"
            try:
                self._shell(NETWORK, f"labnode{number}", network)
            except CommandError as error:
                if "File exists" not in str(error):
                    raise
            else:
                return network
        raise ControlPlaneError(f"all networks of nodes are in use ({len(NETWORKS)})")

    # -- Configuration -----------------------------------------------------------

    def _containerd_configuration(self) -> str:
        """https://github.com/containerd/containerd/blob/release/1.6/docs/cri/config.md."""
        return f"""
version = 2
root = "{HOME / "containerd"}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
                    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{IMAGES[0]}"
# Where a host gives its root no CAP_SYS_RESOURCE no sandbox would start otherwise.
restrict_oom_score_adj = true
disable_apparmor = true
# It is in the network of the node, and the kubelet, which hands on what it says to
# `kubectl exec`, in that of the host.
stream_server_address = "{self.network}.2"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{self._layout.folder / "registries"}"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{self._cni}"
"""

    def _network_configuration(self) -> dict[str, object]:
        """https://www.cni.dev/plugins/current/main/bridge/."""
        pods = {
            "subnet": f"{self.network}.0/24",
            "rangeStart": f"{self.network}.10",
            "gateway": self.address,
        }
        bridge = {
            "type": "bridge",
            "bridge": "pods",
            "ipam": {
                "type": "host-local",
                "dataDir": str(HOME / "addresses"),
                "ranges": [[pods]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}

    def _kubelet_configuration(self) -> dict[str, object]:
        """https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/."""
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            # Reached from this host alone.
            "address": self.address,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "healthzPort": 0,
            "readOnlyPort": 0,
            # All containers are below this one.
            "cgroupRoot": f"/{self._layout.folder.name}",
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": True,
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            # Nothing on the host is to change, its packet filter neither.
            "makeIPTablesUtilChains": False,
            "oomScoreAdj": 0,
            "protectKernelDefaults": False,
            # Nobody answers there. Without one each pod gets a warning event.
            "clusterDNS": [self.address],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self._layout.folder / "resolv.conf"),
            # What the host's disks and memory do is not this node's.
            "evictionHard": {
                "imagefs.available": "0%",
                "memory.available": "0%",
                "nodefs.available": "5%",
                "nodefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            # Else an image that came with the archive would be pulled, to see whether its pod
            # may, once the kubelet has pulled one of the same content.
            "imagePullCredentialsVerificationPolicy": "NeverVerify",
            # A registry that is silent holds up the pods that ask it, and no others.
            "serializeImagePulls": False,
            "podLogsDir": str(HOME / "logs"),
            "volumePluginDir": str(HOME / "plugins"),
        }
