"""Does a value that a notebook prints, in whatever way, stay out of the answers and of the sandbox's log?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.singleuser.sandbox import eventually
from tests.support.house import House

Control = Callable[[str, bool], None]
NAME = "warehouse/reader"
PRINTS = """
import os, subprocess, sys
import jupyter_sandbox
value = jupyter_sandbox.secrets("warehouse/reader")["password"].reveal()
for word in (value, "an-ordinary-" + "word"):
    print(word)
    print(word, file=sys.stderr)
    print(word, file=sys.__stderr__, flush=True)
    os.write(1, word.encode() + b"\\n")
    os.write(2, word.encode() + b"\\n")
    subprocess.run(["sh", "-c", "echo $0; echo $0 >&2", word])
    subprocess.run(["echo", word], stdout=sys.stdout)
    get_ipython().kernel.log.error("%s", word)
os.write(1, b"LAST-of-1\\n")
os.write(2, b"LAST-of-2\\n")
raise ValueError(value)
"""


@pytest.mark.proves("C03", "S02", "S19", "S20")
def test_c03_neither_answers_nor_the_log_hold_what_a_cell_printed(house: House, control: Control) -> None:
    """By print, descriptor, program, error and the kernel's own log: names stand where the value was."""
    value = house.running.secrets[NAME]["password"]
    sandbox = house.fresh("alice")
    cell = house.run("alice", PRINTS)

    def logged() -> str:
        """The log, once both streams are there to the end."""
        log = house.ask_launcher(lambda client: client.log_tail(sandbox))
        return log if "LAST-of-1" in log and "LAST-of-2" in log else ""

    log = eventually(logged, "the log has both streams")
    shown = "\n".join([str(cell), *cell.traceback])
    control("what is no secret is shown", "an-ordinary-word" in shown)
    control("what is no secret is logged", log.count("an-ordinary-word") == 7)
    assert log.count(f"[secret {NAME}]") == 7
    assert cell.error == f"ValueError: [secret {NAME}]"
    assert value not in shown + log
