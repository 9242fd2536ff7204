"""Blocks on states, each with what the node's own executor makes of it: the codes and rules of transactions, credits, membership.

A case names its rule, the records that stand in the state besides those of `state` (null: this one does not), the parent and
the block. A valid block has its receipts, changes and state root; another is `refused`, with the code of the transaction to blame.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest.mock import patch

import msgspec
from msgspec.structs import replace

from chain.codec import encode
from chain.contracts import host_of, membership
from chain.contracts.credits import Allowance, Approve, Transfer, TransferFrom, allowance_key
from chain.contracts.job import Reveal
from chain.contracts.job.records import Job
from chain.contracts.membership import (
    Case,
    CaseRef,
    Ejection,
    JudgeCase,
    Member,
    Release,
    ReportDouble,
    case_key,
    ejection_key,
    member_key,
)
from chain.errors import InvalidBlock, InvalidTx
from chain.host import (
    ACTIVE,
    BANNED,
    K_CHAIN,
    K_HISTORY,
    K_PARAMS,
    K_SUPPLY,
    K_VALIDATORS,
    SUSPENDED,
    Account,
    BeaconCommitment,
    Due,
    HeldDue,
    History,
    Parked,
    Supply,
    Validators,
    account_key,
    due_key,
    parked_key,
)
from chain.ledger.genesis import Genesis, GenesisAccount, first_state
from chain.ledger.state import Overlay, State
from chain.ledger.state_diff import changes_of
from chain.ledger.transition import (
    BlockInput,
    apply_block,
    beacon_commitment,
    beacon_secret,
    chain_record,
    due_reveal,
    params_of,
    validators_of,
)
from chain.ledger.tx import parse_tx
from chain.merkle import list_root
from chain.node.candidates import execute
from chain.params import MAX_INT, MAX_VALID_FOR, Params
from chain.types import (
    PRECOMMIT,
    PREVOTE,
    Block,
    Header,
    Proposal,
    ProposalEvidence,
    SignedTx,
    TxBody,
    Validator,
    Vote,
    VoteEvidence,
    net_of,
    proposal_digest,
    tx_digest,
    tx_id,
    validators_hash,
    vote_digest,
)
from tests.vectors.kit import id_of, key_of, shown
from tests.vectors.records import packed

NAMES = ("v1", "v2", "v3", "v4")
V1, V2, V3, V4, ALICE, BOB, NOBODY = (id_of(name) for name in (*NAMES, "alice", "bob", "nobody"))
WHO = {id_of(name): name for name in (*NAMES, "alice", "bob", "nobody")}
PARENT = hashlib.sha256(b"the block before").digest()
HEIGHT = 40
"""Of the cases' blocks."""
JOB = hashlib.sha256(b"a reference").digest()
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
Records = dict[bytes, Any]


def _genesis() -> Genesis:
    accounts = [GenesisAccount(key_of(n).public, 1_000_000_000, True, True) for n in NAMES]
    accounts += [GenesisAccount(key_of(n).public, 5_000_000, False, False) for n in ("alice", "bob")]
    return Genesis(1, "executions", 1_700_000_000_000, Params(block_reward=7), accounts, b"", b"")


@cache
def start() -> tuple[bytes, dict[bytes, bytes]]:
    """(chain id, encoded records) of a graph at the height before the cases' blocks: nobody has proposed yet."""
    genesis = _genesis()
    state, encoded = first_state(genesis)
    records = {key: raw for key, raw in encoded if raw is not None}
    record = chain_record(state)
    records[K_CHAIN] = encode(replace(record, height=HEIGHT - 1, time=record.time + 50_000, clock=record.clock + 50_000))
    return genesis.chain_id, records


def clock() -> int:
    """Of the state before the cases' blocks; their own is 1,000 more."""
    found: Any = State.load(list(start()[1].items())).get(K_CHAIN)
    return int(found.clock)


NEXT = 1_000
"""From the time before a case's block to its own, unless it says otherwise."""


# --- making cases -------------------------------------------------------------------------------------------------------------


def account(
    name: str, *, status: int = ACTIVE, balance: int = 5_000_000, frozen: int = 0, first: int = 0, arrival: int = 0
) -> Account:
    """`first`: the next sequence of lane 0."""
    return Account(key_of(name).public, status, balance, frozen, [first, 0, 0, 0], arrival)


def tx(sender: str, *ops: Any, sequence: int = 0, lane: int = 0, **changed: Any) -> bytes:
    """A signed transaction; `changed` are other values for its fields, `key` names who signs instead of the sender."""
    chain_id = start()[0]
    key = key_of(changed.pop("key", sender))
    messages = [msgspec.Raw(encode(op)) for op in ops]
    body = replace(TxBody(net_of(chain_id), id_of(sender), lane, sequence, HEIGHT + 10, messages), **changed)
    return encode(SignedTx(body, key.sign(tx_digest(chain_id, encode(body)))))


@dataclass
class Maker:
    """One case: what differs from the state of `start`, from a block at its turn, and from an honest header."""

    name: str
    rule: str
    txs: list[bytes] = field(default_factory=list)
    records: Records = field(default_factory=dict)
    step: int = NEXT
    proposer: bytes | None = None
    reveal: bytes | None = None
    header: dict[str, Any] = field(default_factory=dict)
    """Fields of the header that are given instead of those that are right."""
    round: int = 0
    skip: int = 0
    """Heights that the block leaves out."""
    seen: Records = field(default_factory=dict)
    """Records that the proposer believes in while it executes: its roots are right but for the rule that it breaks."""

    lenient: int = 0
    """The work that the proposer allows itself, where it breaks that bound."""

    def make(self) -> dict[str, Any]:
        chain_id, base = start()
        changed = {key: None if record is None else encode(record) for key, record in sorted(self.records.items())}
        merged = {key: raw for key, raw in {**base, **changed}.items() if raw is not None}
        state = State.load(list(merged.items()))
        block = self._block(state, chain_id)
        shown_ = {
            "name": self.name,
            "rule": self.rule,
            "with": {key.hex(): None if raw is None else raw.hex() for key, raw in changed.items()},
            "parent": PARENT.hex(),
            "block": packed(encode(block)),
        }
        try:
            done = execute(state, block, PARENT, None)
        except InvalidBlock as e:
            code = int(e.__cause__.code) if isinstance(e.__cause__, InvalidTx) else None
            return shown_ | {"refused": True, "code": code}
        return shown_ | {
            "receipts": [raw.hex() for raw in done.receipt_bytes],
            "codes": [int(r.code) for r in done.receipts[1:]],
            "changes": encode(changes_of(done.encoded)).hex(),
            "state_root": done.state_root.hex(),
        }

    def _params(self, state: State) -> Params:
        params = params_of(state)
        return replace(params, block_work=self.lenient) if self.lenient else params

    def _believed(self, state: State) -> State:
        if not self.seen:
            return state
        items = {**start()[1], **{key: encode(record) for key, record in {**self.records, **self.seen}.items()}}
        return State.load(list(items.items()))

    def _block(self, state: State, chain_id: bytes) -> Block:
        record, validators = chain_record(state), validators_of(state)
        height = record.height + 1 + self.skip
        turn = validators[(height + self.round) % len(validators)].id
        proposer = self.proposer or turn
        secret = _beacon_key(proposer)
        reveal = due_reveal(state, proposer, secret) if self.reveal is None else self.reveal
        commitment = beacon_commitment(beacon_secret(secret, chain_id, height))
        header = Header(
            1,
            chain_id,
            height,
            self.round,
            proposer,
            record.time + self.step,
            PARENT,
            list_root([tx_id(raw) for raw in self.txs]),
            *[bytes(32)] * 2,
            *[validators_hash(validators)] * 2,
            reveal,
            commitment,
        )
        try:
            given = BlockInput(header.height, header.time, proposer, reveal, commitment, [parse_tx(raw) for raw in self.txs])
            with patch("chain.ledger.transition.params_of", self._params):
                done = apply_block(self._believed(state), given)
        except (InvalidBlock, InvalidTx):
            return Block(replace(header, **self.header), self.txs)
        header = replace(
            header,
            receipt_root=done.receipt_root,
            state_root=done.state_root,
            next_validators_hash=validators_hash(done.next_validators),
        )
        return Block(replace(header, **self.header), self.txs)


