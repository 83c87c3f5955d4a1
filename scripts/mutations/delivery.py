"""Which guards of what git, pip, boto3 and a notebook get must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_INSIDE = "jupyter_sandbox_spawner/singleuser"
_PLACES = f"{_INSIDE}/secret_places.py"
_GIT = f"{_INSIDE}/git_credential.py"
_TOKEN = f"{_INSIDE}/vault_token.py"
_WRAPPING = f"{_INSIDE}/vault_wrapping.py"
_USE = f"{_INSIDE}/secret_use.py"
_BROKER = "jupyter_sandbox_spawner/broker/secrets_api.py"
_TEST_GIT = "tests/singleuser/test_git_credential.py"
_TEST_TOKEN = "tests/singleuser/test_vault_token.py"

GUARDS = (
    Guard(
        name="delivery: exactly the granted host",
        file=_PLACES,
        pattern=r"and item\.host == wanted",
        replacement="and wanted.endswith(item.host)",
        tests=f"{_TEST_GIT} -k any_other_place",
    ),
    Guard(
        name="delivery: of the kind that asks",
        file=_PLACES,
        pattern=r'if item\.kind == kind and item\.delivery == "value"',
        replacement='if item.delivery == "value"',
        tests=f"{_TEST_GIT} -k another_kind",
    ),
    Guard(
        name="delivery: keyring answers https only",
        file=_PLACES,
        pattern=r'if plain and url\.startswith\("https://"\)',
        replacement="if plain",
        tests="tests/singleuser/test_keyring.py -k any_other_place",
    ),
    Guard(
        name="delivery: git over https only",
        file=_GIT,
        pattern=r'elif asked\.get\("protocol"\) == "https" and asked',
        replacement="elif asked",
        tests=f"{_TEST_GIT} -k any_other_place",
    ),
    Guard(
        name="delivery: git says a thing once",
        file=_GIT,
        pattern=r"or name in found or",
        replacement="or",
        tests=f"{_TEST_GIT} -k any_other_place",
    ),
    Guard(
        name="delivery: no line of a value's own for git",
        file=_GIT,
        pattern=r'for letter in "\\n\\r\\0"',
        replacement='for letter in ""',
        tests=f"{_TEST_GIT} -k add_a_line",
    ),
    Guard(
        name="delivery: the token for the proxy's paths only",
        file=_PLACES,
        pattern=r"and url\.startswith\(proxy_url\(item\.name\)\)",
        replacement="",
        tests=f"{_TEST_GIT} -k own_door",
    ),
    Guard(
        name="delivery: a user's own helper sees no value",
        file="jupyter_sandbox_spawner/hub/git_settings.py",
        pattern=r'yield f"credential\.\{address\}\.helper", ""',
        replacement="yield from ()",
        tests="tests/singleuser/test_git.py -k nothing_pasted",
    ),
    Guard(
        name="delivery: no expired keys for boto3",
        file=_USE,
        pattern=r"if end <= now:",
        replacement="if end is None:",
        tests="tests/singleuser/test_boto3.py -k keys_that_ended",
    ),
    Guard(
        name="delivery: nothing half set",
        file=_USE,
        pattern=r'if "\\0" in value or size < 0:',
        replacement="if size < 0:",
        tests="tests/singleuser/test_secret_use.py -k half_set",
    ),
    Guard(
        name="delivery: no terminal sees a login",
        file=f"{_INSIDE}/secret_programs.py",
        pattern=r"if sys\.stdout\.isatty\(\):",
        replacement="if not sys.stdout:",
        tests=f"{_TEST_GIT} -k terminal",
    ),
    Guard(
        name="delivery: names remembered for a minute",
        file=f"{_INSIDE}/secret_list.py",
        pattern=r"if time\.monotonic\(\) - self\._at < _REMEMBERED else None",
        replacement="",
        tests="tests/singleuser/test_secret_list.py -k remembered",
    ),
    Guard(
        name="direct: only what the broker's call made is opened",
        file=_TOKEN,
        pattern=r"if not expected or made_at != expected:",
        replacement="if not made_at:",
        tests=f"{_TEST_TOKEN} -k another_making",
    ),
    Guard(
        name="direct: no token on a disk",
        file=_TOKEN,
        pattern=r"if _filesystem\(real\) not in _IN_MEMORY:",
        replacement="if not real:",
        tests=f"{_TEST_TOKEN} -k place_that_lasts",
    ),
    Guard(
        name="direct: the file is its owner's alone",
        file=_TOKEN,
        pattern=r"0o400",
        replacement="0o644",
        tests=f"{_TEST_TOKEN} -k one_file",
    ),
    Guard(
        name="direct: an alarm is sent",
        file=_TOKEN,
        pattern=r'ask\(f"/\{name\}/alarm", \{"code": code\}, timeout=PATIENCE, of="secrets"\)',
        replacement="pass",
        tests=f"{_TEST_TOKEN} -k is_an_alarm",
    ),
    Guard(
        name="direct: Vault's redirects are not followed",
        file=_WRAPPING,
        pattern=r"build_opener\(_NoRedirect\)",
        replacement="build_opener()",
        tests=f"{_TEST_TOKEN} -k is_no_alarm",
    ),
    Guard(
        name="direct: an https Vault",
        file=_WRAPPING,
        pattern=r'if not \(parts\.scheme == "https" or local\) or',
        replacement="if",
        tests=f"{_TEST_TOKEN} -k only_an_https",
    ),
    Guard(
        name="broker: known alarms only",
        file=_BROKER,
        pattern=r"if code not in ALARMS:",
        replacement="if not code:",
        tests="tests/programs/test_secrets_inside.py -k known_alarm",
    ),
    Guard(
        name="broker: alarms about an own token only",
        file=_BROKER,
        pattern=r'if not any\(grant\.name == name and grant\.kind == "vault" for grant in granted\.grants\):',
        replacement="if not granted:",
        tests="tests/programs/test_secrets_inside.py -k known_alarm",
    ),
)
