"""Beginning from a snapshot, with real daemons: a fresh node takes a large state from another one, over TLS, into its database.

python -m benchmarks.snapshot [ACCOUNTS] [JOBS]

The clock of the taking runs from the first page that is asked for to the switch, as the node's log tells it; the serving node wrote
the snapshot before. Disk and wire are measured around it: a slow moment of the machine strikes both.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.graph import PASSPHRASE, Member, config, free_ports, start
from benchmarks.growth import Chain
from benchmarks.limits import disk_rate, tls_rate
from learningchain.client.keys.keystore import Keystore

LIMIT_S = 600.0
SIGNING = 500
MEBIBYTES = 128
"""What each limit is measured with."""


@dataclass(frozen=True)
class SnapshotFigure:
    """Bytes per second, seconds, and ratios of neighbouring measurements."""

    accounts: int
    records: int
    sent_bytes: int
    """Keys and records as they travel."""
    stored_bytes: int
    """The pages that they become."""
    make_s: float
    take_s: float
    switch_s: float
    """From the last page to a node that has begun anew."""
    records_per_s: float
    stored_per_s: float
    sent_of_wire: float
    stored_of_disk: float


def _size(chain: Chain) -> tuple[int, int, int]:
    """Records, their bytes as they are sent, bytes of the pages."""
    records = sent = stored = 0
    with chain.store.read("measure the state") as c:
        for _, page in chain.store.buckets.whole(c):
            stored += len(page)
    for key, raw in chain.store.load_state():
        records += 1
        sent += len(key) + len(raw)
    return records, sent, stored


def _lines(folder: Path, event: str) -> list[dict[str, Any]]:
    log = folder / "log"
    if not log.exists():
        return []
    found = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line.get("event") == event]


def _wait(member: Member, event: str) -> dict[str, Any]:
    ends = time.monotonic() + LIMIT_S
    while time.monotonic() < ends and member.process is not None and member.process.poll() is None:
        if lines := _lines(member.folder, event):
            return lines[-1]
        time.sleep(0.1)
    raise RuntimeError(f"{member.name} did not say {event!r}:\n{(member.folder / 'log').read_text()[-2000:]}")


def _at(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00")).timestamp()


def snapshot(accounts: int, jobs: int) -> SnapshotFigure:
    folder = Path(tempfile.mkdtemp(prefix="learningchain-snapshot-"))
    members: list[Member] = []
    try:
        (folder / "late").mkdir(mode=0o700)
        late = Keystore.create(folder / "late" / "keystore.json", PASSPHRASE)
        chain = Chain(folder / "old", accounts, jobs, SIGNING, late.key)
        records, sent, stored = _size(chain)
        chain.store.close()
        ports = free_ports(4)
        members = [
            Member("old", chain.folder, chain.identity.key, ports[0], ports[1], True),
            Member("late", folder / "late", late.key, ports[2], ports[3], True),
        ]
        shutil.copy(chain.folder / "genesis.json", folder / "late" / "genesis.json")
        for member in members:
            told = config(member, members).replace('level = "warning"', 'level = "info"\nformat = "json"')
            (member.folder / "config.toml").write_text(told)
        with (folder / "late" / "config.toml").open("a") as file:
            file.write('\n[sync]\nmode = "snapshot"\nsnapshot_after = 1\n')
        disk, wire = disk_rate(MEBIBYTES), tls_rate(MEBIBYTES)
        for member in members:
            start(member)
        made = _wait(members[0], "a snapshot was made for peers")
        began = _wait(members[1], "taking a snapshot")
        ended = _wait(members[1], "the snapshot is here: the node goes on from it")
        started = _wait(members[1], "began from a snapshot")
        disk, wire = (disk + disk_rate(MEBIBYTES)) / 2, (wire + tls_rate(MEBIBYTES)) / 2
        take = _at(ended) - _at(began)
        return SnapshotFigure(
            accounts,
            records,
            sent,
            stored,
            made["seconds"],
            take,
            _at(started) - _at(ended),
            records / take,
            stored / take,
            sent / take / wire,
            stored / take / disk,
        )
    finally:
        for member in members:
            if member.process is not None:
                member.process.send_signal(signal.SIGKILL)
                member.process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    for name, value in asdict(snapshot(*(given or [200_000, 20_000]))).items():
        print(f"{name:20} {value:,.3f}")
