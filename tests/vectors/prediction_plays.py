"""Whole requests as blocks, one after the other, each with what the node's own executor makes of it (LC-PRE).

`Ask` is the script's pen: it registers a model, lets members serve it, posts a request, and lets seats answer. Seven validators
sign, so that a draw comes two blocks after what asks for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.contracts.prediction import messages, records
from learningchain.chain.contracts.prediction.messages import (
    AppealAnswer,
    CommitAnswer,
    GiveKeys,
    OpenAnswer,
    Program,
    RegisterModel,
    RequestPrediction,
    ServeModel,
)
from learningchain.chain.contracts.prediction.records import PredictionSeat, RequestRecord, RequestState
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.host import K_PARAMS, Due, due_key
from learningchain.chain.host.terms import Capacity, Image
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state, make_params
from learningchain.chain.types import tx_id
from tests.vectors.kit import id_of, key_of
from tests.vectors.plays import Script

VALIDATORS = tuple(f"v{n}" for n in range(1, 8))
SERVERS = tuple(f"s{n}" for n in range(1, 8))
JUDGES = tuple(f"j{n}" for n in range(1, 12))
VERIFIERS = (*VALIDATORS, *SERVERS, *JUDGES)
OTHERS = ("alice", "bob", "carol", "dave", "erin", "frank")
"""Alice owns models, the others ask and appeal. Erin has next to nothing."""
NAMES = {id_of(name): name for name in (*VERIFIERS, *OTHERS)}
ABLE = Capacity(1, 1_000, 512, 1_000_000, 1_000_000, 86_400)
STAKE, DEPOSIT, FEE, APPEAL, KEEP, EPOCH = 10_000, 20_000, 100, 10_000, 100_000, 50_000
CASE, LIFE = 20_000, 200_000
SHORT = {
    "appeal": CASE,
    "standing_life": LIFE,
    "pred_sub": 500,
    "pred_epoch": EPOCH,
    "pred_epoch_sub": 2_300,
    "pred_stake": STAKE,
    "pred_deposit": DEPOSIT,
    "pred_fee": FEE,
    "pred_a0": 1_000,
    "pred_open": 1_000,
    "pred_keys": 1_000,
    "pred_appeal": APPEAL,
    "pred_vote_base": 2_000,
    "pred_open_votes": 1_000,
    "pred_keep": KEEP,
    "pred_servers": 8,
    "pred_models": 3,
    "pred_waiting": 3,
    "pred_waiting_own": 2,
    "pred_row": 1,
    "max_step": 4_000_000,
    "job_min_bounty": 1_000,
    "job_min_open": 5_000,
    "job_reveal": 6_000,
    "job_vote_base": 4_000,
    "job_open_votes": 3_000,
}
BEGIN = 1_700_000_000_000


def box_key(name: str) -> bytes:
    return hashlib.sha256(b"box " + name.encode()).digest()


@cache
def start() -> tuple[bytes, dict[bytes, bytes]]:
    """(chain id, encoded records): verifiers have box keys, and can judge every model of the plays."""
    accounts = [
        GenesisAccount(key_of(n).public, 10_000_000, n in VALIDATORS, n in VERIFIERS) for n in NAMES.values() if n != "erin"
    ]
    accounts.append(GenesisAccount(key_of("erin").public, 5, False, False))
    params, sections = make_params(**SHORT)
    genesis = Genesis(1, "asked", BEGIN, params, accounts, b"", b"", sections)
    found = {key: raw for key, raw in first_state(genesis)[1] if raw is not None}
    for name in VERIFIERS:
        found[member_key(id_of(name))] = encode(verifier(name))
    return genesis.chain_id, found


def verifier(name: str, **changed: Any) -> Member:
    plain = Member(id_of(name), True, 0, 0, [ABLE], 0, [], [], box_key=box_key(name))
    return replace(plain, **changed)


CID = b"\x01\x55\x12\x20"
MODEL_CID = CID + hashlib.sha256(b"a model").digest()
PROGRAM = Program(Image(1, "plays/digits@sha256:" + "0" * 64, b"", b"", 1_000), 1, "{}", MODEL_CID, 1_000, 1_000, 512, 0, 1)
NUMBERS = RegisterModel(
    name="credit",
    source=[],
    previous=[],
    program=[PROGRAM],
    kind=2,
    classes=0,
    tol=5,
    royalty=30,
    floor=10,
    slots=4,
    max_rows=32,
    input_cap=4_096,
    row_ms=10,
    start_s=1,
    schema=b"",
    sample=b"",
    sample_answers=b"",
    origin=[],
    shares=[],
)
"""A model of numbers that everybody of the plays can serve and judge."""
CLASSES = replace(NUMBERS, name="digits", kind=1, classes=10)
INPUT = b'{"x": 1}\n'


def asking(model: bytes, **changed: Any) -> RequestPrediction:
    """Five answers of one row, two of which should agree, for the least tip."""
    plain = RequestPrediction(
        model=model,
        cid=messages.inline_cid(INPUT),
        size=len(INPUT),
        inline=INPUT,
        rows=1,
        answers=5,
        agree=2,
        tip=5_000,
        max_charge=10**9,
        wait=30_000,
        key_hash=[],
        policy=[],
    )
    return replace(plain, **changed)


KEY = hashlib.sha256(b"a key").digest()
PRIVATE: dict[str, Any] = {"key_hash": [hashlib.sha256(KEY).digest()]}


def number(*scores: int, check: int | None = None) -> Answer:
    return Answer(AnswerCode.OK, [], list(scores), sum(scores) if check is None else check)


def said(code: AnswerCode) -> Answer:
    return Answer(code, [], [], 0)


def salt_of(name: str) -> bytes:
    return hashlib.sha256(b"salt " + name.encode()).digest()


Says = Callable[[str], Answer | None]
"""By a seat's name: what it says; None: it is silent."""


