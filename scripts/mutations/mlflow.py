"""Which guards before MLflow must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_TRACKING = "jupyter_sandbox_spawner/rules/tracking.py"
_OWN = "jupyter_sandbox_spawner/gateway/egress/own.py"
_PAGES = "jupyter_sandbox_spawner/rules/page_requests.py"
_TESTS = "tests/tracking/test_pages.py"

GUARDS = (
    Guard(
        name="mlflow: who asks is said by the door",
        file=_OWN,
        pattern=r'if not name\.replace\(b"_", b"-"\)[^\n]*',
        replacement="if name",
        tests="tests/programs/test_egress_own.py -k told_who_asks",
    ),
    Guard(
        name="mlflow: no tunnel",
        file=_OWN,
        pattern=r'if request\.verb == "CONNECT":',
        replacement="if False:",
        tests="tests/programs/test_egress_own.py -k no_tunnel",
    ),
    Guard(
        name="mlflow: a client names no place",
        file=_TRACKING,
        pattern=r"if \(plain in _PLACES[^\n]*",
        replacement="if False:",
        tests="tests/rules/test_tracking.py -k names_a_place",
    ),
    Guard(
        name="mlflow: a workspace is one's own",
        file=_TRACKING,
        pattern=r"if named is not None and named\.strip\(\)[^\n]*",
        replacement="if False:",
        tests="tests/rules/test_tracking.py -k ones_own_or_none",
    ),
    Guard(
        name="mlflow: what is not listed is closed",
        file=_TRACKING,
        pattern=r"if found is None or found\[1\] not in _RESOURCES:",
        replacement="if found is None:",
        tests="tests/rules/test_tracking.py -k everything_else_is_closed",
    ),
    Guard(
        name="mlflow pages: another origin changes nothing",
        file=_PAGES,
        pattern=r"is_own = site in \(None, \"same-origin\"\)[^\n]*",
        replacement="is_own = True",
        tests=f"{_TESTS} -k changes_nothing",
    ),
    Guard(
        name="mlflow pages: another origin embeds nothing",
        file=_PAGES,
        pattern=r"is_own = site not in _FOREIGN[^\n]*",
        replacement="is_own = True",
        tests=f"{_TESTS} -k embeds_nothing",
    ),
    Guard(
        name="mlflow pages: a door's headers count on the gateway's socket alone",
        file="jupyter_sandbox_spawner/tracking/app.py",
        pattern=r"await \(guard if scope[^\n]* else pages\)",
        replacement="await guard",
        tests=f"{_TESTS} -k count_for_nothing",
    ),
    Guard(
        name="mlflow pages: a login is the browser's that began it",
        file="jupyter_sandbox_spawner/sessions.py",
        pattern=r"if login is None or not secrets\.compare_digest[^\n]*",
        replacement="if login is None:",
        tests=f"{_TESTS} -k good_once",
    ),
    Guard(
        name="mlflow pages: the hub must let the person in",
        file="jupyter_sandbox_spawner/tracking/identity.py",
        pattern=r'if owner\.kind != "user" or ACCESS_SCOPE[^\n]*',
        replacement="if False:",
        tests=f"{_TESTS} -k may_not_open",
    ),
)
