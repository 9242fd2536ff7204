"""Files over a faulty network from peers of whom some lie: everybody honest gets all of them, nobody honest is blamed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from structlog.testing import capture_logs

from tests.reached import reached
from tests.sim.attacks.content import LIARS, NAMES
from tests.sim.content import Faults, Graph, draw
from tests.tiers import sampled

SEEDS = int(os.environ.get("LC_SIM_SEEDS", "40"))
BATCH = 20
ROOT = Path(__file__).parents[2]


MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""No run loses power: files in memory are as good as files on a disk, and need not wait for it."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(dir=MEMORY) as made, capture_logs():  # broken protocols are told in the counts
        yield Path(made)


def graph(seed: int, faults: Faults, folder: Path) -> Graph:
    """A good run. Its files are gone afterwards."""
    world = Graph(seed, faults, folder / str(seed), LIARS)
    try:
        world.run()
    finally:
        shutil.rmtree(world.folder, ignore_errors=True)
    return world


@pytest.mark.parametrize("first", sampled(range(0, SEEDS, BATCH), 2, "every second batch runs here"))
def test_everybody_gets_every_file_whatever_goes_wrong(first: int, folder: Path) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        counts.update(graph(seed, draw(seed, NAMES), folder).counts)
    # Nobody should trust an empty simulation.
    reached(counts["leaves by data connections"] > 0, "data connections")
    reached(
        counts["broken connection"] and counts["kill"] and counts["refused by a full link"],
        f"broken connections, kills and full links: {counts}",
    )


_PENALTIES = {
    "babbles": "a content message that cannot be read",
    "flips": "sent wrong bytes",
    "repeats": "sends blocks that nobody asked for",
    "truncates": "sent wrong bytes",
    "turns": "sent wrong bytes",
}
"""Liars whose lie can be proven; the others are only slow, or useless."""


@pytest.mark.parametrize("name", NAMES)
def test_each_liar_lies_and_pays_where_it_can_be_proven(name: str, folder: Path) -> None:
    counts: Counter[str] = Counter()
    for seed in range(5):
        faults = Faults(
            honest=2,
            liars=(name, name),
            sizes=(5_000_000,) if name == "moves" else (1_500_000,),
            breaks=((0.3, 1, 2, 0.0),),
            heal_at=1.5,
            bandwidth=2_000_000.0,
        )
        counts.update(graph(seed, faults, folder).counts)
    assert counts[f"attack: {name}, lied"] > 0
    assert {text for text in counts if text.startswith("penalty")} == (
        {f"penalty: {_PENALTIES[name]}"} if name in _PENALTIES else set()
    )


def test_leaves_come_by_data_connections_that_break_and_lie(folder: Path) -> None:
    counts: Counter[str] = Counter()
    for seed in range(8):
        breaks = tuple((at / 4, 0, 1, 0.5) for at in range(4, 16, 4))
        faults = Faults(
            honest=3, liars=("moves",), sizes=(8_000_000,), bandwidth=2_000_000.0, breaks=breaks, kills=((2.0, 1, 0.5),)
        )
        counts.update(graph(seed, faults, folder).counts)
    assert counts["leaves by data connections"] > 100 and counts["a wrong leaf by a data connection"] > 0
    assert not [text for text in counts if text.startswith("penalty")]


def test_a_killed_download_goes_on_from_what_is_on_disk(folder: Path) -> None:
    kills = tuple((at, 1, 0.01) for at in (0.8, 1.3, 1.9))
    worlds = [graph(seed, Faults(honest=2, sizes=(1_500_000,), bandwidth=600_000.0, kills=kills), folder) for seed in range(4)]
    assert sum(world.counts["kill"] for world in worlds) == 12
    reached(sum(world.counts["resumed"] for world in worlds) > 4, "downloads that go on after a kill")


def _digests(hash_seed: str, seeds: list[int], folder: Path) -> list[str]:
    code = (
        "from pathlib import Path\nimport structlog\nfrom tests.sim.attacks.content import LIARS, NAMES\n"
        "from tests.sim.content import Graph, draw\n"
        "structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))\n"
        f"for s in {seeds}:\n    g = Graph(s, draw(s, NAMES), Path({str(folder / hash_seed)!r}) / str(s), LIARS)\n"
        "    g.run()\n    print(g.digest)"
    )
    env = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_one_seed_is_one_run_whatever_the_hash_seed(folder: Path) -> None:
    seeds = [4, 7, 13]
    first, second = _digests("1", seeds, folder), _digests("2", seeds, folder)
    assert first == second
    assert len(set(first)) == len(seeds)
