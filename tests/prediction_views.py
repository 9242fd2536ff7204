"""What the state says of predictions, in the words of the executable model (`tests.predictions.play`): to be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.decisions import Decision
from learningchain.chain.contracts.prediction.records import ModelState, RequestState
from learningchain.chain.contracts.prediction.tally import AnswerCode, PredictionOutcome
from learningchain.chain.host import BANNED, account_key
from tests.predictions.play import ModelView, RequestView

STATES = {RequestState.APPEAL: "APPEALED"}
PURPOSES = {b"pM": b"D", b"pX": b"X", b"pA": b"A", b"pR": b"R", b"pP": b"P", b"pS": b"S"}
ENDED = ("FAILED", "FINAL")


class StateViews:
    """`get` reads a record by its key."""

    def __init__(self, get: Callable[[bytes], Any]) -> None:
        self.get = get

    def model(self, one: bytes, clock: int) -> ModelView:
        now = self.get(records.standing_key(one))
        price, coming = (now.royalty, now.floor), (now.coming_royalty, now.coming_floor) if now.coming_at else None
        if coming is not None and clock >= now.coming_at:
            price, coming = coming, None
        listed, left = self.get(records.servers_key(one)), self.get(records.left_key(one))
        servers = [(who, self.get(records.server_key(one, who))) for who in (listed.servers if listed else [])]
        return ModelView(
            ModelState(now.state).name,
            price,
            coming,
            now.open_seats,
            now.unfinal_seats,
            tuple((entry.root, entry.bad) for entry in now.tallies),
            tuple(sorted((who, s.awake, s.out, self._leaves(now, who, s), s.unfinal, *_conduct(s)) for who, s in servers)),
            tuple((one.account, *_conduct(one)) for one in (left.servers if left else [])),
        )

    def _leaves(self, model: Any, who: bytes, server: Any) -> bool:
        """Who is banned or serves a retired model leaves, whatever its record says."""
        return server.leaving or model.state != ModelState.LIVE or self.get(account_key(who)).status == BANNED

    def request(self, one: bytes) -> RequestView:
        now, result = self.get(records.request_key(one)), self.get(records.result_key(one))
        outcome = PredictionOutcome(now.outcome).name if now.outcome else ""
        values = result.values if result is not None and outcome in ("AGREED", "WEAK") else []
        return RequestView(
            STATES.get(now.state, RequestState(now.state).name),
            now.round,
            now.deadline,
            now.tip,
            now.wanted,
            self.seats(one, now, result),
            outcome,
            result.agree if result is not None else 0,
            tuple((value.label, value.score, value.support) if value.support else None for value in values),
            tuple((value.row, value.label, value.score) for value in (result.changed if result else []) if value.support),
            tuple((Decision(one.decision).name, one.rate, one.borderline) for one in (result.decisions if result else [])),
        )

    def ended_request(self, one: bytes) -> RequestView:
        return of_ended(self.request(one))

    def seats(self, one: bytes, now: Any, result: Any) -> tuple[tuple[bytes, int, bool, str, bool], ...]:
        """Of a request that has ended those of its result; what was committed and not opened is forgotten there."""
        if now.state in records.ENDED:
            return tuple(
                (s.account, s.round, bool(s.code), code_name(s.code), bool(s.paid)) for s in (result.seats if result else [])
            )
        found = []
        for drawn in now.rounds:
            for who in drawn.seats:
                seat = self.get(records.seat_key(one, drawn.round, who))
                code = code_name(seat.answer[0].code) if seat.answer else ""
                found.append((who, drawn.round, bool(seat.commitment), code, bool(seat.paid)))
        return tuple(found)


def _conduct(one: Any) -> tuple[Any, ...]:
    return one.since, one.silent, tuple((entry.root, entry.bad, entry.wrong) for entry in one.record)


def code_name(code: int) -> str:
    return AnswerCode(code).name if code else ""


def split_escrow(name: bytes) -> tuple[bytes, bytes]:
    """Reference and purpose, as the model has them: a stake's purpose is its server."""
    return name[:32], name[32:52] if len(name) == 54 else PURPOSES[name[32:]]


def escrow_name(ref: bytes, purpose: bytes) -> bytes:
    """The other way round."""
    if len(purpose) == 20:
        return ref + purpose + b"pV"
    return ref + {ours: theirs for theirs, ours in PURPOSES.items()}[purpose]


def of_ended(found: RequestView) -> RequestView:
    """Of requests that ended both sides know only what was opened and paid."""
    if found.state not in ENDED:
        return found
    seats = tuple((who, r, bool(code), code, paid) for who, r, _, code, paid in found.seats)
    return replace(found, deadline=0, seats=seats)
