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
        name="admin page: a hook that shares the host is noticed",
        file="jupyter_sandbox_spawner/setup_services.py",
        pattern=r"return len\(set\(ours\)\) == len\(ours\) and not set\(ours\) & set\(others\)",
        replacement="return True",
        tests="tests/hub/test_setup_services.py -k shares_its_host",
    ),
    Guard(
        name="admin page: no other page logs an admin out",
        file="jupyter_sandbox_spawner/control/page_login.py",
        pattern=r'if headers\.get\("sec-fetch-site", "none"\) not in \("same-origin", "none"\):',
        replacement="if False:",
        tests=f"{_LOGIN} -k logs_an_admin_out",
    ),
    Guard(
        name="admin page: a planted cookie goes into no header",
        file="jupyter_sandbox_spawner/rules/page_cookies.py",
        pattern=r'return value if _OURS\.fullmatch\(value\) else ""',
        replacement="return value",
        tests=f"{_LOGIN} -k planted",
    ),
    Guard(
        name="admin page: what is searched is text",
        file=_LISTS,
        pattern=r"query\.search, autoescape=True",
        replacement="query.search, autoescape=False",
        tests="tests/programs/test_admin_lists.py -k searched_is_text",
    ),
)
