"""Who may answer a request, who may judge an appeal, and who of them is drawn. LC-PRE-16, 21, 35, 36."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from learningchain.chain.contracts.prediction import formulas, messages
from learningchain.chain.contracts.prediction.formulas import APPEAL_ROWS, APPEAL_SEATS
from learningchain.chain.contracts.prediction.records import ModelRecord
from learningchain.chain.contracts.prediction.store import ModelContext, RequestContext
from learningchain.chain.host import MEMBERS, VERIFIERS
from learningchain.chain.host.terms import Capacity
from learningchain.chain.verification.scale import ceil_div

OTHERS = 3
"""The owner serves its own model only where fewer others do."""


class ReadyServer(NamedTuple):
    """A server that may be drawn, with what a request asks of it: since when it serves, and its stake."""

    account: bytes
    since: int
    stake: int


class ServerDemand(NamedTuple):
    """What a request asks of its servers."""

    requester: bytes
    posted: int
    least: int
    """The stake, at least half of which a server has (LC-PRE-6)."""


def candidates(model: ModelContext) -> Iterator[ReadyServer]:
    """The servers that are awake, not out, not leaving, and flagged. Load does not matter, nor whether they are suspended."""
    verifiers = model.host.service(VERIFIERS)
    for account in model.servers:
        known = model.server(account)
        if known is None or not known.awake or known.out or model.is_leaving(account, known):
            continue
        if verifiers.is_available(account):
            yield ReadyServer(account, known.since, model.stake(account))


def pool(found: Iterable[ReadyServer], owner: bytes, asked: ServerDemand, enough: int = 2**31) -> list[ReadyServer]:
    """LC-PRE-16: those of them that may answer. No more are looked for than are `enough`, of others than the owner."""
    fit: list[ReadyServer] = []
    others = 0
    for one in found:
        if one.since < asked.posted and 2 * one.stake >= asked.least and one.account != asked.requester:
            fit.append(one)
            others += one.account != owner
            if others >= max(enough, OTHERS):
                break
    return fit if others < OTHERS else [one for one in fit if one.account != owner]


def asked_of(request: RequestContext) -> ServerDemand:
    posting = request.posting
    return ServerDemand(posting.requester, posting.posted, formulas.least_stake(request.params.pred_stake, posting.floor))


def of_request(request: RequestContext) -> list[bytes]:
    model = request.model
    return [one.account for one in pool(candidates(model), model.owner, asked_of(request))]


def unseated(request: RequestContext) -> list[bytes]:
    """Those of the pool that have no seat of the first round: who may be a substitute."""
    seated = {account for _, account in request.first_seats}
    return [account for account in of_request(request) if account not in seated]


# --- appeals -------------------------------------------------------------------------------------------------------------------


def needed_capacity(record: ModelRecord) -> Capacity:
    """LC-PRE-52: what a machine offers that judges this model: a start and the rows of an appeal are its evaluation."""
    program, terms = record.program, record.terms
    seconds = terms.start_s + ceil_div(APPEAL_ROWS * terms.row_ms, 1_000)
    return Capacity(program.arch, program.cpus_milli, program.mem_mb, program.image.size, program.size, seconds)


def _judging(request: RequestContext, appellant: bytes, able: Iterable[bytes]) -> Iterator[bytes]:
    """LC-PRE-35: those who have no part in it, and of a private request a box key."""
    parties = {request.requester, request.model.owner, appellant, *(account for _, account in request.first_seats)}
    box_key = request.host.service(MEMBERS).box_key
    return (one for one in able if one not in parties and (not request.is_private or box_key(one)))


def judges(request: RequestContext, appellant: bytes) -> list[bytes]:
    """By id."""
    able = request.host.service(VERIFIERS).able(needed_capacity(request.model.record), request.posting.posted)
    return list(_judging(request, appellant, able))


def enough_judges(request: RequestContext, appellant: bytes) -> int:
    """How many there are, as far as an appeal can seat them."""
    able = request.host.service(VERIFIERS).each_able(needed_capacity(request.model.record), request.posting.posted)
    return sum(1 for _, one in zip(range(APPEAL_SEATS), _judging(request, appellant, able), strict=False))


# --- draws ---------------------------------------------------------------------------------------------------------------------


def draw(request: RequestContext, number: int, among: Sequence[bytes], count: int) -> list[bytes]:
    """LC-PRE-21: the lowest tickets, by the beacon of this block."""
    beacon = request.host.beacon
    return sorted(among, key=lambda one: messages.ticket(beacon, request.id, number, one))[:count]
