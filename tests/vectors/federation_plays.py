"""Whole federations as blocks, one after the other, each with what the node's own executor makes of it (LC-FED).

`Train` is the script's pen: alice opens a federation, members join it, drawn aggregators and seats do what they are asked. Seven
validators sign, so that a draw comes two blocks after what asks for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation import messages as m
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.formulas import update_size
from learningchain.chain.contracts.federation.records import (
    AggregatorSeat,
    AttemptRecord,
    FederationRecord,
    FederationState,
    aggregator_key,
    attempt_key,
    federation_key,
)
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.host import K_PARAMS, Due, due_key
from learningchain.chain.host.records import ACTIVE, Account, account_key
from learningchain.chain.host.terms import Capacity, HiddenSet, Image, Limits
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state, make_params
from learningchain.chain.losses import LossTree, Opening, draw_probe, open_losses
from learningchain.chain.params import LANES
from learningchain.chain.types import tx_id
from tests.vectors.kit import id_of, key_of
from tests.vectors.plays import Script

VALIDATORS = tuple(f"v{n}" for n in range(1, 8))
HELPERS = tuple(f"s{n}" for n in range(1, 10))
"""They serve: aggregators and panels are drawn of them."""
OWNERS = tuple(f"o{n}" for n in range(1, 8))
"""They have data. The first three have the verifier flag, too."""
OTHERS = ("alice", "bob", "carol", "erin")
"""Alice opens federations, and so may bob. Erin has next to nothing."""
VERIFIERS = (*HELPERS, *OWNERS[:3])
"""With the flag: twelve, of whom four have to be able."""
NAMES = {id_of(name): name for name in (*VALIDATORS, *HELPERS, *OWNERS, *OTHERS)}
ABLE = Capacity(1, 1_000, 512, 1_000_000, 2_000_000, 86_400)
KEEP, PENDING = 100_000, 60_000
SHORT = {
    "fed_base": 2_000,
    "fed_ready": 1_000,
    "fed_open": 1_000,
    "fed_pending": PENDING,
    "fed_keep": KEEP,
    "fed_least": 1_000,
    "fed_rate": 10,
    "fed_live": 2,
    "fed_dropped": 8,
    "appeal": 20_000,
    "standing_life": 10_000_000,
    "max_step": 100_000_000,
}
BEGIN = 1_700_000_000_000
CID = b"\x01\x55\x12\x20"


def cid(name: str) -> bytes:
    return CID + hashlib.sha256(name.encode()).digest()


def digest(name: str) -> bytes:
    return hashlib.sha256(b"digest of " + name.encode()).digest()


def box_key(name: str) -> bytes:
    return hashlib.sha256(b"box " + name.encode()).digest()


@cache
def start() -> tuple[bytes, dict[bytes, bytes]]:
    """(chain id, encoded records): verifiers have box keys and the capacity that the federations of the plays ask for."""
    names = [name for name in NAMES.values() if name != "erin"]
    accounts = [GenesisAccount(key_of(name).public, 10**9, name in VALIDATORS, name in VERIFIERS) for name in names]
    accounts.append(GenesisAccount(key_of("erin").public, 5, False, False))
    params, sections = make_params(**SHORT)
    genesis = Genesis(1, "trained", BEGIN, params, accounts, b"", b"", sections)
    found = {key: raw for key, raw in first_state(genesis)[1] if raw is not None}
    for name in VERIFIERS:
        found[member_key(id_of(name))] = encode(verifier(name))
    return genesis.chain_id, found


def verifier(name: str, **changed: Any) -> Member:
    plain = Member(id_of(name), True, 0, 0, [ABLE], 0, [], [], box_key=box_key(name))
    return replace(plain, **changed)


def newcomer(name: str) -> dict[bytes, Any]:
    """Records of somebody who is in no genesis."""
    account = Account(key_of(name).public, ACTIVE, 10**9, 0, [0] * LANES, 0)
    return {account_key(id_of(name)): account, member_key(id_of(name)): verifier(name, verifier=False, capacity=[])}


def flagged_alone(*names: str) -> dict[bytes, Any]:
    """Records with which nobody else has the flag."""
    return {member_key(id_of(name)): verifier(name, verifier=False) for name in VERIFIERS if name not in names}


HIDDEN = HiddenSet(cid("hidden"), digest("plain"), digest("key"), 1_000)
TERMS = m.FederationTerms(
    image=Image(1, "plays/train@sha256:" + "0" * 64, b"", b"", 1_000),
    arch=1,
    params='{"lr": 1}',
    limits=Limits(1_000, 512, 60, 1, 1_000_000, 16, 1),
    model=cid("initial"),
    size=4_296,
    dims=1_024,
    hidden=[],
    schema=b"",
    bounty=1_000_003,
    fee=100,
    target=1_000_000_000,
    float_kind=1,
    tol=0,
    rounds=2,
    round_ms=10_000,
    pace_ms=60_000,
    ends=BEGIN + 900_000,
    min_members=3,
    max_members=5,
    min_sum=3,
    vetted=False,
    secrecy=1,
    rule=1,
    split=1,
    reference=False,
    clip=10**9,
    patience=2,
    admit_open=True,
    outside=False,
    dp_milli=0,
)
SIZE = update_size(TERMS)
"""The chain clock of the plays begins at BEGIN."""
FIRST, TARGET = 2_000_000_000, 1_000_000_000
"""Losses of the initial model, and the target."""
Says = Callable[[str], m.ModelMeasure | None]
SALT = hashlib.sha256(b"salt").digest()


@dataclass
class Train(Script):
    start = staticmethod(start)
    federation: bytes = b""
    trees: dict[bytes, LossTree] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.after is not None:
            self.federation, self.trees = self.after.federation, dict(self.after.trees)
        super().__post_init__()

    # what is so

    def read(self) -> FederationRecord:
        found = self.state.get(federation_key(self.federation))
        assert isinstance(found, FederationRecord), self.name
        return found

    def attempt(self) -> AttemptRecord:
        found = self.state.get(attempt_key(self.federation))
        assert isinstance(found, AttemptRecord), self.name
        return found

    def aggregator(self, name: str) -> AggregatorSeat:
        found = self.state.get(aggregator_key(self.federation, id_of(name)))
        assert isinstance(found, AggregatorSeat)
        return found

    def aggregators(self) -> list[str]:
        return [NAMES[one] for one in self.attempt().seats]

    def knows(self, name: str) -> bool:
        return self.state.get(records.member_key(self.federation, id_of(name))) is not None

    def member(self, name: str) -> records.FederationMember:
        found = self.state.get(records.member_key(self.federation, id_of(name)))
        assert isinstance(found, records.FederationMember), name
        return found

    def deciding(self) -> list[str]:
        return [NAMES[one] for one in self.attempt().deciding]

    def panel(self) -> list[str]:
        return [NAMES[seat.account] for seat in self.read().panel]

    def others(self) -> list[str]:
        return [name for name in HELPERS if name not in self.panel()]

    # before rounds

    def serving(self, *names: str) -> Train:
        self.all({name: m.ServeFederation(True) for name in names})
        return self

    def opens(self, sender: str = "alice", **changed: Any) -> Train:
        self.do(sender, m.OpenFederation(replace(TERMS, **changed)))
        self.federation = m.federation_id_of(tx_id(self.last), 0)
        return self

    def join(self, *names: str, n: int = 0) -> Train:
        self.all({name: m.JoinFederation(self.federation, digest(name), n) for name in names})
        return self

    def all(self, given: dict[str, Any]) -> None:
        """A message of each in one block; all are taken."""
        if given:
            codes = self.block(*(self.tx(name, op) for name, op in given.items()))
            assert not any(codes), f"{self.name}: {codes}"

    def pass_deadline(self) -> None:
        self.block(step=max(100, self.read().deadline - self.clock))

    def drawn(self) -> None:
        for _ in range(4):
            if self.read().state not in (FederationState.DRAW, FederationState.ROWS):
                return
            self.block()
        raise AssertionError(self.name)

    # a round

    def begin(self, r: int) -> None:
        self.do("alice", m.StartRound(self.federation, r))
        self.drawn()

    def ready(self, *names: str) -> None:
        at = self.attempt().number
        self.all({name: m.ReadyKey(self.federation, at, digest(name)) for name in names or self.aggregators()})

    def files(self, *names: str) -> None:
        at = self.attempt().number
        self.all({name: m.CommitUpdate(self.federation, at, cid(f"{name} {at}"), SIZE) for name in names})

    def have(
        self, files: Sequence[int] | None = None, of: dict[str, Sequence[int]] | None = None, *, reference: bool = False
    ) -> None:
        """Each has all, `files`, or what `of` says; the draw of rows follows."""
        attempt = self.attempt()
        every = list(range(attempt.files)) if files is None else list(files)
        bits = {name: sum(1 << at for at in (of or {}).get(name, every)) for name in self.aggregators()}
        size = (attempt.files + 7) // 8
        said = {
            name: m.HaveUpdates(self.federation, attempt.number, value.to_bytes(size, "little"), reference)
            for name, value in bits.items()
        }
        self.all(said)
        if self.read().state == FederationState.ROWS:
            self.drawn()

    def parts(self, name: str, stage: int, **lies: str) -> m.PinParts:
        """`lies`: `mask1` and so on."""
        place = self.attempt().seats.index(id_of(name)) + 1
        found = [m.MaskDigest(k, digest(lies.get(f"mask{k}", f"part {stage} {k}"))) for k in (1, 2, 3) if k != place]
        return m.PinParts(self.federation, self.attempt().number, stage, found)

    def pins(self, stage: int, *names: str) -> None:
        self.all({name: self.parts(name, stage) for name in names or self.deciding()})

    def screen(self, codes: Sequence[int], points: Sequence[int] = (), norm: int = m.CQ, what: str = "rows") -> m.ScreenUpdates:
        return m.ScreenUpdates(self.federation, self.attempt().number, bytes(codes), bytes(points), norm, digest(what))

    def sum(self, model: str) -> m.SumUpdates:
        named = (cid(model), cid("delta of " + model)) if model else (b"", b"")
        return m.SumUpdates(self.federation, self.attempt().number, *named)

    def summed(
        self,
        owners: Sequence[str],
        model: str,
        codes: Sequence[int] | None = None,
        points: Sequence[int] = (),
        norm: int = m.CQ,
    ) -> None:
        """From TRAIN to the sum, by all aggregators."""
        self.files(*owners)
        if self.read().state == FederationState.TRAIN:
            self.pass_deadline()
        self.have()
        self.pins(1)
        said = codes if codes is not None else [1] * len(owners)
        self.all({name: self.screen(said, points, norm) for name in self.deciding()})
        if self.read().state != FederationState.SUM:
            return
        self.pins(2)
        self.all({name: self.sum(model) for name in self.deciding()})

    # measurements

    def found(self, *losses: int) -> m.ModelMeasure:
        """What an honest seat measured."""
        tree = LossTree(list(losses))
        self.trees[tree.measurement.root] = tree
        return m.ModelMeasure(1, [tree.measurement])

    def commitment(self, name: str, measure: m.ModelMeasure) -> m.CommitMeasure:
        now = self.read()
        sealed = m.measure_commitment(self.chain_id, self.federation, now.r, now.again, id_of(name), measure, SALT)
        return m.CommitMeasure(self.federation, now.r, now.again, sealed)

    def opening(self, measure: m.ModelMeasure, lie: bool = False) -> m.OpenMeasure:
        now, shown = self.read(), list[Opening]()
        if measure.measured:
            tree = self.trees[measure.measured[0].root]
            probe = draw_probe(now.probe, self.federation, 0, now.again, measure.measured[0].count)
            found = open_losses(tree, probe)
            shown = [replace(found, leaves=[found.leaves[0] + 1, *found.leaves[1:]]) if lie else found]
        return m.OpenMeasure(self.federation, now.r, now.again, measure, shown, SALT)

    def measure(self, says: Says, *, lies: Sequence[str] = (), opens: Callable[[str], bool] = bool) -> None:
        """A measurement from MEASURE to its end; who says nothing lets the window pass."""
        said = {name: word for name in self.panel() if (word := says(name)) is not None}
        self.all({name: self.commitment(name, word) for name, word in said.items()})
        if self.read().state == FederationState.MEASURE:
            self.pass_deadline()
        if not said:
            return
        shown = {name: self.opening(word, name in lies) for name, word in said.items() if opens(name)}
        self.all(shown)
        if len(shown) < len(said):
            self.pass_deadline()

    def measured(self, loss: int) -> None:
        self.measure(lambda _: self.found(loss))


def full(play: Train) -> Train:
    """From here on a block has room for one deadline, and another one comes first."""
    params: Any = play.state.get(K_PARAMS)
    other = due_key(id_of("carol"), play.read().deadline - 1, 9, play.federation)
    few = {K_PARAMS: replace(params, max_due=1, max_due_work=1), other: Due(9, play.federation)}
    return Train(play.name, play.rule, few, play)


def changed(play: Train, **fields: Any) -> Train:
    """It goes on with another record of the federation."""
    return Train(play.name, play.rule, {federation_key(play.federation): replace(play.read(), **fields)}, play)


def said(code: int) -> m.ModelMeasure:
    return m.ModelMeasure(code, [])


def training(name: str, rule: str, *owners: str, n: int = 0, **changed: Any) -> Train:
    """Opened, joined, the initial model measured: r = 1, IDLE."""
    play = Train(name, rule)
    play.serving(*HELPERS).opens(**changed)
    play.join(*(owners or OWNERS[:4]), n=n)
    play.begin(0)
    play.measured(FIRST)
    return play


def ready(name: str, rule: str, *owners: str, n: int = 0, **changed: Any) -> Train:
    """In TRAIN of the first attempt of r = 1."""
    play = training(name, rule, *owners, n=n, **changed)
    play.begin(1)
    play.ready()
    return play