@dataclass
class Ask(Script):
    """A script of requests: `model` and `request` are those that its steps are about."""

    start = staticmethod(start)
    model: bytes = b""
    request: bytes = b""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.after is not None:
            self.model, self.request = self.after.model, self.after.request

    # what stands in the state

    def read(self) -> RequestRecord:
        found: Any = self.state.get(records.request_key(self.request))
        assert isinstance(found, RequestRecord), f"{self.name}: the request left the state"
        return found

    def seats(self, round_: int = 0) -> list[str]:
        now = self.read()
        drawn = next(one for one in now.rounds if one.round == (round_ or now.round))
        return [NAMES[account] for account in drawn.seats]

    def seat(self, name: str, round_: int) -> PredictionSeat:
        found: Any = self.state.get(records.seat_key(self.request, round_, id_of(name)))
        assert isinstance(found, PredictionSeat)
        return found

    # models and requests

    def register(self, terms: RegisterModel = NUMBERS, owner: str = "alice") -> None:
        raw = self.tx(owner, terms)
        self.model = messages.model_id_of(tx_id(raw), 0)
        codes = self.block(raw)
        assert codes == [0], f"{self.name}: the model was refused with {codes}"

    def serve(self, *names: str, amount: int = STAKE + 2_000) -> None:
        codes = self.block(*(self.tx(name, ServeModel(self.model, amount)) for name in names))
        assert not any(codes), f"{self.name}: {codes}"

    def served(self, terms: RegisterModel = NUMBERS, *names: str) -> None:
        """A model that some serve."""
        self.register(terms)
        self.serve(*(names or SERVERS[:5]))

    def ask(self, requester: str = "bob", **changed: Any) -> None:
        raw = self.tx(requester, asking(self.model, **changed))
        self.request = messages.request_id_of(tx_id(raw), 0)
        codes = self.block(raw)
        assert codes == [0], f"{self.name}: the request was refused with {codes}"

    # steps of a request

    def until(self, *states: RequestState) -> None:
        """Blocks until the request is there: each passes its deadline, or the next block of a draw."""
        for _ in range(60):
            now = self.read()
            if now.state in states:
                return
            drawing = now.state in (RequestState.WAITING, RequestState.REDRAW, RequestState.APPEAL)
            self.block(step=100 if drawing else max(100, now.deadline - self.clock))
        raise AssertionError(f"{self.name}: the request is {RequestState(self.read().state).name}, not {states}")

    def appeal(self, sender: str, rows: Iterable[int] = ()) -> None:
        """As soon as the rules let it: who did not ask waits for half of the window."""
        opens = self.read().answered + APPEAL // 2
        if sender != "bob" and self.clock < opens - 100:
            self.block(step=opens - 100 - self.clock)
        self.do(sender, AppealAnswer(self.request, list(rows)))

    def keys(self, sender: str = "bob") -> None:
        """A box for each seat."""
        now = self.read()
        boxes = [hashlib.sha256(name.encode()).digest() * 2 + bytes(16) for name in self.seats()]
        self.do(sender, GiveKeys(self.request, now.round, boxes))

    def sealed(self, name: str, answer: Answer, round_: int = 0) -> CommitAnswer:
        round_ = round_ or self.read().round
        sealed = messages.answer_commitment(self.chain_id, self.request, round_, id_of(name), answer, salt_of(name))
        return CommitAnswer(self.request, round_, sealed)

    def opening(self, name: str, answer: Answer, round_: int = 0) -> OpenAnswer:
        return OpenAnswer(self.request, round_ or self.read().round, answer, salt_of(name))

    def commits(self, says: Says, order: Iterable[str] = ()) -> dict[str, Answer]:
        """Of the present round. `order`: who commits first."""
        seats = self.seats()
        names = [*order, *(name for name in seats if name not in order)]
        found = {name: answer for name in names if (answer := says(name)) is not None}
        if found:
            codes = self.block(*(self.tx(name, self.sealed(name, answer)) for name, answer in found.items()))
            assert not any(codes), f"{self.name}: {codes}"
        return found

    def opens(self, answers: dict[str, Answer], round_: int = 0) -> None:
        codes = self.block(*(self.tx(name, self.opening(name, answer, round_)) for name, answer in answers.items()))
        assert not any(codes), f"{self.name}: {codes}"

    def answer(self, says: Says, *, opens: Callable[[str], bool] = bool, order: Iterable[str] = ()) -> None:
        """A round from its draw to its tally. `opens`: which of those that committed do."""
        self.until(RequestState.ANSWER)
        answers = self.commits(says, order)
        if len(answers) < len(self.seats()):
            self.block(step=max(100, self.read().deadline - self.clock))
        else:
            self.block()
        if self.read().state != RequestState.OPEN:
            return
        shown = {name: answer for name, answer in answers.items() if opens(name)}
        if shown:
            self.opens(shown)
        self.block(step=100 if len(shown) == self.read().committed else max(100, self.read().deadline - self.clock))


def full(play: Ask) -> Ask:
    """From here on a block has room for one deadline, and another one comes first."""
    params: Any = play.state.get(K_PARAMS)
    other = due_key(id_of("carol"), play.read().deadline - 1, 9, play.request)
    few = {K_PARAMS: replace(params, max_due=1, max_due_work=1), other: Due(9, play.request)}
    return Ask(play.name, play.rule, few, play)
