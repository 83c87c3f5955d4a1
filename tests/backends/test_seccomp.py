"""Is the one seccomp profile an allow-list that runc and Docker both take, without what opens a sandbox?"""

from __future__ import annotations

import json
from importlib import resources

import pytest

from jupyter_sandbox_spawner.backends.oci.host import load_seccomp

RAW = json.loads(resources.files("jupyter_sandbox_spawner.backends").joinpath("seccomp.json").read_text())
_DANGEROUS_TEXT = """
    _sysctl acct add_key bpf chroot clock_adjtime clock_settime create_module delete_module fanotify_init
    finit_module fsconfig fsmount fsopen fspick get_kernel_syms init_module io_uring_enter io_uring_register
    io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl listmount lookup_dcookie memfd_secret
    migrate_pages modify_ldt mount mount_setattr move_mount move_pages name_to_handle_at nfsservctl
    open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv
    process_vm_writev ptrace query_module quotactl quotactl_fd reboot request_key setdomainname sethostname
    setns settimeofday socketcall statmount stime swapoff swapon sysfs syslog umount umount2 unshare uselib
    userfaultfd ustat vhangup vm86 vm86old
"""
DANGEROUS = frozenset(_DANGEROUS_TEXT.split())


def _allowed() -> set[str]:
    return {
        name
        for rule in RAW["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }


@pytest.mark.proves("T6")
def test_default_is_refusal() -> None:
    """What is not named is refused with EPERM; 32-bit calls, whose sockets look alike, are not taken."""
    assert (RAW["defaultAction"], RAW["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert RAW["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]


def test_nothing_dangerous_is_named() -> None:
    """No call of the mount, module, key, bpf, perf, namespace, ptrace or io_uring families is allowed."""
    named = {name for rule in RAW["syscalls"] for name in rule["names"]}
    assert not named & DANGEROUS


def test_conditional_calls_are_not_also_free() -> None:
    """Calls that are allowed for some arguments only are not allowed without a condition elsewhere."""
    assert not _allowed() & {"socket", "socketpair", "clone", "clone3", "ioctl", "personality"}


def test_numerical_libraries_have_their_calls() -> None:
    """Threads, shared memory, NUMA policy and asynchronous files stay possible."""
    needed = {
        "futex",
        "mbind",
        "get_mempolicy",
        "set_mempolicy",
        "memfd_create",
        "io_submit",
        "rseq",
        "membarrier",
    }
    assert needed <= _allowed()


def test_both_formats() -> None:
    """Rules use only fields that OCI and Docker share; comments are for people and dropped."""
    for rule in RAW["syscalls"]:
        assert set(rule) <= {"names", "action", "errnoRet", "args", "comment"}
        for argument in rule.get("args", []):
            assert set(argument) <= {"index", "value", "valueTwo", "op"}
    assert not any("comment" in rule for rule in load_seccomp()["syscalls"])
