"""What all peers share: why one is left out, its processes and its folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

START_S = 30.0
STOP_S = 10.0


class Unavailable(Exception):
    """This peer cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Rate:
    """Operations that a peer confirmed, many of them outstanding."""

    operations: int
    per_s: float
    load_cores: float
    """Processor time of the load process over the time it took: what it takes from the two cores."""


@dataclass
class Processes:
    """Child processes of one peer in a folder of their own: all ended, and the folder removed, when it closes."""

    name: str
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="learningchain-bench-")))
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, command: list[str], *, talks: bool = False, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Its messages go to `log` in the folder. `talks`: standard input and output are pipes to us. Raises `Unavailable`."""
        pipe = subprocess.PIPE if talks else None
        with (self.folder / "log").open("ab") as log:
            try:
                child = subprocess.Popen(command, stdin=pipe or subprocess.DEVNULL, stdout=pipe or log, stderr=log, env=env)
            except OSError as problem:
                raise Unavailable(f"{self.name} cannot be started: {problem}") from None
        self.children.append(child)
        return child

    def check(self) -> None:
        """Raises `Unavailable` with the end of the log when one has ended by itself."""
        for child in self.children:
            if child.poll() is not None:
                tail = (self.folder / "log").read_text(errors="replace")[-400:].strip()
                raise Unavailable(f"{self.name} ended with status {child.returncode}: {tail}")

    def wait_for_port(self, port: int) -> None:
        """Raises `Unavailable` when nobody listens on it in time."""
        ends = time.monotonic() + START_S
        while time.monotonic() < ends:
            self.check()
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Unavailable(f"{self.name} did not listen within {START_S:.0f} s")


@dataclass
class Progress:
    """(steady clock, operations confirmed so far) as they come, and the load's own processor time."""

    seen: list[tuple[float, int]] = field(default_factory=lambda: [(time.perf_counter(), 0)])
    _used: float = field(default_factory=time.process_time)

    @property
    def done(self) -> int:
        return self.seen[-1][1]

    def add(self, count: int) -> None:
        self.seen.append((time.perf_counter(), self.done + count))

    def rate(self) -> Rate:
        """Without the first fifth, in which connections and caches warm up, and the last tenth, in which the queue runs dry."""
        total = self.done
        steady = [one for one in self.seen if total * 0.2 <= one[1] <= total * 0.9]
        if len(steady) < 2:
            steady = [self.seen[0], self.seen[-1]]
        spent = steady[-1][0] - steady[0][0]
        whole = self.seen[-1][0] - self.seen[0][0]
        return Rate(total, (steady[-1][1] - steady[0][1]) / spent, (time.process_time() - self._used) / whole)
