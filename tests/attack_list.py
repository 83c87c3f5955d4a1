"""Which attacks must each backend withstand? The list of the field notes (72) and of design/security.md.

`scripts/conformance` lays it beside the results of a test run. Law: an id has a test or a reason in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ATTACKS", "BACKENDS", "TRIED_ONCE", "Attack"]

# As tests/conftest.py writes them, and as people call them.
BACKENDS: Mapping[str, str] = {
    "oci": "local",
    "oci rootless": "local, no root",
    "runsc": "local, gVisor",
    "docker": "Docker",
    "kubernetes": "Kubernetes",
}
# Beginnings of node ids: what gateway, control, broker, hub and server decide, the same programs on every
# backend and for every user, or what another test shows there too. Tried on the local backend as root, and
# elsewhere where SANDBOX_WHOLE=1 asks for it, for these take minutes.
TRIED_ONCE = (
    *(
        f"tests/attacks/test_{name}.py"
        for name in (
            "egress_requests",
            "lab_routes",
            "floods",  # Q09, Q10: the launcher's and control's limits
            "redaction",
            "secrets_proxy",
            "hostile_server",  # H07: hub and gateway read what a server answers
        )
    ),
    "tests/attacks/test_hub_api.py::test_h04_odd_options_are_refused_and_audited",
    # MLflow and the gateway decide these of C09; that no way leads around them is tried everywhere.
    "tests/attacks/test_tracking.py::test_c09_a_cell_cannot_pose_as_another",
    "tests/attacks/test_tracking.py::test_c09_a_browser_sees_its_own_persons_runs",
    # The broker's answers. C04, C06 and C10 have other tests everywhere.
    "tests/attacks/test_secrets.py::test_c04_another_persons_secret_is_refused_and_audited",
    "tests/attacks/test_secrets.py::test_a_broker_that_hangs_fails_a_cell_soon_and_recovers",
    "tests/attacks/test_secrets.py::test_a_killed_broker_is_back_with_its_secrets",
    "tests/attacks/test_secrets.py::test_refusals_in_a_notebook_say_what_to_do",
    "tests/attacks/vault/test_outages.py",  # what Vault being away does
    "tests/attacks/vault/test_again.py",  # only the broker sees which store it has
    # Ends that hub, control and broker bring about. A stop, a sandbox that dies and a start that fails, which
    # the backend tells of, are tried everywhere.
    *(
        f"tests/attacks/vault/test_endings.py::test_c06_{name}"
        for name in (
            "the_time_of_a_server_is_up",
            "a_hub_that_is_killed_ends_nothing_early_and_nothing_late",
            "a_killed_broker_needs_nobody",
            "a_stop_does_not_wait_for_vault",
            "a_deleted_user_has_nothing_left",
        )
    ),
)
_ALONE = ("oci", "oci rootless", "runsc", "docker")  # backends without a cluster
# Why an attack is not tried in a pod: what decides it stands behind the pod's doors, and is the same there.
_BEHIND = (
    "decided behind the doors, by programs that are the same; the wires to them: tests/programs/test_wires*"
)
_WIRED = {"kubernetes": _BEHIND}
_NO_OTHER_WAY = {
    "kubernetes": "a detour leads where every way out leads, and the network's policy decides that: E01"
}


@dataclass(frozen=True)
class Attack:
    """One line. `shared`: decided by gateway, control, hub or launcher, which are the same on every backend.

    `elsewhere` is why it has no test on a backend, by backend or for all ("").
    """

    id: str
    tries: str
    shared: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)


# The test cluster's runtime is an old one; what its filter leaves open is told by the canary on every node.
_FILTERED = (
    "RuntimeDefault of this node's containerd leaves {} open, which the canary tells; the rest is refused: "
)
_KERNEL = "tests/kubernetes/test_kernel_attacks.py"
_PUBLIC = {
    "oci rootless": "an ordinary user can give this host no public address where datagrams would be heard"
}
_EGRESS = (
    Attack("E01", "TCP connections to public addresses", elsewhere=_PUBLIC),
    Attack("E02", "datagrams, ICMP and SCTP to public addresses", elsewhere=_PUBLIC),
    Attack("E03", "IPv6: public, unique local, link-local"),
    Attack("E04", "names and queries to any resolver", elsewhere=_PUBLIC),
    Attack("E05", "metadata services, directly and by the proxy"),
    Attack("E06", "services of the host and its other addresses", elsewhere=_PUBLIC),
    Attack("E07", "allowed hosts work and are audited", elsewhere=_WIRED),
    Attack("E08", "denied hosts by both verbs: 403, no lookup, an audit line", elsewhere=_WIRED),
    Attack("E09", "addresses in eight spellings", shared=True),
    Attack("E10", "an allowed name that resolves to private addresses", shared=True),
    Attack("E11", "rebinding of a name between lookup and connection", shared=True),
    Attack("E12", "an allowed host's wrong port", elsewhere=_WIRED),
    Attack("E13", "a tunnel whose TLS names another server", shared=True),
    Attack("E14", "smuggling, pipelining, a Host that differs", shared=True),
    Attack("E15", "host names that look allowed", shared=True),
    Attack("E16", "a proxy of one's own before ours", elsewhere=_NO_OTHER_WAY),
    Attack("E17", "proxy variables unset or edited", elsewhere=_NO_OTHER_WAY),
    Attack("E18", "another sandbox's name at the proxy", elsewhere=_WIRED),
    Attack("E19", "slow, endless and too many connections at the door", shared=True),
    Attack(
        "E20",
        "vsock, packet, alg, raw, Bluetooth and CAN sockets",
        elsewhere={"kubernetes": _FILTERED.format("vsock") + _KERNEL},
    ),
    Attack("E21", "a wall taken away while sandboxes run: the canary", shared=True),
    Attack("E22", "a redirect from an allowed host to an internal one", shared=True),
)
_ISOLATION = (
    Attack("I01", "capabilities, no-new-privileges, filter"),
    Attack("I02", "new namespaces, pivot_root, file handles"),
    Attack(
        "I03",
        "io_uring, bpf, perf, keys, userfaultfd, ptrace",
        elsewhere={"kubernetes": _FILTERED.format("io_uring") + _KERNEL},
    ),
    Attack("I04", "writing to the root and the environment"),
    Attack("I05", "core_pattern, sysrq, kcore, kallsyms, kmsg"),
    Attack("I06", "cgroups: release_agent, the parent, devices"),
    Attack("I07", "sockets of container runtimes and D-Bus"),
    Attack("I08", "devices of the host"),
    Attack("I09", "setuid programs and file capabilities"),
    Attack("I10", "processes of the host and of others"),
    Attack("I11", "a server's socket replaced by something else"),
    Attack("I12", "typing into a terminal; descriptors left open"),
    Attack(
        "I13",
        "service account, kubelet, API server",
        elsewhere=dict.fromkeys(_ALONE, "about clusters"),
    ),
    Attack(
        "I14",
        "CIS Docker Benchmark, section 5, on a live container",
        elsewhere=dict.fromkeys(("oci", "oci rootless", "runsc"), "about containers of Docker"),
    ),
    Attack("I15", "paths that lead elsewhere in mounts", shared=True),
)
_CREDENTIALS = (
    Attack("C01", "secrets of the host in environments, that of pid 1 too"),
    Attack("C02", "another local user reads command lines"),
    Attack("C03", "secrets in bundle, inspect, database, logs, audit, error pages"),
    Attack("C04", "another user's secrets"),
    Attack("C05", "a secret left on a disk, in swap or in a core dump"),
    Attack("C06", "a credential used after its sandbox", elsewhere=_WIRED),
    Attack(
        "C07",
        "Vault reached directly, a wrapped token used twice",
        elsewhere={
            "oci rootless": "the house with a Vault is started by root; E06 is the same wall",
            "kubernetes": "Vault is as far from a pod as all else: E01, E06; the rest is the broker's",
        },
    ),
    Attack("C08", "a secret of another group", shared=True),
    Attack("C09", "MLflow as another user, or past the gateway", elsewhere=_WIRED),
    Attack("C10", "a notebook shows its own token", elsewhere=_WIRED),
)
_QUOTA = (
    Attack("Q01", "fork bomb, thread bomb"),
    Attack("Q02", "twice the memory: one process, twenty, memfd, tmpfs"),
    Attack("Q03", "home, /tmp, /dev/shm and root filled"),
    Attack("Q04", "a million empty files"),
    Attack(
        "Q05",
        "output without end",
        elsewhere={
            "kubernetes": "a kubelet looks every ten seconds, and ends a pod whose log is over what its "
            "manifest says: tests/backends/test_kubernetes_check.py"
        },
    ),
    Attack("Q06", "descriptors and connections without end"),
    Attack("Q07", "inotify, epoll, pipes, keyrings, message queues"),
    Attack("Q08", "every core, every GPU"),
    Attack("Q09", "starts and stops without end", shared=True),
    Attack("Q10", "the audit flooded", shared=True),
)
_HUB = (
    Attack("H01", "what a server's token may do at the hub", elsewhere=_WIRED),
    Attack("H02", "pages and paths of the hub by the door", elsewhere=_WIRED),
    Attack("H03", "activity in the future, of others, too often", elsewhere=_WIRED),
    Attack("H04", "options with image, environment, mounts, 10 MB", shared=True),
    Attack("H05", "the server's start changed by files of the home", shared=True),
    Attack("H06", "hostile text in names, shown to people", shared=True),
    Attack("H07", "a server that answers with poison", shared=True),
    Attack("H08", "every program killed, in every state", shared=True),
)
_OTHERS = (
    Attack("O01", "neighbours' ports"),
    Attack("O02", "one's cookies and tokens at another's server", elsewhere=_WIRED),
    Attack(
        "O03",
        "ARP, DHCP and router advertisements",
        elsewhere=dict.fromkeys(_ALONE, "there is no interface but a loopback of one's own: E01 to E03, E20"),
    ),
    Attack("O04", "others' sockets, doors and processes"),
    Attack("O05", "names that look alike"),
    Attack("O06", "a deleted user's name taken again"),
    Attack("O07", "a page of one server acts at the hub or at another server", shared=True),
    Attack("O08", "environments, caches and image layers that people share"),
    Attack("X01", "a page loads from, posts to or talks to elsewhere", shared=True),
    Attack("X02", "a large download by the browser", elsewhere=_WIRED),
    Attack("X03", "an admin opens a hostile user's page", shared=True),
    Attack("X04", "secrets and one's own API from outside", elsewhere=_WIRED),
    Attack(
        "X05",
        "another local user at doors, front and sockets",
        elsewhere={
            "kubernetes": "nodes have no other users; a pod's doors are the pod's: tests/programs/test_wires*"
        },
    ),
)
_DATA = (
    Attack(
        "D01",
        "guarded data copied everywhere writable, then looked for from the widest profile",
    ),
)
ATTACKS = (*_EGRESS, *_ISOLATION, *_CREDENTIALS, *_QUOTA, *_HUB, *_OTHERS, *_DATA)
