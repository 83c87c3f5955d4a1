"""Was the audit changed, and what does it say? `jupyter-sandbox-admin audit verify | show`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..settings import load_site
from .exits import ExitStatus

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from ..control.audit_files import AuditPaths
    from ..rules.audit import Report

__all__ = ["add_commands", "verify_directory"]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `audit` and its commands."""
    audit = commands.add_parser("audit", help="check and read the audit")
    verbs = audit.add_subparsers(title="commands", metavar="COMMAND", required=True)
    verify = verbs.add_parser(
        "verify",
        help="find edited, deleted, reordered and cut off lines",
        description="Walks the whole chain and its signed heads; control may be running. Status 9 when"
        " something was changed. Heads and the public key kept on another machine also show a chain"
        " that was written anew together with its signatures.",
    )
    _add_site(verify)
    verify.add_argument("--directory", metavar="DIR", help="the audit's directory, instead of the site's")
    verify.add_argument("--key", metavar="FILE", help="public key kept elsewhere (signing.pub)")
    verify.add_argument(
        "--heads", metavar="FILE", action="append", default=[], help="signed heads kept elsewhere; repeatable"
    )
    verify.add_argument("--json", action="store_true", help="print one JSON document")
    verify.set_defaults(action=_verify)
    show = verbs.add_parser(
        "show", help="print or search the newest lines", description="Newest first, as NDJSON."
    )
    _add_site(show)
    show.add_argument("--user", help="lines about this user only")
    show.add_argument("--sandbox", default="", metavar="ID", help="about this sandbox")
    show.add_argument("--actor", default="", metavar="TEXT", help="whose name contains this acted")
    show.add_argument("--action", dest="word", default="", metavar="WORD", help="such as sandbox.stop")
    show.add_argument(
        "--outcome", default="", metavar="WORD", help="done, failed, denied, allowed or decided"
    )
    show.add_argument("--code", default="", metavar="CODE", help="such as egress.not_allowed")
    show.add_argument("--text", default="", help="lines that contain this, in any case")
    show.add_argument("--since", default="", metavar="TIME", help="2026-11-29, or 2026-11-29T14:00:00Z")
    show.add_argument("--until", default="", metavar="TIME", help="before this; a day: with all of it")
    show.add_argument("--limit", type=int, default=50, metavar="N", help="how many lines (50)")
    show.add_argument("--before", type=int, metavar="N", help="only lines numbered below N: what came before")
    show.add_argument("--json", action="store_true", help="print control's JSON answer, {items, next}")
    show.set_defaults(action=_show)


def verify_directory(directory: str, key_file: str | None, head_files: list[str]) -> Report:
    """What the files in `directory` show, with a key and heads from elsewhere where they are given."""
    from ..control.audit_files import AuditPaths
    from ..rules.audit import verify

    paths = AuditPaths(Path(directory))
    if not paths.records.exists():
        raise ConfigurationError(
            f"{directory} holds no audit.",
            code="audit.missing",
            remedy="Name the directory with --directory; it is STATE_DIR/audit.",
        )
    heads = [line for file in [str(paths.heads), *head_files] for line in _lines(Path(file))]
    return verify(_lines(paths.records), heads, _keys(paths, key_file))


def _keys(paths: AuditPaths, key_file: str | None) -> dict[str, Ed25519PublicKey]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from ..control.audit_files import public_keys
    from ..rules.audit import key_id

    if key_file is None:
        return public_keys(paths)
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(Path(key_file).read_text().strip()))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{key_file} holds no public key ({error}).",
            code="audit.key_invalid",
            remedy="Give a copy of STATE_DIR/audit/signing.pub.",
        ) from error
    return {key_id(key): key}


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from stream
    except FileNotFoundError:
        return


def _add_site(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )


def _verify(arguments: argparse.Namespace) -> int:
    directory = arguments.directory or f"{load_site(arguments.site).state_dir}/audit"
    report = verify_directory(directory, arguments.key, arguments.heads)
    if arguments.json:
        print(json.dumps(asdict(report), indent=1))
    else:
        for finding in report.findings:
            print(f"{finding.kind:<12} {finding.message}")
        state = "CHANGED" if report.findings else "unchanged"
        print(f"{report.records} records, signed up to {report.signed_seq} of {report.last_seq}: {state}.")
    return ExitStatus.AUDIT_CHANGED if report.findings else ExitStatus.OK


def _show(arguments: argparse.Namespace) -> int:
    from ..clients.control import ControlAdminClient, control_socket

    names = ("sandbox", "actor", "outcome", "code", "text", "since", "until")
    filters = {"action": arguments.word, **{name: getattr(arguments, name) for name in names}}

    async def ask() -> Any:
        client = ControlAdminClient(control_socket(load_site(arguments.site), "admin"))
        try:
            return await client.audit(arguments.user, arguments.limit, arguments.before, **filters)
        finally:
            await client.close()

    found = asyncio.run(ask())
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    for item in found["items"]:
        print(json.dumps(item, ensure_ascii=False))
    if found["next"] is not None:
        print(f"There may be older ones: --before {found['next']}", file=sys.stderr)
    return ExitStatus.OK
