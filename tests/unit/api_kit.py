"""What the tests of the HTTP API share: a node whose ledger is the real one, a real server before it, a client that checks answers.

`FakeNode` applies signed transactions in real blocks: nothing stands between it and the contracts. Files and runs are doubles.
Every answer that a test receives is checked against the type that the route declares, every refusal against the one shape.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts import NUMBERED
from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.job.duties import DueBallots, duties_in
from learningchain.chain.contracts.job.messages import (
    Ballot,
    Claim,
    CommitVote,
    OpenVote,
    Reveal,
    claim_commitment,
    job_id_of,
    vote_commitment,
)
from learningchain.chain.contracts.job.records import round_key
from learningchain.chain.contracts.membership import SetCapacity
from learningchain.chain.crypto import SigningKey, account_id, address
from learningchain.chain.errors import Malformed
from learningchain.chain.host import terms as job_terms
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state
from learningchain.chain.ledger.receipt_file import TrustedBlock, Way
from learningchain.chain.ledger.snapshot import ValidatorSetChange
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import BlockInput, apply_block, chain_record, commit, validators_of
from learningchain.chain.ledger.tx import ParsedTx, charge_bandwidth, check_tx, parse_tx, sign_tx
from learningchain.chain.losses import draw_probe, open_losses
from learningchain.chain.node.events import Decided
from learningchain.chain.node.history import lines
from learningchain.chain.storage import archive
from learningchain.chain.types import (
    PRECOMMIT,
    Block,
    Certificate,
    Header,
    LogEvent,
    Receipt,
    TxBody,
    block_id,
    net_of,
    quorum,
    tx_root,
    validators_hash,
    vote_digest,
)
from learningchain.client import config, config_change
from learningchain.client.api.errors import ErrorResponse
from learningchain.client.api.route import ServerLimits
from learningchain.client.api.server import ApiServer
from learningchain.client.api.table import ROUTES
from learningchain.client.callbacks.service import CallbackService
from learningchain.client.daemon.service import past_of
from learningchain.client.keys.keystore import KeystoreError
from learningchain.client.keys.signing import SignerUnavailable
from learningchain.client.keys.statements import Speaker, statement_digest
from learningchain.client.machines.hub import MachineHub
from learningchain.client.node import proofs
from learningchain.client.node.block_figures import AnyFigure, BlockFigures
from learningchain.client.node.disk_use import DiskRoom
from learningchain.client.node.interface import Before, ComingContent, KeptContent, KeptFor, KeptRoom, MayHave, Past, TxResult
from learningchain.client.notify.service import NotifyService
from learningchain.client.schema.render import render_block, render_history, render_noted, render_supply, render_tx
from learningchain.client.work.events import Secret
from learningchain.client.work.trials import Trials
from learningchain.p2p.content.cid import Codec, cid_of, parse
from learningchain.p2p.content.faults import FetchFailed, Reason
from learningchain.p2p.tls import CA, make_ca
from learningchain.sandbox import DataRefused, OwnData
from tests.network import NetworkParams
from tests.network import genesis as network_genesis
from tests.unit.job_kit import TREES

TOKEN = "t" * 43
CREDIT = 10**6
GRANT = 1_000 * CREDIT
PARAMS = NetworkParams(
    max_step=10**9,
    job_min_open=10_000,
    job_reveal=60_000,
    job_key=50_000,
    job_vote_base=100_000,
    job_open_votes=40_000,
    appeal=500_000,
)
NAMES = ("boss", "n1", "n2", "n3", "n4")
ZERO = bytes(32)

ERROR_FIELDS = {"kind", "code", "name", "message", "retry_after_s"}


def sha(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


MODEL = b"a model" * 100
MODEL_CID = cid_of(Codec.RAW, MODEL)


class FakeLedger:
    """One proposer, real transitions. With `auto` a block follows every accepted transaction."""

    def __init__(self, own: str = "boss") -> None:
        self.keys = {name: SigningKey(sha("key", name)) for name in NAMES}
        self.ids = {name: account_id(key.public) for name, key in self.keys.items()}
        accounts = [GenesisAccount(key.public, GRANT, name != "boss", name != "boss") for name, key in self.keys.items()]
        self.genesis = network_genesis("test", 1_000_000, PARAMS, accounts)
        self.state: State
        self.state, _ = first_state(self.genesis)
        self.chain_id, self.params, self.own = self.genesis.chain_id, PARAMS, own
        self.auto = True
        self.pool: list[ParsedTx] = []
        self.blocks: list[tuple[Header, list[ParsedTx], list[Receipt]]] = []
        self.archive: dict[bytes, tuple[int, bytes]] = {}
        """What left the state: the height at which it did, and the record."""
        self.readers: list[asyncio.Queue[Decided | Exception]] = []
        self.mined = asyncio.Condition()

    @property
    def own_id(self) -> bytes:
        return self.ids[self.own]

    @property
    def height(self) -> int:
        return chain_record(self.state).height

    @property
    def clock(self) -> int:
        return chain_record(self.state).clock

    def signed(self, name: str, op: Any, *, ahead: int = 0, sequence: int | None = None) -> bytes:
        if sequence is None:
            account: Any = self.state.get(b"a/" + self.ids[name])
            sequence = account.sequences[0] + sum(tx.body.sender == self.ids[name] for tx in self.pool) + ahead
        ops = [msgspec.Raw(encode(each)) for each in (op if isinstance(op, list) else [op])]
        body = TxBody(net_of(self.chain_id), self.ids[name], 0, sequence, self.height + 10, ops)
        return sign_tx(self.keys[name], self.chain_id, body)

    def block(self, step: int = 1_000, **ops: Any) -> list[int]:
        """A block with one message each of the named members; the codes of their receipts."""
        self.pool += [parse_tx(self.signed(name, op)) for name, op in ops.items()]
        return [receipt.code for receipt in self.mine(step).receipts[1:]]

    def mine(self, step: int = 1_000) -> Decided:
        parent = chain_record(self.state)
        txs, self.pool = self.pool, []
        before = validators_of(self.state)
        proposer = before[(parent.height + 1) % len(before)].id
        made = apply_block(self.state, BlockInput(parent.height + 1, parent.time + step, proposer, ZERO, ZERO, txs))
        commit(self.state, made)
        self.archive |= {key: (parent.height + 1, raw) for key, raw in made.archived}
        height, raws = parent.height + 1, [tx.raw for tx in txs]
        roots = (tx_root(raws), made.receipt_root, made.state_root)
        sets = (validators_hash(before), validators_hash(made.next_validators))
        head = block_id(self.blocks[-1][0]) if self.blocks else self.chain_id
        header = Header(1, self.chain_id, height, 0, proposer, parent.time + step, head, *roots, *sets, ZERO, ZERO)
        self.blocks.append((header, txs, made.receipts))
        committed = Decided(height, block_id(header), header, [tx.id for tx in txs], made.receipts, [])
        for queue in self.readers:
            queue.put_nowait(committed)
        return committed

    def certificate(self, header: Header) -> Certificate:
        """By a quorum of the genesis validators."""
        keys = {self.ids[name]: key for name, key in self.keys.items()}
        signers = list(range(quorum(len(self.genesis.validators))))
        digest = vote_digest(self.chain_id, PRECOMMIT, header.height, 0, block_id(header))
        signatures = [keys[self.genesis.validators[i].id].sign(digest) for i in signers]
        return Certificate(header.height, 0, block_id(header), signers, signatures)

    # client.node.interface.Ledger

    rooms: Iterator[bool] = repeat(True)
    """Whether there is room, question by question."""

    async def room(self, timeout_s: float) -> bool:
        return next(self.rooms)

    async def submit_raw(self, raw: bytes) -> bytes:
        tx = parse_tx(raw)
        waiting = sum(other.body.sender == tx.body.sender for other in self.pool)
        if not waiting:
            account = check_tx(self.state, self.chain_id, tx, self.height + 1)
            charge_bandwidth(self.params, account, tx, chain_record(self.state).clock)
        self.pool.append(tx)
        if self.auto:
            asyncio.get_running_loop().call_soon(self.mine)
        return tx.id

    async def submit(self, ops: list[Any], *, urgent: bool = False, before: Before | None = None) -> bytes:
        raw = self.signed(self.own, ops[0])
        if before is not None:
            await before(raw)
        return await self.submit_raw(raw)

    def find(self, tx: bytes) -> TxResult | None:
        for header, txs, receipts in self.blocks:
            for index, parsed in enumerate(txs):
                if parsed.id == tx:
                    receipt = receipts[index + 1]
                    return TxResult(tx, header.height, index, receipt.code, list(receipt.events))
        return None

    async def result(self, tx: bytes, timeout_s: float) -> TxResult:
        if self.find(tx) is None:
            async for block in self.limited(timeout_s):
                if tx in block.tx_ids:
                    break
        found = self.find(tx)
        assert found is not None
        return found

    async def limited(self, timeout_s: float) -> AsyncIterator[Decided]:
        blocks = self.committed()
        while True:
            yield await asyncio.wait_for(anext(blocks), timeout_s)

    def committed(self) -> AsyncIterator[Decided]:
        queue: asyncio.Queue[Decided | Exception] = asyncio.Queue()
        self.readers.append(queue)
        return self._follow(queue)

    async def _follow(self, queue: asyncio.Queue[Decided | Exception]) -> AsyncIterator[Decided]:
        while True:
            item = await queue.get()
            if isinstance(item, Exception):
                self.readers.remove(queue)
                raise item
            yield item

    # a whole job

    def posting(self, **changed: Any) -> messages.PostJob:
        image = job_terms.Image(job_terms.ImageKind.ARCHIVE, "", MODEL_CID.to_bytes(), sha("image"), 1_000)
        terms: dict[str, Any] = {
            "image": image,
            "arch": int(job_terms.Arch.AMD64),
            "params": "",
            "bounty": 10 * CREDIT,
            "fee": 1_000,
            "finalists": 3,
            "expiry": self.clock + 50_000,
            "float_kind": 1,
            "tol": 0,
            "floor": 0,
            "on_cheat": 0,
            "limits": job_terms.Limits(1_000, 512, 20, 20, 10**6, 16, 1),
            "hidden": [],
            "devices": [],
            "data": [],
            "earlier": [],
        }
        return messages.PostJob(**terms | changed)

    def declare(self) -> None:
        """Every verifier says what its machine takes."""
        capacity = job_terms.Capacity(job_terms.Arch.AMD64, 64_000, 10**6, 2**36, 2**34, 3_600)
        undeclared = [
            name for name in NAMES if name != "boss" and not getattr(self.state.get(b"m/" + self.ids[name]), "capacity", None)
        ]
        assert set(self.block(**{name: SetCapacity(capacity) for name in undeclared})) <= {0}

    def claimed_job(self, worker: str = "n1", loss: int = 5_000) -> bytes:
        self.declare()
        assert self.block(boss=self.posting()) == [0]
        job = job_id_of(self.blocks[-1][1][0].id, 0)
        sealed = claim_commitment(self.chain_id, job, self.ids[worker], MODEL_CID.digest, sha("salt"))
        assert self.block(**{worker: Claim(job, loss, sealed, True)}) == [0]
        return job

    def judged_job(self, ballot: Ballot, worker: str = "n1") -> bytes:
        """A job from posting to its verdict, with every committee member voting `ballot`."""
        job = self.claimed_job(worker)
        self.block(50_000)
        assert self.block(**{worker: Reveal(job, 1, MODEL_CID.to_bytes(), len(MODEL), sha("salt"))}) == [0]
        self.block()  # T1
        self.block()  # the draw
        voters = [n for n in NAMES if any(isinstance(d, DueBallots) for d in duties_in(self.state, job, self.ids[n], self.clock))]
        sealed = {v: vote_commitment(self.chain_id, job, 0, 1, self.ids[v], [ballot], sha(v)) for v in voters}
        assert set(self.block(**{v: CommitVote(job, 0, 1, sealed[v]) for v in voters})) == {0}
        self.block()  # the count
        assert set(self.block(**{v: self.opening(job, v, ballot) for v in voters})) == {0}
        self.block()  # the verdict
        return job

    def opening(self, job: bytes, voter: str, ballot: Ballot) -> OpenVote:
        """What opens a vote whose only column, if it has one, is the public one."""
        probe: Any = self.state.get(round_key(job, 0, 1))
        shown = [open_losses(TREES[m.root], draw_probe(probe.probe, job, 0, 1, m.count)) for m in ballot.public]
        return OpenVote(job, 0, 1, [ballot], sha(voter), 0, False, shown)


class FakeFiles:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.added: list[tuple[Path, str]] = []
        self.kept: list[tuple[str, str]] = []
        """(cid, reason) of what was added and not given up."""
        self.quota = 2**40
        self.unpinned: list[str] = []
        """Reasons that were given up, in their order."""
        self.fault: Exception | None = None
        self.handed: list[ValidatorSetChange] = []
        self.hold: asyncio.Event | None = None
        self.waiting = 0

    def put(self, data: bytes) -> str:
        cid = str(cid_of(Codec.RAW, data))
        (self.folder / cid).write_bytes(data)
        return cid

    async def add(self, path: Path, *, pin: str) -> tuple[str, int]:
        self.added.append((path, pin))
        if self.fault:
            raise self.fault
        data = path.read_bytes()
        cid = self.put(data)
        self.kept.append((cid, pin))
        return cid, len(data)

    def pinned(self, reason: str) -> list[tuple[str, int, str]]:
        found = [(cid, why) for cid, why in self.kept if why == reason or why.startswith(f"{reason}:")]
        return [(cid, (self.folder / cid).stat().st_size, why) for cid, why in found]

    def room(self) -> tuple[int, int]:
        return self.quota - sum(size for _, size, _ in self.pinned("user")), self.quota

    def has(self, cid: str) -> bool:
        return (self.folder / cid).exists()

    async def fetch(
        self, cid: str, *, max_size: int, timeout_s: float, on_progress: Callable[[int, int], None] | None = None
    ) -> Path:
        if self.hold is not None:
            self.waiting += 1
            await self.hold.wait()
        if self.fault:
            raise self.fault
        path = self.folder / cid
        if not path.exists():
            raise FetchFailed(parse(cid), Reason.NOBODY, "nobody has it")
        if path.stat().st_size > max_size:
            raise FetchFailed(parse(cid), Reason.TOO_LARGE, f"it has more than {max_size} bytes")
        return path

    def pin(self, cid: str, reason: str) -> None:
        raise NotImplementedError

    def here(self, cids: Sequence[str]) -> list[Path | None]:
        return [None for _ in cids]

    def pin_all(self, cids: Collection[str], reason: str) -> None:
        for cid in cids:
            self.pin(cid, reason)

    def unpin_all(self, cids: Collection[str], reason: str) -> None:
        for cid in cids:
            self.unpin(cid, reason)

    def allow(self, cid: str, peers: Collection[bytes]) -> None: ...

    def share_by(self, may_have: MayHave) -> None: ...

    def unpin(self, cid: str, reason: str) -> None:
        self.unpinned.append(reason)
        self.kept = [one for one in self.kept if one != (cid, reason)]


class FakeRuns:
    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []
        self.ended: dict[tuple[str, str], int] = {}

    def get(self, run_id: str) -> dict[str, Any] | None:
        return next((run for run in self.all if run["id"] == run_id), None)

    def cancel(self, run_id: str, reason: str) -> bool:
        run = self.get(run_id)
        if run is None or run["state"] != "running":
            return False
        run["state"] = "cancelled"
        return True

    def list(self) -> list[dict[str, Any]]:
        return self.all


def a_run(run_id: str = "r1", state: str = "running") -> dict[str, Any]:
    return {
        "id": run_id,
        "job": sha("job").hex(),
        "phase": "train",
        "state": state,
        "attempt": 1,
        "seed": 7,
        "progress": [{"step": 1, "of": 9, "loss": "0.3"}],
        "loss": None,
        "reason": None,
        "log": "a long log",
        "started": 1,
        "ended": None,
    }


class FakeSecrets:
    def __init__(self) -> None:
        self.all: list[Secret] = []

    async def keep(self, secret: Secret) -> None:
        self.all.append(secret)

    async def of(self, kind: str, beginning: bytes = b"") -> list[Secret]:
        return [secret for secret in self.all if secret.kind == kind and secret.key.startswith(beginning)]

    async def room(self, kind: str, beginning: bytes, most: int) -> KeptRoom:
        return KeptRoom(len(await self.of(kind)), len(await self.of(kind, beginning)), most)


class FakeWork:
    """Its own engine and stores as well: each has what the API asks of it."""

    def __init__(self) -> None:
        self.report: dict[str, Any] | None = {"ok": True, "checks": []}
        self.under_way: list[AnyFigure] = []
        self.secrets = FakeSecrets()
        self.reasons: dict[bytes, str] = {}
        self.engine = self.stores = self
        self.data: dict[str, OwnData] = {}
        """The owner's own, by name, and which of them a run uses."""
        self.used_data: set[str] = set()
        self.books: dict[str, bytes] = {}

    def figures(self) -> list[AnyFigure]:
        return self.under_way

    def explain(self, ref: bytes) -> str | None:
        return self.reasons.get(ref)

    def kept_for(self, cid: str, why: str) -> KeptFor:
        return KeptFor("image", "job", why.partition(":")[2], 5)

    async def own_data(self) -> list[OwnData]:
        return list(self.data.values())

    async def remove_data(self, name: str) -> None:
        if name in self.used_data:
            raise DataRefused(f"a run uses {name}: wait until it has ended")
        del self.data[name]


