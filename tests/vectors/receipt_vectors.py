"""Receipt files from genesis, over two handovers and from a trusted block; and what nobody may take for one."""

from __future__ import annotations

from functools import cache
from typing import Any

from msgspec.structs import replace

from learningchain.chain.codec import encode, read
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.host import account_key
from learningchain.chain.ledger.genesis import GenesisAccount, to_json
from learningchain.chain.ledger.receipt_file import (
    PathStep,
    ProvenReceipt,
    ProvenRecord,
    ReceiptFile,
    TrustedBlock,
    Way,
    check_receipt_file,
    make_receipt_file,
)
from learningchain.chain.ledger.snapshot import ValidatorSetChange
from learningchain.chain.merkle import list_root, prove_item, sides
from learningchain.chain.types import (
    PRECOMMIT,
    Certificate,
    Header,
    Receipt,
    Validator,
    block_id,
    tx_id,
    validators_hash,
    vote_digest,
)
from tests.vectors.base_vectors import ORDER
from tests.vectors.chain_vectors import BY_ID, Chain, certify
from tests.vectors.kit import id_of, key_of
from tests.vectors.snapshot_vectors import changes_from

NOT_SHOWN = Way(None, [])
SIGNERS = {"stranger": key_of("stranger")}


class _Play:
    """Block 1 with two transfers, of which the second is refused; and block 71, signed by the set after two handovers."""

    def __init__(self) -> None:
        self.made = Chain()
        self.raws = [self.made.transfer("alice", "bob", 1_000_000), self.made.transfer("bob", "bob", 1)]
        self.header, self.certificate, done = self.made.block(self.raws)
        self.receipts = list(done.receipt_bytes)
        self.second = _later(self.header, self.made)
        self.changes = changes_from(self.made, self.header)
        self.last = self.changes[-1].validators
        far = replace(
            self.header,
            height=71,
            proposer=self.last[71 % len(self.last)].id,
            validators_hash=validators_hash(self.last),
            next_validators_hash=validators_hash(self.last),
        )
        self.far, self.far_certificate = far, self.signed(far, self.last)

    def signed(self, header: Header, members: list[Validator], signers: list[int] | None = None, round_: int = 0) -> Certificate:
        chosen = signers or list(range(2 * len(members) // 3 + 1))
        return certify(header.chain_id, header.height, round_, block_id(header), members, chosen)

    def receipt(self, index: int) -> ProvenReceipt:
        ids = [tx_id(raw) for raw in self.raws]
        tx, tx_path = (self.raws[index - 1], _path(ids, index - 1)) if index else (b"", [])
        return ProvenReceipt(self.receipts[index], _path(self.receipts, index), tx, tx_path)

    def record(self, name: str) -> ProvenRecord:
        key = account_key(id_of(name) if name else bytes(20))
        record, proof = self.made.state.prove(key)
        return ProvenRecord(key, [] if record is None else [record], proof)

    def file(self, index: int = 1, records: list[ProvenRecord] | None = None) -> ReceiptFile:
        return _of(make_receipt_file(NOT_SHOWN, self.header, self.certificate, self.receipt(index), records or []))

    def far_file(self) -> ReceiptFile:
        return _of(make_receipt_file(Way(None, self.changes), self.far, self.far_certificate, self.receipt(1)))

    def early(self) -> ReceiptFile:
        """Block 69, signed by the set that signs from 71 on."""
        header = replace(self.far, height=69, proposer=self.last[69 % len(self.last)].id)
        return _of(make_receipt_file(Way(None, self.changes), header, self.signed(header, self.last), self.receipt(1)))

    def rotated(self, key: str = "stranger") -> ReceiptFile:
        """A validator has another key from block 8 on, and signs with it; `key`: whose signature stands for its own."""
        before = self.made.genesis.validators
        after = [Validator(before[0].id, key_of("stranger").public), *before[1:]]
        named = replace(self.header, height=7, proposer=before[7 % 4].id, next_validators_hash=validators_hash(after))
        change = ValidatorSetChange(named, self.signed(named, before), after)
        header = replace(
            self.header,
            height=8,
            proposer=after[8 % 4].id,
            validators_hash=validators_hash(after),
            next_validators_hash=validators_hash(after),
        )
        certificate = self.signed(header, before)
        own = SIGNERS.get(key, BY_ID[before[0].id]).sign(vote_digest(header.chain_id, PRECOMMIT, 8, 0, block_id(header)))
        signed = replace(certificate, signatures=[own, *certificate.signatures[1:]])
        return _of(make_receipt_file(Way(None, [change]), header, signed, self.receipt(1)))

    def trusted(self) -> tuple[ReceiptFile, bytes]:
        begin = self.changes[0]
        way = Way(TrustedBlock(begin.header, begin.validators), self.changes[1:])
        return _of(make_receipt_file(way, self.far, self.far_certificate, self.receipt(1))), block_id(begin.header)


def _later(header: Header, made: Chain) -> Header:
    """A block behind it, with other transactions."""
    members = made.genesis.validators
    roots = {"tx_root": list_root([b"another"]), "receipt_root": list_root([b"another"])}
    return replace(header, height=2, proposer=members[2 % 4].id, parent=block_id(header), **roots)


def _of(raw: bytes) -> ReceiptFile:
    return read(ReceiptFile, raw)


def _path(items: list[bytes], index: int) -> list[PathStep]:
    return [PathStep(left, sibling) for left, sibling in sides(prove_item(items, index))]


@cache
def receipts() -> dict[str, Any]:
    play = _Play()
    genesis = play.made.genesis
    other = replace(genesis, accounts=[*genesis.accounts, GenesisAccount(key_of("stranger").public, 1, False, False)])
    from_block, trusted = play.trusted()
    records = sorted((play.record("alice"), play.record(""), play.record("bob")), key=lambda r: r.key)
    good: dict[str, tuple[ReceiptFile, bytes]] = {
        "a transfer": (play.file(), b""),
        "a transfer that was refused": (play.file(2), b""),
        "the block's own receipt": (play.file(0), b""),
        "records, and that there is none": (_of(make_receipt_file(NOT_SHOWN, play.header, play.certificate, None, records)), b""),
        "a receipt and records": (play.file(1, records), b""),
        "over two handovers": (play.far_file(), b""),
        "over a validator's new key": (play.rotated(), b""),
        "from a trusted block": (from_block, trusted),
    }
    cases = [_case(why, encode(file), begin, genesis) for why, (file, begin) in good.items()]
    cases += [_case(why, raw, begin, genesis, good=False) for why, (raw, begin) in _refused(play).items()]
    return {
        "genesis": {"rule": "LC-LIGHT-2", "file": to_json(genesis).decode()},
        "other_genesis": {"rule": "LC-LIGHT-2", "file": to_json(other).decode()},
        "cases": cases,
    }


def _case(why: str, raw: bytes, trusted: bytes, genesis: Any, *, good: bool = True) -> dict[str, Any]:
    try:
        check_receipt_file(raw, trusted or genesis)
        taken = True
    except Malformed:
        taken = False
    if taken != good:
        raise ValueError(f"{why}: {'taken' if taken else 'refused'}")
    rule = "LC-LIGHT-3" if trusted else "LC-LIGHT-2"
    return {"rule": rule, "why": why, "trusted": trusted.hex(), "file": raw.hex(), "good": good}


def _refused(play: _Play) -> dict[str, tuple[bytes, bytes]]:
    """By what is wrong: the bytes, and the trusted block, empty where it is genesis."""
    one, far, validators = play.file(), play.far_file(), play.made.genesis.validators
    from_block, trusted = play.trusted()
    shown = one.receipts[0]
    again = replace(play.header, time=play.header.time + 1)
    first, second = far.handovers
    forged = replace(first, certificate=play.signed(first.header, validators, [0, 1]))
    stranger = sorted([Validator(identity, key.public) for identity, key in BY_ID.items()][:1], key=lambda v: v.id)
    stolen = replace(play.header, validators_hash=validators_hash(stranger), proposer=stranger[0].id)
    alice, nobody = play.record("alice"), play.record("")
    ordered = sorted((alice, nobody), key=lambda r: r.key)
    holding = play.file(1, ordered)
    told: dict[str, ReceiptFile] = {
        "another kind": replace(one, kind="a receipt"),
        "another version": replace(one, version=2),
        "nothing shown": replace(one, receipts=[]),
        "signed by too few": replace(one, certificate=play.signed(play.header, validators, [0, 1])),
        "a certificate for another block": replace(one, certificate=play.signed(again, validators)),
        "a header that nobody signed": replace(one, header=again),
        "a header of another version": _resigned(one, replace(play.header, version=2), play, validators),
        "a header of another chain": _resigned(one, replace(play.header, chain_id=bytes(32)), play, validators),
        "signed by a set of the sender's own": replace(one, header=stolen, certificate=play.signed(stolen, stranger, [0])),
        "signed with a validator's old key": play.rotated("old"),
        "a receipt of another height": replace(one, header=play.second, certificate=play.signed(play.second, validators)),
        "signed by the set before a handover": replace(far, certificate=play.signed(play.far, validators)),
        "a handover left out": replace(far, handovers=[second]),
        "both handovers left out": replace(far, handovers=[]),
        "handovers in another order": replace(far, handovers=[second, first]),
        "a handover twice": replace(far, handovers=[first, first, second]),
        "a handover signed by too few": replace(far, handovers=[forged, second]),
        "a handover to another set": replace(far, handovers=[replace(first, validators=validators), second]),
        "a handover that hands over to nobody": replace(far, handovers=[_kept(first, play, validators), *far.handovers]),
        "a handover of the block's own height": replace(
            far, handovers=[*far.handovers, ValidatorSetChange(play.far, play.far_certificate, play.last)]
        ),
        "another transaction": replace(one, receipts=[replace(shown, tx=play.raws[1])]),
        "the receipt of another transaction of the block": replace(
            one, receipts=[replace(shown, tx=play.raws[1], tx_path=play.receipt(2).tx_path)]
        ),
        "a receipt that another transaction's path leads to": replace(one, receipts=[replace(shown, path=play.receipt(2).path)]),
        "the path of another transaction": replace(one, receipts=[replace(shown, tx_path=play.receipt(2).tx_path)]),
        "a receipt without its transaction": replace(one, receipts=[replace(shown, tx=b"", tx_path=[])]),
        "a path for no transaction": replace(one, receipts=[replace(play.receipt(0), tx_path=shown.tx_path)]),
        "another outcome": replace(one, receipts=[replace(shown, receipt=encode(Receipt(tx_id(play.raws[0]), 3, [])))]),
        "a step too few": replace(one, receipts=[replace(shown, path=shown.path[:-1])]),
        "a step too many": replace(one, receipts=[replace(shown, path=[*shown.path, shown.path[0]])]),
        "a sibling on the other side": replace(one, receipts=[replace(shown, path=[_turned(shown.path[0]), *shown.path[1:]])]),
        "a node of the tree as a receipt": replace(one, receipts=[_of_a_node(play)]),
        "another record": replace(holding, records=[replace(r, record=[b"\x90"] if r.record else []) for r in ordered]),
        "a record as if it were absent": replace(holding, records=[replace(r, record=[]) for r in ordered]),
        "an absent record as if it were there": replace(holding, records=[replace(nobody, record=alice.record)]),
        "the proof of another key": replace(holding, records=[replace(alice, proof=nobody.proof)]),
        "records in another order": replace(holding, records=ordered[::-1]),
        "a record twice": replace(holding, records=[alice, alice]),
        "a record of another block": replace(far, records=[_claimed_record()]),
        "a trusted block where a genesis is trusted": from_block,
        "a trusted block besides all handovers from genesis": replace(far, trusted=from_block.trusted),
        "a handover above the block": play.early(),
    }
    told |= _of_a_lying_quorum(play)
    told["a record as if it were absent, shown by its own leaf"] = replace(one, receipts=[], records=[_by_own_leaf(alice)])
    told["a record with a leaf that is no part of its proof"] = replace(
        one, receipts=[], records=[replace(alice, proof=replace(alice.proof, other=bytes(64)))]
    )
    begin = from_block.trusted[0]
    bad_begin = TrustedBlock(begin.header, validators)
    follow = begin.validators
    foreign = replace(play.far, chain_id=bytes(32))
    same = replace(play.far, height=begin.header.height, proposer=follow[begin.header.height % len(follow)].id)
    same = replace(same, validators_hash=validators_hash(follow))
    own = replace(stolen, height=71, validators_hash=validators_hash(stranger))
    told_trusted: dict[str, tuple[ReceiptFile, bytes]] = {
        "genesis where a block is trusted": (far, trusted),
        "another trusted block": (from_block, bytes(32)),
        "a trusted block with another set": (replace(from_block, trusted=[bad_begin]), trusted),
        "a handover of the trusted block itself": (replace(from_block, handovers=far.handovers), trusted),
        "a block below the trusted one": (replace(one, trusted=from_block.trusted), trusted),
        "a block of the trusted one's height, signed by the set behind it": (
            replace(from_block, handovers=[], header=same, certificate=play.signed(same, follow)),
            trusted,
        ),
        "a block of another chain, signed for the trusted block's": (
            replace(from_block, header=foreign, certificate=_signed_for(begin.header.chain_id, foreign, play.last)),
            trusted,
        ),
        "a trusted block with a set of the sender's own, and a block that this one signed": (
            replace(
                from_block,
                trusted=[TrustedBlock(begin.header, stranger)],
                handovers=[],
                header=own,
                certificate=play.signed(own, stranger, [0]),
            ),
            trusted,
        ),
    }
    found = {why: (encode(file), b"") for why, file in told.items()}
    found |= {why: (encode(file), begin) for why, (file, begin) in told_trusted.items()}
    raw = encode(one)
    found |= {"a byte missing": (raw[:-1], b""), "a byte more": (raw + b"\x00", b""), "no bytes": (b"", b"")}
    found["another encoding"] = (raw[:1] + b"\xd9" + bytes([raw[1] & 31]) + raw[2:], b"")
    return found


def _of_a_lying_quorum(play: _Play) -> dict[str, ReceiptFile]:
    """What more than two thirds signed and no honest one would: each breaks one rule, and nothing else tells it."""
    one, far, validators = play.file(), play.far_file(), play.made.genesis.validators
    first, second = far.handovers
    good, header = one.certificate, play.header
    high = (ORDER - int.from_bytes(good.signatures[0][32:], "big")).to_bytes(32, "big")
    later = replace(header, round=1, proposer=validators[(header.height + 1) % 4].id)
    foreign = replace(first.header, chain_id=bytes(32))
    level = replace(second.header, height=first.header.height, proposer=first.validators[7 % len(first.validators)].id)
    turned = first.validators[::-1]
    unsorted = replace(first.header, next_validators_hash=validators_hash(turned))
    by_turned = replace(play.far, validators_hash=validators_hash(turned), proposer=turned[71 % len(turned)].id)
    return {
        "a header that names another set than signed it": _resigned(
            one, replace(header, validators_hash=validators_hash(play.last)), play, validators
        ),
        "a certificate of a round before the header's": _resigned(one, later, play, validators),
        "a header of a proposer whose turn it was not": _resigned(
            one, replace(header, proposer=validators[(header.height + 1) % 4].id), play, validators
        ),
        "a signer that stands twice": replace(one, certificate=play.signed(header, validators, [0, 0, 1])),
        "signers out of order": replace(one, certificate=play.signed(header, validators, [0, 2, 1])),
        "a signature in its other form": replace(
            one, certificate=replace(good, signatures=[good.signatures[0][:32] + high, *good.signatures[1:]])
        ),
        "a handover of another chain, signed for this one": replace(
            far,
            handovers=[ValidatorSetChange(foreign, _signed_for(header.chain_id, foreign, validators), first.validators), second],
        ),
        "two handovers of one height": replace(
            far, handovers=[first, ValidatorSetChange(level, play.signed(level, first.validators), second.validators)]
        ),
        "a handover to a set that is not sorted": replace(
            far,
            handovers=[ValidatorSetChange(unsorted, play.signed(unsorted, validators), turned)],
            header=by_turned,
            certificate=play.signed(by_turned, turned),
        ),
    }


def _signed_for(chain_id: bytes, header: Header, members: list[Validator]) -> Certificate:
    signers = list(range(2 * len(members) // 3 + 1))
    return certify(chain_id, header.height, 0, block_id(header), members, signers)


def _by_own_leaf(shown: ProvenRecord) -> ProvenRecord:
    """Its place is taken by another leaf, says the file, and shows the one of the record itself."""
    leaf = sha256(shown.key) + sha256(shown.record[0])
    return ProvenRecord(shown.key, [], replace(shown.proof, other=leaf))


def _resigned(file: ReceiptFile, header: Header, play: _Play, members: list[Validator]) -> ReceiptFile:
    return replace(file, header=header, certificate=play.signed(header, members))


def _kept(change: ValidatorSetChange, play: _Play, members: list[Validator]) -> ValidatorSetChange:
    header = replace(change.header, height=3, proposer=members[3 % 4].id, next_validators_hash=change.header.validators_hash)
    return ValidatorSetChange(header, play.signed(header, members), members)


def _turned(step: PathStep) -> PathStep:
    return PathStep(not step.left, step.sibling)


def _of_a_node(play: _Play) -> ProvenReceipt:
    """What two leaves are joined from is no item: leaves and nodes are hashed apart."""
    left = list_root(play.receipts[:1])
    right = list_root(play.receipts[1:2])
    return ProvenReceipt(left + right, _path(play.receipts, 0)[1:], b"", [])


def _claimed_record() -> ProvenRecord:
    other = Chain()
    other.block([other.transfer("bob", "alice", 2)])
    key = account_key(id_of("alice"))
    record, proof = other.state.prove(key)
    return ProvenRecord(key, [record or b""], proof)
