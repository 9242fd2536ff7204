"""Plays scenarios of the prediction model through the real handlers: `python -m tests.predictions --real`.

A block of a scenario is a block here: its chain clock and beacon are handed in, what is due runs by the real queue, and each
message becomes a real one: an answer a sealed commitment, a key a box, a policy its rates. After every block `view` says in the
model's words what is so, and `tests.predictions.difference` compares. Membership and credits are the real ones; paid jobs are said
to be there. No credit may appear or vanish but by counted mints and burns.
"""

from __future__ import annotations

from dataclasses import replace as copy
from hashlib import sha256
from typing import Any

from learningchain.chain.contracts import BY_NUMBER, job, perform
from learningchain.chain.contracts.prediction import messages, records
from learningchain.chain.contracts.prediction.messages import PredictionCode
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.chain.errors import Code, Reject
from learningchain.chain.host import (
    ACTIVE,
    K_SUPPLY,
    SUSPENDED,
    WINNERS,
    Host,
    params_key,
)
from learningchain.chain.host.services import Won
from learningchain.chain.host.terms import Arch, Image, ImageKind, Limits
from tests.played_ledger import PlayedMembers, ScannedStore
from tests.prediction_views import StateViews, of_ended, split_escrow
from tests.predictions import difference, play, scenario
from tests.predictions.generate import Naming, Player
from tests.predictions.play import AccountView, BlockView
from tests.predictions.scenario import Block, Entry, Message, Params, Scenario
from tests.side_by_side import Played, parting
from tests.unit.job_kit import CHAIN_ID

NAMES: dict[int, str] = {int(code): code.name for code in PredictionCode} | {int(Code.INSUFFICIENT_CREDITS): "INSUFFICIENT"}
"""What the model calls the refusals."""
IMAGE = Image(ImageKind.REGISTRY, "registry.example/model@sha256:" + "ab" * 32, b"", b"", 1_000)
LIMITS = Limits(1_000, 256, 1, 1, 1_000_000, 16, 1)
BOX = bytes(messages.BOX_BYTES)


class RealNaming(Naming):
    """Ids that the ledger gives; each belongs to a transaction of its own."""

    def __init__(self) -> None:
        self.txs: dict[bytes, bytes] = {}

    def account(self, number: int) -> bytes:
        return super().account(number).ljust(20, b".")

    def made(self, kind: bytes, number: int) -> bytes:
        tx = sha256(super().made(kind, number)).digest()
        of = {b"model": messages.model_id_of, b"req": messages.request_id_of, b"policy": messages.policy_id_of}[kind]
        self.txs[found := of(tx, 0)] = tx
        return found


class PaidJobs:
    """The service `winners` over the jobs that a scenario says were paid."""

    def __init__(self, paid: dict[bytes, bytes], host: Host) -> None:
        self.paid = paid

    def of(self, ref: bytes) -> Won | None:
        poster = self.paid.get(ref)
        if poster is None:
            return None
        return Won(poster, poster, cid_of(ref), LIMITS.model_cap, IMAGE, Arch.AMD64, "", LIMITS)


def cid_of(name: bytes) -> bytes:
    return b"\x01\x55\x12\x20" + sha256(name).digest()


def job_of(name: bytes) -> bytes:
    return sha256(b"job " + name).digest()


class Ledger(PlayedMembers):
    """The real contracts under a scenario."""

    def __init__(self, played: Scenario, naming: RealNaming) -> None:
        paid = {job_of(name): poster for name, poster in played.paid}
        winners = copy(job.CONTRACT, services={WINNERS: lambda host: PaidJobs(paid, host)})
        super().__init__(ScannedStore(), BY_NUMBER | {job.CONTRACT.number: winners}, played.params.max_due)
        self.scenario, self.naming = played, naming
        self.models: list[bytes] = []
        self.requests: list[bytes] = []
        self.policies: list[bytes] = []
        self.begin(played.members, played.validators, played.params.month)
        self.store.put(params_key(records.NUMBER), real_params(played.params))

    # blocks

    def run(self, block: Block) -> BlockView:
        return self.view(self.carry_out(block))

    # messages

    def send(self, entry: Entry) -> str | None:
        """None where the message was accepted, otherwise what the model calls the refusal."""
        message = entry.message
        if not self.is_active(entry.sender, ACTIVE, SUSPENDED):
            return "BANNED"
        told = self.tell(message)
        if told is not None:
            told()
            return None
        made = made_by(message)
        host = self.host(self.naming.txs[made] if made else bytes(32))
        self.store.begin()
        try:
            perform(host, entry.sender, self.real(entry.sender, message))
        except Reject as refusal:
            self.store.drop()
            return NAMES[refusal.code]
        self.store.keep()
        self.events += host.events
        if made is not None:
            {scenario.RegisterModel: self.models, scenario.Ask: self.requests}.get(type(message), self.policies).append(made)
        return None

    def real(self, sender: bytes, m: Message) -> Any:
        """The message as it would stand in a transaction."""
        if isinstance(m, scenario.RegisterModel):
            return registration(m)
        if isinstance(m, scenario.SetPrice):
            return messages.SetPrice(m.model, *m.expected, *m.price)
        if isinstance(m, scenario.RetireModel):
            return messages.RetireModel(m.model)
        if isinstance(m, scenario.Serve):
            return messages.ServeModel(m.model, m.amount)
        if isinstance(m, scenario.Unserve):
            return messages.UnserveModel(m.model)
        if isinstance(m, scenario.Ask):
            return asked(m)
        if isinstance(m, scenario.AddTip):
            return messages.AddTip(m.request, m.amount)
        if isinstance(m, scenario.Cancel):
            return messages.CancelRequest(m.request)
        if isinstance(m, scenario.GiveKeys):
            return messages.GiveKeys(m.request, m.r, [BOX] * m.boxes)
        if isinstance(m, scenario.CommitAnswer):
            sealed = messages.answer_commitment(CHAIN_ID, m.request, m.r, sender, real_answer(m.answer), salt(sender))
            return messages.CommitAnswer(m.request, m.r, sealed)
        if isinstance(m, scenario.OpenAnswer):
            return messages.OpenAnswer(hash_of(m.request), m.r, real_answer(m.answer), salt(sender))
        if isinstance(m, scenario.Appeal):
            return messages.AppealAnswer(m.request, list(m.rows))
        if isinstance(m, scenario.RegisterPolicy):
            rates = [messages.PolicyRate(start, ppm) for start, ppm in m.rates]
            return messages.RegisterPolicy(m.model, m.below, m.threshold, rates, m.least, m.most)
        raise TypeError(type(m).__name__)

    # what is so

    def view(self, refused: tuple[tuple[int, str], ...]) -> BlockView:
        supply, views = self.get(K_SUPPLY), StateViews(self.get)
        return BlockView(
            refused,
            (),
            {member.id: self.account(member.id) for member in self.scenario.members},
            {one: views.model(one, self.clock) for one in self.models if self.get(records.model_key(one)) is not None},
            {one: views.request(one) for one in self.requests if self.get(records.request_key(one)) is not None},
            tuple(sorted(one for one in self.policies if self.get(records.policy_key(one)) is not None)),
            dict(sorted((split_escrow(ref), record.amount) for ref, record in self.store.escrows.items())),
            supply.burned,
            supply.minted - sum(member.balance for member in self.scenario.members),
        )

    def account(self, one: bytes) -> AccountView:
        return AccountView(*self.account_fields(one))


