"""Which sandbox may read which secret, and which names and variables are there at all?"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.errors import ConfigurationError, ProfileError
from jupyter_sandbox_spawner.rules.grant_fields import grant
from jupyter_sandbox_spawner.rules.grants import Asker, Grant, Holder, decide_list, decide_read, grants_for
from jupyter_sandbox_spawner.rules.profile_file import parse_profiles
from jupyter_sandbox_spawner.rules.profiles import profile_digest
from jupyter_sandbox_spawner.secret_names import is_secret_name, reason_against_variable, variables_of

SCOPE = "custom:sandbox:self!server=alice/"
ALICE = Asker(owner="alice", scopes=(SCOPE,))
HOLDER = Holder(user="alice", server="", profile="small", runs=True, grants=(Grant(name="db/a"),))
PROFILE = """
- display_name: A
  slug: a
  default: true
  sandbox:
    cpu: 1
    memory: 1G
    secrets: {}
"""


@pytest.mark.parametrize("name", ["db/warehouse", "a", "users/alice/git-token", "x.y_z-1", "a" * 200])
def test_a_plain_name_is_a_name(name: str) -> None:
    """Parts of lower-case letters, digits, dot, dash and underscore, joined by slashes."""
    assert is_secret_name(name)


@pytest.mark.proves("S03")
@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "a/", "/a", "a//b", "..", "a/..", "a/../b", "a..b", ".a", "-a", "A", "db/Ware"),
        *("a b", "a%2fb", "a%2e%2e", "a\0", "a\n", "a?x", "a#x", "a\\b", "a*", "a+", "{user}", "a" * 201),
        *("dä", "\u0430dmin", "a\uff0fb", "a\u2215b", "\uff41", "a\u200bb", "a\u202eb"),
    ],
)
def test_nothing_else_is_a_name(name: str) -> None:
    """Escapes, traversal, patterns, capitals, control characters and look-alikes are no names."""
    assert not is_secret_name(name)


@given(st.text(max_size=30))
def test_a_name_is_its_own_url(name: str) -> None:
    """Whatever is a name needs no escaping and no normalising anywhere."""
    if is_secret_name(name):
        from urllib.parse import quote

        assert quote(name, safe="/") == name == name.casefold()
        assert ".." not in name


@pytest.mark.proves("S21")
@pytest.mark.parametrize(
    "name",
    [
        *(
            "PATH",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "http_proxy",
            "HTTPS_PROXY",
        ),
        *("NO_PROXY", "ALL_PROXY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "GIT_SSH", "GIT_SSH_COMMAND"),
        *("GIT_CONFIG_GLOBAL", "SSL_CERT_FILE", "BASH_ENV", "JUPYTERHUB_API_TOKEN", "JUPYTER_PATH", "HOME"),
        *("AWS_CONFIG_FILE", "REQUESTS_CA_BUNDLE", "NODE_OPTIONS", "IPYTHONDIR", "SANDBOX_X"),
    ],
)
def test_a_reserved_variable_has_a_reason(name: str) -> None:
    """Variables that decide what code runs or where traffic goes are refused, with the reason."""
    assert len(reason_against_variable(name)) > 20


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "PGPASSWORD", "GIT_TOKEN", "AWS_ACCESS_KEY_ID", "PATHS", "R_KEY"]
)
def test_an_ordinary_variable_may_be_set(name: str) -> None:
    """The variables that programs read credentials from are free."""
    assert reason_against_variable(name) == ""


@pytest.mark.parametrize(
    ("kind", "fields", "given_names", "expected"),
    [
        ("kv", ["value"], {}, {"DB_WARE_HOUSE": "value"}),
        (
            "kv",
            ["user", "pass-word"],
            {},
            {"DB_WARE_HOUSE_USER": "user", "DB_WARE_HOUSE_PASS_WORD": "pass-word"},
        ),
        ("kv", ["user", "password"], {"PGUSER": "user"}, {"PGUSER": "user"}),
        (
            "aws",
            ["access_key_id", "secret_access_key"],
            {},
            {"AWS_ACCESS_KEY_ID": "access_key_id", "AWS_SECRET_ACCESS_KEY": "secret_access_key"},
        ),
    ],
)
def test_variables_follow_from_the_name(
    kind: str, fields: list[str], given_names: dict[str, str], expected: dict[str, str]
) -> None:
    """What the profile says, else the secret's name and field in capitals, else boto3's own names."""
    assert variables_of("db/ware-house", kind, fields, given_names) == expected


def test_only_what_is_granted_may_be_read() -> None:
    """The one granted name is allowed; another is refused with the list of what there is."""
    assert decide_read(ALICE, HOLDER, "db/a").grant == Grant(name="db/a")
    refused = decide_read(ALICE, HOLDER, "db/b")
    assert (refused.grant, refused.code) == (None, "secret.not_granted")
    assert "It grants: db/a." in refused.remedy


@pytest.mark.proves("S03", "S04", "C10")
@pytest.mark.parametrize(
    ("asker", "code"),
    [
        (Asker(owner=None), "identity.missing"),
        (Asker(owner=""), "identity.unknown"),
        (Asker(owner="bob", scopes=("custom:sandbox:self!server=bob/",)), "identity.mismatch"),
        (Asker(owner="bob", scopes=(SCOPE,)), "identity.mismatch"),
        (Asker(owner="alice", scopes=("custom:sandbox:self!server=alice/gpu",)), "identity.mismatch"),
        (Asker(owner="alice", scopes=("custom:sandbox:self!user=alice", "self")), "identity.mismatch"),
    ],
)
def test_any_other_token_reads_nothing(asker: Asker, code: str) -> None:
    """No token, an unknown one, another person's, another server's, or one without this server's scope."""
    assert decide_read(asker, HOLDER, "db/a").code == code
    listed = decide_list(asker, HOLDER)
    assert listed is not None
    assert listed.code == code


