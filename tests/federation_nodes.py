"""Nodes of a federation in memory: the real contract, the real machines, real masks, rows and sums, models of numpy.

    PlainLedger   the handlers of the federation, of membership and credits, a block at a time
    FedNode       one account with its four machines, their books, its outbox, and the files that it serves
    FedWorld      all of them: a block carries what they submitted, files and messages go where they may

A node keeps what a disk keeps (`books`, `outbox`, `served`); `restart` makes its machines anew from that. Programs are functions:
`local` is some steps of gradient descent on the owner's data, `evaluate` the squared errors of examples that nobody trains on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from learningchain.chain.codec import encode, read
from learningchain.chain.contracts import BY_NUMBER, perform
from learningchain.chain.contracts.federation import formulas, messages, records
from learningchain.chain.contracts.federation.messages import FederationTerms
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.contracts.federation.records import FederationRecord, FederationState
from learningchain.chain.crypto import SigningKey, account_id
from learningchain.chain.errors import Reject
from learningchain.chain.host import account_key, params_key
from learningchain.chain.losses import LossTree, open_losses
from learningchain.chain.types import cid_text
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.federation.arithmetic.places import published_digest
from learningchain.client.contracts.federation.arithmetic.vault import of_secret
from learningchain.client.contracts.federation.roles.aggregator import AggregatorBook, AggregatorMachine
from learningchain.client.contracts.federation.roles.computing import perform as compute
from learningchain.client.contracts.federation.roles.hearing import hear
from learningchain.client.contracts.federation.roles.member import VAULTS, MemberBook, MemberMachine, VaultBook
from learningchain.client.contracts.federation.roles.panel import PanelBook, PanelMachine
from learningchain.client.contracts.federation.roles.role import FederationRole
from learningchain.client.contracts.federation.roles.runs import SCHEMA
from learningchain.client.contracts.federation.roles.sponsor import SponsorBook, SponsorMachine
from learningchain.client.contracts.federation.roles.task_files import CannotCompute
from learningchain.client.contracts.federation.settings import FederationSettings
from learningchain.client.contracts.federation.tasks import MadeFile
from learningchain.client.contracts.federation.wishes import WISH, SponsorWish, TrainWish, Wish, of_wish
from learningchain.client.keys.boxes import public_of
from learningchain.client.work.boxes import BOX_KEYS, BoxSecret, OwnBoxKeys
from learningchain.client.work.events import (
    BringImage,
    Chain,
    Compute,
    Computed,
    ComputeFailed,
    ContentMissing,
    ContentReady,
    Decrypt,
    EndScope,
    FetchContent,
    ImageReady,
    Input,
    KeepBook,
    Kept,
    LossesOpened,
    Model,
    OpenLosses,
    PeerSaid,
    RunEnded,
    Secret,
    SendPeer,
    ServeFile,
    Settled,
    StartRun,
    StopServing,
    Submit,
    one_of_run,
)
from learningchain.client.work.machine import Recalled
from learningchain.p2p.content.cid import from_bytes
from learningchain.sandbox import OwnData, RunSpec, RunStatus
from tests.federation import scenario
from tests.federation_driver import real_terms
from tests.played_ledger import PlayedMembers, ScannedStore
from tests.unit.job_kit import CHAIN_ID

MACHINES: dict[str, tuple[Any, Any]] = {
    "member": (MemberMachine, MemberBook),
    "aggregator": (AggregatorMachine, AggregatorBook),
    "panel": (PanelMachine, PanelBook),
    "sponsor": (SponsorMachine, SponsorBook),
}
BLOCK_MS = 2_000
HIDDEN_KEY = sha256(b"hidden").digest()
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PlainBlock:
    clock: int
    beacon: bytes
    entries: list[tuple[bytes, Any]]


class PlainLedger(PlayedMembers):
    """Its messages are the real ones; every transaction has one."""

    def __init__(self, members: list[scenario.Member]) -> None:
        super().__init__(ScannedStore(), BY_NUMBER, 1_536)
        self.begin(members, 4, 30 * 86_400_000)
        self.store.put(params_key(records.NUMBER), FederationParams())
        self.refused: list[tuple[bytes, str, Reject]] = []

    def send(self, entry: Any) -> str | None:
        sender, op = entry
        host = self.host(sha256(sender + bytes(8)).digest())
        self.store.begin()
        try:
            perform(host, sender, op)
        except Reject as refusal:
            self.store.drop()
            self.refused.append((sender, type(op).__name__, refusal))
            return str(refusal)
        self.store.keep()
        self.events += host.events
        return None

    def topics(self, topic: str) -> list[Any]:
        return [one for one in self.events if getattr(one, "topic", "") == topic]


# --- models ----------------------------------------------------------------------------------------------------------------------


def model_file(values: Floats) -> bytes:
    size = 4 * len(values)
    header = json.dumps({"w": {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, size]}}, separators=(",", ":")).encode()
    return len(header).to_bytes(8, "little") + header + values.astype("<f4").tobytes()


def values_in(file: bytes) -> Floats:
    return np.frombuffer(file, "<f4", offset=8 + int.from_bytes(file[:8], "little"))


class Problem:
    """Linear regression: 64 features carry the most, alike, and an owner has 50 examples: alone it cannot tell them apart."""

    def __init__(self, dims: int, seed: int = 1) -> None:
        self.dims, self._rng = dims, np.random.default_rng(seed)
        self.strong = min(64, dims)
        self.true = np.zeros(dims)
        self.true[: self.strong] = self._rng.choice((-0.18, 0.18), self.strong)

    def draw(self, count: int) -> tuple[Any, Any]:
        x = self._rng.normal(0, 0.05, (count, self.dims))
        x[:, : self.strong] = self._rng.normal(0, 1, (count, self.strong))
        return x, x @ self.true + self._rng.normal(0, 0.02, count)


def descend(base: Floats, data: tuple[Any, Any], steps: int = 8, rate: float = 0.1) -> Floats:
    x, y = data
    w = base.astype(np.float64)
    for _ in range(steps):
        w -= rate * x.T @ (x @ w - y) / len(y)
    return w.astype(np.float32)


def losses_of(values: Floats, data: tuple[Any, Any]) -> list[int]:
    x, y = data
    return [int(one) for one in ((x @ values.astype(np.float64) - y) ** 2 * 1e9)]


# --- nodes -----------------------------------------------------------------------------------------------------------------------


def raw_cid(content: bytes) -> bytes:
    return b"\x01\x55\x12\x20" + sha256(content).digest()


def file_of(spec: RunSpec, name: str) -> Path:
    path = spec.inputs[name]
    assert isinstance(path, Path)
    return path


class Store:
    """Contents by their names: a path is a name here."""

    def __init__(self) -> None:
        self.files: dict[Path, bytes] = {}

    def read(self, path: Path) -> bytes:
        return self.files[path]

    def lay(self, pieces: Iterable[bytes]) -> bytes:
        return b"".join(pieces)

    def write(self, pieces: Iterable[bytes]) -> MadeFile:
        content = b"".join(pieces)
        cid = raw_cid(content)
        path = Path("/content") / cid.hex()
        self.files[path] = content
        return MadeFile(path, cid, len(content))


@dataclass
class FedNode:
    """`poison` changes what `local` leaves; `dead`: it does nothing at all; `deaf` to messages of the channel; `signs`: its own
    account's key is here."""

    world: FedWorld
    key: SigningKey
    me: bytes
    poison: Callable[[Floats, Floats], Floats] = lambda _, local: local
    data: tuple[Any, Any] | None = None
    dead: bool = False
    deaf: bool = False
    signs: bool = True
    owned: OwnData | None = None
    box_private: bytes = b""
    machines: dict[str, FederationRole] = field(default_factory=dict)
    books: dict[str, bytes] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    outbox: list[Submit] = field(default_factory=list)
    served: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    fetches: dict[tuple[str, str, str], FetchContent | Decrypt] = field(default_factory=dict)
    losses: dict[str, LossTree] = field(default_factory=dict)
    runs: list[RunSpec] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.box_private = sha256(b"box" + self.me).digest()
        self.rng = Random(self.me)
        for name in MACHINES:
            self.restart(name)

    def restart(self, name: str) -> None:
        """From the book: fetches and runs of the old process end with it."""
        self.fetches = {key: one for key, one in self.fetches.items() if key[0] != name}
        sign, derive = (self.key.sign, of_secret(self.key.secret)) if self.signs else (None, None)
        config = WorkConfig(federation=FederationSettings(min_verifiers=1))
        known = Recalled(self.me, CHAIN_ID, config, self.rng.randbytes, sign=sign, derive=derive)
        box = encode(BoxSecret(self.box_private, self.key.public, 0))
        keys = OwnBoxKeys([Secret(BOX_KEYS, public_of(self.box_private), b"", box)])
        make, book = MACHINES[name]
        kept, vaults = self.books.get(f"federation.{name}"), self.books.get(VAULTS)
        more = {"vaults": read(VaultBook, vaults)} if name == "member" and vaults is not None else {}
        if kept is not None:
            more["book"] = read(book, kept)
        self.machines[name] = make(known, keys, **more)

    def lose(self) -> None:
        """The machine is gone: what its disk kept, and what it served. The account's keys are elsewhere, too."""
        self.books, self.served, self.known, self.outbox, self.fetches = {}, {}, set(), [], {}
        for name in MACHINES:
            self.restart(name)

    def wish(self, wish: Wish) -> None:
        """What its user wants."""
        secret = of_wish(wish, os.urandom(16))
        self.give(secret.kind.removeprefix(WISH), Kept(secret))

    def own_data(self, name: str) -> OwnData:
        """Held against the posted schema, where there is one."""
        found = self.owned or OwnData(name=name, digest=sha256(b"data of " + self.me).digest(), size=10, files=1)
        schema = self.world.terms.schema
        return replace(found, name=name, notes={SCHEMA: from_bytes(schema).digest.hex()} if schema else {})

    def give(self, name: str, given: Input) -> None:
        if self.dead:
            return
        for effect in self.machines[name].handle(given):
            self._do(name, effect)
        if not isinstance(given, Chain):
            self.give(name, self.world.chain())

    def look(self) -> None:
        for name in MACHINES:
            self.give(name, self.world.chain())

    def _do(self, name: str, effect: Any) -> None:
        world = self.world
        match effect:
            case KeepBook():
                self.books[effect.name] = effect.blob
            case Submit() if effect.key not in self.known:
                self.known.add(effect.key)
                self.outbox.append(effect)
            case FetchContent():
                self.fetches[name, effect.scope, effect.tag] = effect
            case Decrypt():
                self.fetches[name, effect.scope, effect.tag] = effect
            case EndScope():
                self.fetches = {key: one for key, one in self.fetches.items() if key[:2] != (name, effect.scope)}
            case ServeFile():
                assert effect.path in world.store.files
                self.served[effect.cid] = effect.peers
            case StopServing():
                self.served.pop(effect.cid, None)
            case SendPeer():
                world.mail.append((self.me, effect.to, effect.payload))
            case Compute():
                self.give(name, self._compute(effect))
            case BringImage():
                self.give(name, ImageReady(effect.ref, "sha256:" + "ab" * 32))
            case StartRun():
                self.give(name, self._run(effect))
            case OpenLosses():
                found = self.losses[effect.run]
                self.give(name, LossesOpened(effect.scope, effect.tag, open_losses(found, effect.probe)))

    def _run(self, effect: StartRun) -> RunEnded:
        owned = {name: self.own_data(name) for name in ("own", "reference")}
        spec = effect.spec(owned) if callable(effect.spec) else effect.spec
        assert isinstance(spec, RunSpec), spec
        self.runs.append(spec)
        if spec.phase == "local":
            found = self.world.store.write([self.world.trained(self, spec)])
            return RunEnded(effect.run, RunStatus.OK, "", model=Model(found.path, found.cid, found.size))
        if spec.phase == "evaluate":
            tree = self.losses[effect.run] = LossTree(self.world.measured(spec))
            return RunEnded(effect.run, RunStatus.OK, "", result=tree.measurement)
        trees = [LossTree(losses) for losses in self.world.all_measured(spec)]
        self.losses |= {one_of_run(effect.run, place): tree for place, tree in enumerate(trees)}
        return RunEnded(effect.run, RunStatus.OK, "", result=tuple(tree.measurement for tree in trees))

    def _compute(self, effect: Compute) -> Computed | ComputeFailed:
        self.world.tasks.append((self.me, effect.task))
        try:
            return Computed(effect.scope, effect.tag, compute(effect.task, self.world.store, self.rng.randbytes))
        except CannotCompute as why:
            return ComputeFailed(effect.scope, effect.tag, str(why))


