"""Plays scenarios of the federation model through the real handlers: `python -m tests.federation --real`.

A block of a scenario is a block here: its chain clock and beacon are handed in, what is due runs by the real queue, and each
message becomes a real one: a measurement a sealed commitment with a tree of losses, codes and bitmaps bytes, a key a box. After
every block `view` says in the model's words what is so, and the two are compared. Membership and credits are the real ones. No
credit may appear or vanish.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace as copy
from functools import lru_cache
from hashlib import sha256
from typing import Any
from unittest.mock import patch

from learningchain.chain.contracts import BY_NUMBER, perform
from learningchain.chain.contracts.federation import cell_formulas, cells, formulas, messages, records
from learningchain.chain.contracts.federation.messages import (
    AggregationRule,
    DirectionMeasure,
    FederationCode,
    FederationTerms,
    FileCode,
    MaskDigest,
    MeasureCode,
    ModelMeasure,
    PaySplit,
    Secrecy,
    StepsMeasure,
    parts_seal,
)
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.contracts.federation.records import FederationRecord
from learningchain.chain.errors import Code, Reject
from learningchain.chain.host import ACTIVE, K_SUPPLY, SUSPENDED, params_key
from learningchain.chain.host.terms import Arch, HiddenSet, Image, ImageKind, Limits
from learningchain.chain.losses import LossTree, Opening, draw_probe, open_losses
from tests.federation import play, scenario
from tests.federation.generate import Naming, Player
from tests.federation.generate_cells import CellPlayer
from tests.federation.play import AccountView, BlockView, FederationView
from tests.federation.scenario import Block, Entry, Lists, Measure, Message, Params, Scenario, Terms
from tests.federation_views import as_told, view_of
from tests.played_ledger import PlayedMembers, ScannedStore
from tests.predictions import difference
from tests.side_by_side import Played, parting
from tests.unit.job_kit import CHAIN_ID

NAMES: dict[int, str] = {int(code): code.name for code in FederationCode} | {int(Code.INSUFFICIENT_CREDITS): "INSUFFICIENT"}
"""What the model calls the refusals."""
IMAGE = Image(ImageKind.REGISTRY, "registry.example/train@sha256:" + "ab" * 32, b"", b"", 1_000)
BOX = bytes(messages.BOX_BYTES)
SALT = sha256(b"salt").digest()
PURPOSES = {b"fB": b"B", b"fF": b"F"}
NO_CODE = 99


class RealNaming(Naming):
    """Ids that the ledger gives; each belongs to a transaction of its own."""

    def __init__(self) -> None:
        self.txs: dict[bytes, bytes] = {}

    def account(self, number: int) -> bytes:
        return super().account(number).ljust(20, b".")

    def federation(self, number: int) -> bytes:
        tx = sha256(super().federation(number)).digest()
        self.txs[found := messages.federation_id_of(tx, 0)] = tx
        return found


class Ledger(PlayedMembers):
    """The real contracts under a scenario."""

    counted = records.NUMBER

    def __init__(self, played: Scenario, naming: RealNaming) -> None:
        super().__init__(ScannedStore(), BY_NUMBER, played.params.max_due)
        self.scenario, self.naming = played, naming
        self.federations: list[bytes] = []
        self.words: dict[bytes, bytes] = {b"": b""}
        """The model's names of contents, by their CIDs."""
        self.begin(played.members, played.validators, played.params.month)
        self.store.put(params_key(records.NUMBER), real_params(played.params))
        self.cid(b"initial")

    def run(self, block: Block) -> BlockView:
        return self.view(self.carry_out(block))

    def cid(self, name: bytes) -> bytes:
        if not name:
            return b""
        self.words[found := cid_of(name)] = name
        return found

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
        opens = isinstance(message, scenario.OpenFederation)
        host = self.host(self.naming.txs[message.federation] if isinstance(message, scenario.OpenFederation) else bytes(32))
        self.store.begin()
        try:
            perform(host, entry.sender, self.real(entry.sender, message))
        except Reject as refusal:
            self.store.drop()
            return NAMES[refusal.code]
        self.store.keep()
        self.events += host.events
        if opens:
            self.federations.append(message.federation)  # type: ignore[union-attr]
        return None

    def real(self, sender: bytes, m: Message) -> Any:
        """The message as it would stand in a transaction."""
        if isinstance(m, scenario.OpenFederation):
            return messages.OpenFederation(real_terms(m.terms, self.cid(b"initial")))
        if isinstance(m, scenario.ServeFederation):
            return messages.ServeFederation(m.on)
        if isinstance(m, scenario.ServeCells):
            return messages.ServeCells(m.on)
        ref = hash_of(m.federation)  # type: ignore[union-attr]
        if isinstance(m, scenario.JoinFederation | scenario.NewData):
            kind: Any = getattr(messages, type(m).__name__)
            return kind(ref, sha256(m.digest).digest(), m.n)
        if isinstance(m, scenario.AdmitMember | scenario.RemoveMember):
            kind = getattr(messages, type(m).__name__)
            return kind(ref, m.member)
        if isinstance(m, scenario.LeaveFederation | scenario.CloseFederation):
            kind = getattr(messages, type(m).__name__)
            return kind(ref)
        if isinstance(m, scenario.StartRound):
            return messages.StartRound(ref, m.r)
        if isinstance(m, scenario.SealKey):
            return messages.SealKey(ref, [BOX] * m.boxes)
        if isinstance(m, scenario.VaultModel):
            return messages.VaultModel(ref, self.cid(m.cid))
        if isinstance(m, scenario.CommitMeasure):
            return messages.CommitMeasure(ref, m.r, m.again, self.sealed(sender, m))
        if isinstance(m, scenario.OpenMeasure):
            return messages.OpenMeasure(ref, m.r, m.again, real_measure(m.measure), self.opening(m), SALT)
        if isinstance(m, scenario.OpenSteps):
            return messages.OpenSteps(ref, m.r, m.again, real_lists(m.measure), self.opening_of_lists(m), SALT)
        return self.of_attempt(sender, ref, m)

    def of_attempt(self, sender: bytes, ref: bytes, m: Any) -> Any:
        if isinstance(m, scenario.ReadyKey):
            return messages.ReadyKey(ref, m.attempt, bytes(32) if m.low_order else sha256(sender).digest())
        if isinstance(m, scenario.CommitUpdate):
            return messages.CommitUpdate(ref, m.attempt, self.cid(m.cid), m.size)
        if isinstance(m, scenario.ReferUpdate):
            return messages.ReferUpdate(ref, m.attempt, self.cid(m.cid))
        if isinstance(m, scenario.HaveUpdates):
            attempt = self.get(records.attempt_key(ref))
            files = attempt.files if attempt is not None else 0
            return messages.HaveUpdates(ref, m.attempt, as_bitmap(m.bits, files), m.reference)
        if isinstance(m, scenario.PinParts):
            parts = [MaskDigest(mask, sha256(digest).digest()) for mask, digest in m.parts]
            return messages.PinParts(ref, m.attempt, m.stage, parts)
        if isinstance(m, scenario.ScreenUpdates):
            codes = bytes(FileCode[code] for code in m.codes)
            return messages.ScreenUpdates(ref, m.attempt, codes, bytes(m.points), m.norm, sha256(m.digest).digest())
        if isinstance(m, scenario.SumUpdates):
            return messages.SumUpdates(ref, m.attempt, self.cid(m.cid), self.cid(m.cid and b"delta " + m.cid))
        if isinstance(m, scenario.SealParts):
            digests = [sha256(digest).digest() for digest in m.digests]
            r = now.r if isinstance(now := self.get(records.federation_key(ref)), FederationRecord) else 0
            return messages.SealParts(
                ref, m.attempt, m.stage, parts_seal(CHAIN_ID, ref, r, m.attempt, sender, m.stage, digests, SALT)
            )
        if isinstance(m, scenario.PinSealed):
            parts = [MaskDigest(share, sha256(digest).digest()) for share, digest in m.parts]
            return messages.PinSealed(ref, m.attempt, m.stage, parts, SALT)
        if isinstance(m, scenario.SumCells):
            return messages.SumCells(ref, m.attempt, self.cid(m.sums), [self.cid(model) for model in m.models])
        raise TypeError(type(m).__name__)

    def sealed(self, sender: bytes, m: scenario.CommitMeasure) -> bytes:
        said = real_lists(m.measure) if isinstance(m.measure, Lists) else real_measure(m.measure)
        return messages.measure_commitment(CHAIN_ID, hash_of(m.federation), m.r, m.again, sender, said, SALT)

    def opening(self, m: scenario.OpenMeasure) -> list[Opening]:
        """Another leaf than the tree's where the model says that the leaves do not hold."""
        now = self.get(records.federation_key(hash_of(m.federation)))
        if m.measure.code != scenario.OK or not isinstance(now, FederationRecord):
            return []
        return [self.leaves(now, m.federation, m.again, 0, m.measure.loss, m.measure.holds)]

    def opening_of_lists(self, m: scenario.OpenSteps) -> list[Opening]:
        """Of one direction that is not INVALID: which one the beacon of the block says in which OPEN began."""
        now = self.get(records.federation_key(hash_of(m.federation)))
        valued = [(place, loss) for place, (_, loss) in enumerate(m.measure.found) if loss is not None]
        if m.measure.code != scenario.OK or not isinstance(now, FederationRecord) or not valued:
            return []
        place, loss = valued[int.from_bytes(now.probe or bytes(32), "big") % len(valued)]
        return [self.leaves(now, m.federation, m.again, place, loss, m.measure.holds)]

    def leaves(self, now: FederationRecord, ref: bytes, again: int, place: int, loss: int, hold: bool) -> Opening:
        found = open_losses(LossTree([loss]), draw_probe(now.probe or bytes(32), hash_of(ref), place, again, 1))
        return found if hold else Opening(found.greatest, [found.leaves[0] + 1], found.siblings)

    # what is so

    def view(self, refused: tuple[tuple[int, str], ...]) -> BlockView:
        there = [one for one in self.federations if self.get(records.posting_key(one)) is not None]
        return BlockView(
            refused,
            (),
            {member.id: AccountView(*self.account_fields(member.id)) for member in self.scenario.members},
            {one: self.federation(one) for one in there},
            dict(sorted(((ref[:32], PURPOSES[ref[32:]]), record.amount) for ref, record in self.store.escrows.items())),
            self.get(K_SUPPLY).burned,
        )

    def below(self, prefix: bytes) -> list[tuple[bytes, Any]]:
        return [(key[len(prefix) :], record) for key, record in self.store.scan(prefix, 10**6)]

    def federation(self, one: bytes) -> FederationView:
        return view_of(one, self.get, self.below, self.words.__getitem__)


