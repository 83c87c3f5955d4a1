"""Is a profiles file right, is it in force, what does it give whom? `jupyter-sandbox-admin profiles`."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..settings import Site, load_site
from ..units import format_duration, format_size
from .exits import ExitStatus

if TYPE_CHECKING:
    from ..rules.profile_explain import ProfileVerdict
    from ..rules.profiles import Profile

__all__ = ["add_commands"]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `profiles` and its commands."""
    profiles = commands.add_parser("profiles", help="work with profiles.yaml")
    verbs = profiles.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = verbs.add_parser(
        "check",
        help="check a profiles.yaml as the hub does",
        description="Checks a profiles.yaml; a problem is shown with file, line, field and what to write.",
    )
    check.add_argument("file", metavar="FILE", help="profiles.yaml")
    check.set_defaults(action=_check)
    schema = verbs.add_parser(
        "schema",
        help="print the JSON Schema of profiles.yaml, for editors",
        description="Prints the JSON Schema. An editor with yaml-language-server uses it where the file"
        " begins with: # yaml-language-server: $schema=profiles.schema.json",
    )
    schema.set_defaults(action=_schema)
    status = verbs.add_parser(
        "status",
        help="say which profiles are in force, and why an edit is not",
        description="Asks control which reading of the file is in force. Status 2 where the file as it is now"
        " is refused.",
    )
    _add_site(status)
    status.add_argument("--json", action="store_true", help="print control's JSON answer")
    status.set_defaults(action=_status)
    listed = verbs.add_parser(
        "list",
        help="list the profiles in force with what each gives and costs",
        description="Asks control; whose profiles these are, what an hour of each costs, and its limits.",
    )
    _add_site(listed)
    listed.add_argument("--json", action="store_true", help="print control's JSON answer")
    listed.set_defaults(action=_list)
    _add_explain(verbs)