def _beacon_key(identity: bytes) -> bytes:
    return hashlib.sha256(b"vector beacon " + identity).digest()


def turn(round_: int = 0) -> str:
    """Who proposes the cases' blocks."""
    validators = sorted((V1, V2, V3, V4))
    return WHO[validators[(HEIGHT + round_) % 4]]


# --- credits --------------------------------------------------------------------------------------------------------------------


def _credits() -> list[Maker]:
    gone = {account_key(NOBODY): None}
    allowed = {allowance_key(ALICE, BOB): Allowance(100)}
    banned = {account_key(BOB): account("bob", status=BANNED, balance=0)}
    suspended = {account_key(BOB): account("bob", status=SUSPENDED, balance=0, frozen=9)}
    owner_away = {account_key(ALICE): account("alice", status=SUSPENDED, balance=0, frozen=500)} | allowed

    def one(name: str, rule: str, sender: str, *ops: Any, records: Records | None = None) -> Maker:
        return Maker(name, rule, [tx(sender, *ops)], dict(records or {}))

    t, a, f = Transfer, Approve, TransferFrom
    return [
        one("a transfer with a memo", "LC-CRD-2", "alice", t(BOB, 1_500_000, b"rent")),
        one("a transfer of all that is free", "LC-CRD-2", "alice", t(BOB, 5_000_000, b"")),
        one("a transfer of nothing", "LC-CRD-2", "alice", t(BOB, 0, b"")),
        one("a transfer to oneself", "LC-CRD-2", "alice", t(ALICE, 1, b"")),
        one("a transfer to nobody", "LC-CRD-2", "alice", t(NOBODY, 1, b""), records=gone),
        one("a transfer of more than is free", "LC-CRD-2", "alice", t(BOB, 5_000_001, b"")),
        one("nothing to oneself: the amount is tested first", "LC-CRD-5", "alice", t(ALICE, 0, b"")),
        one("too much to nobody: the account is tested first", "LC-CRD-5", "alice", t(NOBODY, MAX_INT, b"")),
        one("too much to oneself: the target is tested first", "LC-CRD-5", "alice", t(ALICE, MAX_INT, b"")),
        one("an allowance", "LC-CRD-3", "alice", a(BOB, 0, 2**60)),
        one("an allowance changed", "LC-CRD-3", "alice", a(BOB, 100, 7), records=allowed),
        one("an allowance removed", "LC-CRD-3", "alice", a(BOB, 100, 0), records=allowed),
        one("an allowance of nothing where there was none", "LC-CRD-3", "alice", a(BOB, 0, 0)),
        one("an allowance for nobody", "LC-CRD-3", "alice", a(NOBODY, 0, 1)),
        one("an allowance for oneself", "LC-CRD-3", "alice", a(ALICE, 0, 1)),
        one("an allowance that is another one by now", "LC-CRD-3", "alice", a(BOB, 99, 1), records=allowed),
        one("an allowance expected where there is none", "LC-CRD-3", "alice", a(BOB, 1, 1)),
        one("another's allowance expected, for oneself: the spender is tested first", "LC-CRD-5", "alice", a(ALICE, 5, 1)),
        one("a part of an allowance", "LC-CRD-4", "bob", f(ALICE, V1, 40), records=allowed),
        one("all of an allowance", "LC-CRD-4", "bob", f(ALICE, BOB, 100), records=allowed),
        one("nothing from an allowance", "LC-CRD-4", "bob", f(ALICE, BOB, 0), records=allowed),
        one("from an allowance to its owner", "LC-CRD-4", "bob", f(ALICE, ALICE, 1), records=allowed),
        one("more than the allowance", "LC-CRD-4", "bob", f(ALICE, BOB, 101), records=allowed),
        one("from who allowed nothing", "LC-CRD-4", "bob", f(V1, BOB, 1)),
        one("an allowance of nobody", "LC-CRD-4", "bob", f(NOBODY, BOB, 1), records={allowance_key(NOBODY, BOB): Allowance(9)}),
        one("from a suspended owner", "LC-CRD-4", "bob", f(ALICE, BOB, 1), records=owner_away),
        one("from an allowance to nobody", "LC-CRD-4", "bob", f(ALICE, NOBODY, 1), records=allowed),
        one(
            "an allowance above what the owner has",
            "LC-CRD-4",
            "bob",
            f(ALICE, BOB, 99),
            records=allowed | {account_key(ALICE): account("alice", balance=98)},
        ),
        one("nothing from who allowed nothing: the amount is tested first", "LC-CRD-5", "bob", f(V1, V1, 0)),
        one("to the owner who allowed nothing: the target is tested first", "LC-CRD-5", "bob", f(V1, V1, 1)),
        one("too much from nobody: the allowance is tested first", "LC-CRD-5", "bob", f(NOBODY, BOB, 1)),
        one(
            "from a suspended owner to nobody: the owner is tested first",
            "LC-CRD-5",
            "bob",
            f(ALICE, NOBODY, 1),
            records=owner_away,
        ),
        one(
            "too much to nobody from an allowance: the target is tested first",
            "LC-CRD-5",
            "bob",
            f(ALICE, NOBODY, 100),
            records=allowed | {account_key(ALICE): account("alice", balance=1)},
        ),
        one("a transfer to a suspended account", "LC-CRD-6", "alice", t(BOB, 3, b""), records=suspended),
        one("a transfer to a banned account", "LC-CRD-6", "alice", t(BOB, 3, b"m"), records=banned),
        one(
            "an allowance spent on a banned account",
            "LC-CRD-6",
            "v1",
            f(ALICE, BOB, 3),
            records=banned | {allowance_key(ALICE, V1): Allowance(3)},
        ),
        one(
            "an allowance of a banned owner",
            "LC-CRD-4",
            "v1",
            f(BOB, ALICE, 3),
            records=banned | {allowance_key(BOB, V1): Allowance(3)},
        ),
    ]


