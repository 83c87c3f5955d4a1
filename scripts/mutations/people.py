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
        pattern=r"if ADMIN_SCOPE in owner\.scopes:",
        replacement="if owner.name:",
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
    Guard(
        name="extensions: a key is one wish",
        file="jupyter_sandbox_spawner/control/extending.py",
        pattern=r"if record is None or not wish\.key:",
        replacement="if True:",
        tests="tests/programs/test_control_wishes.py -k same_wish_again",
    ),
    Guard(
        name="extensions: no more than the profile's number",
        file="jupyter_sandbox_spawner/rules/extension.py",
        pattern=r"if terms\.times is not None and terms\.used >= terms\.times:",
        replacement="if False:",
        tests="tests/rules/test_extension.py -k cap_or_number",
    ),
    Guard(
        name="extensions: an admin does not pass the end of a right",
        file="jupyter_sandbox_spawner/control/extending.py",
        pattern=r'return spec is None or record\.zone != "" or any\(mount\.until for mount in spec\.mounts\)',
        replacement="return False",
        tests="tests/programs/test_control_wishes.py -k end_of_a_right",
    ),
    Guard(
        name="keeping: never past another end",
        file="jupyter_sandbox_spawner/rules/keeping.py",
        pattern=r"until = wanted if end is None else min\(wanted, end\)",
        replacement="until = wanted",
        tests="tests/rules/test_keeping.py -k cap_or_end",
    ),
    Guard(
        name="gpus: one that is not known is not an idle one",
        file="jupyter_sandbox_spawner/launcher/gpu_meter.py",
        pattern=r"if figures and len\(figures\) == len\(devices\) else None",
        replacement="if figures else None",
        tests="tests/programs/test_launcher_gpu_meter.py -k unknown_device",
    ),
)