def test_a_server_that_ends_reads_nothing() -> None:
    """From the moment its end is decided, and for an id that is not there."""
    ending = Holder(user="alice", server="", profile="small", runs=False, grants=HOLDER.grants)
    assert decide_read(ALICE, ending, "db/a").code == "sandbox.unknown"
    assert decide_read(ALICE, None, "db/a").code == "sandbox.unknown"


@pytest.mark.proves("S05")
@pytest.mark.parametrize("user", ["*", "+", "a/b", "../x", "..", "Alice", "a b", "x" * 200, "\u0430lice", ""])
def test_an_odd_user_gets_no_personal_grant(user: str) -> None:
    """A name that is not a plain part of a secret's name never becomes one, so it meets nobody else's."""
    granted = (Grant(name="users/{user}/token"), Grant(name="db/a"))
    assert [item.name for item in grants_for(user, granted)] == ["db/a"]


def test_a_personal_grant_is_the_users_own() -> None:
    """`{user}` is the name of whoever asks, and nothing else in a name is replaced."""
    granted = (Grant(name="users/{user}/token"),)
    assert [item.name for item in grants_for("alice", granted)] == ["users/alice/token"]
    assert [item.name for item in grants_for("a.b-c", granted)] == ["users/a.b-c/token"]


def test_a_profile_grants_names_kinds_and_variables() -> None:
    """A word or a mapping; the digest of the profile follows."""
    text = PROFILE.format(
        "[db/a, {name: db/b, environment: {PGPASSWORD: password}}, {name: s3/x, kind: aws}]"
    )
    (profile,) = parse_profiles(text)
    assert profile.secrets == (
        Grant(name="db/a"),
        Grant(name="db/b", environment={"PGPASSWORD": "password"}),
        Grant(name="s3/x", kind="aws"),
    )
    (other,) = parse_profiles(PROFILE.format("[db/a]"))
    (without,) = parse_profiles(PROFILE.format("[]"))
    assert len({profile_digest(item) for item in (profile, other, without)}) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db/a", "sandbox.secrets: 'db/a' is not a list. Write [db/warehouse]."),
        ("[db/a, db/a]", "sandbox.secrets[1]: 'db/a' is granted twice. Keep one."),
        ("[../a]", "sandbox.secrets[0].name: '../a' is not a secret's name."),
        ("['a-{user}']", "sandbox.secrets[0].name: 'a-{user}' is not a secret's name."),
        ("[3]", "sandbox.secrets[0]: 3 is not a secret's name."),
        ("[{kind: kv}]", "is not a secret's name."),
        ("[{name: a, kind: vault}]", "sandbox.secrets[0].kind: 'vault' is not a kind."),
        ("[{name: a, ttl: 3}]", "sandbox.secrets[0].ttl: 3 belongs to no key."),
        ("[{name: a, kind: aws, environment: {X: y}}]", "is not for kind aws"),
        ("[{name: a, environment: {PATH: p}}]", "is refused: 'PATH' decides which code programs load"),
        ("[{name: a, environment: {LD_PRELOAD: p}}]", "environment.LD_PRELOAD"),
        ("[{name: a, environment: {'A B': p}}]", "is not a variable's name"),
        ("[{name: a, environment: {A: 'b c'}}]", "is not the name of a field"),
        ("[{name: a, environment: [A]}]", "is not a mapping of a few variables"),
    ],
)
def test_a_wrong_grant_names_field_and_remedy(text: str, expected: str) -> None:
    """Line, field, value and what to write, as for every other key of a profile."""
    with pytest.raises(ProfileError) as caught:
        parse_profiles(PROFILE.format(text))
    assert expected in str(caught.value)
    assert str(caught.value).startswith("profiles.yaml:8: ")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(ANYTHING)
def test_any_value_is_a_grant_or_refused(value: object) -> None:
    """No value of an admin's file raises anything but our error."""
    with suppress(ConfigurationError):
        assert is_secret_name(grant(value, "f").name.replace("{user}", "user"))
