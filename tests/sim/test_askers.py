"""Eight members ask every node for full blocks as fast as they can: heights are decided, and who asks honestly is answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from learningchain.chain.node.answer_budget import AnswerBudget
from tests.reached import reached
from tests.sim.attacks.asker import CONNECTIONS, MEMBERS, Asked
from tests.sim.checks import Violation
from tests.sim.profile import Profile
from tests.sim.signatures import SIMULATED, signatures

SEEDS = 2
ASKED = Profile(observers=1 + MEMBERS, heal_at=2_500, transfers=60, job=False, joins=((2_000, 4),))
"""One honest observer comes late and asks for all blocks."""


def asked(seed: int, profile: Profile = ASKED) -> Asked:
    """A run to its end: all that clients wanted is decided, and everybody honest has it."""
    world = Asked(seed, profile)
    with signatures(SIMULATED):
        world.run()
    return world


def test_finality_stays_and_honest_questions_are_answered() -> None:
    counts: Counter[str] = Counter()
    for seed in range(SEEDS):
        world = asked(seed)
        counts.update(world.counts)
        counts.update({what: count for what, count in world.faults.items() if what.startswith("attack: ")})
    again = [count for what, count in counts.items() if what.endswith("connected anew")]
    assert again == [SEEDS * (CONNECTIONS - 1)] * MEMBERS
    reached(
        counts["questions of validators"] > SEEDS and counts["for askers"] > 100_000 and counts["for a newcomer"] > 10_000,
        f"questions of validators, and bytes for askers and newcomers: {counts}",
    )


def test_without_the_bound_over_all_peers_they_get_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnswerBudget, "allows", lambda self, peer, kind, now: True)
    with pytest.raises(Violation, match=r"answered with \d+ bytes"):
        for seed in range(SEEDS):
            asked(seed)


def test_without_shares_validators_are_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnswerBudget, "_share", lambda self, peer, kind: None)
    with pytest.raises(Violation, match="did not answer the validator"):
        for seed in range(SEEDS):
            asked(seed, replace(ASKED, joins=()))
