"""Which hosts do users ask for, and who gets them? `jupyter-sandbox-admin egress requests | approve ...`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import ConfigurationError
from ..rules.egress_requests import STATUSES, cleaned
from ..units import parse_duration
from .exits import ExitStatus
from .ps import add_command, ask

__all__ = ["add_commands"]

_REQUESTS = ("id", "status", "user", "server", "sandbox", "host", "asked", "until", "why")
_GRANTS = ("id", "request", "host", "for", "until", "by", "")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `egress` and what is below it."""
    egress = commands.add_parser(
        "egress",
        help="answer requests for hosts",
        description="Shows hosts that users ask for and answers them. What is approved holds at once, also"
        " for servers that run, and ends by itself.",
    )
    verbs = egress.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_requests(verbs)
    _add_approve(verbs)
    deny = add_command(verbs, "deny", "say no to a request", "Its user reads the reason.")
    _request(deny)
    deny.add_argument("--why", required=True, metavar="REASON", help="a sentence for the user")
    deny.set_defaults(action=_deny)
    grants = add_command(
        verbs, "grants", "show what was given", "Shows what is given now, until when, and by whom."
    )
    grants.add_argument("--all", action="store_true", help="also what has ended or was taken back")
    grants.set_defaults(action=_grants)
    revoke = add_command(
        verbs,
        "revoke",
        "take a grant back",
        "Takes a grant back at once; connections that are open end within seconds.",
    )
    revoke.add_argument("grant", metavar="GRANT", help="the number that `egress grants` shows")
    revoke.add_argument("--why", default="", metavar="REASON", help="a sentence for the user")
    revoke.set_defaults(action=_revoke)


