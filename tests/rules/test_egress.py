"""May this sandbox talk to this host, port, address and TLS server name?"""

from __future__ import annotations

import ipaddress
import string
from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.errors import ConfigurationError
from jupyter_sandbox_spawner.models import EgressPolicy
from jupyter_sandbox_spawner.rules.egress import (
    check_addresses,
    check_server_name,
    compile_rules,
    decide,
    normalise_host,
)

Control = Callable[[str, bool], None]
PUBLIC = "93.184.216.34"
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)
LITERALS = [
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "0",
    "0.0.0.0",
    "[::1]",
    "::1",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[fe80::1%eth0]",
    "169.254.169.254",
    "169.254.169.254.",
    "0xA9.0xFE.0xA9.0xFE",
    "[fd00:ec2::254]",
    "93.184.216.34",
]
PRIVATE = [
    "127.0.0.1",
    "10.0.0.5",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.18.0.1",
    "192.88.99.1",
    "::",
    "::1",
    "::ffff:10.0.0.5",
    "::10.0.0.5",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "2002:0a00:0005::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "64:ff9b::0a00:5",
    "64:ff9b:1::1",
    "fec0::1",
    "not-an-address",
    "fe80::1%eth0",
]
WRONG_ITEMS = [
    ("*", "every host"),
    ("*:443", "every host"),
    ("*.com", "register"),
    ("*.com:443", "register"),
    ("*.co.uk", "register"),
    ("*.github.io", "register"),
    ("*.*.example.org", "host name"),
    ("a.*.example.org", "host name"),
    ("ex ample.org", "host name"),
    ("-a.example.org", "host name"),
    ("", "host name"),
    ("https://example.org", "port between"),
    ("example.org/path", "network"),
    ("example.org:0", "port between"),
    ("example.org:65536", "port between"),
    ("example.org:http", "port between"),
    ("10.0.0.1", "IP address"),
    ("0x7f.1:80", "IP address"),
    ("10.0.0.1/8:80", "host bits"),
    ("0.0.0.0/0:443", "wide"),
    (7, "is not a rule"),
    (None, "is not a rule"),
    ({"host": "example.org", "port": 443}, "known key"),
    ({"ports": [443]}, "is not a host"),
    ({"host": "example.org", "ports": []}, "list of ports"),
    ({"host": "example.org", "ports": [True]}, "port between"),
    ({"host": "example.org", "ports": ["443"]}, "port between"),
    ({"host": "example.org", "allow_private": ["10.0.0.0/33"]}, "network"),
    ({"host": "example.org", "allow_private": ["::/0"]}, "wide"),
    ({"host": "example.org", "allow_private": 5}, "list of networks"),
]


def policy(*items: object) -> EgressPolicy:
    """A policy of these YAML items."""
    return EgressPolicy(rules=compile_rules(items, "egress"))


def verdict(host: str, port: int, *items: object) -> str:
    """The code that `decide` gives."""
    return decide(policy(*items), host, port, NOW)[0].code


@pytest.mark.parametrize(
    ("item", "pattern", "ports", "allow_private"),
    [
        ("example.org", "example.org", (443,), ()),
        ("EXAMPLE.org.", "example.org", (443,), ()),
        ("bücher.example", "xn--bcher-kva.example", (443,), ()),
        ("example.org:8080", "example.org", (8080,), ()),
        ("pkg.sandbox.internal:80", "pkg.sandbox.internal", (80,), ()),
        ("*.example.org:443", "*.example.org", (443,), ()),
        ("10.0.0.0/8:8080", "10.0.0.0/8", (8080,), ()),
        ("[fd00::/8]:8080", "fd00::/8", (8080,), ()),
        ("fd00::/8", "fd00::/8", (443,), ()),
        ({"host": "db.example.org"}, "db.example.org", (443,), ()),
        (
            {"host": "db.example.org", "ports": [80, 443, 80], "allow_private": ["10.1.0.0/16", "10.2.0.7"]},
            "db.example.org",
            (80, 443),
            ("10.1.0.0/16", "10.2.0.7/32"),
        ),
    ],
)
def test_rule_forms(
    item: object, pattern: str, ports: tuple[int, ...], allow_private: tuple[str, ...]
) -> None:
    """Each documented form of an item becomes one rule with its ports; the default port is 443."""
    (rule,) = compile_rules([item], "egress")
    assert (rule.pattern, rule.ports, rule.allow_private) == (pattern, ports, allow_private)


@pytest.mark.parametrize(("item", "words"), WRONG_ITEMS)
def test_wrong_items_are_refused(item: object, words: str) -> None:
    """A wrong item is refused with its field, its value and a remedy."""
    with pytest.raises(ConfigurationError) as caught:
        compile_rules(["example.org", item], "profiles.small.egress")
    assert caught.value.code == "egress.rule_invalid"
    assert caught.value.field.startswith("profiles.small.egress[1]")
    assert words in caught.value.message
    assert caught.value.remedy


