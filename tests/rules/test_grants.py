"""Which sandbox may read which secret, and which names and variables are there at all?"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_sandbox_spawner.errors import ConfigurationError, ProfileError
from jupyter_sandbox_spawner.rules.grant_fields import grant
from jupyter_sandbox_spawner.rules.grants import (
    Asker,
    Grant,
    Holder,
    decide_grants,
    decide_list,
    decide_read,
)
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


def names(user: str, *granted: str, groups: tuple[str, ...] = ()) -> list[str]:
    """What this person gets of grants of these names."""
    return [
        item.name for item in decide_grants(user, groups, tuple(Grant(name=name) for name in granted)).granted
    ]


@pytest.mark.proves("S05")
@pytest.mark.parametrize("user", ["*", "+", "a/b", "../x", "..", "Alice", "\uff41lice", "", "a\0", "a\nb"])
def test_an_odd_user_gets_no_personal_grant_and_reads_why(user: str) -> None:
    """A name without a canonical form never becomes a part of a secret's name; other grants stay."""
    verdict = decide_grants(user, (), (Grant(name="users/{username}/token"), Grant(name="db/a")))
    assert [item.name for item in verdict.granted] == ["db/a"]
    (refused,) = verdict.refused
    assert refused.name == "users/{username}/token"
    assert "is not in canonical form" in refused.why


def test_a_personal_grant_is_the_users_own() -> None:
    """`{username}`, or `{user}`, is the name of whoever asks, and nothing else in a name is replaced."""
    assert names("alice", "users/{username}/token", "users/{user}/key") == [
        "users/alice/token",
        "users/alice/key",
    ]
    assert names("a.b-c", "users/{username}/token") == ["users/a.b-c/token"]


@given(st.text("ab.-_@ 1", min_size=1, max_size=90), st.text("ab.-_@ 1", min_size=1, max_size=90))
def test_two_users_never_meet(one: str, other: str) -> None:
    """Names that are no plain parts (addresses of mail, long ones) become parts of their own, by a hash."""
    mine, theirs = names(one, "users/{username}/token"), names(other, "users/{username}/token")
    if mine and theirs:
        assert (mine == theirs) is (one == other)
        assert all(is_secret_name(name) for name in mine + theirs)


def test_a_mail_address_gets_a_readable_part_with_a_hash() -> None:
    """Hubs whose names are addresses have personal secrets too."""
    (name,) = names("alice@corp.example", "users/{username}/token")
    assert name.startswith("users/alice-corp-example--")
    assert names("alice-corp-example", "users/{username}/token") == ["users/alice-corp-example/token"]


def test_each_group_and_each_project_has_a_grant_of_its_own() -> None:
    """`{project}` speaks of the groups whose name begins with `project-`; without one there is no grant."""
    groups = ("ml", "project-apollo", "project-gemini", "Odd Group/..")
    assert names("alice", "teams/{group}/db", groups=groups) == [
        "teams/ml/db",
        "teams/project-apollo/db",
        "teams/project-gemini/db",
    ]
    assert names("alice", "work/{project}/{username}", groups=groups) == [
        "work/apollo/alice",
        "work/gemini/alice",
    ]
    verdict = decide_grants("alice", (), (Grant(name="work/{project}/db"), Grant(name="teams/{group}/db")))
    assert [item.why for item in verdict.refused] == ["alice is in no project.", "alice is in no group."]


def test_an_engines_path_is_filled_in_alike() -> None:
    """The path of a group's grant speaks of that group."""
    grant = Grant(name="teams/{group}/db", kind="database", path="database/creds/{group}")
    found = decide_grants("alice", ("a", "b"), (grant,)).granted
    assert [(item.name, item.path) for item in found] == [
        ("teams/a/db", "database/creds/a"),
        ("teams/b/db", "database/creds/b"),
    ]


def test_a_policy_can_veto_and_never_add() -> None:
    """A vetoed name is refused with the policy's reason; names it does not know change nothing."""
    verdict = decide_grants(
        "alice", (), (Grant(name="db/a"), Grant(name="db/b")), {"db/a": "Not from here.", "db/z": "No."}
    )
    assert [item.name for item in verdict.granted] == ["db/b"]
    assert [(item.name, item.why) for item in verdict.refused] == [("db/a", "Not from here.")]


def test_a_value_that_is_for_the_proxy_is_never_given() -> None:
    """The proxy may use it; a read is refused with the way out. A grant without a host is for no proxy."""
    proxied = Grant(name="api/x", kind="http", host="api.example", delivery="proxy")
    holder = Holder(user="alice", server="", profile="small", runs=True, grants=(proxied, Grant(name="db/a")))
    assert decide_read(ALICE, holder, "api/x").code == "secret.proxy_only"
    assert decide_read(ALICE, holder, "api/x", "proxy").grant == proxied
    assert decide_read(ALICE, holder, "db/a", "proxy").code == "secret.no_host"


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
        ("[{name: a, kind: safe}]", "sandbox.secrets[0].kind: 'safe' is not a kind."),
        ("[{name: a, ttl: 3}]", "sandbox.secrets[0].ttl: 3 belongs to no key."),
        ("[{name: a, kind: aws, environment: {X: y}}]", "is not for kind aws"),
        ("[{name: a, environment: {PATH: p}}]", "is refused: 'PATH' decides which code programs load"),
        ("[{name: a, environment: {LD_PRELOAD: p}}]", "environment.LD_PRELOAD"),
        ("[{name: a, environment: {'A B': p}}]", "is not a variable's name"),
        ("[{name: a, kind: git}]", "sandbox.secrets[0].host: '' is needed for kind git."),
        ("[{name: a, kind: git, host: 'https://x'}]", "sandbox.secrets[0].host: 'https://x' is not a host."),
        ("[{name: a, kind: git, host: 10.0.0.1}]", "'10.0.0.1' is not a host."),
        ("[{name: a, kind: git, host: 'x.example:0'}]", "'x.example:0' is not a host."),
        ("[{name: a, kind: git, host: Git.example}]", "'Git.example' is not a host."),
        ("[{name: a, delivery: proxy}]", "sandbox.secrets[0].host: '' is needed for the proxy."),
        ("[{name: a, delivery: file}]", "sandbox.secrets[0].delivery: 'file' is no way of delivery."),
        ("[{name: a, kind: aws, host: x.example, delivery: proxy}]", "'proxy' is not for kind aws."),
        ("[{name: a/read, kind: git, host: x.example}]", "would be read as a path of the proxy."),
        ("[{name: a, kind: database}]", "sandbox.secrets[0].path: '' is needed for kind database."),
        ("[{name: a, path: 'database/../x'}]", "is not a path of an engine."),
        ("[{name: a, path: 'db/creds/{Username}'}]", "is not a path of an engine."),
        ("[{name: a, path: 'db/creds/{group}'}]", "has a {group}, and the name has none."),
        ("[{name: a, version: 0}]", "sandbox.secrets[0].version: 0 is not a version."),
        ("[{name: a, path: db/creds/x, version: 1}]", "sandbox.secrets[0].version: 1 goes with no engine."),
        ("[{name: a, header: Host}]", "sandbox.secrets[0].header: 'Host' is not a header for a secret."),
        ("[{name: a, required: 1}]", "sandbox.secrets[0].required: 1 is neither true nor false."),
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
