"""Does boto3 find its keys by itself, and new ones when they expire?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import botocore.credentials
import botocore.session
import pytest

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.singleuser import secret_use
from jupyter_sandbox_spawner.singleuser.commands import ExitStatus, main
from tests.singleuser.brokerapi import ABOUT, CANARY, SECRETS, about, broker_answers, give, lists
from tests.singleuser.sandbox import eventually
from tests.singleuser.selfapi import SelfApi
from tests.singleuser.shim import command_on_path
from tests.singleuser.test_secret_use import command

Control = Callable[[str, bool], None]
CONFIG = Path(secret_use.__file__).parent / "inside/etc/aws/config"


@pytest.fixture
def broker(api: SelfApi) -> SelfApi:
    """A broker with s3/lab of kind aws."""
    return broker_answers(api)


KEYS = {"access_key_id": "AKX", "secret_access_key": CANARY}


def in_boto3(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code with `session`, a botocore session that is set up as in a sandbox."""
    return subprocess.run(
        [sys.executable, "-c", f"import botocore.session\nsession = botocore.session.get_session()\n{code}"],
        env={
            **os.environ,
            "PATH": command_on_path(tmp_path),
            "AWS_CONFIG_FILE": str(CONFIG),
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.proves("S15")
def test_boto3_gets_its_keys_by_itself(broker: SelfApi, tmp_path: Path) -> None:
    """A real botocore reads the shipped configuration, runs the command and has the keys, with an end."""
    give(broker, "s3/lab", kind="aws", environment={}, fields=KEYS)
    code = (
        "found = session.get_credentials()\n"
        "print(type(found).__name__, found.method, found.get_frozen_credentials().access_key,"
        f" found.get_frozen_credentials().secret_key == {CANARY!r})"
    )
    done = in_boto3(tmp_path, code)
    assert done.stdout == "RefreshableCredentials custom-process AKX True\n", done.stderr


class Expiring:
    """Keys that a store makes: each lives for some seconds, and is followed by the next."""

    def __init__(self, seconds: float) -> None:
        self._lasts = timedelta(seconds=seconds)
        self._number = 0
        self.end = datetime.now(timezone.utc)

    def __call__(self) -> dict[str, Any]:
        """The broker's answer now."""
        now = datetime.now(timezone.utc)
        if now >= self.end:
            self._number += 1
            # Whole seconds, as the broker tells them.
            self.end = (now + self._lasts).replace(microsecond=0)
        fields = {**KEYS, "access_key_id": f"AK{self._number}"}
        end = self.end.isoformat().replace("+00:00", "Z")
        return {**ABOUT, "name": "s3/lab", "kind": "aws", "fields": fields, "expires_at": end}


@pytest.mark.proves("S15")
def test_boto3_has_new_keys_when_the_old_ones_expire(
    broker: SelfApi, tmp_path: Path, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One and the same client's credentials go on across the end that the broker told, without a restart."""
    keys = Expiring(3)
    broker.answers[f"POST {SECRETS}/s3/lab/read"] = (200, keys)
    monkeypatch.setenv("PATH", command_on_path(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(CONFIG))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # botocore asks anew 15 minutes before the end; nobody wants to wait that long for a test.
    monkeypatch.setattr(botocore.credentials.RefreshableCredentials, "_advisory_refresh_timeout", 0)
    monkeypatch.setattr(botocore.credentials.RefreshableCredentials, "_mandatory_refresh_timeout", 0)
    found = botocore.session.get_session().get_credentials()
    assert found.get_frozen_credentials().access_key == "AK1"
    first_end = keys.end
    asked = len(broker.asked)
    control("before the end it asks nobody", found.get_frozen_credentials().access_key == "AK1")
    control("not even once", len(broker.asked) == asked)
    eventually(lambda: found.get_frozen_credentials().access_key == "AK2", "the keys are new ones")
    assert datetime.now(timezone.utc) >= first_end
    assert keys.end > first_end


@pytest.mark.proves("S15")
@pytest.mark.parametrize(
    ("status", "document", "words"),
    [
        (403, {"code": "secret.blocked", "message": "An admin cut it off."}, "An admin cut it off."),
        (403, {"code": "secret.not_granted", "message": "Not granted."}, "Not granted."),
        (404, {"code": "sandbox.unknown", "message": "This server does not run any more."}, "does not run"),
        (503, {"code": "vault.sealed", "message": "Vault is sealed."}, "Vault is sealed."),
        (200, "expired", "have expired, and there are no new ones"),
    ],
)
def test_keys_that_ended_are_one_sentence_in_boto3(
    broker: SelfApi, tmp_path: Path, status: int, document: Any, words: str
) -> None:
    """Cut off, ungranted, sealed or expired: no output, a status, one line without a value, in boto3 too."""
    if document == "expired":
        document = {**Expiring(-1)(), "name": "s3/lab"}
    broker.answers[f"POST {SECRETS}/s3/lab/read"] = (status, document)
    done = command("aws-credentials", "s3/lab")
    assert done.returncode in (ExitStatus.REFUSED, ExitStatus.NO_ANSWER)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert words in done.stderr
    assert CANARY not in done.stderr
    shown = in_boto3(tmp_path, "session.get_credentials()")
    assert shown.returncode != 0
    assert words in shown.stderr
    assert CANARY not in shown.stderr


def test_the_keys_are_what_boto3_expects(broker: SelfApi) -> None:
    """Version 1, an end within the hour; a session's token where there is one."""
    give(broker, "s3/lab", kind="aws", environment={}, fields={**KEYS, "session_token": "T"})
    document = json.loads(command("aws-credentials", "s3/lab").stdout)
    assert (document["Version"], document["AccessKeyId"], document["SessionToken"]) == (1, "AKX", "T")
    assert document["Expiration"].endswith("Z")


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"user": "x"}, "has no field 'access_key_id'"), ({"access_key_id": "x"}, "It has: access_key_id")],
)
def test_keys_that_lack_something_are_an_error(broker: SelfApi, fields: dict[str, str], words: str) -> None:
    """A status that boto3 sees, nothing on standard output, a sentence on standard error."""
    give(broker, "s3/lab", kind="aws", environment={}, fields=fields)
    done = command("aws-credentials", "s3/lab")
    assert (done.returncode, done.stdout) == (ExitStatus.COMMAND, "")
    assert words in done.stderr


def test_keys_are_not_printed_to_a_terminal(
    broker: SelfApi, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """A person who tries the command reads what to do instead."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["aws-credentials", "s3/lab"]) == ExitStatus.COMMAND
    assert "standard output is a terminal" in capsys.readouterr().err


def test_one_secret_of_kind_aws_needs_no_name(broker: SelfApi) -> None:
    """With none or two the command says which there are."""
    give(broker, "s3/lab", kind="aws", environment={}, fields=KEYS)
    lists(broker, about("db/x"), about("s3/lab", kind="aws"))
    assert json.loads(secret_use.aws_credentials(None))["AccessKeyId"] == "AKX"
    lists(broker)
    with pytest.raises(ConfigurationError, match="There are 0 secrets of kind aws"):
        secret_use.aws_credentials(None)
