"""Predictions on a real ledger: a model, servers, a requester, judges; blocks of a second, signed transactions, real deadlines.

After every block it looks whether what an escrow holds has somebody who will get it, and whether what counters say is so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from learningchain.chain.contracts.membership import SetCapacity
from learningchain.chain.contracts.membership.messages import SetBoxKey
from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.formulas import appeal_opens, least_stake
from learningchain.chain.contracts.prediction.messages import (
    AppealAnswer,
    CommitAnswer,
    OpenAnswer,
    Program,
    RegisterModel,
    RequestPrediction,
    ServeModel,
    answer_commitment,
    inline_cid,
    model_id_of,
    request_id_of,
)
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import (
    ModelStanding,
    PredictionResult,
    PredictionSeat,
    RequestRecord,
    RequestState,
    RequestTerms,
    ServerRecord,
)
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode, ModelKind, PredictionOutcome
from learningchain.chain.host import Escrow, escrow_key, params_key
from learningchain.chain.host.terms import Arch, Capacity, Image, ImageKind
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount
from learningchain.chain.types import Receipt
from tests.network import NetworkParams
from tests.network import genesis as network_genesis
from tests.unit.ledger_kit import VALIDATORS, Chain, id_of, key_of

GRANT = 1_000_000_000
CAPACITY = Capacity(Arch.AMD64, 8_000, 16_384, 10**10, 10**9, 3_600)
OWNER, ASKER = "owner", "asker"
INPUT = b'{"x": 1}\n'


def sha(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def cid_of(name: object) -> bytes:
    return b"\x01\x55\x12\x20" + sha("content", name)


def program(**changes: Any) -> Program:
    fields: dict[str, Any] = {
        "image": Image(ImageKind.ARCHIVE, "", cid_of("image"), bytes(32), 1_000_000),
        "arch": Arch.AMD64,
        "params": "",
        "model": cid_of("model"),
        "size": 100_000,
        "cpus_milli": 1_000,
        "mem_mb": 512,
        "tmp_mb": 16,
        "threads": 16,
    }
    return Program(**(fields | changes))


def registration(**changes: Any) -> RegisterModel:
    fields: dict[str, Any] = {
        "name": "credit",
        "source": [],
        "previous": [],
        "program": [program()],
        "kind": ModelKind.NUMBER,
        "classes": 0,
        "tol": 10,
        "royalty": 3,
        "floor": 100,
        "slots": 4,
        "max_rows": 256,
        "input_cap": 1_000_000,
        "row_ms": 10,
        "start_s": 1,
        "schema": b"",
        "sample": b"",
        "sample_answers": b"",
        "origin": [],
        "shares": [],
    }
    return RegisterModel(**(fields | changes))


def asking(model: bytes, **changes: Any) -> RequestPrediction:
    rows, answers = changes.get("rows", 1), changes.get("answers", 5)
    fields: dict[str, Any] = {
        "model": model,
        "cid": inline_cid(INPUT),
        "size": len(INPUT),
        "inline": INPUT,
        "rows": rows,
        "answers": answers,
        "agree": min(2, answers),
        "tip": 100 * rows * answers,
        "max_charge": 10**12,
        "wait": 60_000,
        "key_hash": [],
        "policy": [],
    }
    return RequestPrediction(**(fields | changes))


def number(*scores: int, check: int | None = None) -> Answer:
    return Answer(AnswerCode.OK, [], list(scores), sum(scores) if check is None else check)


def code(of: AnswerCode) -> Answer:
    return Answer(of, [], [], 0)


def genesis_with(*names: str, flags: tuple[str, ...], grant: int = GRANT, **params: int) -> Genesis:
    found = [GenesisAccount(key_of(n).public, grant, n in VALIDATORS, n in flags) for n in (*VALIDATORS, *names)]
    return network_genesis("ledger", 1_000_000, NetworkParams(**params), found)


class Table:
    """Everybody has what its part needs; the model is registered and served. A fee is a twentieth, unless `pred_row` says more."""

    def __init__(
        self,
        servers: int = 7,
        judges: int = 4,
        *,
        register: dict[str, Any] | None = None,
        people: tuple[str, ...] = (),
        **params: int,
    ) -> None:
        self.servers = tuple(f"s{i}" for i in range(servers))
        self.judges = tuple(f"j{i}" for i in range(judges))
        flagged = (*self.servers, *self.judges)
        params = {"pred_row": 0} | params
        self.chain = Chain(genesis_with(OWNER, ASKER, *flagged, *people, flags=flagged, **params))
        self.model = b""
        self.receipts: list[Receipt] = []
        ready = [(name, SetBoxKey(key=sha("box", name)), SetCapacity(CAPACITY)) for name in flagged]
        self.send(*((name, *ops) for name, *ops in ready))
        if register is not None or servers:
            self.model = self.register(**(register or {}))
            stake = least_stake(self.params.pred_stake, self.standing.floor)
            self.send(*((name, ServeModel(self.model, stake)) for name in self.servers))
            self.block()

    # --- blocks ------------------------------------------------------------------------------------------------------------------

    def block(self, step: int = 1_000) -> list[Receipt]:
        return self.send(step=step)

    def send(self, *txs: Any, step: int = 1_000) -> list[Receipt]:
        """A block with a transaction for each (name, message …); all of them have to be accepted."""
        codes = self.codes(*txs, step=step)
        assert not any(codes), codes
        return self.receipts

    def codes(self, *txs: Any, step: int = 1_000) -> list[int]:
        made = [self.chain.tx(name, *ops) for name, *ops in txs]
        self.receipts = self.chain.block(*made, step=step)
        self.ids = [one.id for one in made]
        by_id = {one.tx: one.code for one in self.receipts[1:]}
        self.check()
        return [by_id[one] for one in self.ids]

    def refusal(self, name: str, message: Any) -> int:
        return self.codes((name, message))[0]

    def must(self, name: str, message: Any) -> bytes:
        """The id of its transaction."""
        self.send((name, message))
        return bytes(self.ids[0])

    def until(self, request: bytes, *states: RequestState, most: int = 400, step: int = 1_000) -> None:
        for _ in range(most):
            if self.record(request).state in states:
                return
            self.block(step)
        raise AssertionError(f"still {self.state(request)}")

    # --- messages ----------------------------------------------------------------------------------------------------------------

    def register(self, *, by: str = OWNER, **changes: Any) -> bytes:
        return model_id_of(self.must(by, registration(**changes)), 0)

    def ask(self, name: str = ASKER, **changes: Any) -> bytes:
        return request_id_of(self.must(name, asking(self.model, **changes)), 0)

    def drawn(self, request: bytes) -> list[str]:
        """Who sits, once the pump drew them."""
        self.until(request, RequestState.ANSWER, RequestState.KEYS)
        return self.seats(request)

    def commit(self, request: bytes, answers: dict[str, Answer]) -> None:
        round_ = self.record(request).round
        self.send(*((name, self.sealed(request, round_, name, answer)) for name, answer in answers.items()))

    def open(self, request: bytes, answers: dict[str, Answer]) -> None:
        rounds = {name: r for r in (3,) if self.record(request).round == 3 for name in answers}
        self.send(
            *(
                (name, OpenAnswer(request, rounds.get(name, self.round_of(request, name)), answer, sha(name)))
                for name, answer in answers.items()
            )
        )

    def sealed(self, request: bytes, round_: int, name: str, answer: Answer) -> CommitAnswer:
        text = answer_commitment(self.chain.chain_id, request, round_, id_of(name), answer, sha(name))
        return CommitAnswer(request, round_, text)

    def answer(self, request: bytes, answers: dict[str, Answer]) -> None:
        """Those commit and open, in this order; the others of the round stay silent. Afterwards the tally has run."""
        self.commit(request, answers)
        self.until(request, RequestState.OPEN, RequestState.REDRAW, RequestState.FAILED, RequestState.FINAL)
        if self.record(request).state == RequestState.OPEN:
            self.open(request, answers)
            self.leave(request, RequestState.OPEN)

    def leave(self, request: bytes, state: RequestState) -> None:
        for _ in range(400):
            if self.record(request).state != state:
                return
            self.block()
        raise AssertionError(f"still {state.name}")

    def everybody(self, request: bytes, answer: Answer) -> None:
        self.answer(request, dict.fromkeys(self.drawn(request), answer))

    def appeal(self, request: bytes, by: str = ASKER, rows: Sequence[int] = ()) -> None:
        """As soon as the rules let it (LC-PRE-36)."""
        if by != self.asker(request):
            self.half(request)
        self.must(by, AppealAnswer(request, list(rows)))

    def half(self, request: bytes) -> None:
        """Until others than the requester may appeal."""
        opens = appeal_opens(self.record(request).answered, self.params.pred_appeal)
        while self.chain.clock < opens:
            self.block(min(60_000, opens - self.chain.clock))

    def asker(self, request: bytes) -> str:
        return self.name_of(self.terms(request).requester)

    # --- reading -----------------------------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> Any:
        return self.chain.state.get(key)

    @property
    def params(self) -> PredictionParams:
        found = self.get(params_key(records.NUMBER))
        assert isinstance(found, PredictionParams)
        return found

    @property
    def standing(self) -> ModelStanding:
        found = self.get(records.standing_key(self.model))
        assert isinstance(found, ModelStanding)
        return found

    def record(self, request: bytes) -> RequestRecord:
        found = self.get(records.request_key(request))
        assert isinstance(found, RequestRecord)
        return found

    def terms(self, request: bytes) -> RequestTerms:
        found = self.get(records.terms_key(request))
        assert isinstance(found, RequestTerms)
        return found

    def result(self, request: bytes) -> PredictionResult:
        found = self.get(records.result_key(request))
        assert isinstance(found, PredictionResult)
        return found

    def state(self, request: bytes) -> str:
        return RequestState(self.record(request).state).name

    def outcome(self, request: bytes) -> str:
        return PredictionOutcome(self.record(request).outcome).name

    def name_of(self, account: bytes) -> str:
        names = (OWNER, ASKER, *self.servers, *self.judges)
        return next(name for name in names if id_of(name) == account)

    def seats(self, request: bytes, round_: int | None = None) -> list[str]:
        now = self.record(request)
        wanted = now.round if round_ is None else round_
        return [self.name_of(one) for drawn in now.rounds if drawn.round == wanted for one in drawn.seats]

    def round_of(self, request: bytes, name: str) -> int:
        rounds = [drawn.round for drawn in self.record(request).rounds if id_of(name) in drawn.seats]
        return rounds[-1] if rounds else 1

    def server(self, name: str) -> ServerRecord | None:
        found = self.get(records.server_key(self.model, id_of(name)))
        assert found is None or isinstance(found, ServerRecord)
        return found

    def balance(self, name: str) -> int:
        return self.chain.account(name).balance

    def escrowed(self, ref: bytes) -> int:
        found = self.get(escrow_key(ref))
        return found.amount if isinstance(found, Escrow) else 0

    def stake(self, name: str) -> int:
        return self.escrowed(records.stake_escrow(self.model, id_of(name)))

    def topics(self) -> list[str]:
        """Of the events of the last block."""
        return [event.topic for receipt in self.receipts for event in receipt.events if hasattr(event, "topic")]

    # --- what is always so ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Escrows belong to what is not over; counters count what is there. Credits balance by the ledger's own check."""
        items = {key: self.get(key) for key, _ in self.chain.state.items()}
        requests = {key[3:]: one for key, one in items.items() if isinstance(one, RequestRecord)}
        for key, one in items.items():
            if isinstance(one, ModelStanding):
                self._check_model(key[3:], one, requests, items)
        live = {key[3:] for key in items if key.startswith(records.LIVE)}
        for key, one in items.items():
            if isinstance(one, Escrow) and len(key) > 36 and key[-2:] in (b"pX", b"pA", b"pM", b"pR", b"pP", b"pV", b"pS"):
                assert key[2:34] in live, key
                assert not key.endswith(b"pS"), "what is slashed is given at once"

    def _check_model(self, model: bytes, standing: ModelStanding, requests: dict[bytes, RequestRecord], items: Any) -> None:
        mine = {ref: one for ref, one in requests.items() if self.terms(ref).terms.model == model}
        assert standing.kept == len(mine)
        assert standing.waiting == sum(one.state == RequestState.WAITING for one in mine.values())
        assert standing.waiting == sum(key.startswith(records.QUEUE + model) for key in items)
        running = [one for one in mine.values() if one.state not in (RequestState.WAITING, *records.ENDED)]
        assert standing.running == len(running)
        first = [len(drawn.seats) for one in running for drawn in one.rounds if drawn.round != 3]
        assert standing.unfinal_seats == sum(first)
        opened = [len(drawn.seats) for one in running if not one.outcome for drawn in one.rounds if drawn.round != 3]
        assert standing.open_seats == sum(opened)
        servers = {key[35:]: one for key, one in items.items() if isinstance(one, ServerRecord) and key[3:35] == model}
        assert sum(one.unfinal for one in servers.values()) == standing.unfinal_seats
        listed = self.get(records.servers_key(model))
        assert set(listed.servers if listed else []) == set(servers)
        seats = sum(key[3:35] in mine for key, one in items.items() if isinstance(one, PredictionSeat))
        assert seats == sum(len(drawn.seats) for one in running for drawn in one.rounds)
