"""Which guards of the admin page must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_RULES = "jupyter_sandbox_spawner/rules/admin_page.py"
_LISTS = "jupyter_sandbox_spawner/control/list_records.py"
_LOGIN = "tests/programs/test_admin_page_login.py"

GUARDS = (
    Guard(
        name="admin page: another page acts not as the admin",
        file=_RULES,
        pattern=r"if not is_own_page\(method, headers\):",
        replacement="if False:",
        tests=f"{_LOGIN} -k acts_as_the_admin",
    ),
    Guard(
        name="admin page: a cookie alone does not count",
        file=_RULES,
        pattern=r'if headers\.get\(PAGE_HEADER\) != "1":',
        replacement="if False:",
        tests=f"{_LOGIN} -k reads_as_the_admin",
    ),
    Guard(
        name="admin page: without subdomains it only reads",
        file=_RULES,
        pattern=r"if method not in READ and not own_host:",
        replacement="if False:",
        tests=f"{_LOGIN} -k without_subdomains",
    ),
    Guard(
        name="admin page: what is searched is text",
        file=_LISTS,
        pattern=r"query\.search, autoescape=True",
        replacement="query.search, autoescape=False",
        tests="tests/programs/test_admin_lists.py -k searched_is_text",
    ),
)
