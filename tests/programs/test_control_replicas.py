"""Of two controls of one site on a cluster, does one work, and the other as soon as it is needed?"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_sandbox_spawner.settings import Site, write_site
from tests.lanes import CHECKOUT
from tests.programs.wires_street import free_ports
from tests.support.control_databases import ControlPostgres, shared_postgres

Control = Callable[[str, bool], None]
pytestmark = pytest.mark.lane("postgresql")


class Replica:
    """One of the two: its own run_dir, the same state_dir and database."""

    def __init__(self, root: Path, name: str, database: str, state: Path) -> None:
        run = root / name
        run.mkdir(mode=0o700)
        hub, proxy, front, control = free_ports(4)
        self.site = Site(
            run_dir=str(run),
            state_dir=str(state),
            profiles=str(CHECKOUT / "hub_config/kubernetes/base/config/profiles.yaml"),
            public_port=1,
            hub_port=hub,
            proxy_api_port=proxy,
            front_port=front,
            control_port=control,
            backend="kubernetes",
            database=database,
        )
        self._place = root / f"{name}.json"
        write_site(self._place, self.site)
        token = run / "control.token"
        token.touch(mode=0o600)
        token.write_text("t" * 32)
        self.log_file = root / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it may wait."""
        command = [sys.executable, "-m", "jupyter_sandbox_spawner.control", "--site", str(self._place)]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
        if self.process is not None:
            self.process.wait(20)

    @property
    def works(self) -> bool:
        """Does it take connections?"""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.site.control_socket("hub")) == 0

    @property
    def log(self) -> str:
        """What it has written since it was started."""
        return self.log_file.read_text()

    def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for what its process does."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.log
            time.sleep(0.05)  # nothing tells what another process has done


@pytest.fixture
def server() -> ControlPostgres:
    """A PostgreSQL of the tests."""
    return shared_postgres()


@pytest.fixture
def replicas(server: ControlPostgres) -> Iterator[tuple[Replica, Replica]]:
    """Two that are not started."""
    name = server.make()
    # A worker's own directory may be too long for sockets.
    root = Path(os.path.realpath(tempfile.mkdtemp(prefix="rep-", dir="/tmp")))
    pair = [Replica(root, item, server.by_socket(name), root / "state") for item in ("a", "b")]
    try:
        yield pair[0], pair[1]
    finally:
        for replica in pair:
            replica.end()
        server.drop(name)
        shutil.rmtree(root)


def test_the_other_waits_and_takes_over_when_the_first_is_killed(
    replicas: tuple[Replica, Replica], control: Control
) -> None:
    """It has no socket before; afterwards it works, and the audit is one chain."""
    first, second = replicas
    first.start()
    first.until(lambda: first.works)
    second.start()
    second.until(lambda: "this one waits" in second.log)
    control("the first works", first.works)
    assert not second.works
    first.end()
    second.until(lambda: second.works)
    records = (Path(second.site.state_dir) / "audit/audit.ndjson").read_text().splitlines()
    numbers = [json.loads(line)["seq"] for line in records]
    assert numbers == list(range(1, len(numbers) + 1))


def test_one_that_is_told_to_end_gives_way(replicas: tuple[Replica, Replica]) -> None:
    """As in an upgrade: the one that ends in order is followed by the one that waits."""
    first, second = replicas
    first.start()
    first.until(lambda: first.works)
    second.start()
    second.until(lambda: "this one waits" in second.log)
    first.end(signal.SIGTERM)
    assert first.process is not None
    assert first.process.returncode == 0
    second.until(lambda: second.works)


def test_one_that_lost_the_database_to_another_ends(
    replicas: tuple[Replica, Replica], server: ControlPostgres
) -> None:
    """Its connection is cut and the other has the lock: it does not go on beside it."""
    first, second = replicas
    first.start()
    first.until(lambda: first.works)
    second.start()
    second.until(lambda: "this one waits" in second.log)
    assert first.process is not None
    name = first.site.database.partition("?")[0].rpartition("/")[2]
    holder = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    server.sql(f"SELECT pg_terminate_backend(pid) FROM ({holder}) AS held", name)
    assert first.process.wait(60) == 2
    assert "Another control works on the database" in first.log
    second.until(lambda: second.works)
