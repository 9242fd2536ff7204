"""Jobs that are parked: what the end of a suspension does to them, and what giving back means (LC-BLK-21, LC-JOB-41, LC-MEM-14)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from learningchain.chain.contracts import BY_NUMBER
from learningchain.chain.contracts.job import CONTRACT, records
from learningchain.chain.contracts.job.messages import Reveal
from learningchain.chain.contracts.job.records import JobState
from learningchain.chain.contracts.membership import CONTRACT as MEMBERSHIP
from learningchain.chain.contracts.membership import JudgeCase, MemberCode, Release, case_key
from learningchain.chain.errors import Code
from learningchain.chain.host import ACTIVE, SUSPENDED, Host, Parked, parked_key
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.types import LogEvent
from learningchain.chain.verification.votes import BallotCode
from tests.unit.api_kit import MODEL, MODEL_CID, PARAMS, FakeLedger, sha
from tests.unit.job_kit import World, ballot, who
from tests.unit.test_job_rows import audit, world

VALIDATORS = ("n1", "n2", "n3", "n4")


def broken(*_: object) -> None:
    raise TypeError("a bug")


def plant(monkeypatch: pytest.MonkeyPatch, number: int, **hooks: Any) -> None:
    monkeypatch.setitem(BY_NUMBER, number, replace(BY_NUMBER[number], **hooks))


def suspended() -> tuple[FakeLedger, bytes]:
    """A ledger on which a job's verdict suspended n1, and the job."""
    chain = FakeLedger()
    job = chain.judged_job(ballot(BallotCode.FALSE, 900_000))
    assert account(chain).status == SUSPENDED
    return chain, job


def account(chain: FakeLedger) -> Any:
    return chain.state.get(b"a/" + chain.ids["n1"])


def case(chain: FakeLedger) -> Any:
    return chain.state.get(case_key(chain.ids["n1"]))


def topics(chain: FakeLedger) -> list[tuple[str, bytes]]:
    """What the last block did by itself."""
    return [(event.topic, event.ref) for event in chain.blocks[-1][2][0].events if isinstance(event, LogEvent)]


# --- the end of a suspension ------------------------------------------------------------------------------------------------------


def test_a_job_that_fails_at_a_cases_end_is_parked_and_the_case_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-BLK-21"""
    chain, job = suspended()
    plant(monkeypatch, records.NUMBER, on_case_closed=broken)
    chain.mine(PARAMS.appeal)
    assert account(chain).status == ACTIVE and case(chain) is None
    assert ("case.lapsed", chain.ids["n1"]) in topics(chain) and ("parked", job) in topics(chain)
    assert chain.state.get(parked_key(records.NUMBER, job)).held == []  # type: ignore[union-attr]


@pytest.mark.parametrize("is_parked", [False, True])
def test_a_job_that_is_parked_is_not_told_of_a_cases_end(monkeypatch: pytest.MonkeyPatch, is_parked: bool) -> None:
    chain, job = suspended()
    told: list[bytes] = []
    plant(monkeypatch, records.NUMBER, on_case_closed=lambda host, ref, *_: told.append(ref))
    if is_parked:
        park(chain, job)
    chain.mine(PARAMS.appeal)
    assert told == ([] if is_parked else [job]) and account(chain).status == ACTIVE


def park(chain: FakeLedger, job: bytes) -> None:
    overlay = Overlay(chain.state)
    overlay.put(parked_key(records.NUMBER, job), Parked(1, "failed", [], [], []))
    changes, _, tree = overlay.finish()
    chain.state.commit(changes, tree)


def test_a_case_that_fails_is_parked_takes_no_words_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-MEM-14: nobody is banned by a fault, and the account has everything again."""
    chain, _ = suspended()
    n1 = chain.ids["n1"]
    held = account(chain).balance + account(chain).frozen
    plant(monkeypatch, MEMBERSHIP.number, on_due=broken)
    chain.mine(PARAMS.appeal)
    assert ("parked", n1) in topics(chain) and account(chain).status == SUSPENDED and case(chain) is not None
    assert chain.block(n2=JudgeCase(n1, True)) == [Code.PARKED]
    words = {name: Release(MEMBERSHIP.number, n1, True) for name in VALIDATORS[1:]}
    assert chain.block(**words) == [0, 0, 0]
    assert case(chain) is None and (account(chain).status, account(chain).balance, account(chain).frozen) == (ACTIVE, held, 0)
    member: Any = chain.state.get(b"m/" + n1)
    assert member.strikes == []
    assert chain.block(n2=Release(MEMBERSHIP.number, n1, True)) == [MemberCode.NOT_PARKED]


