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
_RAISES = "tests/programs/test_control_raises.py"
_DATA = "jupyter_sandbox_spawner/control/data.py"
_API = "jupyter_sandbox_spawner/control/api_datasets.py"
_VIEWS = "jupyter_sandbox_spawner/control/views.py"
_ADOPTING = "jupyter_sandbox_spawner/control/adopting.py"

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
    Guard(
        name="data: another zone's words stay out of the audit",
        file=_VIEWS,
        pattern=r"whole = name == record\.id or[^\n]*",
        replacement="whole = True",
        tests="tests/programs/test_control_events.py -k zones",
    ),
    Guard(
        name="data: another zone's end tells no words",
        file=_VIEWS,
        pattern=r"if before.zone is None or before.zone != record.zone:",
        replacement="if False:",
        tests="tests/programs/test_control_api.py -k another_zones",
    ),
    Guard(
        name="data: an account of the host is no person",
        file=_API,
        pattern=r"if not asking\.get\(\):",
        replacement="if False:",
        tests=f"{_CONTROL} -k socket",
    ),
    Guard(
        name="data: nobody approves themselves by a group",
        file=_RULES,
        pattern=r"and user not in item\.by",
        replacement="",
        tests=f"{_PURE} -k themselves",
    ),
    Guard(
        name="data: the end of an approval that was needed binds",
        file=_RULES,
        pattern=r"relies = zone_of\(tags\) or[^\n]*",
        replacement="relies = zone_of(tags)",
        tests=f"{_PURE} -k what_ends",
    ),
    Guard(
        name="data: a fixed end is not extended",
        file=_RULES,
        pattern=r"if not spec\.zone and not any\([^\n]*",
        replacement="if not spec.zone:",
        tests=f"{_PURE} -k what_ends",
    ),
    Guard(
        name="data: a raise undoes the first word for a lowering",
        file=_RECORDS,
        pattern=r"connection\.execute\(delete\(table\)\.where\(table\.c\.dataset[^\n]*",
        replacement="del table, connection, dataset",
        tests=f"{_RAISES} -k outdates",
    ),
    Guard(
        name="data: a raise looks at all that is mounted",
        file=_DATA,
        pattern=r'if mount\.kind == "dataset"\]',
        replacement='if mount.dataset.partition("@")[0] == raised]',
        tests=f"{_RAISES} -k same_files",
    ),
    Guard(
        name="data: a raise asks for the approval again",
        file=_DATA,
        pattern=r"or \(needed and not approved\)",
        replacement="",
        tests=f"{_RAISES} -k no_approval",
    ),
    Guard(
        name="data: an adopted sandbox may mount what is raised",
        file=_DATA,
        pattern=r"\[\(item, \(\)\) for item in known\.catalogue if item\.id == raised\]",
        replacement="[]",
        tests=f"{_RAISES} -k adopted",
    ),
    Guard(
        name="data: an adopted sandbox has no secret as an exit of its zone",
        file=_ADOPTING,
        pattern=r"secrets = inside_only\(found\.secrets, found\.zone\)",
        replacement="secrets = found.secrets",
        tests="tests/programs/test_control_reconcile.py -k narrow",
    ),
    Guard(
        name="data: an adopted sandbox ends with its zone's hours",
        file=_ADOPTING,
        pattern=r"min\(found\.ttl or LONGEST, LONGEST\) if found\.zone else found\.ttl",
        replacement="found.ttl",
        tests="tests/programs/test_control_reconcile.py -k narrow",
    ),
)
