"""How does an admin end credentials, exchange keys, move to Vault? `secrets status | revoke | keys | copy`"""

from __future__ import annotations

import argparse
import json

from ..errors import SandboxError
from ..settings import load_site
from . import vault_accessors
from .exits import ExitStatus
from .secret_asking import add_command, ask_broker, wrong_input

__all__ = ["add_commands"]


def add_commands(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `secrets status`, `revoke`, `keys`, `rotate-keys` and `copy`."""
    status = add_command(
        verbs, "status", "say whether secrets can be read, and what waits to be ended", "Asks the broker."
    )
    status.add_argument("--json", action="store_true", help="print JSON for scripts")
    status.set_defaults(action=_status)
    revoke = add_command(
        verbs,
        "revoke",
        "end what sandboxes hold, now, and give them nothing more",
        "Ends every credential that was made for them, and cuts them off from secrets as long as they run. "
        "A server that is started anew may read again. Static values that were read stay known: change them.",
    )
    whom = revoke.add_mutually_exclusive_group(required=True)
    whom.add_argument("--user", metavar="NAME", help="all running servers of this user")
    whom.add_argument("--sandbox", metavar="ID", help="this sandbox")
    whom.add_argument("--all", action="store_true", help="every running server")
    revoke.add_argument(
        "--token-file",
        metavar="FILE",
        help="with --all: an operator's token of Vault; ends also logins that the broker does not know",
    )
    revoke.add_argument("--json", action="store_true", help="print JSON for scripts")
    revoke.set_defaults(action=_revoke)
    vault_accessors.add_command_to(verbs)
    _add_moving(verbs)


def _add_moving(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keys = add_command(
        verbs,
        "keys",
        "print the public keys by which Vault knows sandboxes",
        "PEM, for `hub_config/vault/setup --jwt-key FILE`. Vault may also fetch them from the hub's "
        "services/sandbox/.well-known/jwks.json.",
    )
    keys.add_argument("--json", action="store_true", help="print a JSON Web Key Set")
    keys.set_defaults(action=_keys)
    rotate = add_command(
        verbs,
        "rotate-keys",
        "make the next signing key",
        "It is published at once and signs a day later, so that Vault knows it in time; `keys` prints both.",
    )
    rotate.set_defaults(action=_rotate)
    copy = add_command(
        verbs,
        "copy",
        "copy secrets from the built-in store to Vault",
        "The built-in store keeps them; remove its files when everything works.",
    )
    copy.add_argument("names", metavar="NAME", nargs="*", help="absent: all")
    copy.add_argument("--overwrite", action="store_true", help="also those that Vault has already")
    copy.add_argument("--dry-run", action="store_true", help="only say what would be done")
    copy.set_defaults(action=_copy)


def _status(arguments: argparse.Namespace) -> int:
    found = ask_broker(load_site(arguments.site), lambda client: client.state())
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        name = "Vault" if found["kind"] == "vault" else "The built-in store"
        print(f"{name} can be used." if found["ok"] else f"{found['message']} {found['remedy']}")
        print(f"{found['held']} credentials are held by sandboxes; {found['pending']} wait to be ended.")
        if found["cut_off"]:
            print(f"Cut off from secrets: {', '.join(found['cut_off'])}.")
    return ExitStatus.OK if found["ok"] else ExitStatus.PROGRAM_MISSING


def _revoke(arguments: argparse.Namespace) -> int:
    from ..clients.broker import Whom

    whom = Whom(user=arguments.user or "", sandbox=arguments.sandbox or "", everybody=arguments.all)
    if arguments.token_file and not arguments.all:
        raise wrong_input("--token-file ends everybody's logins", "Use it with --all, or leave it out.")
    site = load_site(arguments.site)
    try:
        found = ask_broker(site, lambda client: client.revoke(whom))
    except SandboxError:
        if arguments.token_file:
            # Whatever became of the broker: at Vault everything ends.
            vault_accessors.revoke_prefix(site, arguments.token_file)
            print(
                "Every login of a sandbox at Vault has ended; servers are not cut off, as the broker says no."
            )
        raise
    if arguments.token_file:
        vault_accessors.revoke_prefix(site, arguments.token_file)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return ExitStatus.OK
    count = len(found["sandboxes"])
    print(f"{found['ended']} credentials have ended; {count} running servers get no more secrets.")
    if found["queued"]:
        print(f"{found['queued']} wait until Vault answers; they are ended as soon as it does.")
    print("Static values that were read stay known: jupyter-sandbox-admin secrets reads --static")
    return ExitStatus.OK


def _keys(arguments: argparse.Namespace) -> int:
    found = ask_broker(load_site(arguments.site), lambda client: client.keys())
    print(json.dumps({"keys": found["keys"]}, indent=1) if arguments.json else "".join(found["pems"]), end="")
    return ExitStatus.OK


def _rotate(arguments: argparse.Namespace) -> int:
    found = ask_broker(load_site(arguments.site), lambda client: client.rotate())
    print(f"The key {found['kid']} is published, and signs from tomorrow on.")
    print("Where Vault does not fetch keys, give it all of: jupyter-sandbox-admin secrets keys")
    return ExitStatus.OK


def _copy(arguments: argparse.Namespace) -> int:
    from ..clients.broker import Copying

    asked = Copying(names=tuple(arguments.names), overwrite=arguments.overwrite, dry_run=arguments.dry_run)
    found = ask_broker(load_site(arguments.site), lambda client: client.copy(asked))
    for name in found["copied"]:
        print(f"{'would be copied' if arguments.dry_run else 'copied':<16} {name}")
    for name in found["kept"]:
        print(f"{'kept in Vault':<16} {name}")
    if not found["copied"] and found["kept"]:
        print("Nothing was copied; --overwrite replaces what Vault has.")
    return ExitStatus.OK
