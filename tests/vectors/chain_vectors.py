"""Vectors of what blocks are made of: votes, proposals, certificates, a genesis, and three blocks with transfers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.messages import CancelJob, Claim, OpenVote
from learningchain.chain.contracts.membership import JudgeCase, Release
from learningchain.chain.crypto import ZERO_HASH
from learningchain.chain.errors import Malformed
from learningchain.chain.host import account_key
from learningchain.chain.ledger.genesis import (
    Genesis,
    GenesisAccount,
    Section,
    check_genesis,
    first_state,
    from_json,
    make_params,
    to_json,
)
from learningchain.chain.ledger.snapshot import check_signed
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import (
    BlockInput,
    Executed,
    apply_block,
    beacon_commitment,
    beacon_secret,
    chain_record,
    commit,
    due_reveal,
    validators_of,
)
from learningchain.chain.ledger.tx import ParsedTx, parse_tx, sign_tx
from learningchain.chain.losses import LossNode, Opening
from learningchain.chain.merkle import prove_item
from learningchain.chain.params import MAX_INT, Params
from learningchain.chain.types import (
    NIL,
    PRECOMMIT,
    PREVOTE,
    Certificate,
    Header,
    Proposal,
    TxBody,
    Validator,
    Vote,
    block_id,
    net_of,
    proposal_digest,
    quorum,
    tx_id,
    tx_root,
    validators_hash,
    vote_digest,
)
from tests.vectors.base_vectors import CHAIN, ORDER, H
from tests.vectors.kit import id_of, key_of

NAMES = ("v1", "v2", "v3", "v4")
BY_ID = {id_of(name): key_of(name) for name in (*NAMES, "alice", "bob")}
VALIDATORS = sorted((Validator(id_of(n), key_of(n).public) for n in NAMES), key=lambda v: v.id)


def _votes() -> list[dict[str, Any]]:
    key = key_of("v1")
    found = []
    for type_, height, round_, block in (
        (PREVOTE, 1, 0, H[1]),
        (PRECOMMIT, 1, 0, H[1]),
        (PRECOMMIT, 1, 0, NIL),
        (PREVOTE, 2**48, 2**31 - 1, H[2]),
    ):
        digest = vote_digest(CHAIN, type_, height, round_, block)
        vote = Vote(type_, height, round_, block, id_of("v1"), key.sign(digest))
        signed = {"signed": encode([type_, height, round_, block]).hex(), "digest": digest.hex(), "bytes": encode(vote).hex()}
        found.append({"rule": "LC-CON-1", "type": type_, "height": height, "round": round_, "block_id": block.hex(), **signed})
    return found


def _proposals() -> list[dict[str, Any]]:
    key = key_of("v1")
    found = []
    for height, round_, pol_round in ((1, 0, -1), (9, 4, 2)):
        digest = proposal_digest(CHAIN, height, round_, pol_round, H[1])
        made = Proposal(height, round_, pol_round, H[1], id_of("v1"), key.sign(digest))
        signed = {
            "signed": encode([height, round_, pol_round, H[1]]).hex(),
            "digest": digest.hex(),
            "bytes": encode(made).hex(),
        }
        found.append(
            {"rule": "LC-CON-1", "height": height, "round": round_, "pol_round": pol_round, "block_id": H[1].hex(), **signed}
        )
    return found


def votes() -> dict[str, Any]:
    return {"chain_id": CHAIN.hex(), "key": key_of("v1").public.hex(), "votes": _votes(), "proposals": _proposals()}


def certify(chain_id: bytes, height: int, round_: int, block: bytes, members: list[Validator], signers: list[int]) -> Certificate:
    digest = vote_digest(chain_id, PRECOMMIT, height, round_, block)
    return Certificate(height, round_, block, signers, [BY_ID[members[i].id].sign(digest) for i in signers])


def certificates() -> dict[str, Any]:
    def made(signers: list[int], height: int = 5, round_: int = 1, chain: bytes = CHAIN) -> Certificate:
        return certify(chain, height, round_, H[1], VALIDATORS, signers)

    good = made([0, 2, 3])
    high_s = (ORDER - int.from_bytes(good.signatures[0][32:], "big")).to_bytes(32, "big")
    prevotes = [BY_ID[VALIDATORS[i].id].sign(vote_digest(CHAIN, PREVOTE, 5, 1, H[1])) for i in (0, 2, 3)]
    other = [good.signatures[0], good.signatures[1], good.signatures[1]]
    cases: list[tuple[str, Certificate, bool]] = [
        ("good, three of four", good, True),
        ("good, all four", made([0, 1, 2, 3]), True),
        ("too few", made([0, 2]), False),
        ("wrong order", made([2, 0, 3]), False),
        ("a signer twice", made([0, 2, 2]), False),
        ("a signer that does not exist", Certificate(5, 1, H[1], [0, 2, 4], good.signatures), False),
        ("more signers than signatures", Certificate(5, 1, H[1], [0, 1, 2, 3], good.signatures), False),
        ("a signature too few", Certificate(5, 1, H[1], [0, 1, 2, 3], made([0, 1, 2]).signatures), False),
        ("a signature too many", Certificate(5, 1, H[1], [0, 1, 2], made([0, 1, 2, 3]).signatures), False),
        ("another one's signature", Certificate(5, 1, H[1], [0, 2, 3], other), False),
        ("another round", Certificate(5, 2, H[1], [0, 2, 3], good.signatures), False),
        ("another height", Certificate(6, 1, H[1], [0, 2, 3], good.signatures), False),
        ("another block", Certificate(5, 1, H[2], [0, 2, 3], good.signatures), False),
        ("another chain", made([0, 2, 3], chain=H[0]), False),
        ("prevotes", Certificate(5, 1, H[1], [0, 2, 3], prevotes), False),
        ("high s", Certificate(5, 1, H[1], [0, 2, 3], [good.signatures[0][:32] + high_s, *good.signatures[1:]]), False),
    ]
    return {
        "chain_id": CHAIN.hex(),
        "height": 5,
        "round": 1,
        "block_id": H[1].hex(),
        "validators": encode(VALIDATORS).hex(),
        "validators_hash": validators_hash(VALIDATORS).hex(),
        "quorums": [[n, quorum(n)] for n in (1, 2, 3, 4, 5, 6, 7, 9, 10, 13, 64, 100, 128)],
        "cases": [{"rule": "LC-BLK-6", "why": why, "certificate": encode(c).hex(), "good": good_} for why, c, good_ in cases],
        "refused_sets": _refused_sets(),
    }


def _refused_sets() -> list[dict[str, Any]]:
    bad_key = b"\x02" + (5).to_bytes(32, "big")
    cases = {
        "not sorted by id": [*VALIDATORS[1:], VALIDATORS[0]],
        "an id twice": [VALIDATORS[0], *VALIDATORS],
        "a key that is no point": [*VALIDATORS[:3], Validator(VALIDATORS[3].id, bad_key)],
        "a hybrid key": [*VALIDATORS[:3], Validator(VALIDATORS[3].id, b"\x06" + VALIDATORS[3].key[1:])],
    }
    return [{"rule": "LC-BLK-5", "why": why, "validators": encode(case).hex()} for why, case in cases.items()]


@cache
def finality() -> dict[str, Any]:
    """A block that is final, and what a light client refuses: certificates of a quorum for headers that cannot be."""
    made = Chain()
    header, _, _ = made.block([], round_=1, step=1_000)
    chain_id, validators = made.chain_id, made.genesis.validators
    three = [0, 1, 3]

    def case(why: str, shown_: Header, **changed: Any) -> dict[str, Any]:
        given = {"height": shown_.height, "round_": 1, "block": block_id(shown_), "signers": three, "chain": chain_id} | changed
        certificate = certify(given["chain"], given["height"], given["round_"], given["block"], validators, given["signers"])
        try:
            check_signed(chain_id, shown_, certificate, validators)
            good = True
        except Malformed:
            good = False
        told = {"header": encode(shown_).hex(), "certificate": encode(certificate).hex()}
        return {"rule": "LC-BLK-7", "why": why, **told, "good": good}

    next_turn = validators[(header.height + 2) % 4].id
    return {
        "chain_id": chain_id.hex(),
        "validators": encode(validators).hex(),
        "cases": [
            case("final", header),
            case("final in a later round", header, round_=5),
            case("another version", replace(header, version=2)),
            case("another chain in the header", replace(header, chain_id=bytes(32))),
            case("another chain in the signatures", header, chain=bytes(32)),
            case("a certificate of another height", header, height=2),
            case("a certificate for another block", header, block=bytes(32)),
            case("a certificate of a round before the origin", header, round_=0),
            case("another set in the header", replace(header, validators_hash=bytes(32))),
            case("a proposer whose turn was another round", replace(header, proposer=next_turn)),
            case("two of four", header, signers=[0, 1]),
        ],
    }


# --- a genesis and three blocks -----------------------------------------------------------------------------------------------


def genesis_of() -> Genesis:
    accounts = [GenesisAccount(key_of(n).public, 1_000_000_000, True, True) for n in NAMES]
    accounts += [GenesisAccount(key_of(n).public, 5_000_000, False, False) for n in ("alice", "bob")]
    return Genesis(1, "vectors", 1_700_000_000_000, Params(block_reward=7), accounts, b"", b"")


def genesis() -> dict[str, Any]:
    made = genesis_of()
    state, encoded = first_state(made)
    return {
        "rule": "LC-BLK-9",
        "file": to_json(made).decode(),
        "bytes": encode(made).hex(),
        "chain_id": made.chain_id.hex(),
        "net": net_of(made.chain_id),
        "validators": encode(made.validators).hex(),
        "records": {key.hex(): raw.hex() for key, raw in encoded if raw is not None},
        "state_root": state.root.hex(),
        "refused": _refused_genesis(made),
        "good": _good_genesis(made),
        "refused_files": _refused_files(made),
        "files": _files(made),
    }


_SPANS = (
    "max_step",
    "heartbeat",
    "drift",
    "timeout_propose",
    "timeout_vote",
    "timeout_step",
    "timeout_max",
    "evidence_age",
    "bandwidth_window",
)
_CONTRACT_SPANS = (
    "job_min_open",
    "job_max_open",
    "job_reveal",
    "job_key",
    "job_vote_base",
    "job_open_votes",
    "job_keep",
    "appeal",
    "standing_life",
    "key_rest",
    "recovery_delay_min",
    "recovery_delay_max",
    "recovery_gather",
)


def _with(made: Genesis, **values: int) -> Genesis:
    """With these parameters of contracts."""
    return replace(made, contracts=make_params(**values)[1])


def _many(made: Genesis, validators: int) -> Genesis:
    accounts = [GenesisAccount(key_of(f"n{n}").public, 1, True, False) for n in range(validators)]
    return replace(made, accounts=accounts)


def _good_genesis(made: Genesis) -> list[dict[str, Any]]:
    """At its bounds."""
    params, accounts = made.params, made.accounts
    rich = [replace(accounts[0], credits=MAX_INT), *(replace(a, credits=0) for a in accounts[1:])]
    cases = {
        "the largest supply": replace(made, accounts=rich),
        "the latest time": replace(made, time=2**48),
        "128 validators": _many(made, 128),
        "the smallest block": replace(made, params=replace(params, block_bytes=131_082)),
        "the largest block": replace(made, params=replace(params, block_bytes=4_000_000, block_txs=8_192)),
        "the least work": replace(made, params=replace(params, block_work=25_600)),
        "the least bandwidth": replace(made, params=replace(params, bandwidth_base=16, bandwidth_per_credit=1)),
        "the longest spans": replace(
            _with(made, **dict.fromkeys(_CONTRACT_SPANS, 2**48)), params=replace(params, **dict.fromkeys(_SPANS, 2**48))
        ),
    }
    for case in cases.values():
        check_genesis(case)
    return [{"rule": "LC-BLK-9", "why": why, "bytes": encode(case).hex()} for why, case in cases.items()]


def _cut(made: Genesis, change: Callable[[list[int]], list[int]]) -> Genesis:
    *others, last = made.contracts
    return replace(made, contracts=[*others, Section(last.number, change(last.values))])


def _refused_genesis(made: Genesis) -> list[dict[str, Any]]:
    params, accounts = made.params, made.accounts
    nobody = [replace(a, validator=False) for a in accounts]
    rich = [replace(accounts[0], credits=MAX_INT), *accounts[1:]]
    x_off = b"\x02" + (5).to_bytes(32, "big")
    cases = {
        "another version": replace(made, version=2),
        "a key twice": replace(made, accounts=[*accounts, replace(accounts[0], validator=False)]),
        "a key that is no point": replace(made, accounts=[*accounts, GenesisAccount(x_off, 1, False, False)]),
        "a hybrid key": replace(made, accounts=[*accounts, GenesisAccount(b"\x06" + accounts[0].key[1:], 1, False, False)]),
        "no validator": replace(made, accounts=nobody),
        "129 validators": _many(made, 129),
        "credits above 2^63-1 together": replace(made, accounts=rich),
        "job_min_open above job_max_open": _with(made, job_min_open=5, job_max_open=4),
        "recovery_delay_min above recovery_delay_max": _with(made, recovery_delay_min=5, recovery_delay_max=4),
        "a bounty whose tenth is nothing": _with(made, job_min_bounty=9),
        "a contract that is missing": replace(made, contracts=made.contracts[:-1]),
        "a contract that nobody knows": replace(made, contracts=[*made.contracts, Section(9, [])]),
        "contracts in another order": replace(made, contracts=made.contracts[::-1]),
        "a contract twice": replace(made, contracts=[made.contracts[0], *made.contracts]),
        "parameters of a contract that has none": replace(made, contracts=[Section(1, [1]), *made.contracts[1:]]),
        "a parameter too few": _cut(made, lambda values: values[:-1]),
        "a parameter too many": _cut(made, lambda values: [*values, 1]),
        "a contract's parameter of zero": _cut(made, lambda values: [0, *values[1:]]),
        "a time above 2^48": replace(made, time=2**48 + 1),
        "block_bytes below two of the largest transactions": replace(made, params=replace(params, block_bytes=131_081)),
        "block_bytes above 4,000,000": replace(made, params=replace(params, block_bytes=4_000_001)),
        "block_work below 25,600": replace(made, params=replace(params, block_work=25_599)),
        "bandwidth_base below the largest transaction in a window": replace(made, params=replace(params, bandwidth_base=15)),
        "block_txs above 8,192": replace(made, params=replace(params, block_txs=8_193)),
    }
    for name in _SPANS:
        cases[f"{name} above 2^48"] = replace(made, params=replace(params, **{name: 2**48 + 1}))
    for name in _CONTRACT_SPANS:
        above = {"job_min_open": "job_max_open", "recovery_delay_min": "recovery_delay_max"}.get(name)
        longest = {above: 2**48 + 1} if above else {}
        cases[f"{name} above 2^48"] = _with(made, **longest, **{name: 2**48 + 1})
    for why, case in cases.items():
        with suppress(Malformed):
            check_genesis(case)
            raise ValueError(f"a genesis that should be refused: {why}")
    return [{"rule": "LC-BLK-9", "why": why, "bytes": encode(case).hex()} for why, case in cases.items()]


def _files(made: Genesis) -> list[dict[str, Any]]:
    """LC-BLK-16: what a file leaves out has its default."""
    good = json.loads(to_json(made))
    cases = {
        "a contract left out": good | {"contracts": {name: s for name, s in good["contracts"].items() if name != "membership"}},
        "contracts left out": {name: value for name, value in good.items() if name != "contracts"},
        "a parameter of a contract left out": good | {"contracts": {"job": {"job_reveal": 5}}},
    }
    texts = {why: json.dumps(case) for why, case in cases.items()}
    return [
        {"rule": "LC-BLK-16", "why": why, "file": text, "bytes": encode(from_json(text.encode())).hex()}
        for why, text in texts.items()
    ]


def _refused_files(made: Genesis) -> list[dict[str, Any]]:
    """LC-BLK-16"""
    good = json.loads(to_json(made))
    cases: dict[str, Any] = {
        "an unknown parameter": good | {"params": good["params"] | {"speed": 1}},
        "a contract that nobody knows": good | {"contracts": good["contracts"] | {"weather": {}}},
        "an unknown parameter of a contract": good | {"contracts": good["contracts"] | {"credits": {"speed": 1}}},
        "a contract's parameter among the ledger's": good | {"params": good["params"] | {"appeal": 1}},
        "a contract's parameter of zero": good | {"contracts": good["contracts"] | {"membership": {"appeal": 0}}},
        "a contract's parameter that is no number": good | {"contracts": good["contracts"] | {"membership": {"appeal": "9"}}},
        "a parameter that is no number": good | {"params": good["params"] | {"quota": "9"}},
        "fewer deadlines than a block can set": good | {"params": good["params"] | {"max_due": 1_535}},
        "less work than that of the lightest deadlines": good | {"params": good["params"] | {"max_due_work": 1_535}},
        "a parameter of zero": good | {"params": good["params"] | {"quota": 0}},
        "no accounts": {name: value for name, value in good.items() if name != "accounts"},
        "credits as a number": good | {"accounts": [good["accounts"][0] | {"credits": 5}, *good["accounts"][1:]]},
        "credits with an exponent": good | {"accounts": [good["accounts"][0] | {"credits": "1e3"}, *good["accounts"][1:]]},
        "a key in other than hex": good | {"accounts": [good["accounts"][0] | {"key": "0z" * 33}, *good["accounts"][1:]]},
        "an empty name": good | {"name": ""},
        "a list": [good],
        "a field that nobody knows": good | {"comment": ""},
        "an account with a field that nobody knows": good
        | {"accounts": [good["accounts"][0] | {"name": "v1"}, *good["accounts"][1:]]},
        "a time with a point": good | {"time": float(good["time"])},
        "a number as a boolean": good | {"version": True},
        "a boolean as a number": good | {"accounts": [good["accounts"][0] | {"validator": 1}, *good["accounts"][1:]]},
    }
    text, key = json.dumps(good), good["accounts"][0]["key"]
    texts = {
        "a field twice": text.replace('"name": "vectors"', '"name": "others", "name": "vectors"'),
        "a parameter twice": text.replace('"quota": 2048', '"quota": 2049, "quota": 2048'),
        "a field of an account twice": text.replace(f'"key": "{key}"', f'"key": "{key}", "key": "{key}"'),
        "a space in a key": text.replace(key, f"{key[:2]} {key[2:]}"),
        "something behind the object": text + " {}",
        "a byte order mark": "\ufeff" + text,
    }
    texts = {why: json.dumps(case) for why, case in cases.items()} | texts
    for why, case in texts.items():
        with suppress(Malformed):
            from_json(case.encode())
            raise ValueError(f"a file that should be refused: {why}")
    return [{"rule": "LC-BLK-16", "why": why, "file": case} for why, case in texts.items()]


def beacon_key(identity: bytes) -> bytes:
    return hashlib.sha256(b"vector beacon " + identity).digest()


class Chain:
    """A chain that a test drives: blocks by the proper proposers, certified by three of four validators."""

    def __init__(self) -> None:
        self.genesis = genesis_of()
        self.chain_id = self.genesis.chain_id
        self.state: State = first_state(self.genesis)[0]
        self.sequences: dict[str, int] = {}
        self.parent = self.chain_id

    def transfer(self, source: str, target: str, amount: int) -> bytes:
        sequence = self.sequences.get(source, 0)
        self.sequences[source] = sequence + 1
        ops = [msgspec.Raw(encode(Transfer(id_of(target), amount, b"")))]
        valid_until = chain_record(self.state).height + 10
        body = TxBody(net_of(self.chain_id), id_of(source), 0, sequence, valid_until, ops)
        return sign_tx(key_of(source), self.chain_id, body)

    def block(self, raws: list[bytes], *, round_: int = 0, step: int = 1_000) -> tuple[Header, Certificate, Executed]:
        record = chain_record(self.state)
        height = record.height + 1
        validators = validators_of(self.state)
        proposer = validators[(height + round_) % len(validators)].id
        secret = beacon_key(proposer)
        reveal = due_reveal(self.state, proposer, secret)
        commitment = beacon_commitment(beacon_secret(secret, self.chain_id, height))
        given = BlockInput(height, record.time + step, proposer, reveal, commitment, [parse_tx(raw) for raw in raws])
        done = apply_block(self.state, given)
        roots = (tx_root(raws), done.receipt_root, done.state_root)
        sets = (validators_hash(validators), validators_hash(done.next_validators))
        header = Header(1, self.chain_id, height, round_, proposer, given.time, self.parent, *roots, *sets, reveal, commitment)
        commit(self.state, done)
        self.parent = block_id(header)
        certificate = certify(self.chain_id, height, round_, self.parent, validators, [0, 1, 3])
        return header, certificate, done


@cache
def chain() -> dict[str, Any]:
    """The second block has an origin round of 2; the third is proposed by a validator that reveals its secret."""
    made = Chain()
    plan: list[tuple[list[tuple[str, str, int]], int, int]] = [
        ([("alice", "bob", 1_000_000), ("bob", "alice", 250_000), ("alice", "v1", 99_000_000)], 0, 1_000),
        ([], 2, 3_600_000),
        ([("bob", "v2", 1)], 2, 1),
    ]
    blocks = []
    for transfers, round_, step in plan:
        raws = [made.transfer(*t) for t in transfers]
        header, certificate, done = made.block(raws, round_=round_, step=step)
        key = account_key(id_of("alice"))
        value, proof = made.state.prove(key)
        absent = account_key(bytes(20))
        record = chain_record(made.state)
        blocks.append(
            {
                "rule": "LC-BLK-11",
                "header": encode(header).hex(),
                "id": block_id(header).hex(),
                "certificate": encode(certificate).hex(),
                "validators": encode(made.genesis.validators).hex(),
                "txs": [raw.hex() for raw in raws],
                "tx_ids": [tx_id(raw).hex() for raw in raws],
                "tx_root": header.tx_root.hex(),
                "receipts": [raw.hex() for raw in done.receipt_bytes],
                "receipt_root": done.receipt_root.hex(),
                "receipt_proofs": [encode(prove_item(done.receipt_bytes, i)).hex() for i in range(len(done.receipts))],
                "changes": {k.hex(): None if raw is None else raw.hex() for k, raw in done.encoded},
                "state_root": done.state_root.hex(),
                "clock": record.clock,
                "beacon": record.beacon.hex(),
                "reveal": header.reveal.hex(),
                "commitment": header.commitment.hex(),
                "present": {"key": key.hex(), "value": (value or b"").hex(), "proof": encode(proof).hex()},
                "absent": {"key": absent.hex(), "proof": encode(made.state.prove(absent)[1]).hex()},
            }
        )
    secrets = {v.id.hex(): beacon_key(v.id).hex() for v in made.genesis.validators}
    return {"chain_id": made.chain_id.hex(), "beacon_keys": secrets, "blocks": blocks}


def work() -> dict[str, Any]:
    """LC-BLK-25: what transactions of one block took; the refused message is the first that its receipt's code names."""
    made = Chain()
    pay, claim = Transfer(id_of("bob"), 1, b""), Claim(H[1], 0, H[2], False)
    beyond = Transfer(id_of("bob"), 10**15, b"")
    small, large = (Opening([], [0] * leaves, [LossNode(H[2], 0, 0)] * nodes) for leaves, nodes in ((1, 0), (48, 240)))
    votes = [OpenVote(H[1], 0, 1, [], b"", 0, False, opening) for opening in ([], [small], [large])]
    plan: list[tuple[str, list[Any], int | None]] = [
        ("three payments", [pay] * 3, None),
        ("the second of three payments is refused", [pay, beyond, pay], 1),
        ("the first of four claims is refused", [claim] * 4, 0),
        ("a release of nothing", [Release(3, H[4], False)] * 2, 0),
        ("a payment, then a claim that is refused", [pay, claim, pay], 1),
        ("two words on a case that is none", [JudgeCase(id_of("bob"), True)] * 2, 0),
        ("a job that is cancelled", [CancelJob(H[1])], 0),
        ("a vote that opens no column", [votes[0]], 0),
        ("a vote that opens the column of one example", [votes[1]], 0),
        ("a vote with as large an opening as may be", [votes[2]], 0),
    ]
    raws = []
    for sequence, (_, ops, _) in enumerate(plan):
        body = TxBody(net_of(made.chain_id), id_of("alice"), 0, sequence, 9, [msgspec.Raw(encode(op)) for op in ops])
        raws.append(sign_tx(key_of("alice"), made.chain_id, body))
    took: list[int] = []

    def note(work: list[int]) -> list[ParsedTx]:
        took.extend(work)
        return []

    record, proposer = chain_record(made.state), validators_of(made.state)[1].id
    given = BlockInput(1, record.time + 1, proposer, ZERO_HASH, H[3], [parse_tx(raw) for raw in raws])
    codes = [receipt.code for receipt in apply_block(made.state, given, building=True, more=note).receipts[1:]]
    cases = [
        {"why": why, "tx": raw.hex(), "code": code, "refused": refused, "work": taken}
        for (why, _, refused), raw, code, taken in zip(plan, raws, codes, took, strict=True)
    ]
    return {"rule": "LC-BLK-25", "units": {"job": 32, "Release": 128, "JudgeCase": 16, "other": 1}, "cases": cases}
