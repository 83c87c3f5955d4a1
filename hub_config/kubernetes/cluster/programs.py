"""With which arguments and files do a cluster's programs run? Pure: text from a layout."""

from __future__ import annotations

import json
import sys
from typing import Any

from .layout import DOMAIN, NODE, PAUSE_IMAGE, POD_PIDS, Layout

__all__ = ["command", "files"]


def command(layout: Layout, name: str) -> list[str]:
    """How `name` (one of PROGRAMS) is started, inside of the cluster's room."""
    places = {
        "etcd": _etcd,
        "kube-apiserver": _api_server,
        "kube-controller-manager": _manager,
        "kube-scheduler": _scheduler,
        "containerd": _containerd,
        "kubelet": _kubelet,
        "kube-proxy": _proxy,
    }
    if name in places:
        return places[name](layout)
    own = f"hub_config.kubernetes.cluster.{name}"
    return [sys.executable, "-B", "-m", own, str(layout.directory), str(layout.number)]


def files(layout: Layout) -> dict[str, str]:
    """Configuration files below `config/`: name and content."""
    return {
        "containerd.toml": _containerd_file(layout),
        "cni/10-cluster.conflist": json.dumps(_network(layout)),
        "kubelet.json": json.dumps(_kubelet_file(layout), indent=1),
        "kube-proxy.json": json.dumps(_proxy_file(layout), indent=1),
        "resolv.conf": "nameserver 127.0.0.1\n",
    }


def _etcd(layout: Layout) -> list[str]:
    here = "http://127.0.0.1:2379"
    place = f"{layout.directory}/etcd"
    return ["etcd", "--data-dir", place, "--log-level", "warn", "--listen-client-urls", here,
            "--advertise-client-urls", here, "--listen-peer-urls", "http://127.0.0.1:2380"]  # fmt: skip


def _api_server(layout: Layout) -> list[str]:
    place = layout.authority
    return [
        str(layout.program("kube-apiserver")),
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={layout.node_address}",
        f"--service-cluster-ip-range={layout.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        # So that Pod Security alone refuses a privileged pod, as elsewhere.
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={place}/accounts-key.pem",
        f"--service-account-signing-key-file={place}/accounts-key.pem",
        f"--client-ca-file={place}/ca.pem",
        f"--tls-cert-file={place}/kube-apiserver.pem",
        f"--tls-private-key-file={place}/kube-apiserver-key.pem",
        f"--kubelet-client-certificate={place}/admin.pem",
        f"--kubelet-client-key={place}/admin-key.pem",
        f"--kubelet-certificate-authority={place}/ca.pem",
        "--kubelet-preferred-address-types=InternalIP",
        # It asks etcd for what Debian's 3.4 cannot tell, and waits.
        "--feature-gates=SizeBasedListCostEstimate=false",
        f"--cert-dir={layout.directory}/authority",
        "--profiling=false",
    ]


def _manager(layout: Layout) -> list[str]:
    place = layout.authority
    return [
        *_control_loop(layout, "kube-controller-manager"),
        f"--service-account-private-key-file={place}/accounts-key.pem",
        f"--root-ca-file={place}/ca.pem",
        "--use-service-account-credentials",
        "--node-monitor-grace-period=20s",
        f"--flex-volume-plugin-dir={layout.directory}/plugins",
    ]


def _scheduler(layout: Layout) -> list[str]:
    return _control_loop(layout, "kube-scheduler")


def _control_loop(layout: Layout, name: str) -> list[str]:
    """What only asks the API server: one of each, heard on this machine alone."""
    return [
        str(layout.program(name)),
        f"--kubeconfig={layout.kubeconfig}",
        f"--authentication-kubeconfig={layout.kubeconfig}",
        f"--authorization-kubeconfig={layout.kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--cert-dir={layout.authority}",
        "--profiling=false",
    ]


def _containerd(layout: Layout) -> list[str]:
    return ["containerd", "--config", str(layout.config("containerd.toml"))]


def _kubelet(layout: Layout) -> list[str]:
    return [
        str(layout.program("kubelet")),
        f"--config={layout.config('kubelet.json')}",
        f"--kubeconfig={layout.directory}/kubelet-kubeconfig",
        f"--root-dir={layout.directory}/kubelet",
        f"--cert-dir={layout.authority}",
        f"--hostname-override={NODE}",
        f"--node-ip={layout.node_address}",
    ]


def _proxy(layout: Layout) -> list[str]:
    return [str(layout.program("kube-proxy")), f"--config={layout.config('kube-proxy.json')}",
            f"--hostname-override={NODE}"]  # fmt: skip


def _containerd_file(layout: Layout) -> str:
    here = layout.directory
    return f"""version = 2
root = "{here}/containerd"
state = "{here}/containerd-state"
disabled_plugins = [
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.devmapper",
]
[grpc]
address = "{layout.containerd}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Without CAP_SYS_RESOURCE runc would die of "can't get final child's PID from pipe".
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{here}/config/cni"
"""


def _network(layout: Layout) -> dict[str, Any]:
    """Every pod has a link of its own, so that all it sends is routed, and passes the node's firewall."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": layout.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"{layout.directory}/addresses",
    }
    plugin = {"type": "ptp", "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "cluster", "plugins": [plugin]}


def _kubelet_file(layout: Layout) -> dict[str, Any]:
    place = layout.authority
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": layout.node_address,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{place}/ca.pem"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{place}/kubelet-server.pem",
        "tlsPrivateKeyFile": f"{place}/kubelet-server-key.pem",
        "containerRuntimeEndpoint": f"unix://{layout.containerd}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "enforceNodeAllocatable": ["none"],
        "resolvConf": str(layout.config("resolv.conf")),
        "volumePluginDir": f"{layout.directory}/plugins",
        "clusterDNS": [layout.names_address],
        "clusterDomain": DOMAIN,
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "serializeImagePulls": False,
        "maxPods": 240,
        "podPidsLimit": POD_PIDS,
        "nodeStatusUpdateFrequency": "5s",
        # A full disk of the machine is no business of a test, and what was imported cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }


def _proxy_file(layout: Layout) -> dict[str, Any]:
    return {
        "kind": "KubeProxyConfiguration",
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "mode": "nftables",
        "clusterCIDR": layout.pods,
        "clientConnection": {"kubeconfig": str(layout.kubeconfig)},
        "bindAddress": layout.node_address,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "nodePortAddresses": [f"{layout.node_address}/32"],
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
