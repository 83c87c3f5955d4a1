"""Does what a probe sandbox tried prove that sandboxes are closed here? (pure)

Law: what was not tried is not proved; one escape is enough to start nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["MUST_FAIL", "MUST_WORK", "Verdict", "judge"]

WORKED, UNTRIED = "ok", "untried"  # as the probe writes them
# What each attempt would give away if it worked.
MUST_FAIL: Mapping[str, str] = {
    "network interface": "it has a network interface beside its own loopback",
    "connect public": "it reached a public address",
    "connect metadata": "it reached the cloud's metadata address",
    "vsock": "it made a socket to the hypervisor",
    "packet socket": "it made a raw packet socket",
    "io_uring": "it made an io_uring, which no system call filter sees through",
    "bpf": "it may load programs into the kernel",
    "keyring": "it may use the kernel's keys",
    "user namespace": "it may make a user namespace",
    "user namespace by clone3": "it may make a user namespace by clone3",
    "mount": "it may mount file systems",
    "capability": "it holds capabilities",
    "new privileges": "a set-uid program would give it privileges",
    "unfiltered calls": "no filter of system calls is in force",
    "root user": "it runs as root",
    "write root": "its root file system can be written",
    "write doors": "it can replace its doors",
    "sysrq": "it may command the kernel by sysrq",
    "kernel memory": "it can read the kernel's memory",
    "other processes": "it sees processes of others",
    "state directory": "it sees the site's state or run directory",
}
MUST_WORK: Mapping[str, str] = {
    "thread": "no thread could be started",
    "process": "no process could be started",
    "write tmp": "its temporary directory could not be written",
    "loopback": "its own loopback does not work",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`escapes` worked though they must not, `broken` failed though they must work; sentences both."""

    escapes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def proved(self) -> bool:
        """May sandboxes be started?"""
        return not self.escapes and not self.broken

    @property
    def why(self) -> str:
        """One sentence; empty where it is proved."""
        if self.escapes:
            return f"A probe sandbox was not closed: {'; '.join(self.escapes)}."
        return f"A probe sandbox did not work: {'; '.join(self.broken)}." if self.broken else ""


def judge(observed: Mapping[str, str]) -> Verdict:
    """The verdict on what the probe printed: by attempt `ok`, or the error it met."""
    untried = [name for name in (*MUST_FAIL, *MUST_WORK) if name not in observed]
    # An attempt that broke before it was made shows nothing.
    untried += [name for name in MUST_FAIL if observed.get(name, "").startswith(UNTRIED)]
    return Verdict(
        escapes=tuple(what for name, what in MUST_FAIL.items() if observed.get(name) == WORKED),
        broken=(
            *(f"{what} ({observed[name]})" for name, what in MUST_WORK.items() if _failed(name, observed)),
            *(f"{name!r} was not tried" for name in untried),
        ),
    )


def _failed(name: str, observed: Mapping[str, str]) -> bool:
    return name in observed and observed[name] != WORKED