# --- transactions ---------------------------------------------------------------------------------------------------------------


def _bandwidth() -> list[Maker]:
    """LC-TX-11 to 14: alice earns 144 bytes/s with 5 credits, 64 without any, and so does bob."""
    now = (clock() + NEXT) * 1_000
    window = 4_096_000_000
    end, params = now + window, _genesis().params
    pay, word, five = pay_to(BOB), JudgeCase(BOB, True), Transfer(BOB, 5_000_000, b"")
    reveal = Reveal(JOB, 1, b"", 0, bytes(32))
    one = [tx("alice", pay)]

    def cost(raw: bytes, rate: int = 144) -> int:
        return -(-len(raw) * 1_000_000 // rate)

    def owes(name: str, arrival: int, **held: int) -> Records:
        return {account_key(id_of(name)): account(name, arrival=arrival, **held)}

    def bad(name: str, rule: str, op: Any, records: Records) -> Maker:
        return Maker(name, rule, [tx("alice", op)], records)

    said, opened = tx("alice", word), tx("alice", reveal)
    beyond = 65_536 * 1_000_000 // 144
    twice = [*one, tx("alice", pay, sequence=1)]
    few = {K_PARAMS: replace(params, quota=1)}
    slow = {K_PARAMS: replace(params, bandwidth_base=63, bandwidth_per_credit=7)}
    full = owes("alice", end - cost(one[0]))
    return [
        Maker("bytes of who owes nothing", "LC-TX-12", one),
        Maker("all that is left", "LC-TX-12", one, full),
        bad("a microsecond more than is left", "LC-TX-12", pay, owes("alice", end - cost(one[0]) + 1)),
        bad("what was owed is past", "LC-TX-12", pay, owes("alice", now - 1)),
        bad("what is refused is charged", "LC-TX-12", Transfer(BOB, 0, b""), owes("alice", now + 1)),
        Maker("a second transaction where there was enough for one", "LC-TX-12", twice, full),
        Maker("at the end of quota and bandwidth: the quota is tested first", "LC-TX-12", twice, full | few),
        Maker("rates of another network", "LC-TX-11", one, owes("alice", end - cost(one[0], 98)) | slow),
        bad("a microsecond more than another network leaves", "LC-TX-11", pay, owes("alice", end - cost(one[0], 98) + 1) | slow),
        bad("a fraction of a credit earns nothing", "LC-TX-11", pay, owes("alice", end - cost(one[0], 64) + 1, balance=999_999)),
        Maker("an urgent one in an empty window", "LC-TX-12", [said], owes("alice", end)),
        Maker("an urgent one takes the last of the reserve", "LC-TX-12", [said], owes("alice", end + beyond - cost(said))),
        Maker("an urgent one beyond the reserve", "LC-TX-12", [said], owes("alice", end + beyond - cost(said) + 1)),
        bad("credits that arrive bring no bytes", "LC-TX-13", five, owes("bob", now + window // 2)),
        bad("credits that arrive where nothing was owed", "LC-TX-13", five, {}),
        bad("credits that arrive within the same whole credit", "LC-TX-13", pay, owes("bob", now + 7)),
        bad("credits that arrive where an urgent one went beyond", "LC-TX-13", five, owes("bob", end + 1_000_001)),
        bad("who gives credits away keeps what a window of its new rate earns", "LC-TX-13", five, owes("alice", now + window // 5)),
        bad("who gives credits away keeps the few bytes that are left", "LC-TX-13", five, owes("alice", end - window // 20)),
        Maker(
            "credits taken from who went beyond",
            "LC-TX-13",
            [tx("bob", TransferFrom(ALICE, V1, 3_000_000))],
            owes("alice", end + 1_000_001) | {allowance_key(ALICE, BOB): Allowance(3_000_000)},
        ),
        Maker(
            "credits that go where they came from",
            "LC-TX-13",
            [tx("alice", five), tx("bob", Transfer(ALICE, 10_000_000, b""))],
            owes("alice", now + window // 3),
        ),
        Maker("refused, and once", "LC-TX-14", [opened], owes("alice", now + 1)),
        Maker("refused, and once, in the reserve", "LC-TX-14", [opened], owes("alice", end + beyond - cost(opened))),
        Maker("once, beyond the reserve", "LC-TX-14", [opened], owes("alice", end + beyond - cost(opened) + 1)),
    ]


def _transactions() -> list[Maker]:
    pay = Transfer(BOB, 1, b"")
    good = tx("alice", pay)
    signed = msgspec.msgpack.decode(good, type=SignedTx)
    high = signed.signature[:32] + (ORDER - int.from_bytes(signed.signature[32:], "big")).to_bytes(32, "big")
    unknown = encode([[*msgspec.msgpack.decode(good)[0][:5], [[31, BOB, 1, b""]]], signed.signature])
    empty = encode([[*msgspec.msgpack.decode(good)[0][:5], []], signed.signature])
    asleep = {account_key(ALICE): account("alice", status=SUSPENDED)}
    banned = {account_key(ALICE): account("alice", status=BANNED, balance=0)}
    used = {account_key(ALICE): account("alice", first=3)}
    few = {K_PARAMS: replace(_genesis().params, quota=2)}
    three = [tx("alice", pay, sequence=n) for n in range(3)]

    def bad(name: str, raw: bytes, records: Records | None = None, rule: str = "LC-TX-4") -> Maker:
        return Maker(name, rule, [raw], dict(records or {}))

    return [
        bad("bytes that are no transaction", b"\x00"),
        bad("no bytes", b""),
        bad("a byte behind a transaction", good + b"\x00"),
        bad("a message with an unknown tag", unknown),
        bad("no message", empty),
        bad("another network", tx("alice", pay, net=1)),
        bad("a sender without account", tx("nobody", pay)),
        bad("signed by another key", tx("alice", pay, key="bob")),
        bad("a high s", encode(SignedTx(signed.body, high))),
        bad("a suspended sender", good, asleep),
        bad("a banned sender", good, banned),
        bad("valid until the block before", tx("alice", pay, valid_until=HEIGHT - 1)),
        Maker("valid until this block", "LC-TX-4", [tx("alice", pay, valid_until=HEIGHT)]),
        bad("valid for one block too many", tx("alice", pay, valid_until=HEIGHT + MAX_VALID_FOR + 1)),
        Maker("valid for as many blocks as may be", "LC-TX-4", [tx("alice", pay, valid_until=HEIGHT + MAX_VALID_FOR)]),
        bad("a used sequence", tx("alice", pay, sequence=2), used),
        bad("a sequence that leaves a gap", tx("alice", pay, sequence=4), used),
        Maker("the next sequence", "LC-TX-4", [tx("alice", pay, sequence=3)], used),
        Maker("a transaction twice", "LC-TX-4", [good, good]),
        Maker("more of one sender than its quota", "LC-TX-4", three, few),
        Maker("as many of one sender as its quota", "LC-TX-4", three[:2], few),
        Maker(
            "as many of two senders as their quotas",
            "LC-TX-4",
            [*three[:2], *(tx("bob", pay_to(ALICE), sequence=n) for n in (0, 1))],
            few,
        ),
        bad("another network and no account: the network is tested first", tx("nobody", pay, net=1)),
        bad("no account and a bad signature: the account is tested first", tx("nobody", pay, key="bob")),
        bad("suspended and wrongly signed: the signature is tested first", tx("alice", pay, key="bob"), asleep),
        bad("suspended and expired: the standing is tested first", tx("alice", pay, valid_until=1), asleep),
        bad("expired and used: the expiry is tested first", tx("alice", pay, sequence=2, valid_until=1), used),
        bad(
            "too far ahead and a gap: the expiry is tested first",
            tx("alice", pay, sequence=9, valid_until=HEIGHT + MAX_VALID_FOR + 1),
            used,
        ),
        Maker(
            "above the quota and a gap: the sequence is tested first", "LC-TX-4", [*three[:2], tx("alice", pay, sequence=9)], few
        ),
        Maker("sequences of one lane in order", "LC-TX-5", three),
        Maker(
            "two lanes of one account",
            "LC-TX-5",
            [tx("alice", pay, lane=3), tx("alice", pay), tx("alice", pay, sequence=1, lane=3)],
        ),
        Maker(
            "a refused transaction uses its sequence", "LC-TX-5", [tx("alice", Transfer(BOB, 0, b"")), tx("alice", pay, sequence=1)]
        ),
        Maker("messages in order", "LC-TX-6", [tx("alice", Transfer(BOB, 1, b"1"), Approve(BOB, 0, 5), Transfer(V1, 2, b"2"))]),
        Maker(
            "a refusal undoes the messages before it",
            "LC-TX-6",
            [
                tx("alice", Transfer(BOB, 4_000_000, b""), Approve(BOB, 0, 5), Transfer(BOB, 4_000_000, b"")),
                tx("bob", pay_to(ALICE)),
            ],
        ),
        Maker("the first refusal names the code", "LC-TX-6", [tx("alice", Transfer(NOBODY, 1, b""), Transfer(BOB, 0, b""))]),
        Maker(
            "a transaction sees those before it",
            "LC-TX-4",
            [tx("alice", Transfer(BOB, 5_000_000, b"")), tx("bob", Transfer(ALICE, 10_000_000, b"")), tx("alice", pay, sequence=1)],
        ),
    ]


def pay_to(target: bytes, amount: int = 1) -> Transfer:
    return Transfer(target, amount, b"")


# --- blocks ---------------------------------------------------------------------------------------------------------------------


def _blocks() -> list[Maker]:
    chain_id = start()[0]
    params = _genesis().params
    one, two = [tx("alice", pay_to(BOB))], [tx("alice", pay_to(BOB)), tx("bob", pay_to(ALICE))]
    here = id_of(turn())
    secret = beacon_secret(_beacon_key(here), chain_id, EARLIER)
    promised, wrong = _promise(here, secret), b"\x01" * 32
    ids = sorted((V1, V2, V3, V4))
    return [
        Maker("an empty block", "LC-BLK-13"),
        Maker("a block with an origin round", "LC-BLK-11", one, round=2),
        Maker("another version", "LC-BLK-11", header={"version": 2}),
        Maker("another chain", "LC-BLK-11", header={"chain_id": bytes(32)}),
        Maker("a height too many", "LC-BLK-11", header={"height": HEIGHT + 1, "round": 3}),
        Maker("the height before", "LC-BLK-11", header={"height": HEIGHT - 1, "round": 1}),
        Maker("a block of four heights later, executed as such", "LC-BLK-11", skip=4, seen=_later(4)),
        Maker("another set", "LC-BLK-11", header={"validators_hash": bytes(32)}),
        Maker("another parent", "LC-BLK-11", header={"parent": chain_id}),
        Maker("another's turn", "LC-BLK-11", proposer=id_of(turn(1))),
        Maker("an origin round in which it was another's turn", "LC-BLK-11", header={"round": 1}),
        Maker("a proposer that is no validator", "LC-BLK-11", proposer=ALICE),
        Maker("another transaction root", "LC-BLK-11", one, header={"tx_root": bytes(32)}),
        Maker("another receipt root", "LC-BLK-11", one, header={"receipt_root": bytes(32)}),
        Maker("another state root", "LC-BLK-11", one, header={"state_root": bytes(32)}),
        Maker("another next set", "LC-BLK-11", one, header={"next_validators_hash": bytes(32)}),
        Maker("as many transactions as may be", "LC-BLK-11", two, {K_PARAMS: replace(params, block_txs=2)}),
        Maker("a transaction too many", "LC-BLK-11", two, {K_PARAMS: replace(params, block_txs=1)}),
        Maker("as many bytes as may be", "LC-BLK-11", two, {K_PARAMS: replace(params, block_bytes=sum(map(len, two)))}),
        Maker("a byte too many", "LC-BLK-11", two, {K_PARAMS: replace(params, block_bytes=sum(map(len, two)) - 1)}),
        Maker("the parent's time", "LC-BLK-10", step=0, seen=_earlier(1)),
        Maker("a time before the parent's", "LC-BLK-10", step=-1, seen=_earlier(2)),
        Maker("one millisecond later", "LC-BLK-10", step=1),
        Maker("as late as the chain clock follows", "LC-BLK-10", step=params.max_step),
        Maker("later than the chain clock follows", "LC-BLK-10", step=params.max_step + 1),
        Maker("a secret that was committed to", "LC-BLK-12", records=promised),
        Maker("a missing secret costs the reward", "LC-BLK-12", records=promised, reveal=bytes(32)),
        Maker("a secret that was not committed to", "LC-BLK-12", records=promised, reveal=wrong, seen=_promise(here, wrong)),
        Maker("a secret without a commitment", "LC-BLK-12", reveal=secret, seen=_promise(here, secret)),
        Maker("no reward in this network", "LC-BLK-13", records={K_PARAMS: replace(params, block_reward=0)}),
        Maker("a reward up to the largest supply", "LC-BLK-13", records={K_SUPPLY: Supply(MAX_INT - 3, 0)}),
        Maker("no reward at the largest supply", "LC-BLK-13", records={K_SUPPLY: Supply(MAX_INT, 5)}),
        Maker(
            "the reward of a suspended validator",
            "LC-CRD-6",
            records={account_key(here): account(turn(), status=SUSPENDED, balance=0, frozen=2)},
        ),
        Maker(
            "the reward of a banned validator", "LC-CRD-6", records={account_key(here): account(turn(), status=BANNED, balance=0)}
        ),
        Maker("a set of one", "LC-BLK-11", one, _only(ids[0])),
    ]


EARLIER = 17
"""The height of the proposer's last block, where it has one."""


def _promise(identity: bytes, secret: bytes) -> Records:
    return {b"gb/" + identity: BeaconCommitment(EARLIER, beacon_commitment(secret))}


def _earlier(ms: int) -> Records:
    """The block before, so much earlier that a clock that stands still ends where it should."""
    record: Any = State.load(list(start()[1].items())).get(K_CHAIN)
    return {K_CHAIN: replace(record, time=record.time - ms, clock=record.clock - 1)}


def _later(heights: int) -> Records:
    """As many heights later."""
    record: Any = State.load(list(start()[1].items())).get(K_CHAIN)
    return {K_CHAIN: replace(record, height=record.height + heights)}


def _only(identity: bytes) -> Records:
    """The set is this one alone."""
    record = Validators(1, [Validator(identity, key_of(WHO[identity]).public)])
    return {K_VALIDATORS: record, K_HISTORY: History([record])}


# --- deadlines and cases --------------------------------------------------------------------------------------------------------


def _suspended(
    *, until: int, confirm: list[bytes] | None = None, lift: list[bytes] | None = None, corroborated: bool = False, **held: int
) -> Records:
    """Alice's case. Its references belong to contract 1, which asks for no word of how it ended. `held` are Alice's credits."""
    refs = [CaseRef(JOB, 1, BOB), CaseRef(b"second", 1, V1)]
    return {
        account_key(ALICE): account(
            "alice", status=SUSPENDED, balance=held.get("balance", 0), frozen=held.get("frozen", 5_000_000)
        ),
        case_key(ALICE): Case(until, refs, corroborated, sorted(confirm or []), sorted(lift or [])),
        due_key(ALICE, until, 2, ALICE): Due(2, ALICE),
    }


def _deadlines() -> list[Maker]:
    at = clock() + NEXT
    life = membership.MemberParams().strike_life
    due = _suspended
    both = due(until=at) | {
        account_key(BOB): account("bob", status=SUSPENDED, balance=0, frozen=1),
        case_key(BOB): Case(at - 5, [CaseRef(JOB, 1, V2)], False, [], []),
        due_key(BOB, at - 5, 2, BOB): Due(2, BOB),
    }

    def case(name: str, rule: str, records: Records, *txs: bytes) -> Maker:
        return Maker(name, rule, list(txs), records)

    old = [clock() - 5, clock() + NEXT, clock() + NEXT + 1, *(clock() + 10_000 + n for n in range(12))]
    full = [clock() + 10_000 + n for n in range(16)]
    return [
        case("a case that nobody judged", "LC-MEM-7", due(until=at)),
        case("a case that is not due yet", "LC-BLK-14", due(until=at + 1)),
        case("a case confirmed by a quorum", "LC-MEM-7", due(until=at, confirm=[V1, V2, V3])),
        case("a case confirmed by fewer", "LC-MEM-7", due(until=at, confirm=[V1, V2])),
        case("words of who is no validator do not count", "LC-MEM-7", due(until=at, confirm=[V1, V2, BOB])),
        case("a case lifted by a quorum", "LC-MEM-7", due(until=at, lift=[V2, V3, V4])),
        case("a case lifted by fewer", "LC-MEM-7", due(until=at, lift=[V2, V3])),
        case("words against it of who is no validator do not count", "LC-MEM-7", due(until=at, lift=[V2, V3, BOB])),
        case("a corroborated case that nobody judged", "LC-MEM-7", due(until=at, corroborated=True)),
        case("a corroborated case that a quorum lifted", "LC-MEM-7", due(until=at, corroborated=True, lift=[V2, V3, V4])),
        case("a corroborated case that fewer lifted", "LC-MEM-7", due(until=at, corroborated=True, lift=[V2, V3])),
        case("confirmed and corroborated", "LC-MEM-7", due(until=at, corroborated=True, confirm=[V1, V2, V3])),
        case("a ban of free and frozen credits", "LC-MEM-8", due(until=at, confirm=[V1, V2, V3], balance=4, frozen=3)),
        case("a ban of nothing", "LC-MEM-8", due(until=at, confirm=[V1, V2, V3], frozen=0)),
        case("a return of nothing", "LC-MEM-8", due(until=at, frozen=0)),
        case("a deadline whose case is gone", "LC-MEM-7", {due_key(ALICE, at, 2, ALICE): Due(2, ALICE)}),
        case("a deadline before the time in the case", "LC-MEM-7", due(until=at + 9) | {due_key(BOB, at, 2, ALICE): Due(2, ALICE)}),
        case(
            "strikes that have ended are forgotten", "LC-MEM-1", due(until=at) | {member_key(ALICE): Member(True, 5, old, [True])}
        ),
        case(
            "the sixteen strikes that end last are kept",
            "LC-MEM-1",
            due(until=at) | {member_key(ALICE): Member(False, 0, full, [])},
        ),
        case(
            "a new strike that ends before others",
            "LC-MEM-1",
            due(until=at) | {member_key(ALICE): Member(False, 0, [clock() + life + 10**6], [])},
        ),
        case("two cases, in the order of their times", "LC-BLK-14", both),
        case("a deadline too many for one block", "LC-BLK-14", both | {K_PARAMS: replace(_genesis().params, max_due=1)}),
        case("deadlines come before the transactions", "LC-BLK-13", due(until=at), tx("alice", pay_to(BOB))),
        case("a ban comes before the transactions", "LC-BLK-13", due(until=at, confirm=[V1, V2, V3]), tx("bob", pay_to(ALICE))),
    ]


def _judging() -> list[Maker]:
    later = clock() + 10**6

    def say(name: str, who: str, target: bytes, confirm: bool, records: Records) -> Maker:
        return Maker(name, "LC-MEM-6", [tx(who, JudgeCase(target, confirm))], records)

    case = _suspended
    rows = [
        ("a word for the ban", "v1", ALICE, True, case(until=later)),
        ("a word against it", "v1", ALICE, False, case(until=later)),
        ("who is no validator", "bob", ALICE, True, case(until=later)),
        ("no case", "v1", BOB, True, case(until=later)),
        ("no case and no validator: the sender is tested first", "alice", BOB, True, {}),
        ("the same word again, for the ban", "v1", ALICE, True, case(until=later, confirm=[V1, V2])),
        ("the same word again, against it", "v1", ALICE, False, case(until=later, lift=[V1])),
        ("a changed mind, for the ban", "v1", ALICE, True, case(until=later, lift=[V1, V2], confirm=[V3])),
        ("a changed mind, against it", "v1", ALICE, False, case(until=later, confirm=[V1, V2, V3])),
        ("an account that does not exist", "v1", NOBODY, True, {}),
    ]
    found = [say(*row) for row in rows]
    words = [tx(name, JudgeCase(ALICE, True)) for name in ("v3", "v1", "v4", "v2")]
    found.append(Maker("words are kept in the order of ids, not of arrival", "LC-MEM-6", words, case(until=later)))
    return found


# --- parking, work --------------------------------------------------------------------------------------------------------------


def _crowd(spread: dict[str, int], *, at: int) -> Records:
    """So many deadlines of each account, each at its own time: those of one account all before those of the next.

    No contract has them, so each is parked with an event: who runs and in which order stands in the receipt.
    """
    found: Records = {}
    for place, (name, count) in enumerate(spread.items()):
        for n in range(count):
            ref = id_of(f"{name} {n}")
            found[due_key(id_of(name), at - 900 + 100 * place + n, 9, ref)] = Due(9, ref)
    return found


def _heavy(held: list[HeldDue], count: int, *, at: int) -> Records:
    """Deadlines of jobs of Alice with nine claimants each; all are parked, so that each joins its record."""
    found: Records = {}
    for n in range(count):
        ref = hashlib.sha256(b"a heavy job %d" % n).digest()
        found[due_key(ALICE, at - 2_000 + n, 3, ref)] = Due(3, ref)
        found[parked_key(3, ref)] = Parked(30, "failed", held, [], [])
        found[b"jb/" + ref] = Job(0, at - 2_000 + n, 9, [], [], 0, b"", 0, 0, 0, 0, [], [], 0, 0, 0, 0)
    return found


def _fences() -> list[Maker]:
    at, later = clock() + NEXT, clock() + 10**6
    params = _genesis().params
    held = [HeldDue(ALICE, at)]
    case = _suspended(until=later)

    def parked(*, retry: list[bytes] | None = None, give_back: list[bytes] | None = None, contract: int = 2) -> Records:
        record = Parked(30, "failed", held, sorted(retry or []), sorted(give_back or []))
        return {parked_key(contract, ALICE): record}

    def say(name: str, who: str, op: Any, records: Records, rule: str = "LC-MEM-13") -> Maker:
        return Maker(name, rule, [tx(who, op)], records)

    retry, back = Release(2, ALICE, False), Release(2, ALICE, True)
    last, first = (WHO[identity] for identity in sorted((V1, V2, V3, V4), reverse=True)[::3])
    words, backs = ([tx(name, op) for name in (last, first)] for op in (retry, back))
    many = [HeldDue(ALICE, at - 1_000 + n) for n in range(64)]
    full = {parked_key(2, ALICE): Parked(30, "failed", many, [], [])}
    few = {K_PARAMS: replace(params, max_due=16)}
    light = {K_PARAMS: replace(params, max_due=16, max_due_work=30)}
    two = [tx("alice", pay_to(BOB)), tx("bob", pay_to(ALICE))]
    three = [*two, tx("v1", retry)]
    stopped = [tx("alice", Transfer(BOB, 0, b""), pay_to(BOB), pay_to(BOB)), tx("bob", pay_to(ALICE))]

    def working(name: str, txs: list[bytes], most: int) -> Maker:
        return Maker(name, "LC-BLK-25", txs, {K_PARAMS: replace(params, block_work=most)}, lenient=10_000)

    return [
        Maker("a deadline of a contract that has none", "LC-BLK-20", records={due_key(BOB, at, 1, JOB): Due(1, JOB)}),
        Maker("a deadline of no contract", "LC-BLK-20", records={due_key(BOB, at, 9, JOB): Due(9, JOB)}),
        Maker("a deadline of a parked case", "LC-BLK-20", records=_suspended(until=at) | parked()),
        Maker("another deadline of a parked case", "LC-BLK-20", records=parked() | {due_key(BOB, at - 1, 2, ALICE): Due(2, ALICE)}),
        Maker(
            "the first 64 deadlines of what is parked are kept",
            "LC-BLK-20",
            records=full | {due_key(BOB, at - 999, 2, ALICE): Due(2, ALICE)},
        ),
        say("a word on a case that is parked", "v1", JudgeCase(ALICE, True), case | parked(), "LC-BLK-20"),
        say(
            "a word of who is no validator, on a parked case: the parking is tested first",
            "bob",
            JudgeCase(ALICE, True),
            case | parked(),
            "LC-BLK-20",
        ),
        say(
            "a word on a case of which another contract's namesake is parked",
            "v1",
            JudgeCase(ALICE, True),
            case | parked(contract=1),
            "LC-BLK-20",
        ),
        say("a first word for running again", "v1", retry, parked()),
        say("a first word for giving back", "v1", back, case | parked()),
        say("who is no validator releases nothing", "bob", retry, parked()),
        say("no validator, and nothing parked: the sender is tested first", "bob", retry, {}),
        say("nothing is parked", "v1", retry, {}),
        say("the reference of another contract is parked", "v1", retry, parked(contract=1)),
        say("a contract that has nothing to give back", "v1", Release(1, ALICE, True), parked(contract=1)),
        say("a contract that nobody knows", "v1", Release(9, ALICE, True), parked(contract=9)),
        say("the same word of a release again", "v1", retry, parked(retry=[V1])),
        say("the same word for giving back again", "v1", back, parked(give_back=[V1])),
        say("a mind changed for giving back", "v1", back, parked(retry=[V1, V2])),
        say("a mind changed for running again", "v1", retry, parked(give_back=[V1, V2])),
        say("words of who is a validator no more are dropped", "v1", retry, parked(retry=[BOB, V2], give_back=[BOB, V3])),
        Maker("words on what is parked are kept in the order of ids", "LC-MEM-13", words, parked()),
        Maker("words for giving back are kept in the order of ids", "LC-MEM-13", backs, case | parked()),
        say("a quorum lets it run again", "v1", retry, parked(retry=[V2, V3])),
        say("a quorum gives the case back", "v1", back, case | parked(give_back=[V2, V3])),
        say("a quorum gives back a case that is gone", "v1", back, parked(give_back=[V2, V3])),
        Maker(
            "one account has its share of a block's deadlines", "LC-BLK-14", records=few | _crowd({"alice": 15, "bob": 3}, at=at)
        ),
        Maker("what others leave is used", "LC-BLK-14", records=few | _crowd({"alice": 30}, at=at)),
        Maker("rounds of many accounts", "LC-BLK-14", records=few | _crowd({"alice": 7, "bob": 6, "v1": 5, "v2": 4}, at=at)),
        Maker("a round that is cut", "LC-BLK-14", records=few | _crowd({"v2": 9, "bob": 7, "alice": 7}, at=at)),
        Maker(
            "a share is one deadline at least",
            "LC-BLK-14",
            records={K_PARAMS: replace(params, max_due=3)} | _crowd({"alice": 5, "bob": 1, "v1": 1}, at=at),
        ),
        Maker("a deadline that reaches the work of a block is its last", "LC-BLK-31", records=light | _heavy(held, 5, at=at)),
        Maker(
            "heavy deadlines are their account's share alone",
            "LC-BLK-31",
            records=light | _heavy(held, 5, at=at) | _crowd({"bob": 9, "v1": 2}, at=at),
        ),
        Maker(
            "a case is as much work as it has references",
            "LC-BLK-31",
            records={K_PARAMS: replace(params, max_due_work=3)} | _suspended(until=at) | _crowd({"bob": 3}, at=at),
        ),
        working("as much work as may be", two, 2),
        working("more work than may be", two, 1),
        working("a release is more work", three, 130),
        working("a release is too much work", three, 129),
        working("messages behind a refused one are no work", stopped, 2),
        working("a refused message is work", stopped, 1),
    ]


# --- double signing -------------------------------------------------------------------------------------------------------------


def _vote(name: str, height: int, block: bytes, *, type_: int = PREVOTE, round_: int = 0, key: str = "", who: bytes = b"") -> Vote:
    digest = vote_digest(start()[0], type_, height, round_, block)
    return Vote(type_, height, round_, block, who or id_of(name), key_of(key or name).sign(digest))


def _proposal(name: str, height: int, block: bytes, *, round_: int = 0, pol: int = -1, key: str = "") -> Proposal:
    digest = proposal_digest(start()[0], height, round_, pol, block)
    return Proposal(height, round_, pol, block, id_of(name), key_of(key or name).sign(digest))


def _double(signer: str, height: int = HEIGHT - 2, **changed: Any) -> ReportDouble:
    """Two prevotes for different blocks; `changed` tells how the second differs otherwise."""
    other = {"block": b"\x02" * 32, "height": height, "name": signer} | changed
    return ReportDouble(VoteEvidence(_vote(signer, height, b"\x01" * 32), _vote(**other)))


def _doubles() -> list[Maker]:
    def report(name: str, *ops: Any, records: Records | None = None, rule: str = "LC-MEM-10") -> Maker:
        return Maker(name, rule, [tx("alice", op, sequence=n) for n, op in enumerate(ops)], dict(records or {}))

    def proposals(a: Proposal, b: Proposal) -> ReportDouble:
        return ReportDouble(ProposalEvidence(a, b))

    old = replace(_genesis().params, evidence_age=3)
    first, second = b"\x01" * 32, b"\x02" * 32
    members = [Validator(identity, key_of(WHO[identity]).public) for identity in sorted((V1, V2, V3, V4))]
    present = Validators(1, members)
    since_30 = {K_HISTORY: History([Validators(30, members)]), K_VALIDATORS: Validators(30, members)}
    left = Validators(30, [v for v in members if v.id != V2])
    v2_left = {K_HISTORY: History([present, left]), K_VALIDATORS: left}
    v2_came = {K_HISTORY: History([left, Validators(39, members)]), K_VALIDATORS: Validators(39, members)}
    many = [Validators(n, members[:1]) for n in range(63)] + [Validators(HEIGHT - 1, members)]
    alone = _only(V2)
    dealt = {ejection_key(V2, HEIGHT - 2): Ejection(HEIGHT - 2)}
    nil = ReportDouble(VoteEvidence(_vote("v2", 9, b""), _vote("v2", 9, first)))
    return [
        report("two prevotes", _double("v2")),
        report(
            "two precommits",
            ReportDouble(VoteEvidence(_vote("v2", 9, first, type_=PRECOMMIT), _vote("v2", 9, second, type_=PRECOMMIT))),
        ),
        report("a vote and one for nil", nil),
        report("two proposals", proposals(_proposal("v2", 9, first), _proposal("v2", 9, second))),
        report(
            "two proposals with different proofs",
            proposals(_proposal("v2", 9, first, round_=3, pol=1), _proposal("v2", 9, second, round_=3)),
        ),
        report("one's own double signing", _double("v2"), rule="LC-MEM-10"),
        report("of this very height", _double("v2", HEIGHT)),
        report("of a height to come", _double("v2", HEIGHT + 1)),
        report("as old as may be", _double("v2", HEIGHT - 3), records={K_PARAMS: old}),
        report("too old", _double("v2", HEIGHT - 4), records={K_PARAMS: old}),
        report("of a height whose set is not known", _double("v2", 29), records=since_30),
        report("of the first height whose set is known", _double("v2", 30), records=since_30),
        report("too old and by nobody: the age is tested first", _double("bob", 1), records={K_PARAMS: old}),
        report("of who was not in the set", _double("bob")),
        report("of who came into the set later", _double("v2", 38), records=v2_came),
        report("different types", _double("v2", type_=PRECOMMIT)),
        report("different heights", _heights()),
        report("different rounds", _double("v2", round_=1)),
        report("different signers", _double("v2", name="v3")),
        report("the second one in another's name", _double("v2", who=V3)),
        report(
            "a proposal in another's name", proposals(_proposal("v2", 9, first), replace(_proposal("v2", 9, second), proposer=V3))
        ),
        report("a block id of five bytes", _double("v2", block=second[:5])),
        report("the same block twice", _double("v2", block=first)),
        report(
            "the first one signed by another key",
            ReportDouble(VoteEvidence(_vote("v2", 9, first, key="v3"), _vote("v2", 9, second))),
        ),
        report("the second one signed by another key", _double("v2", key="v3")),
        report("proposals of different heights", proposals(_proposal("v2", 9, first), _proposal("v2", 10, second))),
        report("proposals of different rounds", proposals(_proposal("v2", 9, first), _proposal("v2", 9, second, round_=1))),
        report("proposals of different signers", proposals(_proposal("v2", 9, first), _proposal("v3", 9, second))),
        report(
            "the same block proposed twice",
            proposals(_proposal("v2", 9, first, round_=3, pol=1), _proposal("v2", 9, first, round_=3)),
        ),
        report("a proposal signed by another key", proposals(_proposal("v2", 9, first), _proposal("v2", 9, second, key="v3"))),
        report("one that was dealt with", _double("v2"), records=dealt),
        report("another height of who was dealt with", _double("v2", HEIGHT - 1), records=dealt),
        report("one that was dealt with, of the last validator: the former is tested first", _double("v2"), records=alone | dealt),
        report("the last validator", _double("v2"), records=alone),
        report("who left the set already", _double("v2", 20), records=v2_left, rule="LC-MEM-11"),
        report("a second change in one block", _double("v2"), _double("v3"), rule="LC-MEM-11"),
        report("the same again in one block", _double("v2"), _double("v2"), rule="LC-MEM-11"),
        report("a second one of the same signer in one block", _double("v2"), _double("v2", HEIGHT - 1), rule="LC-MEM-11"),
        report(
            "sixty-four sets are kept",
            _double("v2", HEIGHT),
            records={K_HISTORY: History(many), K_VALIDATORS: many[-1]},
            rule="LC-MEM-12",
        ),
        Maker("the ejected proposer of the block itself", "LC-MEM-11", [tx("alice", _double(turn()))]),
    ]


def _heights() -> ReportDouble:
    return ReportDouble(VoteEvidence(_vote("v2", 9, b"\x01" * 32), _vote("v2", 10, b"\x02" * 32)))


# --- what contracts ask of membership -------------------------------------------------------------------------------------------


def _service(name: str, rule: str, call: str, given: list[Any], records: Records | None = None) -> dict[str, Any]:
    _, base = start()
    changed = {key: encode(record) for key, record in sorted((records or {}).items())}
    state = State.load(list({**base, **changed}.items()))
    overlay, record = Overlay(state), chain_record(state)
    host = host_of(overlay, params_of(state), record, record.height, record.time, record.clock, record.beacon)
    found = getattr(membership, call)(host.acting(membership.CONTRACT), *given)
    _, encoded, _ = overlay.finish()
    return {
        "name": name,
        "rule": rule,
        "with": {key.hex(): raw.hex() for key, raw in changed.items()},
        "call": call,
        "given": shown(given),
        "result": shown(found),
        "events": encode(host.events).hex(),
        "changes": encode(changes_of(encoded)).hex(),
    }


def services() -> list[dict[str, Any]]:
    here = clock()
    later = here + 10**6
    case = _suspended(until=later)
    refs = [CaseRef(b"%d" % n, 1, BOB) for n in range(64)]
    crowded = {**case, case_key(ALICE): Case(later, refs, False, [], [])}
    sure = {**case, case_key(ALICE): Case(later, refs[:1], True, [], [])}
    banned = {account_key(ALICE): account("alice", status=BANNED, balance=0)}

    def drawn(*draws: bool, verifier: bool = True) -> Records:
        return {member_key(ALICE): Member(verifier, 7, [], list(draws))}

    def standing(*strikes: int, since: int = 0) -> Records:
        return {member_key(V1): Member(True, since, list(strikes), [])}

    no, yes = False, True
    away = {account_key(V1): account("v1", status=SUSPENDED)}
    return [
        _service("a first strike", "LC-MEM-1", "strike", [ALICE, "reason", JOB]),
        _service("a strike for who has no member record", "LC-MEM-1", "strike", [NOBODY, "reason", b""]),
        _service("a strike ends at its time", "LC-MEM-1", "strike", [V1, "reason", JOB], standing(here - 1, here, here + 1)),
        _service("all four genesis verifiers", "LC-MEM-2", "verifiers", [later]),
        _service("none before its flag", "LC-MEM-2", "verifiers", [0]),
        _service("a flag set at that time does not count", "LC-MEM-2", "verifiers", [500], standing(since=500)),
        _service("a flag set before it counts", "LC-MEM-2", "verifiers", [501], standing(since=500)),
        _service("two live strikes", "LC-MEM-2", "verifiers", [later], standing(here, here + 1, here + 2)),
        _service("three live strikes", "LC-MEM-2", "verifiers", [later], standing(here + 1, here + 2, here + 3)),
        _service("a suspended verifier", "LC-MEM-2", "verifiers", [later], away),
        _service("a good draw", "LC-MEM-3", "record_draw", [ALICE, yes], drawn()),
        _service("a draw of who has no member record", "LC-MEM-3", "record_draw", [NOBODY, no]),
        _service("the fifth failure", "LC-MEM-3", "record_draw", [ALICE, no], drawn(no, no, no, no)),
        _service("the sixth failure", "LC-MEM-3", "record_draw", [ALICE, no], drawn(no, no, no, no, no)),
        _service("the eleventh draw", "LC-MEM-3", "record_draw", [ALICE, yes], drawn(no, yes, no, yes, no, yes, no, yes, no, yes)),
        _service(
            "a sixth failure as the first of ten is forgotten",
            "LC-MEM-3",
            "record_draw",
            [ALICE, no],
            drawn(no, yes, no, yes, no, yes, no, yes, no, yes),
        ),
        _service(
            "six failures of who is no verifier", "LC-MEM-3", "record_draw", [ALICE, no], drawn(no, no, no, no, no, verifier=no)
        ),
        _service("a suspension", "LC-MEM-4", "suspend", [ALICE, JOB, BOB, 3]),
        _service(
            "a suspension of who has nothing",
            "LC-MEM-4",
            "suspend",
            [ALICE, JOB, BOB, 3],
            {account_key(ALICE): account("alice", balance=0)},
        ),
        _service(
            "a second one by the same accuser",
            "LC-MEM-4",
            "suspend",
            [ALICE, b"third", BOB, 3],
            {**case, case_key(ALICE): Case(later, refs[:1], False, [V1], [V2])},
        ),
        _service(
            "a second one by another accuser",
            "LC-MEM-4",
            "suspend",
            [ALICE, b"third", V4, 3],
            {**case, case_key(ALICE): Case(later, refs[:1], False, [], [])},
        ),
        _service("one more than sixty-four", "LC-MEM-4", "suspend", [ALICE, b"last", BOB, 3], crowded),
        _service("one more than sixty-four, by another accuser", "LC-MEM-4", "suspend", [ALICE, b"last", V4, 3], crowded),
        _service("a suspension of who is banned", "LC-MEM-4", "suspend", [ALICE, JOB, BOB, 3], banned),
        _service("a suspension of nobody", "LC-MEM-4", "suspend", [NOBODY, JOB, BOB, 3]),
        _service("a corroboration", "LC-MEM-5", "corroborate", [ALICE, JOB], case),
        _service("a corroboration for another reference", "LC-MEM-5", "corroborate", [ALICE, b"other"], case),
        _service("a corroboration of what is corroborated", "LC-MEM-5", "corroborate", [ALICE, b"0"], sure),
        _service("a corroboration without a case", "LC-MEM-5", "corroborate", [ALICE, JOB]),
    ]


@cache
def executions() -> dict[str, Any]:
    chain_id, base = start()
    makers = [*_credits(), *_transactions(), *_bandwidth(), *_blocks(), *_deadlines(), *_judging(), *_fences(), *_doubles()]
    return {
        "chain_id": chain_id.hex(),
        "state": {key.hex(): raw.hex() for key, raw in sorted(base.items())},
        "cases": [maker.make() for maker in makers],
        "services": services(),
    }
