"""Agreement, no double signing and progress after healing, for networks of machines under loss, partition, crashes and lies.

Every run is fixed by its profile and seed; `consensus_net` checks safety at each decision and each signature.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
        byzantine=tuple(draw(st.sampled_from(["silent", "equivocator", "liar", "amnesiac"])) for _ in range(faulty)),
        loss=draw(st.sampled_from([0.0, 0.1, 0.4])),
        double=draw(st.sampled_from([0.0, 0.3])),
        max_delay=draw(st.sampled_from([5, 40, 400])),
        partition=tuple(draw(st.sets(st.integers(0, n - 1), max_size=n))),
        crash=draw(st.sampled_from([0.0, 0.0, 0.002, 0.02])),
        untimely=draw(st.sampled_from([0.0, 0.3])),
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


def test_one_seed_is_one_run() -> None:
    profile = Profile(n=4, loss=0.2, crash=0.005, byzantine=("equivocator",), untimely=0.2)
    assert check(profile, 9).trace.digest() == check(profile, 9).trace.digest() != check(profile, 10).trace.digest()


def test_crashed_nodes_go_on_from_their_log() -> None:
    """Crashes between any two effects; the guard of the net fails the run when a machine contradicts what it signed."""
    crashes = sum(check(Profile(crash=0.03, loss=0.1, heal_at=3_000), seed).crashes for seed in range(8))
    assert crashes > 50
