"""Which guards of profiles and their options must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_RULES = "jupyter_sandbox_spawner/rules"
_OPTIONS = "tests/rules/test_profile_options.py"
_SPEC = "tests/rules/test_spec_check.py"
_BOOK = "tests/programs/test_kept_book.py"

GUARDS: tuple[Guard, ...] = (
    Guard(
        name="profiles: options that do not exist",
        file=f"{_RULES}/profile_choices.py",
        pattern=r"if name not in known:",
        replacement="if False:",
        tests=f"{_OPTIONS} -k not_offered",
    ),
    Guard(
        name="profiles: a choice is for its groups",
        file=f"{_RULES}/profile_choices.py",
        pattern=r"why = reason_against_choice\(choice, groups\)\n            if not why:",
        replacement='why = ""\n            if not why:',
        tests=f"{_OPTIONS} -k for_a_group",
    ),
    Guard(
        name="profiles: a text matches as a whole",
        file=f"{_RULES}/profile_choices.py",
        pattern=r"re\.fullmatch\(",
        replacement="re.match(",
        tests=f"{_OPTIONS} -k not_offered",
    ),
    Guard(
        name="profiles: what users write has no templates",
        file=f"{_RULES}/profile_choices.py",
        pattern=r"variables = \{\*\*filled\.variables, \*\*texts\}",
        replacement='variables = fill({**filled.variables, **texts}, user, "")',
        tests=f"{_OPTIONS} -k as_it_is",
    ),
    Guard(
        name="profiles: a choice changes its keys alone",
        file=f"{_RULES}/option_file.py",
        pattern=r"keys = reader\.keys\(node, KEYS\)",
        replacement="keys = dict(node.keys or {})",
        tests=f"{_OPTIONS} -k name_line_and_field",
    ),
    Guard(
        name="profiles: a redirect opens nothing",
        file=f"{_RULES}/choosing.py",
        pattern=r"why = reason_against\(following, groups\)\n            if not why:",
        replacement='why = ""\n            if not why:',
        tests=f"{_OPTIONS} -k opens_nothing",
    ),
    Guard(
        name="profiles: no pattern takes for ever",
        file=f"{_RULES}/option_file.py",
        pattern=r"wrong = runs_away\(value\)",
        replacement="wrong = None",
        tests="tests/rules/test_text_patterns.py -k take_for_ever",
    ),
    Guard(
        name="profiles: control compares the spec",
        file=f"{_RULES}/spec_check.py",
        pattern=r"if getattr\(request\.spec, name\) != said\[name\]",
        replacement="if False",
        tests=_SPEC,
    ),
    Guard(
        name="profiles: control compares the mounts",
        file=f"{_RULES}/spec_check.py",
        pattern=r'return \[\] if kinds == \["home"\] else',
        replacement="return [] if True else",
        tests=_SPEC,
    ),
    Guard(
        name="profiles: a bad edit changes nothing",
        file="jupyter_sandbox_spawner/kept_book.py",
        pattern=r"book=state\.book,\n            digest=state\.digest,",
        replacement="book=None,\n            digest=state.digest,",
        tests=f"{_BOOK} -k changes_nothing",
    ),
    Guard(
        name="profiles: half a file does not count",
        file="jupyter_sandbox_spawner/kept_book.py",
        pattern=r"\(self\._state\.book and _is_fresh\(signature\)\)",
        replacement="False",
        tests=f"{_BOOK} -k half_a_file",
    ),
)