class FakeNode:
    def __init__(self, folder: Path, own: str = "boss") -> None:
        self.ledger = FakeLedger(own)
        self.files = FakeFiles(folder)
        self.work = FakeWork()
        self.runs: FakeRuns | None = FakeRuns()
        self.machines: MachineHub | None = None
        self.callbacks: CallbackService | None = None
        self.trials: Trials | None = None
        self.extra: dict[str, Any] = {}
        self.figures: BlockFigures | None = None
        self.disk: DiskRoom | None = None
        self.notify: NotifyService | None = None
        self.taken: list[bytes] = []
        self.lying: list[KeptContent] = []
        self.coming: list[ComingContent] = []
        self.fault: Exception | None = None
        self.handed: list[ValidatorSetChange] = []
        self.reached = [(self.ledger.own_id, "127.0.0.1:7400")]
        self.remote = False
        self._ca: CA | None = None

    def genesis(self) -> Genesis:
        """With an authority, whose key its tokens carry."""
        if self._ca is None:
            self._ca = make_ca(1_700_000_000)
        return msgspec.structs.replace(self.ledger.genesis, ca_cert=self._ca.cert_pem, ca_key=self._ca.key_pem)

    def contacts(self) -> list[tuple[bytes, str]]:
        return self.reached

    async def statement(self, domain: str, body: bytes) -> bytes:
        if self.remote:
            raise SignerUnavailable("the signer is out of reach")
        own, key = self.ledger.own_id, self.ledger.keys[self.ledger.own]
        return key.sign(statement_digest(domain, body, Speaker(self.genesis().chain_id, own, key.public)))

    def contents(self) -> list[KeptContent]:
        return self.lying

    def transfers(self) -> list[ComingContent]:
        return self.coming

    def carried(self) -> dict[tuple[str, ...], float]:
        return {("messages", "in"): 5, ("connections", "in"): 7}

    def refused_files(self) -> int:
        return 5

    def status(self) -> dict[str, Any]:
        if self.fault:
            raise self.fault
        ledger = self.ledger
        record = chain_record(ledger.state)
        return {
            "network": "test",
            "chain_id": ledger.chain_id.hex(),
            "height": ledger.height,
            "block_id": block_id(ledger.blocks[-1][0]).hex() if ledger.blocks else "",
            "state_root": ledger.state.root.hex(),
            "time": record.time,
            "clock": record.clock,
            "clock_now": self.ledger.clock,
            "id": address(ledger.own_id),
            "validator": False,
            "validators": [address(v.id) for v in validators_of(ledger.state)],
            "peers": 3,
            "syncing": False,
            "audited": ledger.height,
            "working": False,
            "supply": render_supply(ledger.state),
        } | self.extra

    def peers(self) -> list[dict[str, Any]]:
        return [{"id": address(self.ledger.ids["n1"]), "address": "127.0.0.1:1"}]

    def connections(self) -> list[dict[str, Any]]:
        return [{"time": 1_700_000_000_000, "event": "dial failed", "address": "127.0.0.1:2", "id": None, "reason": "no answer"}]

    settings: Path | None = None
    """A data folder whose settings these are."""

    def config(self) -> dict[str, Any]:
        if self.settings is None:
            return {"name": {"value": "test", "source": "default"}}
        return {name: {"value": value, "source": "file"} for name, value in config.shown(config.Config()).items()}

    async def settings_after_restart(self) -> dict[str, Any]:
        return {} if self.settings is None else config_change.after_restart(config.load(Path("nowhere"), {}), self.settings)

    async def change_setting(self, name: str, text: str) -> Any:
        assert self.settings is not None
        return config_change.change(self.settings, name, text)

    async def block(self, height: int) -> dict[str, Any] | None:
        if not 1 <= height <= len(self.ledger.blocks):
            return None
        header, txs, _ = self.ledger.blocks[height - 1]
        certificate = self.ledger.certificate(header)
        return render_block(header, [tx.id for tx in txs], certificate, validators_of(self.ledger.state))

    async def raw_block(self, height: int) -> dict[str, Any] | None:
        if not 1 <= height <= len(self.ledger.blocks):
            return None
        header, txs, _ = self.ledger.blocks[height - 1]
        return proofs.raw_block(height, encode(Block(header, [tx.raw for tx in txs])), encode(self.ledger.certificate(header)))

    async def tx(self, tx: bytes) -> dict[str, Any] | None:
        for header, txs, receipts in self.ledger.blocks:
            for index, parsed in enumerate(txs):
                if parsed.id == tx:
                    return render_tx(parsed, height=header.height, index=index, receipt=receipts[index + 1])
        return None

    async def receipt(self, height: int, index: int) -> dict[str, Any] | None:
        if not 1 <= height <= len(self.ledger.blocks):
            return None
        header, txs, receipts = self.ledger.blocks[height - 1]
        block = encode(Block(header, [tx.raw for tx in txs]))
        certificate = encode(self.ledger.certificate(header))
        return proofs.receipt_proof(block, certificate, [encode(receipt) for receipt in receipts], index)

    async def receipt_file(self, height: int, index: int, trusted: int | None) -> dict[str, Any] | None:
        if not 1 <= height <= len(self.ledger.blocks):
            return None
        header, txs, receipts = self.ledger.blocks[height - 1]
        way = self._way(header, trusted)
        block, certificate = encode(Block(header, [tx.raw for tx in txs])), encode(self.ledger.certificate(header))
        return proofs.receipt_file(way, block, certificate, [encode(one) for one in receipts], index)

    async def records_file(self, keys: Sequence[bytes], trusted: int | None) -> dict[str, Any] | None:
        if not self.ledger.blocks:
            return None
        header = self.ledger.blocks[-1][0]
        records = proofs.proven_records(self.ledger.state, list(keys))
        return proofs.records_file(self._way(header, trusted), header, encode(self.ledger.certificate(header)), records)

    def _way(self, header: Header, trusted: int | None) -> Way:
        """The validators stay those of genesis."""
        if trusted is None:
            return Way(None, [])
        if not trusted <= len(self.ledger.blocks):
            raise Malformed(f"this node has no block {trusted} that a receipt could begin at")
        return Way(TrustedBlock(self.ledger.blocks[trusted - 1][0], self.ledger.genesis.validators), [])

    async def prove(self, key: bytes) -> dict[str, Any] | None:
        if not self.ledger.blocks:
            return None
        header = self.ledger.blocks[-1][0]
        return proofs.certified(proofs.state_proof(self.ledger.state, key), header, encode(self.ledger.certificate(header)))

    async def validator_changes(self, start: int, limit: int) -> dict[str, Any]:
        return proofs.validator_changes([h for h in self.handed if h.header.height >= start][:limit])

    async def history(self, account: bytes, *, before: int | None, limit: int) -> list[dict[str, Any]]:
        rows = []
        for header, txs, receipts in self.ledger.blocks:
            for index, receipt in enumerate(receipts):
                for event in receipt.events:
                    if account in (getattr(event, "source", b""), getattr(event, "target", b"")):
                        tx = txs[index - 1].id if index else None
                        rows.append(
                            render_history(account, cursor=len(rows), height=header.height, time=header.time, event=event, tx=tx)
                        )
        return [row for row in reversed(rows) if before is None or row["cursor"] < before][:limit]

    async def events(self, subject: bytes, *, before: int | None, limit: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for header, _, receipts in self.ledger.blocks:
            for receipt in receipts:
                for line in lines(subject, receipt):
                    assert isinstance(line.event, LogEvent)
                    at: dict[str, Any] = {"cursor": len(rows), "height": header.height, "time": header.time}
                    rows.append(render_noted(line.event, tx=line.tx, **at))
        return [row for row in reversed(rows) if before is None or row["cursor"] < before][:limit]

    async def noted(self, height: int) -> tuple[int, list[Any]] | None:
        found = next(((header, receipts) for header, _, receipts in self.ledger.blocks if header.height == height), None)
        return None if found is None else (found[0].time, [event for receipt in found[1] for event in receipt.events])

    async def archived(self, refs: Sequence[bytes]) -> dict[bytes, Past]:
        found: dict[bytes, archive.Archived] = {}
        for key, (height, raw) in self.ledger.archive.items():
            if key[3:35] in refs and not key.startswith(NUMBERED):
                found.setdefault(key[3:35], archive.Archived(height, {})).records[key] = raw
        return {ref: past_of(one, self.ledger.state) for ref, one in found.items()}

    async def archived_below(self, prefix: bytes, before: int | None, limit: int) -> list[tuple[int, bytes]]:
        top = 2**62 if before is None else before
        numbers = {int.from_bytes(k[3:], "big"): raw for k, (_, raw) in self.ledger.archive.items() if k.startswith(prefix)}
        return [(n, raw[-32:]) for n, raw in sorted(numbers.items(), reverse=True) if n < top][:limit]

    async def archived_within(self, first: bytes, last: bytes, limit: int) -> list[bytes]:
        refs = {key[3:35] for key in self.ledger.archive if not key.startswith(NUMBERED)}
        return sorted(ref for ref in refs if first <= ref <= last)[:limit]

    def take_key(self, public: bytes, sealed: bytes) -> None:
        if sealed != b"sealed":
            raise KeystoreError("The new key is not sealed under a key of this node")
        self.taken.append(public)


# --- the client -----------------------------------------------------------------------------------------------------------------

_MATCHERS = [(route, re.compile(re.sub(r"{\w+}", "[^/]+", route.path))) for _, route in ROUTES]


def route_of(method: str, path: str) -> Any:
    """Literal paths stand before patterns with the same shape."""
    return next((r for r, pattern in _MATCHERS if r.method == method and pattern.fullmatch(path.partition("?")[0])), None)


def of_inference(status: int, answer: Any) -> Any:
    """A refusal of the Open Inference Protocol, whose shape is another, as those of the other routes are."""
    if set(answer) != {"error"} or not isinstance(answer["error"], str):
        return answer
    name, _, message = answer["error"].partition(": ")
    kind = "unauthorized" if status in (401, 403) else "not_found" if status == 404 else "usage"
    return {"error": {"kind": kind, "code": None, "name": name, "message": message, "retry_after_s": None}}


class Api:
    """Requests to a running server. `call` checks every JSON answer against the route's declared type."""

    def __init__(self, node: FakeNode, port: int, session: aiohttp.ClientSession) -> None:
        self.node, self.port, self.session = node, port, session
        self.url = f"http://127.0.0.1:{port}"

    async def call(self, method: str, path: str, *, token: str | None = TOKEN, **how: Any) -> tuple[int, Any]:
        headers = dict(how.pop("headers", {}))
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        async with self.session.request(method, self.url + path, headers=headers, **how) as response:
            raw = await response.read()
        if response.content_type != "application/json":
            return response.status, raw
        answer = msgspec.json.decode(raw)
        if response.status >= 400:
            if path.startswith("/v2"):
                answer = of_inference(response.status, answer)
            assert set(answer) == {"error"} and set(answer["error"]) == ERROR_FIELDS
            msgspec.convert(answer, ErrorResponse)
            assert len(answer["error"]["message"]) > 20
        elif (route := route_of(method, path)) is not None and route.response is not None:
            known = msgspec.to_builtins(msgspec.convert(answer, route.response))
            assert known == answer, "the answer is what its route declares, and nothing else"
        return response.status, answer

    async def get(self, path: str, **how: Any) -> Any:
        """The answer of a request that must succeed."""
        status, answer = await self.call("GET", path, **how)
        assert status == 200, answer
        return answer

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        got, answer = await self.call("POST", path, json=body)
        assert got == status, answer
        return answer

    async def refused(self, method: str, path: str, status: int, **how: Any) -> dict[str, Any]:
        """The error of a request that must be refused."""
        got, answer = await self.call(method, path, **how)
        assert got == status, answer
        error: dict[str, Any] = answer["error"]
        return error


class _BelowLocalhost(aiohttp.abc.AbstractResolver):
    """As browsers resolve every name below localhost (RFC 6761, 6.3); others are none here."""

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:
        if host != "localhost" and not host.endswith(".localhost"):
            raise OSError(f"{host} is not looked up")
        found = {"hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET, "proto": 0}
        return [found | {"flags": socket.AI_NUMERICHOST}]

    async def close(self) -> None:
        return


def below_localhost() -> aiohttp.TCPConnector:
    return aiohttp.TCPConnector(resolver=_BelowLocalhost())


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    own: str = "boss",
    listen: str = "127.0.0.1",
    port: int = 0,
    limits: ServerLimits | None = None,
    dashboard: bool = True,
) -> AsyncIterator[Api]:
    (folder / "files").mkdir(exist_ok=True)
    node = FakeNode(folder / "files", own)
    server = ApiServer(
        node,
        listen=(listen, port),
        token=TOKEN,
        version="9.9",
        spool=folder / "spool",
        tokens=folder / "tokens.db",
        kept=folder,
        names=folder,
        dashboard=dashboard,
        limits=limits,
    )
    port = await server.start()
    try:
        async with aiohttp.ClientSession(
            auto_decompress=False, headers={"Accept-Encoding": "identity"}, connector=below_localhost()
        ) as session:
            api = Api(node, port, session)
            if listen.startswith("127."):
                api.url = f"http://{listen}:{port}"
            yield api
    finally:
        await server.stop()