def _add_requests(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    requests = add_command(
        verbs, "requests", "show who asks for which host", "Shows what waits, the latest first."
    )
    requests.add_argument("--status", choices=("all", *STATUSES), default="waiting", help="default: waiting")
    requests.add_argument("--user", default="", help="of this user only")
    requests.add_argument("--limit", default="100", metavar="N", help="as many at most; default: 100")
    requests.add_argument("--before", default="", metavar="ID", help="those numbered below this one")
    requests.set_defaults(action=_requests)


def _add_approve(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    approve = add_command(
        verbs,
        "approve",
        "give what was asked for, for a time",
        "Opens the host and port for a time, to the sandbox that asked, its user, or a group. Nothing is"
        " opened where the site's policy says no or guarded data are.",
    )
    _request(approve)
    approve.add_argument(
        "--for", required=True, dest="time", metavar="TIME", help='from now, as "8h" or "7d"; at most 31d'
    )
    approve.add_argument(
        "--scope", choices=("sandbox", "user", "group"), default="sandbox", help="default: sandbox"
    )
    approve.add_argument(
        "--sandbox", default="", metavar="ID", help="only if the request still waits for this one"
    )
    approve.add_argument("--group", default="", metavar="NAME", help="which one, for --scope group")
    approve.add_argument("--pattern", default="", help='instead of the host: "*.example.org"')
    approve.add_argument("--why", default="", metavar="REASON", help="a sentence for the user")
    approve.set_defaults(action=_approve)


def _request(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("request", metavar="REQUEST", help="the number that `egress requests` shows")


def _requests(arguments: argparse.Namespace) -> int:
    status = "" if arguments.status == "all" else arguments.status
    before = _number(arguments.before, "--before") if arguments.before else None
    limit = _number(arguments.limit, "--limit")
    found = ask(arguments, lambda client: client.egress_requests(status, arguments.user, before, limit))
    if arguments.json:
        print(json.dumps(found))
        return ExitStatus.OK
    if not found["items"]:
        print("There is no such request.")
        return ExitStatus.OK
    _table(_REQUESTS, [_request_row(item) for item in found["items"]])
    if found["next"] is not None:
        print(f"Older ones: --before {found['next']}")
    return ExitStatus.OK


def _approve(arguments: argparse.Namespace) -> int:
    number = _number(arguments.request, "REQUEST")
    terms = {
        "for": parse_duration(arguments.time, "--for"),
        "scope": arguments.scope,
        "name": arguments.group,
        "why": arguments.why,
        "pattern": arguments.pattern,
        "sandbox": arguments.sandbox,
    }
    found = ask(arguments, lambda client: client.approve_egress(number, terms))
    if arguments.json:
        print(json.dumps(found))
        return ExitStatus.OK
    grant = found["grant"]
    place = f"{grant['pattern']}:{grant['port']}"
    print(f"{place} is open to {_whom(grant)} until {grant['until']} (grant {grant['id']}).")
    _tell_sandboxes(found, "have it now")
    return ExitStatus.OK


def _deny(arguments: argparse.Namespace) -> int:
    number = _number(arguments.request, "REQUEST")
    found = ask(arguments, lambda client: client.deny_egress(number, arguments.why))
    denied = found["request"]
    sentence = f"Request {number} ({denied['host']}:{denied['port']}) is denied; {denied['user']} reads why."
    print(json.dumps(found) if arguments.json else cleaned(sentence))
    return ExitStatus.OK


def _grants(arguments: argparse.Namespace) -> int:
    found = ask(arguments, lambda client: client.egress_grants(not arguments.all))
    if arguments.json:
        print(json.dumps(found))
    elif found["items"]:
        _table(_GRANTS, [_grant_row(item) for item in found["items"]])
    else:
        print("Nothing is given.")
    return ExitStatus.OK


def _revoke(arguments: argparse.Namespace) -> int:
    number = _number(arguments.grant, "GRANT")
    found = ask(arguments, lambda client: client.revoke_egress(number, arguments.why))
    if arguments.json:
        print(json.dumps(found))
        return ExitStatus.OK
    grant = found["grant"]
    place = f"{grant['pattern']}:{grant['port']}"
    if grant["revoked_at"] is None:
        print(f"Grant {number} ({place}) ended by itself at {grant['until']}.")
        return ExitStatus.OK
    print(f"Grant {number} ({place} for {_whom(grant)}) is taken back.")
    _tell_sandboxes(found, "have lost it now")
    return ExitStatus.OK


def _tell_sandboxes(found: dict[str, Any], what: str) -> None:
    print(f"Running sandboxes that {what}: {found['applied']}.")
    for item in found["not_applied"]:
        print(f"  not {item['sandbox']}: {item['message']} ({item['code']})")


def _whom(grant: dict[str, Any]) -> str:
    return cleaned(f"{grant['scope']} {grant['name']}")


def _request_row(item: dict[str, Any]) -> tuple[str, ...]:
    until = item["until"] if item["status"] in ("approved", "expired") else None
    place = f"{item['host']}:{item['port']}{' (internal service of the site)' if item['internal'] else ''}"
    holder = item["sandbox"] if item["sandbox_open"] else f"{item['sandbox']} (ended)"
    names = (item["user"], item["server"] or "-", holder, place, item["asked_at"])
    return (str(item["id"]), item["status"], *names, until or "-", item["why"])


def _grant_row(item: dict[str, Any]) -> tuple[str, ...]:
    place, revoked = f"{item['pattern']}:{item['port']}", item["revoked_at"]
    state = f"taken back at {revoked}" if revoked else "" if item["active"] else "ended"
    return (str(item["id"]), str(item["request"]), place, _whom(item), item["until"], item["by"], state)


def _table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    # Names and reasons may be somebody hostile's, and this is a terminal.
    lines = [heading, *(tuple(cleaned(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _number(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 15):
        raise ConfigurationError(
            f"{field}: {cleaned(text[:40])!r} is not a number.",
            code="wire.invalid",
            field=field,
            remedy="See the numbers: jupyter-sandbox-admin egress requests",
        )
    return int(text)