def _add_explain(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain = verbs.add_parser(
        "explain",
        help="say what each profile would give a user, and why not",
        description="By the rules of the file alone: what is free at the moment is not looked at.",
    )
    _add_site(explain)
    explain.add_argument("--file", metavar="FILE", help="this file instead of the site's")
    explain.add_argument("--user", metavar="NAME", required=True, help="for whom")
    explain.add_argument(
        "--groups",
        metavar="NAME,...",
        help="who is in these groups; absent: the groups of the user's last server, by control's records",
    )
    explain.add_argument("--json", action="store_true", help="print JSON for scripts")
    explain.set_defaults(action=_explain)


def _add_site(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--site", metavar="FILE", help="RUN_DIR/site.json; default: the one JUPYTER_SANDBOX_SITE names"
    )


def _check(arguments: argparse.Namespace) -> int:
    from .profiles import check_profiles

    slugs = check_profiles(arguments.file)
    print(f"{arguments.file} is right. Profiles: {', '.join(slugs)}.")
    return ExitStatus.OK


def _schema(arguments: argparse.Namespace) -> int:
    from ..rules.profile_schema import schema

    print(json.dumps(schema(), indent=2))
    return ExitStatus.OK


def _status(arguments: argparse.Namespace) -> int:
    found = asyncio.run(_state(load_site(arguments.site)))
    if arguments.json:
        print(json.dumps(found, indent=1))
    elif not found["file"]:
        print("This site has no profiles file; control believes what the hub sends.")
    else:
        since = f"since {found['loaded_at']}" if found["loaded_at"] else "nothing of it"
        print(f"{found['file']}: in force {since}, sha256 {found['digest'] or '-'}")
        print(f"Profiles: {', '.join(found['profiles']) or 'none'}.")
        if found["problem"]:
            print(f"The file as it is now is refused:\n{found['problem']}")
    return ExitStatus.CONFIGURATION if found["problem"] else ExitStatus.OK


async def _state(site: Site) -> Any:
    from ..clients.control import ControlAdminClient, control_socket

    client = ControlAdminClient(control_socket(site, "admin"))
    try:
        return await client.profiles()
    finally:
        await client.close()


def _list(arguments: argparse.Namespace) -> int:
    from .ps import ask

    found = ask(arguments, lambda client: client.profile_list())
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    if not found["profiles"]:
        print("Control has no profiles: this site has no file of them, or none of it could be read.")
    for item in found["profiles"]:
        groups = item["allowed_groups"]
        whose = "everybody" if groups is None else f"group {' or '.join(groups)}" if groups else "nobody"
        price = item["price_per_hour"]
        cost = "" if price is None else f", {price:.2f} {found['currency']} an hour"
        gpu = f", {item['gpu']['count']} GPU ({item['gpu']['kind']})" if item["gpu"] else ""
        print(f"{item['slug']} ({item['display_name']}): for {whose}{cost}")
        print(f"  {item['cpu']:g} cores, {format_size(item['memory'])}{gpu}")
    return ExitStatus.OK


def _explain(arguments: argparse.Namespace) -> int:
    from ..rules.profile_explain import explain, time_words, verdict_view
    from ..rules.profiles import for_runtimes
    from .profiles import read_book

    if arguments.file:
        book = read_book(arguments.file)
        profiles = book.profiles
    else:
        site = load_site(arguments.site)
        book = read_book(_file(site), site.environments)
        profiles = for_runtimes(book.profiles, site.runtimes)
    groups = _groups(arguments)
    found = explain(profiles, arguments.user, groups)
    now = datetime.now(timezone.utc)
    times = [time_words(book.lifetime, now, item.gives, groups) if item.gives else "" for item in found]
    if arguments.json:
        offered = [verdict_view(item, time) for item, time in zip(found, times, strict=True)]
        print(json.dumps({"user": arguments.user, "groups": groups, "profiles": offered}, indent=1))
        return ExitStatus.OK
    print(f"As for {arguments.user} in: {', '.join(groups) or 'no group'}.")
    for verdict, time in zip(found, times, strict=True):
        _print(verdict)
        if time:
            print(f"  time: {time}")
    return ExitStatus.OK


def _file(site: Site) -> str:
    if site.profiles:
        return site.profiles
    raise ConfigurationError(
        "The profiles of this site are not in a file.",
        code="profiles.no_file",
        remedy="Look at the list that jupyterhub_config.py gives to setup_hub.",
    )


def _groups(arguments: argparse.Namespace) -> list[str]:
    from .secret_explain import last_groups

    if arguments.groups is not None:
        return sorted({name.strip() for name in arguments.groups.split(",") if name.strip()})
    if arguments.file and not arguments.site:
        return []
    return sorted(asyncio.run(last_groups(load_site(arguments.site), arguments.user)) or ())


def _print(verdict: ProfileVerdict) -> None:
    print(f"\n{verdict.slug} ({verdict.display_name}): {'no. ' + verdict.why if verdict.why else 'yes'}")
    if verdict.gives is not None:
        print(f"  gives: {', '.join(_said(verdict.gives))}")
    for choice in verdict.choices:
        default = " (default)" if choice.default else ""
        print(f"  {choice.option} = {choice.choice}{default}: {'no. ' + choice.why if choice.why else 'yes'}")
    for name in verdict.texts:
        print(f"  {name} = a text of the user's")
    if verdict.secrets:
        print(f"  secrets: {', '.join(verdict.secrets)}")
    for line in verdict.withheld:
        print(f"  not the secret {line}")


def _said(profile: Profile) -> list[str]:
    cores = profile.resources.cpu
    found = [f"{cores:g} {'core' if cores == 1 else 'cores'}", format_size(profile.resources.memory)]
    if profile.gpu:
        found.append(f"{profile.gpu.count} GPU ({profile.gpu.kind})")
    if profile.ttl:
        found.append(f"at most {format_duration(profile.ttl)}")
    network = ", ".join(rule.text or rule.pattern for rule in profile.egress.rules)
    found.append(f"network: {network or 'none'}")
    if profile.datasets:
        found.append(f"data: {', '.join(profile.datasets)}")
    return found
