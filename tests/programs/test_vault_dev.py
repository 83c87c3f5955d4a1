"""Does scripts/vault-dev give a person a Vault that works, keep its secrets to her, and leave nothing?"""

from __future__ import annotations

import ast
import json
import os
import signal
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.setup_vault import vault_site
from tests.lanes import CHECKOUT
from tests.support.jwts import claims, new_key, public_pem, sign

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("vault")
SCRIPT = CHECKOUT / "scripts/vault-dev"
LAST = "for jupyterhub_config.py:"


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The script, once it has told where everything is, with its lines."""
    process = subprocess.Popen(
        [SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if LAST in line:
                break
        yield process, lines
    finally:
        process.terminate()
        lines += process.stdout.readlines()
        process.wait(30)
        process.stdout.close()


def in_a_shell(directory: Path, command: str) -> str:
    """What a person sees who sources the file and types this."""
    line = f". {directory}/environment; {command}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout


def answers(address: str) -> bool:
    """Does anybody answer there?"""
    try:
        with urllib.request.urlopen(f"{address}/v1/sys/health", timeout=5) as answer:
            return bool(json.load(answer)["initialized"])
    except urllib.error.URLError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(tmp_path: Path, control: Control, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end Vault, remove the files, and the status is 0."""
    directory = tmp_path / "files"
    with running("--directory", str(directory)) as (process, lines):
        assert any(LAST in line for line in lines), "".join(lines)
        address = json.loads((directory / "site.json").read_text())["address"]
        control("it answers", answers(address))
        os.killpg(process.pid, number)  # as a terminal does: to the whole group
        assert process.wait(30) == 0
    assert "ended; nothing is left" in "".join(lines)
    assert not answers(address)
    assert not directory.exists()


def test_a_person_can_use_it(tmp_path: Path) -> None:
    """The address and token of the file work with curl, and a sandbox logs in with the key that was given."""
    directory, key = tmp_path / "files", new_key()
    (tmp_path / "key.pem").write_text(public_pem(key))
    with running("--directory", str(directory), "--jwt-key", str(tmp_path / "key.pem")):
        curl = 'curl -sS -H "X-Vault-Token: $VAULT_TOKEN" '
        body = """-d '{"data": {"password": "p-1"}}' """
        in_a_shell(directory, f"{curl} {body} $VAULT_ADDR/v1/secret/data/users/alice/db")
        login = json.dumps({"role": "sandbox", "jwt": sign(key, claims("alice"))})
        answer = json.loads(
            in_a_shell(directory, f"curl -sS -d '{login}' $VAULT_ADDR/v1/auth/jwt-sandbox/login")
        )
        token = answer["auth"]["client_token"]
        path = "$VAULT_ADDR/v1/secret/data/users/alice/db"
        read = json.loads(in_a_shell(directory, f'curl -sS -H "X-Vault-Token: {token}" {path}'))
        assert read["data"]["data"] == {"password": "p-1"}


def test_no_secret_is_printed(tmp_path: Path, control: Control) -> None:
    """Root token, unseal key and secret id are in files 0600 in a directory 0700, and nowhere else."""
    directory = tmp_path / "files"
    with running("--directory", str(directory)) as (_, lines):
        files = {
            name: directory / name
            for name in ("environment", "unseal-key", "secret-id", "role-id", "site.json")
        }
        modes = {name: stat.S_IMODE(file.stat().st_mode) for name, file in files.items()}
        assert set(modes.values()) == {0o600}, modes
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        root = in_a_shell(directory, "echo $VAULT_TOKEN").strip()
        secret = [root, *(files[name].read_text().strip() for name in ("unseal-key", "secret-id"))]
        control("there are secrets", min(map(len, secret)) > 20)
        arguments = b"".join(
            file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()
        )
        control("arguments are read", b"vault-dev" in arguments or b"hub_config.vault.dev" in arguments)
    assert [word for word in secret if word in "".join(lines) or word.encode() in arguments] == []


def test_the_setting_it_prints_is_one(tmp_path: Path) -> None:
    """What it says for jupyterhub_config.py is accepted as `vault`, and names its address and files."""
    with running("--directory", str(tmp_path / "files")) as (_, lines):
        written = lines[-1].partition("vault=")[2].strip().removesuffix(")")
        site = vault_site(ast.literal_eval(written))
        assert site is not None
        assert answers(site.address)
        assert Path(site.role_id_file).read_text().strip()
        assert Path(site.secret_id_file).read_text().strip()


@pytest.mark.lane("root")
def test_the_broker_can_be_let_in(tmp_path_factory: pytest.TempPathFactory, control: Control) -> None:
    """With --owner that user reads role id and secret id, and neither lists the directory nor reads more."""
    with running("--owner", "65534") as (_, lines):
        directory = Path(
            ast.literal_eval(lines[-1].partition("vault=")[2].strip().removesuffix(")"))["role_id_file"]
        ).parent

        def opens(name: str) -> bool:
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", directory / name]
            return subprocess.run(command, capture_output=True, check=False).returncode == 0

        control("what it logs in with", opens("role-id") and opens("secret-id"))
        assert not any(opens(name) for name in ("environment", "unseal-key", "site.json", "."))


def test_a_directory_that_others_read_is_refused(tmp_path: Path) -> None:
    """The sentence has the command that closes it, and Vault is not started."""
    (tmp_path / "open").mkdir(mode=0o755)
    done = subprocess.run(
        [SCRIPT, "--directory", tmp_path / "open"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, f"chmod 700 {tmp_path / 'open'}" in done.stderr) == (1, True)
    assert list((tmp_path / "open").iterdir()) == []


def test_a_directory_of_ones_own_is_kept(tmp_path: Path) -> None:
    """What was in it before is there afterwards, and nothing else."""
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "mine/notes").write_text("kept")
    with running("--directory", str(tmp_path / "mine")):
        assert (tmp_path / "mine/site.json").exists()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes"]


def test_an_option_that_nobody_knows_ends_it(tmp_path: Path) -> None:
    """The set-up's own sentence is shown, Vault is stopped, and nothing is left."""
    command = [SCRIPT, "--directory", tmp_path / "files", "--nonsense", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "no option --nonsense" in done.stderr) == (1, True)
    assert not (tmp_path / "files").exists()


def test_help_says_what_it_writes() -> None:
    """`--help` names the files and starts nothing."""
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("site.json", "secret-id", "--postgres", "--jwt-key"))


@pytest.mark.lane("postgresql")
def test_a_database_comes_along(tmp_path: Path) -> None:
    """With --postgres Vault makes users of a real PostgreSQL, which psql sees as its superuser."""
    directory = tmp_path / "files"
    with running("--directory", str(directory), "--postgres"):
        curl = 'curl -sS -H "X-Vault-Token: $VAULT_TOKEN" '
        lease = json.loads(in_a_shell(directory, f"{curl} $VAULT_ADDR/v1/database/creds/warehouse"))
        assert lease["data"]["username"].startswith("sb_")
        users = in_a_shell(directory, "psql -At -c \"SELECT rolname FROM pg_roles WHERE rolname LIKE 'sb%'\"")
        assert users == lease["data"]["username"] + "\n"
        host, port = json.loads((directory / "site.json").read_text())["postgres"].split(":")
        assert host == "127.0.0.1"
        assert port == in_a_shell(directory, "echo $PGPORT").strip()