def real_params(p: Params) -> FederationParams:
    return FederationParams(
        fed_base=p.v0,
        fed_ready=p.w_h,
        fed_open=p.w_c,
        fed_pending=p.pending,
        fed_keep=p.keep,
        fed_least=p.t_min,
        fed_longest=p.longest,
        fed_rate=p.rate,
        fed_live=p.live,
        fed_dropped=p.dropped,
    )


def real_terms(t: Terms, model: bytes) -> FederationTerms:
    return FederationTerms(
        image=IMAGE,
        arch=Arch.AMD64,
        params="." * t.params,
        limits=Limits(t.cpus_milli, 256, 60, t.eval_s, max(1, min(t.size, 2**34)), 16, 1),
        model=model,
        size=t.size,
        dims=t.dims,
        hidden=[HiddenSet(cid_of(b"hidden"), bytes(32), bytes(32), 1_000)] if t.hidden else [],
        schema=b"",
        bounty=t.bounty,
        fee=t.fee,
        target=t.target,
        float_kind=t.float_kind,
        tol=t.tol,
        rounds=t.rounds,
        round_ms=t.round_ms,
        pace_ms=t.pace_ms,
        ends=t.ends,
        min_members=t.min_members,
        max_members=t.max_members,
        min_sum=t.min_sum,
        vetted=t.vetted,
        secrecy={scenario.SUM: Secrecy.SUM, scenario.OPENED: Secrecy.OPEN}[t.secrecy],
        rule=AggregationRule[t.rule.upper()],
        split=PaySplit[t.split.upper()],
        reference=t.reference,
        clip=t.clip,
        patience=t.patience,
        admit_open=t.admit_open,
        outside=t.outside,
        dp_milli=t.dp_milli,
    )


