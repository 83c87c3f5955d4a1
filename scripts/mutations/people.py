"""Which guards of who may do what must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

GUARDS = (
    Guard(
        name="profiles: groups are checked",
        file="jupyter_sandbox_spawner/rules/profiles.py",
        pattern=r"if allowed is None or set\(allowed\) & set\(groups\):",
        replacement="if True:",
        tests="tests/rules/test_profiles.py -k explicit_choice_is_refused",
    ),
    Guard(
        name="profiles: options are a closed set",
        file="jupyter_sandbox_spawner/rules/user_options.py",
        pattern=r"if unknown:",
        replacement="if not unknown and False:",
        tests="tests/rules/test_profiles.py -k options_are_a_closed_set",
    ),
    Guard(
        name="control: admins by their scope only",
        file="jupyter_sandbox_spawner/control/api_public.py",
        pattern=r"if ADMIN_SCOPE not in owner\.scopes:",
        replacement="if not owner.name:",
        tests="tests/programs/test_control_public.py -k without_the_scope",
    ),
    Guard(
        name="control: a server's token is for that server",
        file="jupyter_sandbox_spawner/rules/identity.py",
        pattern=r"return owner == user and [^\n]*",
        replacement="return owner == user",
        tests="tests/programs/test_control_api.py -k token",
    ),
    Guard(
        name="setup: no shared origin off loopback",
        file="jupyter_sandbox_spawner/setup_hub.py",
        pattern=r"if not off_loopback or site\.subdomain_host:",
        replacement="if True:",
        tests="tests/hub/test_setup_hub.py -k off_loopback",
    ),
    Guard(
        name="demo: the users' file is private",
        file="hub_config/demo/authenticator.py",
        pattern=r"if stat\.S_IMODE\(mode\) & 0o077:",
        replacement="if stat.S_IMODE(mode) > 0o777:",
        tests="tests/support/test_demo.py -k others_may_read",
    ),
)