class FedWorld:
    """`owners` train, `verifiers` aggregate and measure, or the owners where there are none. Terms may be changed by `more`; where
    these say that members need not be vetted, owners have no flag."""

    def __init__(self, owners: int = 3, verifiers: int = 4, dims: int = 1_024, **more: Any) -> None:
        vetted = more.get("vetted", True)
        self.hidden_key = HIDDEN_KEY if more.get("hidden") else b""
        self.store, self.tasks = Store(), list[tuple[bytes, Any]]()
        self.mail: list[tuple[bytes, bytes, bytes]] = []
        self.posted: list[tuple[bytes, bytes, bytes]] = []
        """All that was sent: sender, receiver, message."""
        keys = [SigningKey(sha256(f"node {n}".encode()).digest()) for n in range(1 + owners + verifiers)]
        ids = [account_id(key.public) for key in keys]
        self.ledger = PlainLedger([scenario.Member(one, 10**9, flag=n > (0 if vetted else owners)) for n, one in enumerate(ids)])
        self.ledger.clock = 1_000_000
        self.nodes = {one: FedNode(self, key, one) for one, key in zip(ids, keys, strict=True)}
        for one, node in self.nodes.items():
            account = self.ledger.get(account_key(one))
            self.ledger.store.put(account_key(one), replace(account, key=node.key.public))
            self.ledger.change_member(one, box_key=public_of(node.box_private))
        self.sponsor, self.owners, self.verifiers = ids[0], ids[1 : 1 + owners], ids[1 + owners :]
        problem = Problem(dims)
        self.tested = problem.draw(64)
        self.terms, self.initial = self._terms(dims, more)
        self.federation = messages.federation_id_of(sha256(self.sponsor + bytes(8)).digest(), 0)
        self.clock = self.ledger.clock
        self._begin(problem)

    def _terms(self, dims: int, more: dict[str, Any]) -> tuple[FederationTerms, Path]:
        initial = self.store.write([model_file(np.zeros(dims, np.float32))])
        first = LossTree(losses_of(np.zeros(dims, np.float32), self.tested)).measurement.mean
        terms = scenario.Terms(
            bounty=10**6, fee=1_000, target=first // 4, rounds=12, round_ms=30_000, ends=self.ledger.clock + 5 * 86_400_000
        )
        played = real_terms(terms, initial.cid)
        played = replace(played, dims=dims, size=initial.size, admit_open=True, clip=5 * 10**8)
        return replace(played, **more), initial.path

    def _begin(self, problem: Problem) -> None:
        for one in self.verifiers or self.owners:
            self.submit(one, messages.ServeFederation(True))
            if formulas.has_cells(self.terms):
                self.submit(one, messages.ServeCells(True))
        self.block()
        self.submit(self.sponsor, messages.OpenFederation(self.terms))
        for one in self.owners:
            self.nodes[one].data = problem.draw(50)
            self.submit(one, self.joins(one, self.federation))
        self.nodes[self.sponsor].data = problem.draw(400)
        self.block()
        data = "reference" if self.terms.reference else ""
        self.nodes[self.sponsor].wish(SponsorWish(self.federation, str(self.initial), self.hidden_key, data, True))
        for one in self.owners:
            self.nodes[one].wish(TrainWish(self.federation, "own", 2 if self.terms.vetted else 0))

    def joins(self, owner: bytes, federation: bytes) -> messages.JoinFederation:
        """With the word on its own data."""
        return messages.JoinFederation(federation, published_digest(federation, self.nodes[owner].own_data("own").digest), 0)

    # --- programs --------------------------------------------------------------------------------------------------------------

    def trained(self, node: FedNode, spec: RunSpec) -> bytes:
        """What `local` leaves at this node: a model."""
        assert node.data is not None
        base = values_in(self.store.read(file_of(spec, "model")))
        return model_file(node.poison(base, descend(base, node.data)))

    def measured(self, spec: RunSpec) -> Sequence[int]:
        """What `evaluate` says, in units of 1e-9."""
        return losses_of(values_in(self.store.read(file_of(spec, "model"))), self.tested)

    def all_measured(self, spec: RunSpec) -> list[Sequence[int]]:
        """What `evaluates` says of each model in its file."""
        raw, size = self.store.read(file_of(spec, "models")), self.terms.size
        return [losses_of(values_in(raw[at : at + size]), self.tested) for at in range(0, len(raw), size)]

    # --- what is so --------------------------------------------------------------------------------------------------------------

    def chain(self) -> Chain:
        return Chain(self.ledger.store, self.clock)

    @property
    def now(self) -> FederationRecord:
        found: FederationRecord = self.ledger.get(records.federation_key(self.federation))
        return found

    @property
    def state(self) -> FederationState:
        return FederationState(self.now.state)

    def paid(self, who: bytes) -> int:
        return int(self.ledger.get(records.member_key(self.federation, who)).paid)

    def attempt(self) -> Any:
        return self.ledger.get(records.attempt_key(self.federation))

    # --- what happens ------------------------------------------------------------------------------------------------------------

    def submit(self, sender: bytes, op: Any) -> None:
        self.nodes[sender].outbox.append(Submit("test", f"{sender.hex()}{len(self.ledger.events)}", b"", op))

    def block(self) -> None:
        """What was submitted, then everybody looks; then files and messages go as far as they may."""
        self.clock += BLOCK_MS
        sent = [(node, one) for node in self.nodes.values() for one in node.outbox]
        for node in self.nodes.values():
            node.outbox = []
        beacon = sha256(b"beacon" + self.clock.to_bytes(8, "big")).digest()
        self.ledger.carry_out(PlainBlock(self.clock, beacon, [(node.me, one.op) for node, one in sent]))
        for node, one in sent:
            for name in MACHINES:
                node.give(name, Settled(one.kind, one.key, one.ref))
        for node in self.nodes.values():
            node.look()
        self._carry()

    def _carry(self) -> None:
        for node in self.nodes.values():
            for key, wanted in list(node.fetches.items()):
                self._fetch(node, key, wanted)
        mail, self.mail = self.mail, []
        self.posted += mail
        for sender, to, payload in mail:
            node, came = self.nodes[to], hear(self.ledger.store, to, sender, payload)
            if came is None or node.deaf:
                continue
            for name in MACHINES:
                node.give(name, PeerSaid(sender, came))

    def _fetch(self, node: FedNode, key: tuple[str, str, str], wanted: FetchContent | Decrypt) -> None:
        if key not in node.fetches:
            return
        if isinstance(wanted, Decrypt):
            del node.fetches[key]
            opens = wanted.key == self.hidden_key
            path = Path("/hidden")
            fine = ContentReady(wanted.scope, wanted.tag, path)
            node.give(key[0], fine if opens else ContentMissing(wanted.scope, wanted.tag, False, "it opens junk", bad=True))
            return
        found = next((cid for cid in self._served_to(node.me) if cid_text(cid) == wanted.cid), None)
        if found is not None:
            del node.fetches[key]
            node.give(key[0], ContentReady(wanted.scope, wanted.tag, Path("/content") / found.hex()))
        elif self.clock > wanted.until:
            del node.fetches[key]
            node.give(key[0], ContentMissing(wanted.scope, wanted.tag, False, "nobody serves it"))

    def _served_to(self, who: bytes) -> Iterable[bytes]:
        for node in self.nodes.values():
            if not node.dead:
                yield from (cid for cid, peers in node.served.items() if not peers or who in peers or node.me == who)

    def run(self, until: Callable[[], bool] | None = None, most: int = 2_000) -> int:
        """Blocks until the federation has ended, or `until`."""
        done = until or (lambda: self.state == FederationState.END)
        for count in range(most):
            if done():
                return count
            self.block()
        raise AssertionError(f"after {most} blocks still in {self.state.name}, r {self.now.r}, start {self.now.starts}")