def cid_of(name: bytes) -> bytes:
    return b"\x01\x55\x12\x20" + sha256(name).digest()


def hash_of(ref: bytes) -> bytes:
    """An id that some scenarios invent."""
    return ref.ljust(32, b".")


def as_bitmap(bits: int, files: int) -> bytes:
    return bits.to_bytes(max(-(-files // 8), -(-bits.bit_length() // 8)), "little")


@lru_cache(1_000)
def real_measure(measure: Measure) -> ModelMeasure:
    code = MeasureCode[measure.code] if measure.code in scenario.MEASURES else NO_CODE
    shown = measure.code == scenario.OK or measure.loss
    return ModelMeasure(code, [LossTree([measure.loss]).measurement] if shown else [])


@lru_cache(1_000)
def real_lists(said: Lists) -> StepsMeasure:
    code = MeasureCode[said.code] if said.code in scenario.MEASURES else NO_CODE
    found = [DirectionMeasure(step, [] if loss is None else [LossTree([loss]).measurement]) for step, loss in said.found]
    return StepsMeasure(code, found)


# --- side by side --------------------------------------------------------------------------------------------------------------


def play_seed(seed: int) -> Played:
    return play_beside(Player(seed, naming=(naming := RealNaming())), naming)


def play_cells(seed: int) -> Played:
    return play_beside(CellPlayer(seed, naming=(naming := RealNaming())), naming)


@contextmanager
def bounds_of(p: Params) -> Iterator[None]:
    """The contract with the bounds of a scenario, which may be smaller than its own."""
    with (
        patch.object(formulas, "INDEXES", p.indexes),
        patch.object(cells, "MOST_CELLS", p.cells),
        patch.object(cell_formulas, "MOST_CELLS", p.cells),
        patch.object(cell_formulas, "MOST_IN_CELL", p.in_cell),
    ):
        yield


def play_beside(player: Player, naming: RealNaming) -> Played:
    played = player.run()
    with bounds_of(played.params):
        parted = parting(played.blocks, play.play(played), Ledger(played, naming).run, differs)
    return Played(player.graph.reached["opened"], len(played.blocks), player.sent, player.graph.reached, parted)


def differs(one: BlockView, other: BlockView) -> tuple[str, str, str] | None:
    return difference.of_views(named(one), named(other))


def named(view: BlockView) -> BlockView:
    """Events are told otherwise; who has no points is not told of; of what ended some records have left."""
    return copy(view, events=(), federations={ref: as_told(one) for ref, one in view.federations.items()})
