"""What runs behind scripts/vault-dev? A Vault in memory, set up as a site's, until Ctrl-C or SIGTERM.

Law: no secret is printed, not even at a terminal, whose scroll-back others may read; they lie in files, 0600.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from hub_config.vault.own_postgres import DATABASE, OwnPostgres
from hub_config.vault.own_vault import OwnVault, Refused

__all__ = ["main"]

SITE = "site.json"
EPILOG = f"""\
Every other option goes to hub_config/vault/setup, such as --jwt-key FILE or --jwks-url URL (without one of
them no sandbox can log in) or --shared 'shared/*'; see hub_config/vault/setup --help.

It writes into the directory, all with mode 0600:
  {SITE}      address, paths of the files below, version: for programs
  environment    VAULT_ADDR and VAULT_TOKEN (root) for a shell: . DIRECTORY/environment
                 with --postgres also PGHOST and such, for psql as its superuser
  role-id, secret-id   what the broker logs in with; the secret id is wrapped: to unwrap once, within 24 h
  unseal-key     to unseal it after you have sealed it
Everything in Vault is in memory and gone when it ends, and these files with it.
"""


class _Ended(Exception):
    """Somebody wants it to end."""


def main() -> None:
    """Run until told to end."""
    arguments, for_setup = _parser().parse_known_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        with ExitStack() as stack:
            _run(stack, arguments, for_setup)
    except _Ended:
        _say("ended; nothing is left")
    except (RuntimeError, Refused, OSError) as error:
        sys.exit(f"vault-dev: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/vault-dev",
        description="A real Vault on this machine, set up for sandboxes. No site's: it speaks plain HTTP.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1 (default: a free one)")
    parser.add_argument("--directory", type=Path, help="for the files below (default: a new one in /tmp)")
    parser.add_argument("--owner", default="", help="user who may read role-id and secret-id: the broker's")
    parser.add_argument(
        "--postgres",
        action="store_true",
        help=f"also a PostgreSQL with users by Vault: database/creds/{DATABASE}",
    )
    return parser


def _end(number: int, frame: FrameType | None) -> NoReturn:
    # A second signal must not break off what the first one started.
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise _Ended


def _say(text: str) -> None:
    print(f"vault-dev: {text}", flush=True)


def _run(stack: ExitStack, arguments: argparse.Namespace, for_setup: Sequence[str]) -> None:
    directory = stack.enter_context(_directory(arguments.directory))
    vault = OwnVault(directory / "vault", port=arguments.port)
    stack.callback(vault.stop)
    vault.start()
    vault.initialise()
    options = [*for_setup, "--role-id", str(directory / "role-id")]
    options += ["--secret-id", str(directory / "secret-id"), "--wrap-ttl", "24h"]
    postgres = OwnPostgres() if arguments.postgres else None
    if postgres:
        stack.callback(postgres.stop)
        postgres.start()
        options += ["--database", DATABASE, "--postgres", postgres.url]
        options += ["--password-file", str(postgres.password_file)]
    print(vault.set_up(*options).stdout, end="", flush=True)
    _give_away(directory, arguments.owner)
    _write_files(directory, vault, postgres)
    _tell(directory, vault, arguments.postgres)
    vault.wait()
    raise RuntimeError(f"Vault ended by itself:\n{vault.log[-3000:]}")


@contextmanager
def _directory(chosen: Path | None) -> Iterator[Path]:
    """The directory, 0700, without our files before and after; one that was not there is removed."""
    ours = chosen is None or not chosen.exists()
    directory = Path(tempfile.mkdtemp(prefix="vault-dev-")) if chosen is None else chosen.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_mode & 0o077:
        raise RuntimeError(
            f"Others may look into {directory}, where secrets would lie; run: chmod 700 {directory}"
        )
    try:
        yield directory
    finally:
        for name in (SITE, "environment", "role-id", "secret-id", "unseal-key"):
            (directory / name).unlink(missing_ok=True)
        shutil.rmtree(directory / "vault", ignore_errors=True)
        if ours:
            directory.rmdir()


def _give_away(directory: Path, owner: str) -> None:
    """Let the broker read what it logs in with, where it runs under a uid of its own."""
    if not owner:
        return
    try:
        for name in ("role-id", "secret-id"):
            shutil.chown(directory / name, int(owner) if owner.isdigit() else owner)
    except LookupError as error:
        raise RuntimeError(f"There is no user {owner}; give a name or a uid with --owner") from error
    directory.chmod(0o711)  # it may open what it knows the name of, and list nothing


def _write_files(directory: Path, vault: OwnVault, postgres: OwnPostgres | None) -> None:
    site = {
        "address": vault.address,
        "version": vault.call("GET", "sys/health")["version"],
        "role_id_file": str(directory / "role-id"),
        "secret_id_file": str(directory / "secret-id"),
        "environment_file": str(directory / "environment"),
        "unseal_key_file": str(directory / "unseal-key"),
    }
    environment = {"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.root_token}
    if postgres:
        site["postgres"] = f"127.0.0.1:{postgres.port}"
        place = {"PGHOST": str(postgres.directory), "PGPORT": str(postgres.port)}
        environment |= {**place, "PGUSER": "postgres", "PGDATABASE": DATABASE}
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()]
    _write(directory / "environment", "".join(lines))
    _write(directory / "unseal-key", vault.unseal_key + "\n")
    # The last one: whoever waits for it finds the others.
    _write(directory / SITE, json.dumps(site, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.rename(path)


def _tell(directory: Path, vault: OwnVault, postgres: bool) -> None:
    _say(f"Vault runs at {vault.address}, in memory; Ctrl-C ends it")
    _say(f"as its root in a shell:   . {shlex.quote(str(directory / 'environment'))}")
    _say(f"address and files:        {directory / SITE}")
    _say(f"the broker's role id:     {directory / 'role-id'}")
    _say(f"its wrapped secret id:    {directory / 'secret-id'} (once, within 24 h)")
    if postgres:
        _say(f"users of a PostgreSQL:    database/creds/{DATABASE}")
    files = {"role_id_file": str(directory / "role-id"), "secret_id_file": str(directory / "secret-id")}
    _say(f"for jupyterhub_config.py: setup_hub(c, ..., vault={ {'address': vault.address, **files} })")


if __name__ == "__main__":
    main()
