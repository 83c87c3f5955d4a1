"""Which logins of sandboxes at Vault does the broker know nothing of? `secrets reconcile` and `revoke --all`

Law: only an operator of Vault may list accessors, so the token comes from a file that the operator names; it
is used by this command alone and kept nowhere. A lookup shows no token.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, SandboxError
from ..settings import Site, load_site
from ..vault_site import VaultSite
from .exits import ExitStatus
from .secret_asking import add_command, ask_broker, print_table, wrong_input

if TYPE_CHECKING:
    from ..clients.vault import VaultClient

__all__ = ["add_command_to", "revoke_prefix"]

_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class _Login:
    accessor: str
    user: str
    sandbox: str
    seconds: int


def add_command_to(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `secrets reconcile`."""
    reconcile = add_command(
        verbs,
        "reconcile",
        "find logins of sandboxes at Vault that the broker does not know",
        "Such as those of a broker whose directory was lost. They end with their time, by --apply at once.",
    )
    reconcile.add_argument(
        "--token-file",
        metavar="FILE",
        required=True,
        help="an operator's token of Vault, which may list accessors (sudo)",
    )
    reconcile.add_argument("--apply", action="store_true", help="end them; otherwise they are only shown")
    reconcile.set_defaults(action=_reconcile)


def _reconcile(arguments: argparse.Namespace) -> int:
    site = load_site(arguments.site)
    vault, token = _vault(site), _token(arguments.token_file)
    accessors = asyncio.run(_accessors(vault, token))
    # Asked afterwards: what was made in between is in neither.
    known = set(ask_broker(site, lambda client: client.credentials())["ids"])
    strays = asyncio.run(_strays(vault, token, set(accessors) - known, arguments.apply))
    if not strays:
        print("Every login of a sandbox at Vault is known to the broker.")
        return ExitStatus.OK
    rows = [(item.accessor, item.user, item.sandbox, f"{item.seconds} s") for item in strays]
    print_table([("accessor", "user", "sandbox", "ends in"), *rows])
    print(f"{len(strays)} ended." if arguments.apply else f"{len(strays)} found; --apply ends them.")
    return ExitStatus.OK


async def _accessors(vault: VaultSite, token: str) -> tuple[str, ...]:
    from ..clients.vault import VaultClient

    async with VaultClient(vault) as client:
        return await client.list(token, "auth/token/accessors", "the list of accessors")


async def _strays(vault: VaultSite, token: str, unknown: Collection[str], apply: bool) -> list[_Login]:
    from ..clients.vault import VaultClient

    async with VaultClient(vault) as client:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def look(accessor: str) -> _Login | None:
            async with gate:
                found = await _looked_up(client, vault, token, accessor)
                if found is not None and apply:
                    await client.write(token, "auth/token/revoke-accessor", {"accessor": accessor})
                return found

        looked = await asyncio.gather(*(look(item) for item in sorted(unknown)))
    return [item for item in looked if item is not None]


async def _looked_up(client: VaultClient, vault: VaultSite, token: str, accessor: str) -> _Login | None:
    """The login; None where it is nobody's sandbox, or has ended meanwhile."""
    try:
        found = await client.write(token, "auth/token/lookup-accessor", {"accessor": accessor})
    except SandboxError as error:
        if "invalid accessor" in error.message:
            return None
        raise
    if found.data.get("path") != vault.login_path:
        return None
    meta = found.data.get("meta") or {}
    return _Login(
        accessor=accessor,
        user=str(found.data.get("display_name", "")).removeprefix(f"{vault.jwt_mount}-"),
        sandbox=str(meta.get("sandbox", "")),
        seconds=int(found.data.get("ttl") or 0),
    )


def revoke_prefix(site: Site, token_file: str) -> None:
    """End every login of sandboxes at Vault, known or not. Raises SandboxError."""
    vault, token = _vault(site), _token(token_file)

    async def end() -> None:
        from ..clients.vault import VaultClient

        async with VaultClient(vault) as client:
            path = f"sys/leases/revoke-prefix/{vault.login_path}"
            await client.write(token, path, {}, what="a revocation of all logins")

    asyncio.run(end())


def _vault(site: Site) -> VaultSite:
    if site.vault is None:
        raise ConfigurationError(
            "This site has no Vault.", code="secret.needs_vault", remedy="Give setup_hub a vault=..."
        )
    return site.vault


def _token(path: str) -> str:
    try:
        text = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise wrong_input(
            f"{path} cannot be read ({type(error).__name__})", "Name a file that you may read."
        ) from None
    if not text:
        raise wrong_input(
            f"{path} is empty", "Write the operator's token into it, for you alone (mode 0400)."
        )
    return text
