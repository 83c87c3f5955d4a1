"""Is it known how busy a sandbox's GPUs are, asked once for all, and never at the launcher's cost?"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import pytest

from jupyter_sandbox_spawner.backends.memory import MemoryBackend
from jupyter_sandbox_spawner.launcher import nvml
from jupyter_sandbox_spawner.launcher.gpu_meter import GpuMeter, busiest
from jupyter_sandbox_spawner.launcher.nvml import read_busy
from jupyter_sandbox_spawner.launcher.usages import UsageBook
from jupyter_sandbox_spawner.models import Doors, Usage

from .control_neighbours import spec
from .test_launcher_gpus import OneWholeOneSplit

BUSY = {"GPU-0": 0.75, "GPU-1": 0.0}


class MeasuredBackend(MemoryBackend):
    """Sandboxes whose cgroups can be read."""

    async def usage(self, sandbox_id: str) -> Usage:
        """A second of CPU each."""
        return replace(await super().usage(sandbox_id), cpu_seconds=1.0)


class CountingDriver:
    """How busy the GPUs are; `asked` counts. It answers when `answers` is set."""

    def __init__(self, found: Mapping[str, float] | None = None) -> None:
        self.found = BUSY if found is None else found
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()

    def read(self) -> Mapping[str, float]:
        """See read_busy."""
        self.asked += 1
        self.answers.wait()
        return self.found


async def three_sandboxes(*devices: tuple[str, ...]) -> MeasuredBackend:
    """One sandbox for each row of devices, running."""
    backend = MeasuredBackend()
    for number, names in enumerate(devices):
        wanted = spec("alice", f"s{number}", gpu_devices=names)
        doors = Doors(directory="/d")
        await backend.create(wanted, doors, {})
        await backend.start(wanted.id)
    return backend


def figure(usages: Mapping[str, Usage], number: int) -> float | None:
    """Of the sandbox of that number."""
    return usages[spec("alice", f"s{number}").id].gpu_busy


async def test_all_are_answered_by_one_question() -> None:
    """Each sandbox has the figure of its busiest device; what is not known, or has none, has no figure."""
    driver = CountingDriver()
    backend = await three_sandboxes(("GPU-0", "GPU-1"), ("GPU-1",), (), ("GPU-1", "MIG-7"))
    book = UsageBook(backend, GpuMeter(driver.read))
    found = (await book.all()).sandboxes
    assert [figure(found, number) for number in range(4)] == [0.75, 0.0, None, None]
    assert (await book.one(spec("alice", "s0").id)).gpu_busy == 0.75
    assert driver.asked == 1


async def test_without_devices_the_driver_is_left_alone() -> None:
    """Where no sandbox has a GPU, or those that have one are over, nothing is asked."""
    driver = CountingDriver()
    backend = await three_sandboxes((), ("GPU-0",))
    await backend.finish(spec("alice", "s1").id, 0)
    found = (await UsageBook(backend, GpuMeter(driver.read)).all()).sandboxes
    assert (figure(found, 0), figure(found, 1), driver.asked) == (None, None, 0)


async def test_a_driver_that_hangs_costs_nobody_their_turn() -> None:
    """While it hangs others run and every answer comes, without a figure; it is asked no second time, and
    what it says in the end is used."""
    driver = CountingDriver()
    driver.answers.clear()
    backend = await three_sandboxes(("GPU-0",))
    book, turns = UsageBook(backend, GpuMeter(driver.read, patience=0.05)), 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    try:
        for _ in range(2):
            assert figure((await book.all()).sandboxes, 0) is None
        assert turns > 10
    finally:
        running.cancel()
    assert driver.asked == 1
    driver.answers.set()
    assert (await book.one(spec("alice", "s0").id)).gpu_busy == 0.75


async def test_a_driver_that_fails_says_nothing() -> None:
    """An error of the library is no figure, and no error of the launcher's."""

    def broken() -> Mapping[str, float]:
        raise RuntimeError("GPU is lost")

    backend = await three_sandboxes(("GPU-0",))
    assert figure((await UsageBook(backend, GpuMeter(broken)).all()).sandboxes, 0) is None


def test_one_unknown_device_is_not_an_idle_one() -> None:
    """Of two devices the driver knows one: nothing is said of both."""
    assert busiest({"a": 0.0}, ("a", "b")) is None
    assert busiest({"a": 0.0}, ("a",)) == 0.0


class BusyAndSplit(OneWholeOneSplit):
    """It says how busy the whole GPU is, and of MIG instances of the first only."""

    def nvmlDeviceGetUtilizationRates(self, handle: int | tuple[int, int]) -> SimpleNamespace:
        """In per cent."""
        if handle == (1, 1):
            raise self.NVMLError_NotSupported
        return SimpleNamespace(gpu=40 if isinstance(handle, tuple) else 93, memory=0)


def test_nvml_of_whole_and_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole GPU and an instance that the driver measures have figures; what it does not say is left out."""
    monkeypatch.setattr(nvml.importlib, "import_module", lambda name: BusyAndSplit())
    assert read_busy() == {"GPU-0": 0.93, "MIG-0": 0.4}


def test_a_lost_gpu_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fell off the bus is left out."""
    library = BusyAndSplit()

    def lost(index: int) -> int:
        if index == 0:
            raise library.NVMLError("lost")
        return index

    monkeypatch.setattr(library, "nvmlDeviceGetHandleByIndex", lost)
    monkeypatch.setattr(nvml.importlib, "import_module", lambda name: library)
    assert read_busy() == {"MIG-0": 0.4}


@pytest.mark.parametrize("call", ["nvmlInit", "import"])
def test_without_a_driver_nothing_is_known(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Neither a missing library nor a driver that does not start is an error here."""
    library = BusyAndSplit()

    def fail(*_arguments: object) -> object:
        raise ImportError if call == "import" else library.NVMLError("no driver")

    monkeypatch.setattr(library, "nvmlInit", fail)
    monkeypatch.setattr(nvml.importlib, "import_module", fail if call == "import" else lambda name: library)
    assert read_busy() == {}