def real_params(p: Params) -> PredictionParams:
    return PredictionParams(
        pred_sub=p.sub,
        pred_epoch=p.epoch,
        pred_epoch_sub=p.epoch_sub,
        pred_stake=p.stake,
        pred_deposit=p.deposit,
        pred_fee=p.fee,
        pred_a0=p.a0,
        pred_open=p.w_o,
        pred_keys=p.w_k,
        pred_appeal=p.w_p,
        pred_vote_base=p.v0,
        pred_open_votes=p.w_o3,
        pred_keep=p.keep,
        pred_servers=p.servers,
        pred_models=p.models,
        pred_waiting=p.waiting,
        pred_waiting_own=p.waiting_own,
        pred_row=p.row,
    )


def made_by(m: Message) -> bytes | None:
    """The id that a message brings into the world."""
    if isinstance(m, scenario.RegisterModel):
        return m.model
    if isinstance(m, scenario.Ask):
        return m.request
    return m.policy if isinstance(m, scenario.RegisterPolicy) else None


def registration(m: scenario.RegisterModel) -> messages.RegisterModel:
    t = m.terms
    within = (LIMITS.cpus_milli, LIMITS.mem_mb, LIMITS.tmp_mb, LIMITS.threads)
    program = messages.Program(IMAGE, Arch.AMD64, "", cid_of(m.model), t.size, *within)
    return messages.RegisterModel(
        name=t.name,
        source=[] if m.source is None else [job_of(m.source)],
        previous=[] if m.previous is None else [m.previous],
        program=[] if m.source is not None else [program],
        kind=t.kind,
        classes=t.classes,
        tol=t.tol,
        royalty=t.p,
        floor=t.w,
        slots=t.slots,
        max_rows=t.max_rows,
        input_cap=t.input_cap,
        row_ms=t.row_ms,
        start_s=t.start_s,
        schema=b"",
        sample=b"",
        sample_answers=b"",
        origin=[],
        shares=[messages.Share(who, weight) for who, weight in t.shares],
    )


def asked(m: scenario.Ask) -> messages.RequestPrediction:
    inline = b"" if m.inline is None else m.cid.ljust(m.size, b".")[: m.size]
    cid = messages.inline_cid(inline) if m.inline else cid_of(m.cid)
    key_hash = [sha256(m.request).digest()] if m.private else []
    policy = [] if m.policy is None else [m.policy]
    terms = (m.rows, m.n, m.m, m.tip, m.max_charge, m.wait)
    return messages.RequestPrediction(m.model, cid, m.size, inline, *terms, key_hash, policy)


def hash_of(ref: bytes) -> bytes:
    """An id that some scenarios invent."""
    return ref.ljust(32, b".")


def real_answer(answer: scenario.Answer) -> Answer:
    return Answer(AnswerCode[answer.code], list(answer.classes), list(answer.scores), answer.check)


def salt(sender: bytes) -> bytes:
    return sha256(b"salt" + sender).digest()


# --- side by side --------------------------------------------------------------------------------------------------------------


def play_seed(seed: int) -> Played:
    player = Player(seed, naming=(naming := RealNaming()))
    played = player.run()
    return Played(player.asked, len(played.blocks), player.sent, player.graph.reached, part(played, naming))


def part(played: Scenario, naming: RealNaming) -> str | None:
    """Where the model and the handlers part, or nothing."""
    return parting(played.blocks, play.play(played), Ledger(played, naming).run, differs)


def differs(one: BlockView, other: BlockView) -> tuple[str, str, str] | None:
    return difference.of_views(named(one), named(other))


def named(view: BlockView) -> BlockView:
    """What both can tell: of seats of requests that ended only what was opened and paid."""
    return copy(view, events=(), requests={one: of_ended(found) for one, found in view.requests.items()})