def test_a_draw_that_fails_is_parked_and_runs_once_it_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-BLK-33: a deadline by height is kept like any other, and what it was set for is still the job's deadline."""
    chain = FakeLedger()
    job = chain.claimed_job()
    chain.block(50_000)
    whole = CONTRACT.on_due
    assert chain.block(n1=Reveal(job, 1, MODEL_CID.to_bytes(), len(MODEL), sha("salt"))) == [0]
    chain.mine()
    plant(monkeypatch, records.NUMBER, on_due=broken)
    chain.mine()
    assert ("parked", job) in topics(chain)
    found: Any = chain.state.get(records.job_key(job))
    assert (found.state, chain.state.get(parked_key(records.NUMBER, job)).held[0].time) == (JobState.DRAW, found.deadline)  # type: ignore[union-attr]
    plant(monkeypatch, records.NUMBER, on_due=whole)
    chain.mine()
    assert chain.block(**{name: Release(records.NUMBER, job, False) for name in VALIDATORS[:3]}) == [0, 0, 0]
    chain.mine()
    found = chain.state.get(records.job_key(job))
    assert found.state == JobState.COMMIT


# --- giving back --------------------------------------------------------------------------------------------------------------


def give_back(w: World, job: bytes) -> None:
    host: Host = w.host()
    CONTRACT.on_give_back(host.acting(CONTRACT), job)  # type: ignore[misc]
    w._took(host)


def test_an_open_job_gives_everything_back_in_pages() -> None:
    """LC-JOB-41: stakes of more claimants than one event releases."""
    names = [f"c{n}" for n in range(200)]
    w = World(["boss", *names], names[:1])
    job = w.post("boss", bounty=10_000)
    for n, name in enumerate(names):
        assert w.claim(job, name, 10**6 + n) == 0
    give_back(w, job)
    assert w.state(job) == "EMPTY" and 0 < w.escrowed(job) < 200 * 1_000
    w.until(w.clock + 10)
    assert (w.escrowed(job), w.burned(), w.unsettled_due()) == (0, 0, None)
    assert {w.free(name) for name in ("boss", *names)} == {w.free("boss")}
    assert w.membership.struck() == []
    record = w.store.get(records.contractor_key(who("boss")))
    assert (record.live, record.live_bytes, record.refunded) == (0, 0, 0)


def test_a_job_under_audit_gives_back_and_judges_nobody() -> None:
    w = world()
    job = audit(w, {"a": 5_000, "b": 9_000})
    give_back(w, job)
    assert w.job(job).state == JobState.EMPTY
    w.until(w.clock + 10**6)
    assert (w.escrowed(job), w.burned(), w.unsettled_due()) == (0, 0, None)
    assert w.membership.struck() == []


def test_a_job_that_waits_for_its_draw_gives_back_and_is_not_drawn() -> None:
    w = world()
    job = w.post("boss")
    assert w.claim(job, "a", 5_000) == 0
    w.deadline(job)
    assert w.reveal(job, "a") == 0
    w.next(job)
    assert w.state(job) == "DRAW"
    give_back(w, job)
    assert [key for key in w.store.records if key.startswith(b"dh/")] == []
    w.block(1)
    assert (w.state(job), w.escrowed(job), w.burned()) == ("EMPTY", 0, 0)
