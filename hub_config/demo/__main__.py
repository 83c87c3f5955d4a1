"""What does `scripts/demo` show? A running product to try by hand, or the whole story as a table (--check).

Exit status: 0 all well, 1 a step failed or something was left over, 2 the product did not start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from jupyter_sandbox_spawner.errors import SandboxError

from .cells import REFUSED_HOST
from .running import DemoError, RunningSite, running_site
from .story import Step, Story
from .upstream import MIRROR_HOST, PACKAGE
from .vault import keys_hint, use_vault

__all__ = ["main"]

_TO_TRY = f"""\
Log in, choose a profile that allows {MIRROR_HOST}, open a notebook and try:

  import urllib.request as u
  u.urlopen("http://{MIRROR_HOST}/").read()      # an allowed host answers
  u.urlopen("http://{REFUSED_HOST}/")                   # 403 Blocked by sandbox: {REFUSED_HOST}; ...
  %pip install {PACKAGE}
  %sandbox secrets                              # names, no values; then %%sandbox secrets use NAME
"""
_SECRETS_ONLY = """\
Log in, open a notebook and try:

  %sandbox secrets                              # names, no values; then %%sandbox secrets use NAME
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="play the story of a user and print a table")
    parser.add_argument("--json", action="store_true", help="with --check: print JSON instead of the table")
    parser.add_argument(
        "--port", type=int, default=0, metavar="N", help="the hub's port (default: a free one)"
    )
    parser.add_argument(
        "--profiles", type=Path, metavar="FILE", help="these profiles instead of the demo's own"
    )
    parser.add_argument(
        "--vault",
        type=Path,
        metavar="FILE",
        help="secrets come from Vault: the site.json of scripts/vault-dev",
    )
    parser.add_argument("--keep", action="store_true", help="leave homes, database and logs for a look")
    options = parser.parse_args()
    if options.check and (options.profiles or options.vault):
        parser.error("--check plays its story with the demo's own profiles and store of secrets")
    if options.profiles and not options.profiles.is_file():
        parser.error(f"--profiles: there is no file {options.profiles}")
    return options


def _say(text: str) -> None:
    print(text, flush=True)


def _invitation(running: RunningSite, own_profiles: bool, keys: str) -> str:
    people = "\n".join(
        f"  {name:8} {password}"
        + {"alice": "   group research: try CPU large", "admin": "   an admin"}.get(name, "")
        for name, password in running.passwords.items()
    )
    return f"""
The hub is at {running.base}

  user     password
{people}

{_SECRETS_ONLY if own_profiles else _TO_TRY}
Logs: {running.state_dir}/logs
For commands of the admin, in another terminal:
  export PATH={Path(sys.executable).parent}:$PATH JUPYTER_SANDBOX_SITE={running.run_dir}/site.json
{keys}Ctrl-C ends everything and leaves nothing behind.
"""


def _prepare(options: argparse.Namespace, running: RunningSite) -> None:
    if options.profiles:
        # A copy: the person's own file may lie where the programs' uids cannot look, such as root's home.
        copy = running.root / "own-profiles.yaml"
        copy.write_bytes(options.profiles.read_bytes())
        copy.chmod(0o644)
        running.variables = {**running.variables, "SANDBOX_PROFILES": str(copy)}
    if options.vault:
        use_vault(options.vault, running)


def _uids(running: RunningSite) -> str:
    """Which protection between the programs this demo has."""
    if os.geteuid() != 0:
        return (
            f"Not root: all programs share the uid {os.geteuid()}; each person's sandboxes have a uid of"
            " /etc/subuid. Limits that the kernel does not hold here are called soft."
        )
    if running.shared_uid:
        return f"All programs share one uid (one_uid=True): {running.shared_uid}."
    return "Each program runs under a uid of its own; only the launcher is root."


def _row(step: Step) -> str:
    return (
        f"{'ok  ' if step.ok else 'FAIL'} {step.seconds:7.2f} s  {step.name}\n                 {step.detail}"
    )


def _end(running: RunningSite, keep: bool) -> Step:
    """The last step: what is left of the site after it ended."""
    found = running.after.found() if running.after else ["nobody looked"]
    kept = f"; {running.root} is kept, as you asked" if keep else ""
    left = not keep and running.root.exists()
    if left:
        found.append(f"directories: {running.root}")
    detail = "; ".join(found) or f"no process, cgroup, mount, socket or directory left over{kept}"
    return Step("nothing left over", not found, detail, 0.0)


async def _check(options: argparse.Namespace) -> int:
    def told(step: Step) -> None:
        if not options.json:
            _say(_row(step))

    async with running_site(port=options.port, keep=options.keep) as running:
        if not options.json:
            _say(_uids(running))
        story = Story(running, told)
        steps = await story.play()
        failed = [step for step in steps if not step.ok]
        log = running.log() if failed else ""
    steps.append(_end(running, options.keep))
    told(steps[-1])
    ok = all(step.ok for step in steps)
    if log:
        print(f"--- the programs' log ---\n{log}", file=sys.stderr)
    if options.json:
        _say(json.dumps({"ok": ok, "steps": [asdict(step) for step in steps]}, indent=1))
    else:
        _say(f"{sum(step.ok for step in steps)} of {len(steps)} steps passed")
    return 0 if ok else 1


async def _show(options: argparse.Namespace) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    _say("Starting hub, proxy, launcher and gateway ...")
    site = running_site(
        port=options.port,
        keep=options.keep,
        stopping=stopping,
        prepare=partial(_prepare, options),
    )
    async with site as running:
        if running.process is None:
            raise DemoError("The programs were not started.")
        _say(_uids(running))
        if running.base:
            _say(_invitation(running, bool(options.profiles), await keys_hint(running)))
        ended = asyncio.create_task(running.process.wait())
        wanted = asyncio.create_task(stopping.wait())
        await asyncio.wait({ended, wanted}, return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, wanted):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        _say("\nEnding ..." if stopping.is_set() else f"The programs ended by themselves:\n{running.log()}")
    last = _end(running, options.keep)
    _say(_row(last))
    return 0 if last.ok and stopping.is_set() else 1


def main() -> int:
    """Run one of the two; errors as one sentence."""
    options = _arguments()
    try:
        return asyncio.run(_check(options) if options.check else _show(options))
    except (DemoError, SandboxError, TimeoutError, asyncio.TimeoutError) as error:
        print(f"The demo cannot go on: {error or type(error).__name__}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
