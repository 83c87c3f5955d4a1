"""Which exit status tells the admin's scripts what went wrong?

0  it went well (a run that was stopped by Ctrl-C or SIGTERM has gone well)
1  something nobody foresaw; the traceback is shown
2  the command line, the configuration file or profiles.yaml is wrong
3  a program that this needs is not installed
4  a port is taken or may not be bound
5  a directory cannot be used: another owner, unreadable for a program's uid, a path too long, no space left
6  another run uses the same run directory
7  one of the programs ended again and again, or did not get ready
8  something is left over, or differs (stop, reconcile); it is named
9  the audit was changed: something was edited, deleted, reordered or cut off
10 it is not proved that sandboxes are closed on this host; no server starts
11 policy denies something that was to be allowed, or answers otherwise than expected
12 a part of the running site is not well
"""

from __future__ import annotations

from enum import IntEnum

from ..errors import SandboxError

__all__ = ["ExitStatus", "exit_status"]


class ExitStatus(IntEnum):
    """The statuses of `jupyter-sandbox-admin`."""

    OK = 0
    UNFORESEEN = 1
    CONFIGURATION = 2
    PROGRAM_MISSING = 3
    PORT_TAKEN = 4
    DIRECTORY = 5
    ALREADY_RUNNING = 6
    PROGRAM_FAILED = 7
    LEFT_OVER = 8
    AUDIT_CHANGED = 9
    NOT_PROVED = 10
    POLICY_DENIES = 11
    NOT_WELL = 12


_BY_CODE = {
    "program.missing": ExitStatus.PROGRAM_MISSING,
    "ordinary.newuidmap_missing": ExitStatus.PROGRAM_MISSING,
    "ordinary.tools_missing": ExitStatus.PROGRAM_MISSING,
    "site.port_taken": ExitStatus.PORT_TAKEN,
    "site.directory_foreign": ExitStatus.DIRECTORY,
    "site.directory_unusable": ExitStatus.DIRECTORY,
    "site.run_dir_too_long": ExitStatus.DIRECTORY,
    "site.unreachable": ExitStatus.DIRECTORY,
    "site.disk_full": ExitStatus.DIRECTORY,
    "site.running": ExitStatus.ALREADY_RUNNING,
    "program.failed_repeatedly": ExitStatus.PROGRAM_FAILED,
    "program.not_ready": ExitStatus.PROGRAM_FAILED,
    "site.left_over": ExitStatus.LEFT_OVER,
}


def exit_status(error: SandboxError) -> ExitStatus:
    """The status for an error of ours: by its code, else 2 as every other one is about what was written."""
    return _BY_CODE.get(error.code, ExitStatus.CONFIGURATION)
