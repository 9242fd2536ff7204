"""Whole federations whose owners train in real containers, on data that no other container sees: to the target, better than each
alone, and who poisons is turned away by name of the rule."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learningchain.chain.contracts.federation.messages import FileCode
from learningchain.chain.contracts.federation.records import EndReason
from learningchain.client.contracts.federation.arithmetic import rows
from learningchain.client.contracts.federation.arithmetic.places import ROWS
from learningchain.examples.federation.build import split_rows
from learningchain.examples.federation.deal import dealt, flipped
from learningchain.examples.federation.wheel import TorchMissing
from learningchain.sandbox import Sandbox
from tests.federation_rooms import Room, RoomWorld

TORCH = pytest.mark.full(
    "torch's image is built, and imported in each of some thirty containers: `pytest --full` with this file alone"
)


@pytest.fixture(autouse=True)
def same_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    write = rows.write_rows

    @lru_cache(2)
    def drawn(key: bytes, chunk: int) -> Any:
        found = np.empty((ROWS, rows.WIDTH))
        write(key, chunk, found)
        return found

    monkeypatch.setattr(rows, "write_rows", lambda key, chunk, into: np.copyto(into, drawn(key, chunk)))


@pytest.fixture
def of_example(room: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Room]:
    try:
        made = Room(room, request.param, tmp_path)
    except TorchMissing as missing:
        pytest.skip(f"{request.param} needs torch: {missing}")
    yield made
    room.settle()
    for data in room.list_data():
        room.remove_data(data.name)
    room.remove_image(made.image)


def codes(world: RoomWorld) -> dict[bytes, set[FileCode]]:
    """By owner: what was said of its files."""
    found: dict[bytes, set[FileCode]] = {one: set() for one in world.owners}
    for event in world.ledger.topics("fed.code"):
        found[event.data[2]].add(FileCode(event.data[3]))
    return found


def reached(world: RoomWorld, most: float) -> float:
    """The loss of the best model, measured once more."""
    assert EndReason(world.now.end) is EndReason.REACHED
    assert sum(world.paid(one) for one in world.owners) == world.terms.bounty
    assert not world.ledger.refused
    loss = world.room.loss(world.best())
    assert loss <= most
    return loss


@pytest.mark.parametrize("of_example", ["breast-cancer"], indirect=True)
def test_three_owners_reach_what_none_reaches_alone(of_example: Room) -> None:
    world = RoomWorld(of_example, dealt(split_rows("breast-cancer")[0], 3, seed=1, most=20), share=True, target=210_000_000)
    world.run()
    loss = reached(world, 0.210)
    alone = world.alone(world.now.r)
    print(f"together {loss:.3f} after {world.now.r} rounds, alone {', '.join(f'{one:.3f}' for one in alone)}")
    assert loss < min(alone) - 0.02, "better than the best of them"
    assert loss < sum(alone) / 3 - 0.1, "and far better than most"


@pytest.mark.parametrize("of_example", ["breast-cancer"], indirect=True)
def test_who_turns_its_labels_round_is_refused_as_wrong(of_example: Room) -> None:
    tables = dealt(split_rows("breast-cancer")[0], 4, most=60)
    world = RoomWorld(of_example, [*tables[:3], flipped(tables[3])], share=True, target=210_000_000)
    world.run()
    reached(world, 0.210)
    *honest, bad = world.owners
    assert FileCode.WRONG in codes(world)[bad] and FileCode.USED not in codes(world)[bad]
    assert world.paid(bad) == 0 and all(world.paid(one) > 0 for one in honest)


@TORCH
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("of_example", ["breast-cancer-network", "credit-network", "digits-network"], indirect=True)
def test_a_network_in_torch_repeats_itself(of_example: Room) -> None:
    """Federations of the last two are on real nodes: processes/test_federation_torch.py."""
    data = of_example.add("one", dealt(split_rows(of_example.name)[0], 3, seed=1, most=20, skew=2.0)[0])
    assert of_example.losses(of_example.initial) == of_example.losses(of_example.initial)
    first = of_example.trained(of_example.initial, data, 7)
    assert first == of_example.trained(of_example.initial, data, 7), "equal seeds give equal bytes"


@TORCH
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("of_example", ["breast-cancer-network"], indirect=True)
def test_three_owners_of_a_network_in_torch_reach_what_none_reaches_alone(of_example: Room) -> None:
    tables = dealt(split_rows(of_example.name)[0], 3, seed=1, most=20, skew=2.0)
    world = RoomWorld(of_example, tables, share=True, target=200_000_000)
    world.run()
    loss = reached(world, 0.2)
    alone = world.alone(world.now.r)
    print(f"together {loss:.3f} after {world.now.r} rounds, alone {', '.join(f'{one:.3f}' for one in alone)}")
    assert loss < min(alone) - 0.02 and loss < sum(alone) / 3
