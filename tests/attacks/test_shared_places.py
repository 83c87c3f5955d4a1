"""Can one person leave something where another will run it? O08: environments, caches, image layers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.house import House

Control = Callable[[str, bool], None]

PLANT = """
import site, sys, sysconfig, glob
places = {place for place in sys.path if place.startswith("/")} | {sys.prefix, sys.base_prefix}
places |= {f"{sys.prefix}/share/jupyter/kernels", f"{sys.prefix}/etc/jupyter", "/etc/jupyter"}
places |= {"/usr/local/share/jupyter"}
places |= {"/opt", "/usr/local/bin", "/etc/profile.d", "/var/cache", "/var/tmp", "/srv", "/mnt"}
own = {place for place in places if place.startswith(os.path.expanduser("~"))}
for place in sorted(places - own):
    if os.path.isdir(place):
        attempt(place, lambda: open(place + "/poison.py", "w").write("raise SystemExit('poisoned')"))
"""


@pytest.mark.proves("O08")
def test_o08_nothing_that_another_person_runs_can_be_changed(house: House, control: Control) -> None:
    """Every place that people share refuses to be written; what alice installs and caches is hers alone."""
    seen = house.attack(
        "alice",
        PLANT
        + """
home = os.path.expanduser("~")
written = [name for name, found in seen.items() if found["ok"]]
overlay = [place for place in sys.path if place.startswith(home)]
def install():
    os.makedirs(overlay[0], exist_ok=True)
    return open(overlay[0] + "/poison.py", "w").write("value = 'alice'")
attempt("own overlay", install)
attempt("own import", lambda: __import__("poison").value)
attempt("cache", lambda: subprocess.run(
    [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True).stdout.strip())
attempt("home", lambda: home)
""",
    )
    mine = {name: seen.pop(name) for name in ("own overlay", "own import", "cache", "home")}
    control("her own overlay can be written and is imported", mine["own import"].get("value") == "alice")
    assert len(seen) >= 4
    # A place may vanish with its sandbox (/var/tmp): then it is nobody's but hers.
    left = [name for name, found in seen.items() if found["ok"]]
    assert mine["cache"]["value"].startswith(mine["home"]["value"])
    others = house.attack(
        "bob",
        f"""
import sys
attempt("import", lambda: __import__("poison"))
for place in {left}:
    attempt(place, lambda: os.stat(place + "/poison.py").st_size)
attempt("sees the same places", lambda: len([place for place in sys.path if os.path.isdir(place)]))
""",
    )
    control("bob has the same environment", others.pop("sees the same places")["value"] > 1)
    assert others["import"]["error"] == "ModuleNotFoundError"
    assert [name for name, found in others.items() if found["ok"]] == []
