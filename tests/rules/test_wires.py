"""Are heads of the wires read without doubt, and are tickets, keys and addresses judged as they should be?"""

from __future__ import annotations

import base64

import pytest

from jupyter_sandbox_spawner.errors import SandboxError
from jupyter_sandbox_spawner.rules.wires import (
    PodRecord,
    Shown,
    check_program,
    digest,
    judge_key,
    judge_ticket,
    parse_head,
    plain_address,
    target_of,
)

ID = "sb-" + "a" * 20
KEY = digest("key")
NEW = PodRecord(ticket_sha256=digest("ticket"), address="10.0.0.1")
USED = PodRecord(ticket_sha256=digest("ticket"), address="10.0.0.1", key_sha256=KEY)
TICKET = Shown(ID, "ticket")


def basic(text: str) -> bytes:
    """Credentials as a header carries them."""
    return b"Basic " + base64.b64encode(text.encode())


def refusal(*arguments: object, judge: object = judge_ticket) -> tuple[str, int]:
    """The code and status that a judgement ends with."""
    with pytest.raises(SandboxError) as caught:
        judge(*arguments)  # type: ignore[operator]
    return caught.value.code, caught.value.status


def test_a_ticket_buys_one_key() -> None:
    """The right ticket from the right address buys; what is recorded is the key's digest."""
    assert judge_ticket(NEW, TICKET, KEY, "10.0.0.1") == USED


def test_an_answer_that_was_lost_can_be_asked_for_again() -> None:
    """The same ticket with the same key changes nothing; with another key it is used up."""
    assert judge_ticket(USED, TICKET, KEY, "10.0.0.1") == USED
    assert refusal(USED, TICKET, digest("other"), "10.0.0.1") == ("pods.ticket_used", 403)


@pytest.mark.parametrize(
    ("record", "shown", "address", "verdict"),
    [
        (None, TICKET, "10.0.0.1", ("pods.stranger", 401)),
        (NEW, None, "10.0.0.1", ("pods.stranger", 401)),
        (NEW, Shown(ID, "other"), "10.0.0.1", ("pods.stranger", 401)),
        (NEW, TICKET, "10.0.0.2", ("pods.address_foreign", 403)),
        (PodRecord(ticket_sha256=digest("ticket")), TICKET, "10.0.0.1", ("pods.address_unknown", 503)),
        (PodRecord(ticket_sha256=digest("ticket")), Shown(ID, "x"), "10.0.0.1", ("pods.stranger", 401)),
    ],
)
def test_a_ticket_is_refused(
    record: PodRecord | None, shown: Shown | None, address: str, verdict: tuple[str, int]
) -> None:
    """Unknown pods, other tickets and other addresses; only the true ticket hears that it is too early."""
    assert refusal(record, shown, KEY, address) == verdict


@pytest.mark.parametrize("text", ["", "0" * 63, "G" * 64, KEY.upper(), KEY + "\n"])
def test_a_key_is_told_by_its_digest(text: str) -> None:
    """What is no SHA-256 in lower-case hexadecimal digits buys nothing."""
    assert refusal(NEW, TICKET, text, "10.0.0.1") == ("wires.bad_head", 400)


@pytest.mark.parametrize(
    ("record", "shown", "address", "verdict"),
    [
        (None, Shown(ID, "key"), "10.0.0.1", ("pods.stranger", 407)),
        (NEW, Shown(ID, "key"), "10.0.0.1", ("pods.stranger", 407)),
        (NEW, Shown(ID, ""), "10.0.0.1", ("pods.stranger", 407)),
        (USED, TICKET, "10.0.0.1", ("pods.stranger", 407)),
        (USED, None, "10.0.0.1", ("pods.stranger", 407)),
        (USED, Shown(ID, "key"), "10.0.0.2", ("pods.address_foreign", 403)),
    ],
)
def test_a_key_is_refused(
    record: PodRecord | None, shown: Shown | None, address: str, verdict: tuple[str, int]
) -> None:
    """Neither a ticket in the key's place, nor a key never bought, nor one from elsewhere counts."""
    judge_key(USED, Shown(ID, "key"), "10.0.0.1")
    assert refusal(record, shown, address, judge=judge_key) == verdict


def test_credentials_are_read_from_the_header_of_the_method() -> None:
    """CONNECT shows them to the proxy, other methods to the server; a value is not printed."""
    line = b"CONNECT boot.sandbox:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "
    head = parse_head(line + basic(f"{ID}:se:cret") + b"\r\n\r\n")
    assert head.shown == Shown(ID, "se:cret")
    assert "cret" not in repr(head)
    other = parse_head(line.replace(b"Proxy-A", b"A") + basic(f"{ID}:key") + b"\r\n\r\n")
    assert other.shown is None


@pytest.mark.parametrize(
    "value",
    [b"Bearer x", b"Basic ???", b"Basic", basic("bob:key"), basic("../x:key"), basic(ID), basic(f"{ID}:")],
)
def test_what_is_no_credential_is_none(value: bytes) -> None:
    """Other schemes, broken base64, what is no sandbox's id and an empty secret are as if absent."""
    head = parse_head(b"POST /ticket HTTP/1.1\r\nHost: x\r\nAuthorization: " + value + b"\r\n\r\n")
    assert head.shown is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"CONNECT x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"CONNECT x HTTP/1.1\nHost: a\n\tfolded\r\n\r\n",
        b"POST /ticket HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /ticket HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /ticket HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
        b"POST /ticket HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n",
    ],
)
def test_a_doubtful_head_is_refused(raw: bytes) -> None:
    """What could be read in two ways, or announces too much, is no head."""
    assert refusal(raw, judge=parse_head)[0] == "wires.bad_head"


def test_a_target_names_a_socket_and_nothing_else() -> None:
    """`NAME.sandbox:443` is read; paths, other ports and other domains are not."""
    assert [target_of(f"{name}.sandbox:443") for name in ("boot", "control-hub")] == ["boot", "control-hub"]
    for wrong in (
        "../boot.sandbox:443",
        "boot.sandbox:80",
        "boot:443",
        "boot.sandbox:443\n",
        "B.sandbox:443",
    ):
        assert refusal(wrong, judge=target_of) == ("wires.unknown", 404)


def test_programs_are_let_to_the_sockets_they_call() -> None:
    """A program among a socket's callers passes; any other is refused."""
    check_program("hub", "launcher", ("hub", "control"))
    assert refusal("gateway", "launcher", ("hub", "control"), judge=check_program) == (
        "wires.not_allowed",
        403,
    )


def test_an_address_has_one_spelling() -> None:
    """An IPv4 address mapped into IPv6 is the IPv4 one; zones and capitals do not matter."""
    assert plain_address("::ffff:10.0.0.1") == "10.0.0.1"
    assert plain_address("FE80::1%eth0") == "fe80::1"
    with pytest.raises(ValueError, match="appear"):
        plain_address("10.0.0.1/8")
