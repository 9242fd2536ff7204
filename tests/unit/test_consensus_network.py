"""Agreement, no double signing and progress after healing, for networks of machines under loss, partition, crashes and lies.

Every run is fixed by its profile and seed; `consensus_net` checks safety at each decision and each signature.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learningchain.chain.consensus.machine import Consensus
from learningchain.chain.consensus.messages import CertificateReceived, Decide, Input, Persist
from tests.unit.consensus_kit import (
    HEIGHT,
    T_PRECOMMIT,
    T_PREVOTE,
    T_PROPOSE,
    certificate,
    drive,
    good,
    machine,
    precommit,
    prevote,
    proposal,
    start,
    timeout,
)
from tests.unit.consensus_net import Net, Profile

LONG = 60_000
"""Virtual milliseconds after healing within which everybody must have decided what was asked."""


def check(profile: Profile, seed: int, height: int = 6) -> Net:
    net = Net(profile, seed)
    net.run(profile.heal_at, 10**9 if profile.heal_at else height)
    reached = max([height, *(h + 2 for node in net.honest for h in node.decided)])
    net.run(net.now + LONG, reached)
    behind = {node.index: max(node.decided, default=0) for node in net.honest if reached not in node.decided}
    assert not behind, f"no progress after healing: wanted {reached}, have {behind}"
    return net


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    n = draw(st.sampled_from([1, 2, 3, 4, 4, 4, 4, 5, 7]))
    faulty = draw(st.integers(0, (n - 1) // 3))
    return Profile(
        n=n,
        byzantine=tuple(draw(st.sampled_from(["silent", "equivocator", "liar", "amnesiac", "turncoat"])) for _ in range(faulty)),
        loss=draw(st.sampled_from([0.0, 0.1, 0.4])),
        double=draw(st.sampled_from([0.0, 0.3])),
        max_delay=draw(st.sampled_from([5, 40, 400])),
        partition=tuple(draw(st.sets(st.integers(0, n - 1), max_size=n))),
        crash=draw(st.sampled_from([0.0, 0.0, 0.002, 0.02])),
        untimely=draw(st.sampled_from([0.0, 0.3])),
        hush=draw(st.booleans()),
        heal_at=draw(st.sampled_from([0, 1_500, 3_000])),
    )


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(profile=profiles(), seed=st.integers(0, 2**32))
def test_agreement_and_progress_whatever_happens(profile: Profile, seed: int) -> None:
    check(profile, seed)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_a_healthy_network_decides_each_height_in_its_first_round(n: int) -> None:
    net = check(Profile(n=n, heal_at=0), seed=1)
    assert {cert.round for node in net.nodes for cert in node.certificates.values()} == {0}
    assert net.evidence == []


def test_an_equivocator_is_reported_and_stops_nobody() -> None:
    net = check(Profile(byzantine=("equivocator",), heal_at=0), seed=5)
    assert net.evidence
    assert all(getattr(e.a, "validator", getattr(e.a, "proposer", None)) == (3).to_bytes(20, "big") for e in net.evidence)  # type: ignore[attr-defined]


def test_a_split_without_a_quorum_decides_nothing_and_goes_on_after_healing() -> None:
    profile = Profile(partition=(0, 1), heal_at=5_000)
    net = Net(profile, 3)
    net.run(900, 10**9)
    before = max(max(node.decided, default=0) for node in net.nodes)
    net.run(4_900, 10**9)
    assert max(max(node.decided, default=0) for node in net.nodes) <= before + 1
    net.run(net.now + LONG, before + 5)
    assert all(before + 5 in node.decided for node in net.nodes)


def test_crashed_nodes_go_on_from_their_log() -> None:
    """Crashes between any two effects; the guard of the net fails the run when a machine contradicts what it signed."""
    crashes = sum(check(Profile(crash=0.03, loss=0.1, heal_at=3_000), seed).crashes for seed in range(8))
    assert crashes > 50


class Conspiracy:
    """The worst schedule for a lock. Validator 3 is Byzantine and the network is on its side: validator 0 decided A in round 0 with
    the precommits of 0, 1 and 3, and is cut off; 1 is locked on A; 2 saw nothing of it. Everything depends on 1.
    """

    def __init__(self, *, crash: bool) -> None:
        self.decided: set[bytes] = set()
        self.one, self.two = machine(1), machine(2)
        log: list[bytes] = []
        first = [start(), proposal(0, "A"), good("A"), prevote(0, 0, "A"), prevote(3, 0, "A")]
        log += [bytes(e.record) for e in drive(self.one, first, 1) if isinstance(e, Persist)]
        assert self.one.round_state().locked_round == 0
        if crash:
            self.one = machine(1)
            self.one.handle(start())
            self.one.replay(log)
        drive(self.two, [start(), timeout(T_PROPOSE, 0), prevote(1, 0, "A"), prevote(3, 0, None), timeout(T_PREVOTE, 0)], 2)
        self.both(precommit(1, 0, "A"), precommit(2, 0, None), precommit(3, 0, None), timeout(T_PRECOMMIT, 0))
        self.both(timeout(T_PROPOSE, 1), *(prevote(i, 1, None) for i in (1, 2, 3)))
        self.both(*(precommit(i, 1, None) for i in (1, 2, 3)), timeout(T_PRECOMMIT, 1))
        assert self.one.round == self.two.round == 2

    def both(self, *events: Input) -> None:
        for who, consensus in ((1, self.one), (2, self.two)):
            self.decided |= {e.block_id for e in drive(consensus, events, who) if isinstance(e, Decide)}

    def votes_of(self, consensus: Consensus, round_: int) -> list[Input]:
        votes = consensus.round_state().own_votes
        return [
            prevote(int.from_bytes(v.validator, "big"), v.round, None if not v.block_id else "B")
            for v in votes
            if v.round == round_ and v.type == 1
        ]

    def try_to_decide_b(self, round_: int, pol: int) -> None:
        self.both(timeout(T_PROPOSE, round_ - 1), proposal(round_, "B", pol), good("B"))
        self.both(
            *self.votes_of(self.one, round_), *self.votes_of(self.two, round_), prevote(3, round_, "B"), timeout(T_PREVOTE, round_)
        )
        name = "B" if self.one.round_state().locked_id == proposal(0, "B").proposal.block_id else None
        self.both(precommit(1, round_, name), precommit(2, round_, name), precommit(3, round_, "B"))


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("pol", [-1, 1])
def test_a_decision_that_one_node_alone_knows_is_defended_by_the_locks(crash: bool, pol: int) -> None:
    """A fresh proposal of another block, or one with an invented proof, does not get the locked validator's prevote."""
    c = Conspiracy(crash=crash)
    c.try_to_decide_b(2, pol)
    assert c.decided == set()
    c.both(CertificateReceived(certificate([0, 1, 3], 0, "A")), good("A"))
    assert c.decided == {certificate([0], 0, "A").block_id}
    assert c.one.last_certificate is not None and c.one.last_certificate.height == HEIGHT
