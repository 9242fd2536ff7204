"""GiveKeys, CommitAnswer, OpenAnswer: what happens in a round. LC-PRE-22 to 25."""

from __future__ import annotations

from learningchain.chain.contracts.prediction import messages, seating
from learningchain.chain.contracts.prediction.guards import request_of, require_round, require_seat, require_state
from learningchain.chain.contracts.prediction.messages import CommitAnswer, GiveKeys, OpenAnswer, PredictionCode
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.contracts.prediction.store import RequestContext
from learningchain.chain.contracts.prediction.tally import fits
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host

FIRST = (1, 2)
"""Rounds that are tallied together: their seats open at the same time."""


def give_keys(host: Host, sender: bytes, m: GiveKeys) -> None:
    """LC-PRE-22"""
    request = request_of(host, m.request)
    require_state(request, (RequestState.KEYS,), "a key")
    require_round(request, m.round)
    giver = request.record.appellant if m.round == 3 else request.requester
    if sender != giver:
        whose = "appellant" if m.round == 3 else "requester"
        raise Reject(PredictionCode.NOT_REQUESTER, f"only the {whose} gives keys in round {m.round}")
    seats = request.seats(m.round)
    if len(m.boxes) != len(seats):
        raise Reject(PredictionCode.BAD_KEYS, f"round {m.round} has {len(seats)} seats, {len(m.boxes)} boxes were given")
    for account, box in zip(seats, m.boxes, strict=True):
        request.change_seat(m.round, account, box=box)
    seating.enter_answer(request)


def commit_answer(host: Host, sender: bytes, m: CommitAnswer) -> None:
    """LC-PRE-23: the last one ends the window."""
    request = request_of(host, m.request)
    require_state(request, (RequestState.ANSWER,), "a commitment")
    require_round(request, m.round)
    if require_seat(request, m.round, sender).commitment:
        raise Reject(PredictionCode.ALREADY_COMMITTED, "you committed an answer in this round already")
    now = request.record
    request.change_seat(m.round, sender, commitment=m.commitment, place=now.committed)
    request.change(committed=now.committed + 1)
    host.emit("answer.sealed", request.id, m.round, sender)
    if now.committed + 1 - now.before == len(request.seats(m.round)):
        request.come()


def open_answer(host: Host, sender: bytes, m: OpenAnswer) -> None:
    """LC-PRE-24: the last one ends the window. What does not open the commitment is refused, whatever it says."""
    request = request_of(host, m.request)
    require_state(request, (RequestState.OPEN,), "an answer")
    now = request.record
    require_round(request, m.round, FIRST if now.round in FIRST else ())
    seat = require_seat(request, m.round, sender)
    if not seat.commitment:
        raise Reject(PredictionCode.NOT_COMMITTED, "you committed no answer in this round")
    if seat.answer:
        raise Reject(PredictionCode.ALREADY_OPENED, "your answer is open already")
    if messages.answer_commitment(host.chain_id, request.id, m.round, sender, m.answer, m.salt) != seat.commitment:
        raise Reject(PredictionCode.ANSWER_MISMATCH, "answer and salt do not open your commitment")
    _check_answer(request, m)
    request.change_seat(m.round, sender, answer=[m.answer])
    request.change(opened=now.opened + 1)
    host.emit("answer.opened", request.id, m.round, sender, m.answer.code)
    if now.opened + 1 == now.committed:
        request.come()


def _check_answer(request: RequestContext, m: OpenAnswer) -> None:
    """LC-PRE-25"""
    terms = request.model.record.terms
    rows = len(request.record.rows) if m.round == 3 else request.terms.rows
    if not fits(m.answer, terms.kind, terms.classes, rows):
        text = f"an answer with OK has {rows} scores, of a CLASS model {rows} classes below {terms.classes}; BAD_INPUT "
        text += f"a check of 0 to {rows}, the row that does not fit; others carry nothing"
        raise Reject(PredictionCode.BAD_ANSWER, text)