def test_a_text_is_not_a_list() -> None:
    """A single text in place of a list is refused."""
    with pytest.raises(ConfigurationError, match="is not a list"):
        compile_rules("example.org", "egress")


def test_absent_rules_refuse_everything() -> None:
    """Without rules every host is refused."""
    assert verdict("example.org", 443) == "egress.not_allowed"


@pytest.mark.proves("E09")
@pytest.mark.parametrize("literal", LITERALS)
def test_ip_literals_are_refused(literal: str, control: Control) -> None:
    """An IP address is refused in every spelling, while the allowed name passes."""
    control("the allowed name passes", verdict("example.org", 443, "example.org") == "egress.allowed")
    assert verdict(literal, 443, "example.org", "*.example.org") == "egress.ip_literal"


@pytest.mark.parametrize(
    ("literal", "port", "code"),
    [
        ("10.1.2.3", 8080, "egress.allowed"),
        ("10.1.2.3.", 8080, "egress.allowed"),
        ("10.1.2.3", 443, "egress.port_not_allowed"),
        ("11.1.2.3", 8080, "egress.ip_literal"),
        ("0x0a.1.2.3", 8080, "egress.ip_literal"),
        ("167838211", 8080, "egress.ip_literal"),
        ("[::ffff:10.1.2.3]", 8080, "egress.ip_literal"),
        ("[fd00::1]", 9000, "egress.allowed"),
        ("[fd00:ec2::254]", 9000, "egress.ip_literal"),
    ],
)
def test_a_network_rule_names_addresses(literal: str, port: int, code: str) -> None:
    """A network rule allows the plain spelling of its addresses, on its ports, and no metadata address."""
    assert verdict(literal, port, "10.0.0.0/8:8080", "[fd00::/8]:9000") == code


@pytest.mark.proves("E12")
@pytest.mark.parametrize("port", [22, 25, 80, 3306, 0, 65536, -443])
def test_a_wrong_port_is_refused(port: int, control: Control) -> None:
    """An allowed host on another port is refused with a code of its own; 443 passes."""
    control("port 443 passes", verdict("example.org", 443, "example.org") == "egress.allowed")
    assert verdict("example.org", port, "example.org") == "egress.port_not_allowed"


@pytest.mark.proves("E15")
@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("evil.test#.allowed.test", "egress.bad_host"),
        ("evil.test%00.allowed.test", "egress.bad_host"),
        ("evil.test\x00.allowed.test", "egress.bad_host"),
        ("allowed.test@evil.test", "egress.bad_host"),
        ("allowed.test\n", "egress.bad_host"),
        ("allowed.test..", "egress.bad_host"),
        ("allowed..test", "egress.bad_host"),
        (".allowed.test", "egress.bad_host"),
        ("allowed.test/", "egress.bad_host"),
        ("allowed.test\\", "egress.bad_host"),
        ("allowed_test", "egress.bad_host"),
        ("", "egress.bad_host"),
        (".", "egress.bad_host"),
        ("a" * 64 + ".test", "egress.bad_host"),
        ("a." * 130 + "test", "egress.bad_host"),
        ("xallowed.test", "egress.not_allowed"),
        ("sub.allowed.test", "egress.not_allowed"),
        ("test", "egress.not_allowed"),
        ("allowed.test.evil.test", "egress.not_allowed"),
        ("\u0430llowed.test", "egress.not_allowed"),
        ("xn--llowed-3fg.test", "egress.not_allowed"),
        ("allowed.test", "egress.allowed"),
        ("allowed.test.", "egress.allowed"),
        ("ALLOWED.TEST", "egress.allowed"),
    ],
)
def test_lookalike_names(host: str, code: str) -> None:
    """Only the name itself, in any case and with one trailing dot, is the allowed name."""
    assert verdict(host, 443, "allowed.test") == code


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("a.example.org", "egress.allowed"),
        ("a.b.example.org", "egress.allowed"),
        ("example.org", "egress.not_allowed"),
        ("xexample.org", "egress.not_allowed"),
        (".example.org", "egress.bad_host"),
        ("*.example.org", "egress.bad_host"),
    ],
)
def test_a_wildcard_means_sub_domains(host: str, code: str) -> None:
    """`*.example.org` allows sub-domains on a dot boundary, not the apex."""
    assert verdict(host, 443, "*.example.org") == code


@pytest.mark.proves("E10")
@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(address: str, control: Control) -> None:
    """A name is refused when any one of its addresses is not public, also beside a public one."""
    (rule,) = compile_rules(["example.org"], "egress")
    control("a public address passes", check_addresses(rule, [PUBLIC]).allowed)
    for answer in ([address], [PUBLIC, address], [address, PUBLIC]):
        assert check_addresses(rule, answer).code == "egress.resolved_private"


def test_no_address_is_no_permission() -> None:
    """A name without an address is refused as unresolved."""
    (rule,) = compile_rules(["example.org"], "egress")
    assert check_addresses(rule, []).code == "egress.unresolved"


