"""Which guards around datasets and their zones must be missed when they are gone?"""

from __future__ import annotations

from .guard import Guard

__all__ = ["GUARDS"]

_RULES = "jupyter_sandbox_spawner/rules/datasets.py"
_TAGS = "jupyter_sandbox_spawner/rules/catalogue.py"
_RECORDS = "jupyter_sandbox_spawner/control/data_records.py"
_ADMISSION = "jupyter_sandbox_spawner/launcher/admission.py"
_MANIFESTS = "jupyter_sandbox_spawner/launcher/manifests.py"
_IDENTITY = "jupyter_sandbox_spawner/rules/tracking.py"
_PURE = "tests/rules/test_datasets.py"
_CONTROL = "tests/programs/test_control_datasets.py"
_LAUNCHER = "tests/programs/test_launcher_data.py"

GUARDS = (
    Guard(
        name="data: no exit beside guarded data",
        file=_RULES,
        pattern=r"egress=_inside_only\(spec\.egress, internal_services\),",
        replacement="egress=spec.egress,",
        tests=f"{_PURE} -k widens",
    ),
    Guard(
        name="data: guarded data needs an approval",
        file=_RULES,
        pattern=r"if zone_of\(tags\) and until is None:",
        replacement="if False:",
        tests=f"{_PURE} -k reasons",
    ),
    Guard(
        name="data: an approval holds up to its tag",
        file=_RULES,
        pattern=r"and TAGS\.index\(item\.tag\) >= level",
        replacement="",
        tests=f"{_PURE} -k do_not_count",
    ),
    Guard(
        name="data: what policy was not asked is left out",
        file=_RULES,
        pattern=r"if ruling is None or not ruling\.allow:",
        replacement="if ruling is not None and not ruling.allow:",
        tests=f"{_PURE} -k take_away",
    ),
    Guard(
        name="data: no secret as an exit",
        file=_RULES,
        pattern=r'if not zone or grant\.delivery != "proxy"',
        replacement="if True",
        tests=f"{_PURE} -k way_out",
    ),
    Guard(
        name="data: an unknown tag is the most guarded",
        file=_TAGS,
        pattern=r'"secret" if word not in TAGS else word',
        replacement='"public" if word not in TAGS else word',
        tests=f"{_PURE} -k secret",
    ),
    Guard(
        name="data: one person is not two",
        file=_RECORDS,
        pattern=r"if first == second:",
        replacement="if False:",
        tests=f"{_CONTROL} -k never_two",
    ),
    Guard(
        name="data: the file alone lowers nothing",
        file=_RECORDS,
        pattern=r"if known is not None and TAGS\.index\(known\) >= TAGS\.index\(tag\):",
        replacement="if known == tag:",
        tests=f"{_CONTROL} -k lowering",
    ),
    Guard(
        name="data: the launcher's own catalogue",
        file=_ADMISSION,
        pattern=r"if known is None or \(mount\.source[^\n]*",
        replacement="if known is None:",
        tests=f"{_LAUNCHER} -k loosen",
    ),
    Guard(
        name="data: the launcher's own look at a zone",
        file=_ADMISSION,
        pattern=r"    if loose:",
        replacement="    if False:",
        tests=f"{_LAUNCHER} -k zone",
    ),
    Guard(
        name="data: a link leads nowhere else",
        file=_MANIFESTS,
        pattern=r'if not f"\{target\}/"\.startswith\(f"\{root\}/"\)[^\n]*',
        replacement="if False:",
        tests=f"{_LAUNCHER} -k broken",
    ),
    Guard(
        name="data: a zone has its own workspace",
        file=_IDENTITY,
        pattern=r"return workspace_of\(self\.user, self\.zone\)",
        replacement="return workspace_of(self.user)",
        tests="tests/rules/test_tracking.py -k zone",
    ),
)
