"""Plays of what is parked and given back, of a job's winner as a model, and of a supply at its limit (LC-PRE-5, 7, 54)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.job import records as jobs
from learningchain.chain.contracts.job.records import ClaimRecord, Job, JobState, Posting
from learningchain.chain.contracts.membership import Release
from learningchain.chain.contracts.prediction.messages import CommitAnswer, PredictionCode, UnserveModel
from learningchain.chain.contracts.prediction.records import RequestState, servers_key
from learningchain.chain.errors import Code
from learningchain.chain.host import K_SUPPLY, Parked, Supply, parked_key
from tests.vectors import job_plays
from tests.vectors.asked_models import ZERO
from tests.vectors.asked_requests import POLICY, policy_of
from tests.vectors.kit import id_of
from tests.vectors.prediction_plays import MODEL_CID, NUMBERS, SERVERS, VALIDATORS, Ask, asking, number

LIMIT = 2**63 - 1


def _parked(play: Ask, ref: bytes) -> Ask:
    return Ask(play.name, play.rule, {parked_key(4, ref): Parked(1, "failed", [], [], [])}, play)


def _given_back(play: Ask, ref: bytes) -> Ask:
    """By the word of five validators of seven."""
    codes = play.block(*(play.tx(name, Release(4, ref, True)) for name in VALIDATORS[:5]))
    assert not any(codes), codes
    for _ in range(3):
        play.block()
    return play


def waiting() -> Ask:
    play = Ask("a parked request that waits is given back", "LC-PRE-54")
    play.served(NUMBERS, *SERVERS[:3])
    play.do("carol", replace(POLICY, model=play.model))
    play.ask(answers=3, policy=[policy_of(play)])
    return _given_back(_parked(play, play.request), play.request)


def answering() -> Ask:
    play = Ask("a parked request that is answered is given back", "LC-PRE-54")
    play.served(NUMBERS, *SERVERS[:3])
    play.ask(answers=3)
    play.until(RequestState.ANSWER)
    play = _parked(play, play.request)
    play.refuse(Code.PARKED, "s1", CommitAnswer(play.request, 1, ZERO))
    return _given_back(play, play.request)


def appealed() -> Ask:
    play = Ask("a parked request under appeal is given back: its values stand", "LC-PRE-54")
    play.served(NUMBERS, *SERVERS[:3])
    play.ask(answers=3)
    play.answer(lambda name: number(7))
    play.appeal("carol")
    return _given_back(_parked(play, play.request), play.request)


def ended() -> Ask:
    play = Ask("what has ended is given back in vain", "LC-PRE-54")
    play.served(NUMBERS, *SERVERS[:3])
    play.ask(answers=3, wait=1_000)
    play.block(step=1_000)
    play.block()
    return _given_back(_parked(play, play.request), play.request)


def model() -> Ask:
    """It is retired; its pump does the rest: who has no seat leaves, the others with their last one."""
    play = Ask("a parked model is given back", "LC-PRE-54")
    play.served(NUMBERS, *SERVERS[:4])
    play.ask(answers=3)
    play.until(RequestState.ANSWER)
    play = _parked(play, play.model)
    play.refuse_all([(Code.PARKED, "bob", asking(play.model)), (Code.PARKED, "s1", UnserveModel(play.model))])
    play = _given_back(play, play.model)
    play.answer(lambda name: number(7))
    play.until(RequestState.FINAL)
    assert play.state.get(servers_key(play.model)) is None
    return play


def pumping_model() -> Ask:
    """Its pump was due while it was parked: the deadline went with what was parked, and is set anew."""
    play = Ask("a parked model whose pump was due is given back", "LC-PRE-54")
    play.served(NUMBERS, *SERVERS[:4])
    play.ask(answers=3)
    play = _parked(play, play.model)
    play.block()
    play = _given_back(play, play.model)
    assert play.read().state == RequestState.FAILED
    assert play.state.get(servers_key(play.model)) is None
    return play


def policy() -> Ask:
    """One that nobody names is dropped."""
    play = Ask("a parked policy is given back", "LC-PRE-54")
    play.served(NUMBERS, *SERVERS[:3])
    play.do("carol", replace(POLICY, model=play.model))
    ref = policy_of(play)
    return _given_back(_parked(play, ref), ref)


def named_policy() -> Ask:
    """One that a request names stays."""
    play = Ask("a parked policy that a request names stays", "LC-PRE-54")
    play.served(NUMBERS, *SERVERS[:3])
    play.do("carol", replace(POLICY, model=play.model))
    ref = policy_of(play)
    play.ask(answers=3, wait=60_000, policy=[ref])
    return _given_back(_parked(play, ref), ref)


# --- a job's winner -------------------------------------------------------------------------------------------------------------

JOB = bytes([7]) * 32


def _job(state: JobState, poster: str = "alice") -> dict[bytes, Any]:
    """A job that ended, with a claim of bob."""
    job = Job(state, 5, 0, 1, 1, b"", [0], [0], 0, b"", 0, 1, [], 0, 0, [], [0] if state == JobState.PAID else [], 0, 0, 0, 0, 1, 4)
    claim = ClaimRecord(id_of("bob"), 1, 5, 1, bytes(32), 0, bytes(32), 3, True, 0, MODEL_CID, 777, 1, 1, [])
    posting = Posting(id_of(poster), 0, 1, job_plays.terms(expiry=3, params='{"depth": 3}'))
    return {jobs.job_key(JOB): job, jobs.posting_key(JOB): posting, jobs.claim_key(JOB, 0): claim}


OF_A_JOB = replace(NUMBERS, source=[JOB], program=[])


def won() -> Ask:
    """Image, parameters, limits are the job's, the model that of its winner."""
    play = Ask("the winner of a job becomes a model", "LC-PRE-7", _job(JobState.PAID))
    play.refuse(PredictionCode.BAD_SOURCE, "bob", OF_A_JOB)
    play.register(OF_A_JOB)
    return play


def not_won() -> Ask:
    play = Ask("a job that was refunded has no model", "LC-PRE-7", _job(JobState.REFUNDED))
    play.refuse(PredictionCode.BAD_SOURCE, "alice", OF_A_JOB)
    return play


# --- the supply -----------------------------------------------------------------------------------------------------------------


def limit() -> Ask:
    """A subsidy would pass the limit: none of the payees gets one."""
    play = Ask("nothing is minted where the supply would pass its limit", "LC-PRE-5")
    play.served(NUMBERS, *SERVERS[:3])
    known: Any = play.state.get(K_SUPPLY)
    more = LIMIT - 100 - known.minted
    play = Ask(play.name, play.rule, {K_SUPPLY: Supply(known.minted + more, known.burned + more)}, play)
    play.ask(answers=3, tip=100_000)
    play.answer(lambda name: number(7))
    return play


RETURNS: tuple[Callable[[], Ask], ...] = (
    *(waiting, answering, appealed, ended, model, pumping_model, policy, named_policy),
    *(won, not_won, limit),
)