@pytest.mark.parametrize(
    ("networks", "addresses", "allowed"),
    [
        (["10.1.0.0/16"], ["10.1.2.3"], True),
        (["10.1.0.0/16"], ["10.1.2.3", "10.2.0.1"], False),
        (["10.1.0.0/16"], ["10.1.2.3", PUBLIC], True),
        (["127.0.0.1"], ["127.0.0.1"], True),
        (["169.254.0.0/16"], ["169.254.1.1"], True),
        (["169.254.0.0/16"], ["169.254.169.254"], False),
        (["169.254.169.254/32"], ["169.254.169.254"], True),
        (["168.0.0.0/8"], ["168.63.129.16"], False),
        (["10.1.0.0/16"], ["::ffff:10.1.2.3"], False),
    ],
)
def test_allow_private(networks: list[str], addresses: list[str], allowed: bool) -> None:
    """Private addresses pass only inside the rule's networks; a metadata address must be named alone."""
    (rule,) = compile_rules([{"host": "db.example.org", "allow_private": networks}], "egress")
    assert check_addresses(rule, addresses).allowed is allowed


def test_own_addresses_are_refused() -> None:
    """A public address of this host itself is refused unless the rule lists it."""
    closed, opened = compile_rules(["a.test", {"host": "b.test", "allow_private": [PUBLIC]}], "egress")
    assert check_addresses(closed, [PUBLIC]).allowed
    assert check_addresses(closed, [PUBLIC], own={PUBLIC}).code == "egress.resolved_private"
    assert check_addresses(opened, [PUBLIC], own={PUBLIC}).allowed


@pytest.mark.proves("E13")
@pytest.mark.parametrize(
    ("host", "server_name", "allowed"),
    [
        ("allowed.test", "allowed.test", True),
        ("ALLOWED.test.", "Allowed.Test", True),
        ("allowed.test", "evil.test", False),
        ("allowed.test", "sub.allowed.test", False),
        ("allowed.test", "allowed.test\x00.evil.test", False),
        ("allowed.test", "", False),
        ("allowed.test", None, False),
        ("10.1.2.3", None, True),
        ("10.1.2.3", "evil.test", False),
    ],
)
def test_the_server_name_is_the_host(host: str, server_name: str | None, allowed: bool) -> None:
    """A TLS hello must name the host that was asked for; only an address may go without a name."""
    decision = check_server_name(host, server_name)
    assert decision.allowed is allowed
    assert allowed or decision.code == "egress.sni_mismatch"


@given(st.text(max_size=40))
def test_no_text_passes_an_empty_policy(host: str) -> None:
    """Whatever the host is, an empty policy refuses it without raising."""
    decision, rule = decide(EgressPolicy(), host, 443, NOW)
    assert not decision.allowed
    assert rule is None


@given(st.text(alphabet=string.printable + "\u04300x:[]%@", max_size=30))
def test_only_the_exact_name_passes(host: str) -> None:
    """A host passes an exact rule only if it is that name in lower case less one trailing dot."""
    allowed = decide(policy("allowed.test"), host, 443, NOW)[0].allowed
    assert allowed == (host.lower().removesuffix(".") == "allowed.test")


@given(st.sampled_from(["", "x", "x.", ".", "-"]), st.sampled_from(["", ".", "..", ".evil.test", "#", "@"]))
def test_what_is_glued_to_a_name_is_another_name(before: str, after: str) -> None:
    """Anything glued before or behind an allowed name, but one trailing dot, is refused."""
    allowed = decide(policy("allowed.test"), before + "allowed.test" + after, 443, NOW)[0].allowed
    assert allowed == (before == "" and after in {"", "."})


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_a_decimal_number_is_a_literal(number: int) -> None:
    """Every 32-bit number is refused as an address in decimal, hex, octal and dotted form."""
    dotted = str(ipaddress.IPv4Address(number))
    for text in (str(number), hex(number), f"0{number:o}", dotted, f"[::ffff:{dotted}]"):
        assert verdict(text, 443, "example.org") == "egress.ip_literal"


@given(st.ip_addresses(v=4))
def test_embedded_addresses_are_never_public(address: ipaddress.IPv4Address) -> None:
    """No IPv4 address passes inside an IPv6 one (mapped, 6to4, NAT64, compatible)."""
    (rule,) = compile_rules(["example.org"], "egress")
    low = int(address)
    forms = (
        ipaddress.IPv6Address((0xFFFF << 32) | low),
        ipaddress.IPv6Address((0x2002 << 112) | (low << 80)),
        ipaddress.IPv6Address((0x64FF9B << 96) | low),
        ipaddress.IPv6Address(low),
    )
    for form in forms:
        assert not check_addresses(rule, [str(form)]).allowed


@given(st.ip_addresses())
def test_what_python_calls_private_is_refused(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Whatever the standard library calls private, reserved or multicast is refused."""
    (rule,) = compile_rules(["example.org"], "egress")
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not check_addresses(rule, [str(address)]).allowed


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(host: str) -> None:
    """A normalised name is its own normal form."""
    name = normalise_host(host)
    assert name is None or normalise_host(name) == name
