"""Predictions on the simulated graph: honest servers and requesters beside liars, floods, copies, and hands that ask themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from learningchain.chain.contracts.membership.records import Member, member_key
from learningchain.chain.contracts.prediction.tally import PredictionOutcome
from tests.reached import reached
from tests.sim.asking.answer_censor import AnswerCensor
from tests.sim.asking.cheats.table import CHEATS
from tests.sim.asking.world import PROFILE, AskingPlan, AskingWorld, draw
from tests.sim.signatures import SIMULATED, signatures
from tests.tiers import sampled

SEEDS, BATCH = 60, 5


AGREED = f"request.answered {PredictionOutcome.AGREED:d}"


def run(seed: int, plan: AskingPlan) -> Counter[str]:
    """What members did and what came of it. Raises where something does not hold."""
    with signatures(SIMULATED):
        world = AskingWorld(seed, plan=plan)
        try:
            world.run()
            return world.acts
        finally:
            world.close()


@pytest.mark.parametrize("first", sampled(range(0, SEEDS, BATCH), 6, "every sixth batch of seeds runs here"))
def test_every_request_ends_as_the_rules_say_whoever_cheats(first: int) -> None:
    acts: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        acts += run(seed, draw(seed))
    reached(acts[AGREED], "a request that is agreed on")


SHOWN: dict[str, tuple[str, ...]] = {
    "colluding servers": ("colluding servers: OpenAnswer -> 0",),
    "copying server": ("copying server: CommitAnswer -> 0", "copying server: lost"),
    "flooding requester": ("flooding requester: RequestPrediction -> 0", "flooding requester: lost"),
    "left over judges": ("left over judges: AppealAnswer -> 0", "left over judges: OpenAnswer -> 0"),
    "asking itself": ("asking itself: RequestPrediction -> 0", "asking itself: OpenAnswer -> 0", "asking itself: lost"),
    "withholding server": ("withholding server: CommitAnswer -> 0", "withholding server: lost"),
}
"""What must be seen of each cheat in a few runs. Numbers are receipt codes."""


@pytest.mark.parametrize("name", sorted(CHEATS))
def test_a_cheat_does_what_it_is_for_and_gains_nothing_by_it(name: str) -> None:
    acts: Counter[str] = Counter()
    for seed in range(4):
        acts += run(seed, AskingPlan(servers=5, requesters=2, requests=3, judges=4, cheats=(name,)))
        if all(acts[one] for one in SHOWN[name]):
            break
    reached(not (unseen := [one for one in SHOWN[name] if not acts[one]]), f"{name}: {unseen}")
    assert not acts[f"{name}: gained"] or not CHEATS[name].never_gains
    assert acts["values by honest seats"]


def test_who_asks_itself_loses_in_every_run() -> None:
    """Whatever the tip: a request mints at most half of what it burns, and the rest only goes round."""
    acts: Counter[str] = Counter()
    for seed in range(20, 23):
        acts += run(seed, AskingPlan(servers=3, requesters=1, requests=1, cheats=("asking itself",), quiet=True))
    assert acts["asking itself: lost"] == 3 and not acts["asking itself: gained"]


def test_servers_that_are_banned_while_they_sit_lose_their_stakes_with_their_last_seat() -> None:
    acts: Counter[str] = Counter()
    for seed in range(8):
        acts += run(seed, AskingPlan(servers=8, requesters=3, requests=4, judges=4, bans=2))
        if acts["banned"] and acts["server.left"]:
            break
    assert acts["banned"] and acts["server.left"], sorted(acts.items())


FOUR = replace(PROFILE, validators=4)


@pytest.mark.parametrize("seed", sampled(range(6), 6, "one seed runs here"))
def test_a_validator_that_censors_answers_has_nobody_silenced_fined_or_struck(seed: int) -> None:
    """One of four, which serves as well. Blocks of the other three take what it leaves out before a window is over: each request
    is answered and agreed, as it is without it. First in the order of commitments is all that its own server is."""
    plan = AskingPlan(servers=5, requesters=2, requests=4, judges=3, quiet=True)
    with signatures(SIMULATED):
        world = AskingWorld(seed, replace(FOUR, attacks=(AnswerCensor.name,)), {AnswerCensor.name: AnswerCensor}, plan)
        try:
            world.run()
            state, happened = world.honest[0].node.state, world.acts + world.faults
            members = [state.get(member_key(one.id)) for one in world.members]
        finally:
            world.close()
    for what in ("attack: answer censor, left out", "attack: answer censor, put first", "values by honest seats"):
        assert happened[what], (what, happened)
    assert happened[AGREED] == happened["request.posted"] == happened["request.final"] > 0, happened
    assert not happened["server.fined"] and not happened["server.asleep"] and not happened["server.out"], happened
    assert not any(one.strikes for one in members if isinstance(one, Member))
