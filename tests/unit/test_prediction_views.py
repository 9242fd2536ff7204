"""What the state says of models, requests and policies, as the API's JSON: each field from records of its own."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.prediction import duties, records
from learningchain.chain.contracts.prediction.duties import AnswerDuty, OpenDuty, Over, Unpaid
from learningchain.chain.contracts.prediction.formulas import Amounts, appeal_opens, bond, least_stake
from learningchain.chain.contracts.prediction.messages import PolicyRate, RegisterPolicy, challenge
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import (
    ChangedValue,
    ModelRecord,
    ModelServers,
    ModelState,
    PolicyRecord,
    PredictionResult,
    PredictionRound,
    PredictionSeat,
    RequestState,
    RequestTerms,
    SeatResult,
    ServedEntry,
    ServerRecord,
    ValueRecord,
    new_request,
    new_standing,
)
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode, ModelKind, PredictionOutcome
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.crypto import address
from learningchain.chain.host import Escrow, escrow_key, params_key
from learningchain.chain.types import format_credits
from learningchain.client.contracts.prediction import callbacks
from learningchain.client.contracts.prediction.http import views
from learningchain.client.contracts.prediction.roles.private import KEY
from tests.unit.prediction_kit import asking, code, number, program, registration, sha

MODEL, REQUEST, HOUR = sha("model"), sha("request"), 3_600_000
OWNER, ASKER = b"o" * 20, b"a" * 20
SERVERS = tuple(bytes([n]) * 20 for n in range(1, 6))
ME, OTHER = SERVERS[0], SERVERS[1]
TOL = 10


class State:
    """A reader of some records: a model with one request."""

    def __init__(self, *, kind: ModelKind = ModelKind.NUMBER, **terms: Any) -> None:
        classes = 3 if kind is ModelKind.CLASS else 0
        self.terms = asking(MODEL, **{"rows": 2, "answers": 3} | terms)
        self.record = new_request(self.terms, 50, 90_000, 7)
        asked = RequestTerms(ASKER, ASKER, 4, 3, 1_000, 3, 100, 5, 6, 1, self.terms)
        self.records: dict[bytes, Any] = {
            params_key(records.NUMBER): PredictionParams(),
            records.model_key(MODEL): ModelRecord(OWNER, 2, 77, program(), registration(kind=kind, classes=classes, tol=TOL)),
            records.standing_key(MODEL): replace(new_standing(3, 100), waiting=9),
            records.terms_key(REQUEST): asked,
            records.request_key(REQUEST): self.record,
        }

    def get(self, key: bytes) -> Any:
        return self.records.get(key)

    def scan(self, prefix: bytes, limit: int) -> list[tuple[bytes, Any]]:
        return sorted((key, one) for key, one in self.records.items() if key.startswith(prefix))[:limit]

    def stands(self, **changes: Any) -> None:
        self.records[records.standing_key(MODEL)] = replace(self.get(records.standing_key(MODEL)), **changes)

    def is_in(self, state: RequestState, **changes: Any) -> None:
        self.record = replace(self.record, state=state, **changes)
        self.records[records.request_key(REQUEST)] = self.record

    def seat(self, account: bytes, round_: int = 1, **changes: Any) -> None:
        self.records[records.seat_key(REQUEST, round_, account)] = replace(PredictionSeat(b"", b"", b"", 0, [], 0), **changes)

    def result(self, *values: ValueRecord, outcome: PredictionOutcome = PredictionOutcome.AGREED, **more: Any) -> None:
        given: dict[str, Any] = {"agree": 3, "changed": [], "appealed": 0, "decisions": [], "seats": []} | more
        self.records[records.result_key(REQUEST)] = PredictionResult(outcome=outcome, values=list(values), **given)

    def serves(self, account: bytes, **changes: Any) -> None:
        members = self.get(records.servers_key(MODEL)) or ModelServers([])
        self.records[records.servers_key(MODEL)] = ModelServers([*members.servers, account])
        server = replace(ServerRecord(5, True, False, False, 2, 1, []), **changes)
        self.records[records.server_key(MODEL, account)] = server

    # what the tests ask

    def model(self, clock: int = 0) -> Any:
        return views.describe_model(self, MODEL, clock)  # type: ignore[arg-type]

    def shown(self) -> Any:
        return views.describe_request(self, REQUEST)  # type: ignore[arg-type]

    def duty(self, me: bytes = ME) -> Any:
        return duties.duty(self, REQUEST, me)  # type: ignore[arg-type]

    def told(self, name: str, noted: Any = None) -> Any:
        return callbacks.data(self, REQUEST, name, noted)  # type: ignore[arg-type]


def drawn(*seats: bytes, round_: int = 1) -> PredictionRound:
    return PredictionRound(round_, sha("beacon", round_), len(seats), 10, list(seats))


def value(score: int, support: int = 3, label: int = 0) -> ValueRecord:
    return ValueRecord(label, score, support)


# --- models -------------------------------------------------------------------------------------------------------------------


def test_a_server_is_shown_with_what_it_is_and_what_it_did() -> None:
    state = State()
    record = [ServedEntry(ASKER, bad, False) for bad in (True, False, True, False, False)]
    state.serves(SERVERS[0], record=record)
    state.serves(SERVERS[1], awake=False)
    state.serves(SERVERS[2], out=True)
    state.serves(SERVERS[3], leaving=True, out=True)
    state.records[escrow_key(records.stake_escrow(MODEL, SERVERS[0]))] = Escrow(2_500_000)
    found = state.model()
    assert [one["state"] for one in found["members"]] == ["awake", "asleep", "out", "leaving"]
    first = found["members"][0]
    assert (first["server"], first["since"], first["unfinal"], first["silent"]) == (address(SERVERS[0]), 5, 2, 1)
    assert (first["good"], first["bad"], first["stake"]) == (3, 2, "2.5")
    assert (found["servers"], found["awake"], found["waiting"]) == (4, 1, 9)


def test_a_price_that_comes_is_told_until_it_holds() -> None:
    state = State()
    assert (state.model()["next"], state.model()["next_from"], state.model()["stake_needed"]) == (
        None,
        None,
        format_credits(least_stake(PredictionParams().pred_stake, 100)),
    )
    state.stands(coming_royalty=5, coming_floor=700, coming_at=HOUR)
    before, at = state.model(HOUR - 1), state.model(HOUR)
    assert (before["price"], before["floor"]) == ("0.000003", "0.0001")
    assert (before["next"], before["next_from"]) == ({"price": "0.000005", "floor": "0.0007"}, HOUR)
    assert (at["price"], at["floor"], at["next"], at["next_from"]) == ("0.000005", "0.0007", None, None)
    assert before["stake_needed"] == format_credits(least_stake(PredictionParams().pred_stake, 700)), "for the higher floor at once"


def test_what_is_no_model_is_none() -> None:
    state = State()
    assert views.describe_model(state, sha("other"), 0) is None and views.summarise_model(state, sha("other"), 0) is None  # type: ignore[arg-type]
    state.stands(state=ModelState.RETIRED)
    assert state.model()["state"] == "RETIRED"


# --- requests -----------------------------------------------------------------------------------------------------------------


def test_the_place_in_the_queue_is_counted_from_one_by_rank_and_position() -> None:
    state = State()
    for rank, position in ((10, 8), (50, 2), (50, 3), (50, 4), (90, 1)):
        state.records[records.queue_key(MODEL, rank, position)] = records.Queued(REQUEST, 0, 0)
    state.records[records.queue_key(sha("another"), 1, 1)] = records.Queued(REQUEST, 0, 0)
    assert (state.shown()["place"], state.shown()["queue"]) == (3, 9)
    state.is_in(RequestState.ANSWER)
    assert state.shown()["place"] is None


def test_what_a_request_takes_is_shown_with_the_tips_that_were_added() -> None:
    state = State()
    state.is_in(RequestState.WAITING, tip=5_000)
    amounts = Amounts(3, 2, 5_000, 3, 100, 5)
    found = state.shown()
    assert (found["tip"], found["royalty"], found["burned"]) == ("0.005", "0.000006", format_credits(amounts.burned))
    assert (found["wait_until"], found["deadline"], found["ended"], found["cost"]) == (61_000, 90_000, None, None)


@pytest.mark.parametrize(
    ("outcome", "cost"),
    [
        (PredictionOutcome.CANCELLED, "burned"),
        (PredictionOutcome.EXPIRED, 0),
        (0, 0),
    ],
)
def test_a_request_that_never_had_seats_cost_what_its_end_says(outcome: int, cost: Any) -> None:
    state = State()
    state.is_in(RequestState.FAILED, outcome=outcome, ended=5, deadline=0)
    found = state.shown()
    assert found["cost"] == (found["burned"] if cost == "burned" else "0") and found["deadline"] is None
    assert found["outcome"] == (PredictionOutcome(outcome).name if outcome else "GIVEN_BACK")


def test_rows_without_a_value_are_not_paid_for() -> None:
    """LC-PRE-30: of three rows two have a value: two thirds of each tip, and the royalty of two."""
    state = State(tip=9_000, rows=3)
    state.is_in(RequestState.AGREED, outcome=PredictionOutcome.AGREED, rounds=[drawn(*SERVERS[:3]), drawn(SERVERS[3], round_=3)])
    for server in SERVERS[:3]:
        state.seat(server, answer=[number(1, 2)], paid=1_000, commitment=b"c" * 32)
    state.seat(SERVERS[3], 3, answer=[number(1, 2)], paid=9)
    state.result(value(1), value(0, support=0), value(2))
    amounts = Amounts(3, 3, 9_000, 3, 100, 5)
    assert state.shown()["cost"] == format_credits(3 * 2_000 + 2 * 3 + amounts.burned)
    assert (state.shown()["valued"], state.shown()["agree"]) == (2, 3)
    assert state.shown()["votes"] == {"OK": 3}, "judges are no votes of the request"


def test_seats_are_shown_from_their_records_and_from_the_result_once_these_are_gone() -> None:
    state = State()
    state.is_in(RequestState.OPEN, rounds=[drawn(*SERVERS[:3])])
    state.seat(SERVERS[0], commitment=b"c" * 32)
    state.seat(SERVERS[1], commitment=b"c" * 32, answer=[number(1)], paid=5)
    state.seat(SERVERS[2])
    shape = ("server", "committed", "opened", "code", "paid")
    assert [tuple(one[name] for name in shape) for one in state.shown()["seats"]] == [
        (address(SERVERS[0]), True, False, None, "0"),
        (address(SERVERS[1]), True, True, "OK", "0.000005"),
        (address(SERVERS[2]), False, False, None, "0"),
    ]
    for server in SERVERS[:3]:
        del state.records[records.seat_key(REQUEST, 1, server)]
    state.result(
        value(1), value(2), seats=[SeatResult(SERVERS[1], 1, AnswerCode.OK, 7), SeatResult(SERVERS[0], 2, AnswerCode.OK, 8)]
    )
    assert [tuple(one[name] for name in shape) for one in state.shown()["seats"]] == [
        (address(SERVERS[0]), False, False, None, "0"),
        (address(SERVERS[1]), True, True, "OK", "0.000007"),
        (address(SERVERS[2]), False, False, None, "0"),
    ]


def test_classes_are_shown_of_a_model_that_says_classes_and_what_judges_changed_beside_the_value() -> None:
    new = [ChangedValue(0, 2, 9, 5), ChangedValue(1, 1, 8, 0)]
    for kind, was, now in ((ModelKind.CLASS, 1, 2), (ModelKind.NUMBER, None, None)):
        state = State(kind=kind)
        state.is_in(RequestState.FINAL, outcome=PredictionOutcome.AGREED, ended=3)
        state.result(value(5_000_000_000, label=1), value(0, support=0), changed=new)
        assert state.shown()["values"] == [
            {"row": 0, "class": was, "score": "5.000000000", "support": 3, "new_class": now, "new_score": "0.000000009"},
            {"row": 1, "class": None, "score": None, "support": 0, "new_class": None, "new_score": None},
        ]


def test_an_appeal_is_shown_with_the_rows_that_were_named_until_it_is_drawn() -> None:
    state = State()
    assert state.shown()["appeal"] is None
    state.is_in(RequestState.APPEAL, appellant=OTHER, named=[1])
    state.records[escrow_key(records.bond_escrow(REQUEST))] = Escrow(4_000_000)
    shown = state.shown()["appeal"]
    assert shown == {"appellant": address(OTHER), "bond": "4", "rows": [1], "judges": 0, "verdict": None}
    rounds = [drawn(*SERVERS[:3]), drawn(*SERVERS, round_=3)]
    state.is_in(RequestState.FINAL, rows=[0, 1], rounds=rounds, appeal=AppealVerdict.UPHELD)
    assert (state.shown()["appeal"]["rows"], state.shown()["appeal"]["judges"]) == ([0, 1], 5)
    assert state.shown()["appeal"]["verdict"] == "UPHELD"


@pytest.mark.parametrize("state", RequestState)
def test_a_request_is_answered_once_it_has_an_outcome_and_ended_when_nothing_of_it_is_open(state: RequestState) -> None:
    now = State()
    now.is_in(state)
    answered = state in (RequestState.AGREED, RequestState.WEAK, RequestState.FAILED, RequestState.FINAL)
    assert views.is_answered(now, REQUEST) is answered  # type: ignore[arg-type]
    assert views.is_ended(now, REQUEST) is (state in (RequestState.FAILED, RequestState.FINAL))  # type: ignore[arg-type]


def test_a_policy_is_shown_with_what_lives_of_it() -> None:
    state, policy = State(), sha("policy")
    rates = [PolicyRate(-(10**18), 30_000), PolicyRate(100_000_000, 125_000)]
    for below, live, due in ((True, 2, 0), (False, 0, 55)):
        terms = RegisterPolicy(MODEL, below, 200_000_000, rates, 3, 9)
        state.records[records.policy_key(policy)] = PolicyRecord(OWNER, 1, 2, live, due, terms)
        found: Any = views.describe_policy(state, policy)  # type: ignore[arg-type]
        assert (found["accept"], found["threshold"]) == ("below" if below else "above", "0.200000000")
        assert (found["live"], found["dropped"], found["least"], found["most"]) == (live, due or None, 3, 9)
        assert [(one["start"], one["ppm"]) for one in found["rates"]] == [
            ("-1000000000.000000000", 30_000),
            ("0.100000000", 125_000),
        ]
    assert views.describe_policy(state, sha("none")) is None  # type: ignore[arg-type]


# --- what the ledger asks of a node -------------------------------------------------------------------------------------------


def test_a_seat_answers_in_the_round_that_is_and_once() -> None:
    state = State()
    state.is_in(RequestState.ANSWER, round=1, rounds=[drawn(ME, OTHER)])
    state.seat(ME, box=b"b" * 80, box_key=b"k" * 32)
    asked = state.duty()
    assert isinstance(asked, AnswerDuty) and asked.chosen == (0, 1) and asked.deadline == 90_000
    assert (asked.box, asked.box_key, asked.rows, asked.inline) == (b"b" * 80, b"k" * 32, 2, state.terms.inline)
    assert asked.started < asked.deadline
    assert state.duty(SERVERS[3]) is None, "it has no seat"
    state.seat(ME, commitment=b"c" * 32)
    assert state.duty() is None
    state.is_in(RequestState.ANSWER, round=2, rounds=[drawn(ME, OTHER), drawn(SERVERS[2], round_=2)])
    state.seat(ME)
    assert state.duty() is None, "its round is over"


def test_substitutes_and_those_for_whom_they_stand_in_are_asked_for_the_same_check_and_judges_for_another() -> None:
    state = State()
    state.is_in(RequestState.ANSWER, round=1, rounds=[drawn(ME, OTHER)])
    state.seat(ME)
    first = state.duty()
    state.is_in(RequestState.ANSWER, round=2, rounds=[drawn(OTHER), drawn(ME, round_=2)])
    state.seat(ME, 2)
    second = state.duty()
    state.is_in(RequestState.ANSWER, round=3, rounds=[drawn(OTHER), drawn(ME, round_=3)], rows=[1])
    state.seat(ME, 3)
    third = state.duty()
    assert first.challenge == second.challenge != third.challenge
    assert [one.round for one in (first, second, third)] == [1, 2, 3] and third.chosen == (1,)
    state.is_in(RequestState.ANSWER, round=2, rounds=[PredictionRound(1, sha("beacon", 2), 1, 10, [OTHER]), drawn(ME, round_=2)])
    assert state.duty().challenge == challenge(sha("beacon", 2), REQUEST, 2)
    state.is_in(RequestState.ANSWER, round=2, rounds=[drawn(OTHER), PredictionRound(2, sha("another"), 1, 10, [ME])])
    assert state.duty().challenge == challenge(sha("beacon", 1), REQUEST, 2), "of the first draw"


def test_who_committed_opens_in_the_tally_that_is_and_once() -> None:
    state = State()
    state.is_in(RequestState.OPEN, round=2, rounds=[drawn(ME, OTHER), drawn(SERVERS[2], round_=2)])
    state.seat(ME, commitment=b"c" * 32)
    assert state.duty() == OpenDuty(1, b"c" * 32), "with the substitutes"
    state.seat(ME)
    assert state.duty() is None, "it has committed to nothing"
    state.seat(ME, commitment=b"c" * 32, answer=[number(1)])
    assert state.duty() is None
    state.seat(ME, commitment=b"c" * 32)
    state.is_in(RequestState.OPEN, round=3, rounds=[drawn(ME, OTHER), drawn(SERVERS[2], round_=3)])
    assert state.duty() is None, "the judges open alone"


def unpaid(own: Answer, *values: ValueRecord, **terms: Any) -> State:
    state = State(**terms)
    state.is_in(RequestState.AGREED, outcome=PredictionOutcome.AGREED, answered=10_000, round=1, rounds=[drawn(ME, OTHER)])
    state.seat(ME, commitment=b"c" * 32, answer=[own])
    state.result(*values)
    return state


def test_an_answer_that_was_not_paid_is_appealed_from_the_second_half_of_the_window_with_the_rows_that_are_surely_wrong() -> None:
    far = 6 * TOL
    state = unpaid(number(1_000, 1_000), value(1_000 + far + 1), value(1_000 + far))
    found, params = state.duty(), PredictionParams()
    assert isinstance(found, Unpaid) and found.rows == (0,), "six tolerances are not more than six"
    assert (found.appeal_from, found.appeal_by) == (appeal_opens(10_000, params.pred_appeal), 90_000)
    amounts = Amounts(3, 2, state.terms.tip, 3, 100, 5)
    assert found.bond == bond(amounts.vote_fee(params.pred_fee), 63)
    assert unpaid(number(1_000, 1_000), value(1_000 - far - 1), value(0, support=0)).duty().rows == (0,)


@pytest.mark.parametrize(
    "why",
    ["paid", "no values", "no answer", "appealed", "private", "a judge", "near", "ended"],
)
def test_nobody_appeals(why: str) -> None:
    key = {"key_hash": [sha("key")]} if why == "private" else {}
    state = unpaid(number(0, 0), value(10**6), value(10**6), **key)
    if why == "paid":
        state.seat(ME, commitment=b"c" * 32, answer=[number(0, 0)], paid=1)
    elif why == "no values":
        state.seat(ME, commitment=b"c" * 32, answer=[code(AnswerCode.NO_DATA)])
    elif why == "no answer":
        state.seat(ME, commitment=b"c" * 32)
    elif why == "appealed":
        state.is_in(RequestState.AGREED, appellant=OTHER)
    elif why == "a judge":
        state.is_in(RequestState.AGREED, rounds=[drawn(OTHER), drawn(ME, round_=3)])
        state.seat(ME, 3, commitment=b"c" * 32, answer=[number(0, 0)])
    elif why == "near":
        state.result(value(TOL), value(-TOL))
    elif why == "ended":
        state.is_in(RequestState.FINAL)
    assert state.duty() == (Over() if why == "ended" else None)


def test_a_node_has_a_seat_as_long_as_the_request_has_not_ended() -> None:
    state = State()
    state.is_in(RequestState.AGREED, rounds=[drawn(OTHER), drawn(ME, round_=2)])
    assert duties.has_seat(state, REQUEST, ME) and not duties.has_seat(state, REQUEST, SERVERS[4])  # type: ignore[arg-type]
    state.is_in(RequestState.FINAL)
    assert not duties.has_seat(state, REQUEST, ME)  # type: ignore[arg-type]


# --- what callbacks say -------------------------------------------------------------------------------------------------------


def test_what_has_happened_is_told_from_the_state_alone() -> None:
    def happened(state: RequestState, **changes: Any) -> list[str]:
        now = State()
        now.is_in(state, **changes)
        return callbacks.happened(now, REQUEST)  # type: ignore[arg-type]

    assert happened(RequestState.OPEN) == []
    assert happened(RequestState.FAILED, answered=5, ended=6) == ["failed"]
    assert happened(RequestState.AGREED, answered=5) == ["agreed"]
    assert happened(RequestState.FINAL, answered=5, appeal=AppealVerdict.OVERTURNED) == ["agreed", "overturned", "final"]
    assert happened(RequestState.FINAL, answered=5, appeal=AppealVerdict.UPHELD) == ["agreed", "final"]
    assert callbacks.happened(State(), sha("other")) == []  # type: ignore[arg-type]


def test_a_failure_is_told_without_values_and_its_outcome_also_when_the_request_has_left() -> None:
    state = State()
    state.is_in(RequestState.FAILED, outcome=PredictionOutcome.BAD_INPUT)
    state.result(value(1), value(2), outcome=PredictionOutcome.BAD_INPUT)
    said = {"request": REQUEST.hex(), "model": MODEL.hex(), "rows": 2, "private": False, "outcome": "BAD_INPUT"}
    assert state.told("failed", {"outcome": "another"}) == said
    for key in (records.terms_key(REQUEST), records.request_key(REQUEST), records.result_key(REQUEST)):
        del state.records[key]
    assert state.told("failed", {"outcome": "EXPIRED"}) == {"request": REQUEST.hex(), "outcome": "EXPIRED"}
    assert state.told("failed", {}) == {"request": REQUEST.hex()}


def test_what_is_private_is_said_to_be_blinded() -> None:
    state = State(key_hash=[sha("key")])
    state.is_in(RequestState.AGREED, outcome=PredictionOutcome.AGREED)
    state.result(value(1), value(2))
    assert (state.told("agreed")["private"], state.told("agreed")["blinded"]) == (True, True)
    assert callbacks.secret_of(state, REQUEST) == (KEY, sha("key"))  # type: ignore[arg-type]
    assert callbacks.secret_of(State(), REQUEST) is None  # type: ignore[arg-type]


def test_the_requester_s_own_node_tells_values_and_decisions_in_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    state, key = State(key_hash=[sha("key")]), b"k" * 32
    blinded = {"values": ["blinded"], "blinded": True, "decisions": ["blinded"], "outcome": "AGREED"}
    plain: dict[str, Any] = {"values": ["plain"], "decisions": ["decided"]}
    monkeypatch.setattr(callbacks, "plain_document", lambda reader, ref, secret: plain if secret == key else None)

    def opened(secret: bytes, **data: Any) -> Any:
        return callbacks.opened(state, REQUEST, blinded | data, secret)  # type: ignore[arg-type]

    assert opened(key) == {"values": ["plain"], "blinded": False, "decisions": ["decided"], "outcome": "AGREED"}
    assert opened(bytes(32)) == blinded, "its key is not this one's"
    failed = {"outcome": "BAD_INPUT"}
    assert callbacks.opened(state, REQUEST, failed, key) == failed  # type: ignore[arg-type]
