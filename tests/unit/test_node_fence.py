"""What a node does about a deadline that fails: it parks and goes on, or it ends before it signs anything (LC-BLK-20, 22)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import SignVote
from learningchain.chain.contracts import BY_NUMBER
from learningchain.chain.contracts.job import CONTRACT, deadlines, records
from learningchain.chain.errors import StateDamaged, SupplyBroken
from learningchain.chain.host import Host, Parked, escrow_key, parked_key
from learningchain.chain.node import events as e
from tests.unit.node_kit import Net, transfer

Due = Callable[[Host, bytes, int], None]


def net_with(monkeypatch: pytest.MonkeyPatch, on_due: Due) -> tuple[Net, bytes]:
    """Four validators and an observer, and a job whose deadline is the next thing to come."""
    monkeypatch.setattr("learningchain.chain.contracts.BY_NUMBER", BY_NUMBER | {CONTRACT.number: replace(CONTRACT, on_due=on_due)})
    net = Net()
    return net, net.post_job(open_ms=20_000)


def votes_of(net: Net, height: int) -> list[int]:
    """Who was about to vote for a block there."""
    return [
        index
        for index, effects in enumerate(net.effects)
        for f in effects
        if isinstance(f, e.SignRequest) and isinstance(f.request, SignVote) and f.request.height == height and f.request.block_id
    ]


def test_every_node_parks_the_same_job_and_the_graph_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(host: Host, job: bytes, at: int) -> None:
        deadlines.on_due(host, job, at)
        raise KeyError(f"a bug at {id(host)}")

    net, job = net_with(monkeypatch, breaks)
    net.run(20_000)
    net.submit(4, transfer(4, 0))
    net.reach(net.nodes[0].height + 1)
    found: set[Any] = {encode(node.state.get(parked_key(records.NUMBER, job))) for node in net.nodes}
    assert len(found) == 1 and isinstance(net.nodes[0].state.get(parked_key(records.NUMBER, job)), Parked)
    assert len({node.state.root for node in net.nodes}) == 1
    for node in net.nodes:  # whoever mends it is told where it failed
        (fault,) = node.parked
        assert fault.startswith(f"parked {job.hex()} in block ")
        assert 'raise KeyError(f"a bug at' in fault
    assert all(node.state.get(records.job_key(job)).state == records.JobState.OPEN for node in net.nodes)  # type: ignore[union-attr]
    assert not any(node.faults for node in net.nodes)
    assert net.nodes[0].state.get(escrow_key(records.bounty_escrow(job))) is not None


def lose(host: Host, job: bytes, at: int) -> None:
    host.delete(escrow_key(records.bounty_escrow(job)))


def raising(fault: Exception) -> Due:
    def fail(host: Host, job: bytes, at: int) -> None:
        raise fault

    return fail


HALTING: list[tuple[type[Exception], Due]] = [
    (MemoryError, raising(MemoryError())),
    (RecursionError, raising(RecursionError())),
    (OSError, raising(OSError(5, "the disk"))),
    (StateDamaged, raising(StateDamaged("page 7"))),
    (SupplyBroken, lose),
]


@pytest.mark.parametrize(("fault", "on_due"), HALTING)
def test_a_proposer_ends_before_it_signs_a_block(monkeypatch: pytest.MonkeyPatch, fault: type[Exception], on_due: Due) -> None:
    net, _ = net_with(monkeypatch, on_due)
    height = net.nodes[0].height
    with pytest.raises(fault):
        net.run(23_000)
    assert votes_of(net, height + 1) == [] and {node.height for node in net.nodes} == {height}


@pytest.mark.parametrize(("fault", "on_due"), HALTING)
def test_who_checks_a_block_ends_before_it_votes(monkeypatch: pytest.MonkeyPatch, fault: type[Exception], on_due: Due) -> None:
    """The proposer's machine was well."""
    calls = 0

    def second(host: Host, job: bytes, at: int) -> None:
        nonlocal calls
        calls += 1
        (deadlines.on_due if calls == 1 else on_due)(host, job, at)

    net, _ = net_with(monkeypatch, second)
    height = net.nodes[0].height
    with pytest.raises(fault):
        net.run(23_000)
    assert calls == 2 and len(set(votes_of(net, height + 1))) <= 1
