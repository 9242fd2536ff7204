"""The machines of membership: what a node declares by itself, and what its operator is told of cases."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.job.records import ClaimantIndex, Posting, claimant_key, posting_key
from learningchain.chain.contracts.membership import (
    Case,
    CaseRef,
    Judged,
    Leave,
    MemberParams,
    PastVerdict,
    SetCapacity,
    SetTraining,
    case_key,
    judged_key,
)
from learningchain.chain.contracts.membership.records import NUMBER
from learningchain.chain.crypto import address
from learningchain.chain.host import BANNED, account_key, read_params
from learningchain.chain.host.terms import LIMITS, Arch, Capacity
from learningchain.client.config import LONGEST_RUN_S, WorkConfig
from learningchain.client.contracts.membership.http import cases
from learningchain.client.contracts.membership.roles.capacity import START_MS, Capacities, least, offered
from learningchain.client.contracts.membership.roles.training import Trainings
from learningchain.client.contracts.membership.roles.watching import CaseWatch
from learningchain.client.contracts.membership.work import _trains
from learningchain.client.work.events import Chain as Look
from learningchain.client.work.events import Changed, Effect, EngineReady, Submit
from learningchain.client.work.machine import LedgerStatus
from tests.unit.work_kit import CAPACITY, Chain, posting, recalled, working

ENGINE = EngineReady(Arch.AMD64, 4_000, 8_192)


def put(chain: Chain, key: bytes, record: Any) -> None:
    chain.state.commit([(key, record)], chain.state.tree)


# --- capacity ------------------------------------------------------------------------------------------------------------------


class Bench:
    def __init__(self, *, declared: Capacity | None = None, name: str = "v", **settings: Any) -> None:
        self.chain = Chain(["v"], ["w"], capacity=declared)
        self.machine = Capacities(recalled(self.chain, name, working(**settings)))

    def look(self, later: int = 0) -> list[Effect]:
        return self.machine.handle(Look(self.chain.state, self.chain.clock + later))

    def declares(self) -> Capacity | None:
        """What is sent now."""
        said = self.look()
        if not said:
            return None
        (submit,) = said
        assert isinstance(submit, Submit) and isinstance(submit.op, SetCapacity)
        return submit.op.capacity

    def told(self) -> list[str]:
        return [notice.topic for notice in self.machine.notices()]


def test_a_verifier_declares_what_its_settings_allow_of_its_machine_and_says_it_once() -> None:
    b = Bench()
    assert b.declares() is None and b.told() == [], "the sandbox is being proven, as at each start"
    assert b.look(later=START_MS) == [] and b.told() == ["capacity.none"], "the engine does not get ready"
    b.machine.handle(ENGINE)
    assert b.declares() == CAPACITY and b.told() == [], "the declaration is on its way"
    assert b.look(later=START_MS) == [] and b.told() == ["capacity.none"], "it does not arrive"
    assert b.chain.now("v", SetCapacity(CAPACITY)) == 0
    assert b.declares() is None and b.told() == []


@pytest.mark.parametrize(
    ("settings", "engine", "changes"),
    [
        ({"max_cpus": 2}, ENGINE, {"cpus_milli": 2_000}),
        ({"max_cpus": 64}, ENGINE, {}),
        ({"max_mem_mb": 65_536}, ENGINE, {"mem_mb": 8_192}),
        ({"max_image_mb": 1}, ENGINE, {"image": 2**20}),
        ({"max_model_mb": 65_536}, ENGINE, {"model_cap": LIMITS["model_cap"][1]}),
        ({"max_eval_s": 5}, ENGINE, {"eval_s": 5}),
        ({}, EngineReady(Arch.ARM64, 2_500, 512), {"arch": 2, "cpus_milli": 2_500, "mem_mb": 512}),
        ({}, EngineReady(Arch.AMD64, 5, 2), {"cpus_milli": 10, "mem_mb": 6}),
        ({}, EngineReady(Arch.AMD64, 2_000_000, 8_192), {"cpus_milli": 1_024_000}),
    ],
)
def test_what_is_declared_follows_settings_and_machine(settings: dict[str, Any], engine: EngineReady, changes: Any) -> None:
    assert engine.arch is not None
    assert offered(working(**settings), engine, engine.arch) == replace(CAPACITY, **changes)


def test_an_engine_that_changed_while_the_node_runs_is_declared_anew_and_the_first_one_again() -> None:
    """Memory was added to its machine, and taken out again: each is another declaration."""
    b = Bench()
    keys = set()
    for mem in (1_000, 2_000, 1_000):
        b.machine.handle(EngineReady(Arch.AMD64, 4_000, mem))
        (submit,) = b.look()
        assert isinstance(submit, Submit) and submit.op.capacity.mem_mb == mem
        assert b.chain.now("v", submit.op) == 0
        keys.add(submit.key)
    assert len(keys) == 3


def test_who_is_not_to_verify_takes_itself_out_of_the_draw() -> None:
    b = Bench(declared=replace(CAPACITY, arch=Arch.ARM64), verify=False)
    assert b.declares() == Capacity(Arch.ARM64, cpus_milli=10, mem_mb=6, image=1, model_cap=1, eval_s=1)
    assert b.chain.now("v", SetCapacity(CAPACITY)) == 0 and b.declares() == least(Arch.AMD64)
    assert b.chain.now("v", SetCapacity(least(Arch.AMD64))) == 0 and b.declares() is None
    never = Bench(verify=False)
    assert never.declares() is None and never.told() == []


# --- trainings -----------------------------------------------------------------------------------------------------------------


class Trains:
    """Of one without the verifier flag."""

    def __init__(self, chain: Chain, **settings: Any) -> None:
        self.chain, self.machine = chain, Trainings(recalled(chain, "w", WorkConfig(**settings)))

    def says(self) -> SetTraining | None:
        """What it sends now, which a block then has."""
        said = self.machine.handle(Look(self.chain.state, self.chain.clock))
        assert self.machine.handle(Look(self.chain.state, self.chain.clock)) == [], "it is on its way"
        if not said:
            return None
        (submit,) = said
        assert isinstance(submit, Submit) and isinstance(submit.op, SetTraining)
        assert _trains(self.chain.state, self.chain.ids["w"], self.chain.clock, submit.op)[0] is LedgerStatus.OPEN
        assert self.chain.now("w", submit.op) == 0
        assert _trains(self.chain.state, self.chain.ids["w"], self.chain.clock, submit.op)[0] is LedgerStatus.STANDS
        return submit.op


def test_a_node_that_works_says_how_long_it_trains_and_says_it_again_when_that_changes() -> None:
    chain = Chain(["v"], ["w"])
    one = Trains(chain, enabled=True)
    assert one.says() is None, "the engine is not ready"
    one.machine.handle(ENGINE)
    assert one.says() == SetTraining(Arch.AMD64, LONGEST_RUN_S) and one.says() is None
    for settings, said in (
        ({"max_run_s": 60}, 60),
        ({}, LONGEST_RUN_S),
        ({"max_run_s": 60}, 60),
        ({"enabled": False}, 0),
        ({"max_run_s": 60}, 60),
    ):
        one.machine.reconfigure(WorkConfig(**{"enabled": True} | settings))
        assert one.says() == SetTraining(Arch.AMD64, said) and one.says() is None
    again = Trains(chain, enabled=True, max_run_s=60)
    assert again.says() is None, "the engine that is not there yet takes nothing back"
    again.machine.handle(EngineReady(Arch.ARM64, 4_000, 8_192))
    assert again.says() == SetTraining(Arch.ARM64, 60)
    assert chain.now("w", Leave()) == 0 and again.says() is None


def test_a_node_that_does_not_work_declares_nothing() -> None:
    one = Trains(Chain(["v"], ["w"]))
    one.machine.handle(ENGINE)
    assert one.says() is None


# --- cases ---------------------------------------------------------------------------------------------------------------------


class Court:
    """A case against `w`, in a job of each of these contractors; `a` to `d` are validators."""

    def __init__(self, *owners: str, confirm: str = "", lift: str = "", accused: str = "w") -> None:
        self.chain = Chain(["a", "b", "c", "d"], ["boss", "rival", "third", "w"])
        self.accused = self.chain.ids[accused]
        ids = self.chain.ids
        refs = [CaseRef(bytes([n]) * 32, 3, ids[name], ids[name]) for n, name in enumerate(owners)]
        self.until = self.chain.clock + 60_000
        case = Case(1, self.chain.clock, self.until, refs, sorted(ids[n] for n in confirm), sorted(ids[n] for n in lift))
        verdicts = [PastVerdict(ids[name], 2, self.chain.clock, 1, False) for name in owners]
        put(self.chain, case_key(self.accused), case)
        put(self.chain, judged_key(self.accused), Judged(verdicts, 0))

    def view(self) -> Any:
        found = cases.view(self.chain.state, self.accused)
        assert found is not None
        return found

    def told(self, name: str) -> list[tuple[str, str]]:
        watch = CaseWatch(recalled(self.chain, name))
        watch.handle(Changed(self.chain.state, (case_key(self.accused),), anew=True))
        watch.handle(Look(self.chain.state, self.chain.clock))
        return [(notice.topic, notice.text) for notice in watch.notices()]


def test_a_case_says_what_it_needs_what_happens_in_silence_and_until_when() -> None:
    court = Court("boss")
    found = court.view()
    assert (found["judges"], found["to_ban"], found["to_lift"], found["corroborated"]) == (4, 3, 3, False)
    what, ban, silence, lift = found["words"]
    assert what == "1 false claim in jobs of 1 poster; not corroborated."
    assert "needs 3 of 4 judges (more than two thirds) by 2023-11-14 22:14 UTC (chain clock): 0 confirm, 0 lift" in ban
    assert silence == "If nobody says more it lapses then: what is frozen comes back, with a strike for the poster."
    assert lift == "3 lifting judges end it at once."


def test_two_contractors_corroborate_unless_a_third_one_vouches_or_the_case_was_lifted() -> None:
    court = Court("boss", "rival")
    assert (court.view()["corroborated"], court.view()["to_ban"]) == (True, 3)
    key = judged_key(court.accused)
    known = court.chain.state.get(key)
    assert isinstance(known, Judged)
    third = court.chain.ids["third"]
    put(court.chain, key, Judged([*known.last, PastVerdict(third, 1, court.chain.clock, 0, False)], 0))
    assert not court.view()["corroborated"]
    put(court.chain, key, Judged([known.last[0], replace(known.last[1], lifted=True)], 0))
    assert not court.view()["corroborated"]


def test_who_found_a_claim_false_and_another_one_right_takes_nothing_back_and_what_is_old_counts_no_more() -> None:
    court = Court("boss", "rival")
    key, life = judged_key(court.accused), read_params(court.chain.state, NUMBER, MemberParams).standing_life
    known = court.chain.state.get(key)
    assert isinstance(known, Judged)
    put(court.chain, key, Judged([*known.last, replace(known.last[0], verdict=1)], 0))
    assert court.view()["corroborated"], "only a third contractor vouches"
    for age, doubled in ((life - 1, True), (life, False)):
        put(court.chain, key, Judged([known.last[0], replace(known.last[1], time=court.until - age)], 0))
        assert court.view()["corroborated"] is doubled, "as it will be when the case ends"
    put(court.chain, key, Judged([known.last[0], replace(known.last[0], time=court.until - 1)], 0))
    assert not court.view()["corroborated"], "one contractor is one"


def test_words_follow_the_judges_and_only_those_of_now_count() -> None:
    assert Court("boss", confirm="abc").view()["words"][2] == "As it stands it bans."
    assert "without a strike" in Court("boss", lift="a").view()["words"][2]
    court = Court("boss", confirm="ab")
    banned = court.chain.state.get(account_key(court.chain.ids["a"]))
    put(court.chain, account_key(court.chain.ids["a"]), replace(banned, status=BANNED))  # type: ignore[type-var]
    assert court.view()["judges"] == 3 and "1 confirm" in court.view()["words"][1]


def test_the_accused_is_told_and_the_judges_that_have_not_spoken() -> None:
    court = Court("boss", lift="b")
    ((topic, text),) = court.told("w")
    assert topic == "case.own" and text.startswith("A case is open against this node's identity. 1 false claim")
    ((topic, text),) = court.told("a")
    assert topic == "case.waits"
    assert f"learningchain judge {address(court.accused)} --confirm or --lift" in text
    assert court.told("b") == [] and court.told("boss") == []
    own = Court("boss", accused="a")
    assert [topic for topic, _ in own.told("a")] == ["case.own"], "nobody judges its own case"


@pytest.mark.parametrize("part", ["claimant", "contractor"])
def test_a_judge_with_a_part_in_a_job_of_the_case_is_told_that_it_may_only_lift(part: str) -> None:
    court = Court("boss")
    ref, me = bytes(32), court.chain.ids["a"]
    if part == "claimant":
        put(court.chain, claimant_key(ref, me), ClaimantIndex(0))
    else:
        put(court.chain, posting_key(ref), Posting(me, 0, 0, posting(10**12)))
    ((topic, text),) = court.told("a")
    assert topic == "case.waits" and "--lift (with a part in a job of the case, it may not confirm)" in text
    found = cases.waiting(court.chain.state, court.accused, me)
    assert found is not None and found["may"] == ["lift"]
    assert "--confirm or --lift" in court.told("b")[0][1]
