"""Does the running control read the policy of its file, say who decides, and live on when OPA does not?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from hub_config.policy.own_opa import OwnOpa
from jupyter_sandbox_spawner.admin.cli import main
from jupyter_sandbox_spawner.rules.admission import Admission
from jupyter_sandbox_spawner.rules.profiles import profile_digest
from jupyter_sandbox_spawner.rules.rulebook_file import parse_rulebook
from jupyter_sandbox_spawner.settings import Environment, write_site
from tests.programs.control_neighbours import asked, spec
from tests.programs.test_control_program import Program, program

__all__ = ["program"]

PROFILES = """
policy: {{opa: {{address: "{address}", timeout: 2}}}}
profiles:
  - {{display_name: A, slug: cpu-small, default: true, sandbox: {{cpu: 1, memory: 1G}}}}
"""


async def _admit(program: Program, text: str, user: str) -> Admission:
    """Control's answer to a start of the file's only profile."""
    (profile,) = parse_rulebook(text).profiles
    digest = profile_digest(profile)
    request = asked(replace(spec(user), profile_digest=digest))
    return await program.hub.admit(replace(request, terms=replace(request.terms, digest=digest)))


@pytest.mark.lane("opa")
async def test_control_says_who_decides_and_lives_on(
    program: Program, opa: OwnOpa, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With OPA's word servers start; after a kill of OPA none does, and control says why."""
    profiles = tmp_path / "profiles.yaml"
    text = PROFILES.format(address=opa.address)
    profiles.write_text(text)
    write_site(
        program.site_file,
        replace(program.site, profiles=str(profiles), environments={"user": Environment(prefix="/user")}),
    )
    await program.start()

    async def status() -> str:
        assert await asyncio.to_thread(main, ["policy", "status", "--site", str(program.site_file)]) == 0
        return capsys.readouterr().out

    assert (await _admit(program, text, "alice")).admitted
    assert "rules+opa" in await status()
    opa.kill()
    refused = await _admit(program, text, "bob")
    assert (refused.admitted, refused.code) == (False, "policy.opa.unavailable")
    shown = await status()
    assert "FAILING since" in shown
    assert "does not answer" in shown
    assert len((await program.admin.sandboxes())["items"]) == 1  # alice's goes on, and control answers
    opa.start()
    assert (await _admit(program, text, "carol")).admitted
    assert "FAILING" not in await status()
