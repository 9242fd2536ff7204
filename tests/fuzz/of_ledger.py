"""Target: blocks over a hostile state. The bytes are decisions: which records of a real ledger are other ones, which deadlines are
due, which messages come.

Whatever they are, building a block raises nothing; a second node, from the same records, gives the built block the same roots and
parks the same; and no credit appears or vanishes but by the counted mints and burns.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from functools import cache, partial
from typing import Any

import msgspec
from msgspec import inspect

from learningchain.chain.codec import encode
from learningchain.chain.contracts import BY_NUMBER, CONTRACTS, MESSAGES, STATE_TYPES, host_of
from learningchain.chain.contracts.job import records
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
from learningchain.chain.errors import BrokenInvariant, InvalidBlock
from learningchain.chain.host import (
    K_SUPPLY,
    SUSPENDED,
    Account,
    ChainRecord,
    Due,
    Escrow,
    Host,
    Supply,
    account_key,
    due_key,
    escrow_key,
    read_parked,
)
from learningchain.chain.ledger.state import MAX_RECORD, Overlay, State
from learningchain.chain.ledger.transition import BlockInput, Executed, apply_block, chain_record, commit, validators_of
from learningchain.chain.ledger.tx import ParsedTx, parse_tx
from learningchain.chain.losses import LossTree, draw_probe, open_losses
from learningchain.chain.types import SignedTx, TxBody, net_of, tx_id
from learningchain.chain.verification.votes import BallotCode
from tests.fuzz.targets import Target, check
from tests.unit.api_kit import MODEL, MODEL_CID, PARAMS, FakeLedger, sha

NAMES = ("boss", "n1", "n2", "n3", "n4")
MAX_CHANGES, MAX_BLOCKS, MAX_TXS = 10, 3, 5
ZERO = bytes(32)
OURS = (*sorted(prefix for contract in CONTRACTS for prefix in contract.state), b"e/")
"""Prefixes whose records a broken contract could have written."""
KINDS = sorted(MESSAGES, key=lambda kind: int(kind.__struct_config__.tag))


class Draw:
    """Decisions out of bytes; where they end, the first choice."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, count: int) -> int:
        size = max(1, ((count - 1).bit_length() + 7) // 8)
        piece = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(piece, "big") % count

    def of(self, options: Any) -> Any:
        return options[self.below(len(options))]


# --- values of a type ---------------------------------------------------------------------------------------------------------


class Values:
    """Values of the wire's types, mostly such as mean something on this ledger."""

    def __init__(self, draw: Draw, ids: list[bytes], refs: list[bytes], clock: int) -> None:
        self._draw, self._ids, self._refs, self._clock = draw, ids, refs, clock

    def of(self, kind: Any) -> Any:
        return self._value(_info(kind))

    def changed(self, record: Any) -> Any:
        """One field is another one."""
        field = self._draw.of(_info(type(record)).fields)
        return msgspec.structs.replace(record, **{field.name: self._value(field.type)})

    def _value(self, kind: Any) -> Any:
        match kind:
            case inspect.IntType():
                low = max(given for given in (-(2**63), kind.ge, kind.gt and kind.gt + 1) if given is not None)
                high = min(given for given in (2**63 - 1, kind.le, kind.lt and kind.lt - 1) if given is not None)
                usual = (0, 1, 2, 3, 5, 16, 128, 255, 1_000, 5_000, 10**6, self._clock - 1, self._clock, self._clock + 10_000)
                return min(max(self._draw.of((*usual, low, high, self._draw.below(2**32))), low), high)
            case inspect.BoolType():
                return self._draw.of((False, True))
            case inspect.EnumType():
                return self._draw.of(list(kind.cls))
            case inspect.BytesType():
                return self._bytes(kind.min_length or 0, kind.max_length if kind.max_length is not None else 64)
            case inspect.StrType():
                texts = ("", "{}", "a" * min(kind.max_length or 8, 512))
                return self._draw.of([text for text in texts if len(text) >= (kind.min_length or 0)])
            case inspect.ListType():
                low, high = kind.min_length or 0, kind.max_length if kind.max_length is not None else 4
                return [self._value(kind.item_type) for _ in range(min(max(self._draw.of((0, 1, 2, 3, 8)), low), high))]
            case inspect.UnionType():
                return self._value(self._draw.of(kind.types))
            case inspect.StructType():
                return kind.cls(**{field.name: self._value(field.type) for field in kind.fields})
        raise TypeError(f"no wire type: {kind}")

    def _bytes(self, low: int, high: int) -> bytes:
        if low == high == 20:
            return bytes(self._draw.of(self._ids))
        known = [piece for piece in (*self._refs, MODEL_CID.to_bytes(), b"", sha("salt")) if low <= len(piece) <= high]
        return bytes(self._draw.of([*known, bytes(low), b"\xff" * high]))


@cache
def _info(kind: Any) -> Any:
    return inspect.type_info(kind)


# --- ledgers to begin with ------------------------------------------------------------------------------------------------------


@cache
def ledgers() -> list[tuple[list[tuple[bytes, bytes]], list[bytes]]]:
    """The records of real ledgers at each stage of a job, and the jobs on them."""
    found: list[tuple[list[tuple[bytes, bytes]], list[bytes]]] = []
    chain = FakeLedger()
    jobs: list[bytes] = []

    def keep() -> None:
        found.append((sorted(chain.state.items()), list(jobs)))

    chain.declare()
    for loss in (5_000, 9_000):
        assert chain.block(boss=chain.posting()) == [0]
        job = job_id_of(chain.blocks[-1][1][0].id, 0)
        jobs.append(job)
        for name in ("n1", "n2"):
            sealed = claim_commitment(chain.chain_id, job, chain.ids[name], MODEL_CID.digest, sha("salt"))
            assert chain.block(**{name: Claim(job, loss, sealed, True)}) == [0]
        keep()
    for job in jobs:
        chain.block(max(0, _job(chain, job).deadline - chain.clock))
        chain.block(n1=Reveal(job, 1, MODEL_CID.to_bytes(), len(MODEL), sha("salt")))
        keep()
    chain.block(PARAMS.job_reveal)
    keep()
    chain.block()
    keep()
    for job, code, measured in ((jobs[0], BallotCode.FALSE, 900_000), (jobs[1], BallotCode.OK, 9_000)):
        tree = LossTree([measured] * 20)
        ballot = Ballot(int(code), [tree.measurement], [], False)
        for name in NAMES[1:]:
            seat = chain.state.get(records.seat_key(job, 0, 1, chain.ids[name]))
            if seat is not None:
                chain.block(**{name: CommitVote(job, 0, 1, _sealed(chain, job, name, ballot))})
        keep()
        chain.block()
        keep()
        for name in NAMES[1:]:
            if chain.state.get(records.seat_key(job, 0, 1, chain.ids[name])) is not None:
                chain.block(**{name: OpenVote(job, 0, 1, [ballot], sha(name), 0, False, [_opening(chain, job, tree)])})
        keep()
        chain.block()
        keep()
    states = {_job(chain, job).state for job in jobs}
    assert states == {records.JobState.REFUNDED, records.JobState.PAID}, "the examples no longer reach the ends"
    assert any(type(record) is Account and record.status == SUSPENDED for _, record in chain.state.records(b"a/"))
    return found


def _job(chain: FakeLedger, job: bytes) -> Any:
    return chain.state.get(records.job_key(job))


def _opening(chain: FakeLedger, job: bytes, tree: LossTree) -> Any:
    round_: Any = chain.state.get(records.round_key(job, 0, 1))
    return open_losses(tree, draw_probe(round_.probe, job, 0, 1, len(tree.losses)))


def _sealed(chain: FakeLedger, job: bytes, name: str, ballot: Ballot) -> bytes:
    return vote_commitment(chain.chain_id, job, 0, 1, chain.ids[name], [ballot], sha(name))


# --- one input ------------------------------------------------------------------------------------------------------------------


class Fuzzed:
    """Two nodes with the same hostile records."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        items, jobs = draw.of(ledgers())
        self.keys = [key for key, _ in items if key.startswith(OURS)]
        self.node = State.load(items)
        chain = chain_record(self.node)
        self.ids = sorted(key[2:] for key, _ in items if key.startswith(b"a/"))
        self.refs = [*jobs, b"\x07" * 32, *self.ids]
        self.values = Values(draw, self.ids, self.refs, chain.clock)
        self._spoil(chain)
        self.other = State.load(self.node.items())

    def _spoil(self, chain: ChainRecord) -> None:
        overlay = Overlay(self.node)
        for _ in range(self.draw.below(MAX_CHANGES)):
            key = bytes(self.draw.of(self.keys))
            kind = STATE_TYPES[key[: key.index(b"/") + 1]]
            match self.draw.below(5):
                case 0:
                    overlay.put(key, self.values.of(kind))
                case 1:
                    overlay.delete(key)
                case 2:
                    at = self.draw.of((0, chain.clock - 1, chain.clock, chain.clock + 1))
                    contract = self.draw.of((*sorted(BY_NUMBER), 99))
                    ref = bytes(self.draw.of(self.refs))
                    overlay.put(due_key(bytes(self.draw.of(self.ids)), at, contract, ref), Due(contract, ref))
                case 3:
                    ref = bytes(self.draw.of(self.refs)) + bytes(self.draw.of((b"B", b"F", b"G", b"D", self.ids[0])))
                    overlay.put(escrow_key(ref), Escrow(self.draw.of((1, 10**6))))
                case _:
                    known = overlay.get(key)
                    if known is not None:
                        overlay.put(key, self.values.changed(known))
        held, counted = overlay.block_difference()
        supply: Any = overlay.get(K_SUPPLY)
        minted = supply.minted + held - counted
        if not supply.burned <= minted <= 2**62:
            return  # more credits than a ledger can hold
        overlay.put(K_SUPPLY, Supply(minted, supply.burned))
        changes, _, tree = overlay.finish()
        self.node.commit(changes, tree)

    def block(self) -> None:
        chain = chain_record(self.node)
        txs = [tx for tx in (self._tx(chain) for _ in range(self.draw.below(MAX_TXS))) if tx is not None]
        proposer = validators_of(self.node)[0].id
        time = chain.time + self.draw.of((1, 1_000, 50_000, 10**6))
        given = BlockInput(chain.height + 1, time, proposer, ZERO, ZERO, txs)
        attempted(self.other, given)
        built = apply_block(self.node, given, building=True)
        check(len(built.txs) + len(built.skipped) == len(txs), "a transaction got lost")
        again = apply_block(self.other, with_txs(given, built.txs))
        check(again.state_root == built.state_root, "two nodes, two states")
        check(again.receipt_root == built.receipt_root, "two nodes, two outcomes")
        for state, made in ((self.node, built), (self.other, again)):
            commit(state, made)
        sound(self.node, built)
        check(read_parked(self.node, 99) == read_parked(self.other, 99), "two nodes parked different things")

    def _tx(self, chain: ChainRecord) -> ParsedTx | None:
        sender = bytes(self.draw.of(self.ids))
        account: Any = self.node.get(account_key(sender))
        ops = [self.values.of(self.draw.of(KINDS)) for _ in range(1 + self.draw.below(2))]
        lane = self.draw.below(4)
        raws = [msgspec.Raw(encode(op)) for op in ops]
        body = TxBody(net_of(chain.chain_id), sender, lane, account.sequences[lane], chain.height + 10, raws)
        raw = encode(SignedTx(body, bytes(64)))
        tx = parse_tx(raw, tx_id(raw)) if len(raw) <= 65_536 else None
        if tx is not None:
            tx.checked_key = account.key  # its signature was found good
        return tx


def with_txs(given: BlockInput, txs: list[ParsedTx]) -> BlockInput:
    return BlockInput(given.height, given.time, given.proposer, given.reveal, given.commitment, txs)


def attempted(state: State, given: BlockInput) -> None:
    """As another validator's proposal: refused by the declared exceptions, or executed, and nothing of it stays."""
    before = state.root
    with contextlib.suppress(InvalidBlock, BrokenInvariant):
        apply_block(state, given)
    check(state.root == before, "trying a block changed the state")


def sound(state: State, made: Executed) -> None:
    """Credits are counted, records can be read by whoever takes them over, and nothing due waits for a parked reference."""
    supply: Any = state.get(K_SUPPLY)
    check(state.total() == supply.minted - supply.burned, "credits appeared or vanished")
    check(State.load(state.items()).root == state.root, "another node cannot read the records")
    for _, raw in made.encoded:
        check(raw is None or len(raw) <= MAX_RECORD, "a record that is too large")


def ledger_blocks(data: bytes) -> None:
    fuzzed = Fuzzed(Draw(data))
    for _ in range(1 + fuzzed.draw.below(MAX_BLOCKS)):
        fuzzed.block()
    if fuzzed.draw.below(4) == 3:
        give_back(fuzzed)


# --- giving back -----------------------------------------------------------------------------------------------------------------


def give_back(fuzzed: Fuzzed) -> None:
    """The validators give back every reference: what cannot be given back changes nothing."""
    state = fuzzed.node
    chain = chain_record(state)
    for contract in CONTRACTS:
        for ref in fuzzed.refs if contract.on_give_back is not None else ():
            overlay = Overlay(state)
            host = _host(overlay, chain)
            host.fenced(contract.number, ref, partial(contract.on_give_back, host.acting(contract), ref), [])
            held, counted = overlay.block_difference()
            check(held == counted, "credits appeared or vanished")
            overlay.finish()


def _host(overlay: Overlay, chain: ChainRecord) -> Host:
    return host_of(overlay, PARAMS, chain, chain.height + 1, chain.time + 1, chain.clock + 1, hashlib.sha256(b"beacon").digest())


# --- examples -------------------------------------------------------------------------------------------------------------------


def decisions() -> list[bytes]:
    """One for each ledger, with and without much that is wrong on it."""
    rng = random.Random(5)
    return [bytes([n]) + rng.randbytes((4, 80, 400)[n % 3]) for n in range(len(ledgers()))]


EXAMPLES = {"ledger-blocks": decisions}
TARGETS = {"ledger-blocks": Target(ledger_blocks, (), 2_048)}
