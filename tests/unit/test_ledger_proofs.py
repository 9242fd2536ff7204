"""What is believed of others without executing a block: who signed a header, what a block changed, what a bucket holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.buckets import BUCKETS, MAX_KEY, build, number_of, subroot_of
from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import ZERO_HASH, sha256
from learningchain.chain.errors import BrokenInvariant, Malformed
from learningchain.chain.host import K_VALIDATORS, Account, Validators, account_key
from learningchain.chain.ledger.snapshot import (
    MAX_DEPTH,
    ValidatorSetChange,
    check_signed,
    follow_validator_change,
    make_bucket,
    number_over,
)
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.ledger.state_diff import Record, StateDiff, changes_of, follow
from learningchain.chain.ledger.transition import Executed, validators_of
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.chain.types import (
    PRECOMMIT,
    Certificate,
    Header,
    Validator,
    block_id,
    quorum,
    validators_hash,
    vote_digest,
)
from tests.unit.ledger_kit import Chain, id_of, key_of

CHAIN = sha256(b"a chain")


def a_set(*names: str) -> list[Validator]:
    return sorted((Validator(id_of(name), key_of(name).public) for name in names), key=lambda v: v.id)


BEFORE, AFTER = a_set("v1", "v2", "v3", "v4"), a_set("v2", "v3", "v4", "v5")
KEYS = {id_of(f"v{i}"): key_of(f"v{i}") for i in range(1, 6)}


def header_of(**changed: Any) -> Header:
    """Of height 10 and round 1, by the one whose turn that is."""
    fields: dict[str, Any] = {
        **dict.fromkeys(("parent", "tx_root", "receipt_root", "state_root", "reveal", "commitment"), ZERO_HASH),
        "version": PROTOCOL_VERSION,
        "chain_id": CHAIN,
        "height": 10,
        "round": 1,
        "proposer": BEFORE[11 % 4].id,
        "time": 5,
        "validators_hash": validators_hash(BEFORE),
        "next_validators_hash": validators_hash(AFTER),
    }
    return Header(**(fields | changed))


def signed(header: Header, *, height: int = 0, round_: int = 1, of: bytes = b"") -> Certificate:
    height, of = height or header.height, of or block_id(header)
    digest = vote_digest(CHAIN, PRECOMMIT, height, round_, of)
    chosen = list(range(quorum(len(BEFORE))))
    return Certificate(height, round_, of, chosen, [KEYS[BEFORE[i].id].sign(digest) for i in chosen])


# --- who signed -------------------------------------------------------------------------------------------------------------------


def test_a_header_may_be_decided_in_its_round_or_a_later_one() -> None:
    header = header_of()
    for round_ in (1, 2, 9):
        check_signed(CHAIN, header, signed(header, round_=round_), BEFORE)


@pytest.mark.parametrize(
    ("changed", "more", "why"),
    [
        ({"version": PROTOCOL_VERSION + 1}, {}, "this program does not know"),
        ({"version": 0}, {}, "another chain"),
        ({"chain_id": bytes(32)}, {}, "another chain"),
        ({}, {"height": 11}, "another block"),
        ({}, {"of": bytes(32)}, "another block"),
        ({"validators_hash": validators_hash(AFTER)}, {}, "another validator set"),
        ({}, {"round_": 0}, "another round or proposer"),
        ({"proposer": BEFORE[0].id}, {}, "another round or proposer"),
        ({"round": 0}, {}, "another round or proposer"),
    ],
)
def test_a_certificate_is_for_one_block_of_one_chain_by_one_set(changed: dict[str, Any], more: dict[str, Any], why: str) -> None:
    """Each of them is well signed: only what it is for is another."""
    header = header_of(**changed)
    with pytest.raises(Malformed, match=why):
        check_signed(CHAIN, header, signed(header, **more), BEFORE)


@pytest.mark.parametrize(
    ("named", "told", "why"),
    [
        (BEFORE, BEFORE, "hands over to nobody else"),
        (AFTER, BEFORE, "another set than the header names"),
        (AFTER[::-1], AFTER[::-1], "sorted by id"),
        ([*AFTER, AFTER[-1]], [*AFTER, AFTER[-1]], "each id once"),
    ],
)
def test_a_handover_names_another_set_and_a_sound_one(named: list[Validator], told: list[Validator], why: str) -> None:
    header = header_of()
    assert follow_validator_change(CHAIN, ValidatorSetChange(header, signed(header), AFTER), BEFORE) == AFTER
    header = header_of(next_validators_hash=validators_hash(named))
    with pytest.raises(Malformed, match=why):
        follow_validator_change(CHAIN, ValidatorSetChange(header, signed(header), told), BEFORE)


# --- what a block did -------------------------------------------------------------------------------------------------------------


class Taken:
    """A block of one transfer, and the state before it."""

    def __init__(self) -> None:
        chain = Chain()
        self.state = State.load(list(chain.state.items()))
        chain.block(chain.tx("alice", Transfer(id_of("bob"), 5, b"")))
        assert chain.last is not None
        self.done: Executed = chain.last
        self.changes = changes_of(self.done.encoded)
        self.header = header_of(
            receipt_root=self.done.receipt_root,
            state_root=self.done.state_root,
            next_validators_hash=validators_hash(self.done.next_validators),
        )

    def follow(
        self, changes: StateDiff | None = None, receipts: list[bytes] | None = None, header: Header | None = None
    ) -> Executed:
        receipts = self.done.receipt_bytes if receipts is None else receipts
        return follow(self.state, header or self.header, 1, receipts, changes or self.changes)


@pytest.fixture(scope="module")
def taken() -> Taken:
    return Taken()


def test_what_is_taken_over_is_what_executing_gives(taken: Taken) -> None:
    found = taken.follow()
    for name in ("receipts", "receipt_bytes", "receipt_root", "changes", "encoded", "state_root", "next_validators"):
        assert getattr(found, name) == getattr(taken.done, name), name


OTHER = account_key(id_of("v1"))
PUT_TWICE: dict[str, Callable[[StateDiff], StateDiff]] = {
    "put twice": lambda c: replace(c, put=[c.put[0], *c.put]),
    "put and removed": lambda c: replace(c, gone=[c.put[0].key]),
    "removed twice": lambda c: replace(c, gone=[OTHER, OTHER]),
    "put out of order": lambda c: replace(c, put=c.put[::-1]),
    "removed out of order": lambda c: replace(c, gone=[account_key(b"\xff" * 20), account_key(bytes(20))]),
}


@pytest.mark.parametrize("what", PUT_TWICE)
def test_changes_name_each_key_once_and_in_order(taken: Taken, what: str) -> None:
    with pytest.raises(Malformed, match="name a key twice, or not in order"):
        taken.follow(PUT_TWICE[what](taken.changes))


def test_changes_name_nothing_that_stayed_as_it_was(taken: Taken) -> None:
    """Also beside true ones: the root would be the same, and nodes would store other changes."""
    same = Record(OTHER, encode(taken.state.get(OTHER)))
    with pytest.raises(Malformed, match="what did not change"):
        taken.follow(replace(taken.changes, put=sorted([*taken.changes.put, same], key=lambda record: record.key)))
    with pytest.raises(Malformed, match="what did not change"):
        taken.follow(replace(taken.changes, gone=[account_key(bytes(20))]))


def test_every_transaction_has_a_receipt_and_the_block_one(taken: Taken) -> None:
    first, second = taken.done.receipt_bytes
    for receipts in ([], [first], [first, second, second]):
        with pytest.raises(Malformed, match=f"{len(receipts)} receipts for 1 transactions"):
            taken.follow(receipts=receipts)


def test_changes_that_lead_elsewhere_are_refused_and_leave_the_state_as_it_was(taken: Taken) -> None:
    root = taken.state.root
    with pytest.raises(Malformed, match="do not lead to the state"):
        taken.follow(replace(taken.changes, gone=[OTHER]))
    with pytest.raises(Malformed, match="do not lead to the state"):
        taken.follow(StateDiff([], []))
    assert taken.state.root == root


def test_removed_and_written_records_come_in_one_order(taken: Taken) -> None:
    """As executing gives them: the database and the listings take them as they come."""
    overlay = Overlay(taken.state)
    overlay.delete(OTHER)
    for name in ("alice", "v4"):
        account = taken.state.get(account_key(id_of(name)))
        assert isinstance(account, Account)
        overlay.put(account_key(id_of(name)), replace(account, balance=account.balance - 1))
    _, encoded, tree = overlay.finish()
    header = replace(taken.header, state_root=tree.root)
    found = taken.follow(changes_of(encoded), header=header)
    assert found.encoded == encoded == sorted(encoded)
    assert [key for key, _ in found.changes] == [key for key, _ in encoded]


def test_the_next_validators_are_those_that_the_block_left(taken: Taken) -> None:
    overlay = Overlay(taken.state)
    overlay.put(K_VALIDATORS, Validators(11, AFTER))
    _, encoded, tree = overlay.finish()
    header = replace(taken.header, state_root=tree.root, next_validators_hash=validators_hash(AFTER))
    assert taken.follow(changes_of(encoded), header=header).next_validators == AFTER
    with pytest.raises(BrokenInvariant, match="another next validator set"):
        taken.follow(changes_of(encoded), header=replace(header, next_validators_hash=validators_hash(validators_of(taken.state))))
    with pytest.raises(BrokenInvariant, match="another next validator set"):
        taken.follow(header=replace(taken.header, next_validators_hash=validators_hash(AFTER)))


# --- what a bucket holds ----------------------------------------------------------------------------------------------------------


def bucket_of(number: int, depth: int, *keys: bytes) -> tuple[bytes, bytes]:
    """(subroot, records as they are sent) of records with these keys."""
    items = sorted((sha256(key), key, b"\x01") for key in keys)
    return subroot_of(build(items, depth)), encode([part for _, key, raw in items for part in (key, raw)])


def test_a_record_belongs_to_a_subbucket_as_deep_as_they_go_and_not_to_its_neighbour() -> None:
    key = b"jp/" + bytes(32)
    prefix = int.from_bytes(sha256(key)[:8], "big") >> 64 - MAX_DEPTH
    subroot, raw = bucket_of(0, MAX_DEPTH, key)
    number = 1 << MAX_DEPTH | prefix
    assert make_bucket(number, subroot, raw)[0]
    for other in (number - 1, number + 1):
        with pytest.raises(Malformed, match="records of another bucket"):
            make_bucket(other, subroot, raw)
    for depth in (17, 18, MAX_DEPTH):
        over = 1 << depth | prefix >> MAX_DEPTH - depth
        assert number_over(sha256(key), frozenset([over, over + 1])) == over
        assert number_over(sha256(key), frozenset([over - 1, over + 1])) is None
    assert number_over(sha256(key), frozenset([number_of(sha256(key)), number])) == number_of(sha256(key)) < BUCKETS


def test_a_key_of_the_longest_length_travels_and_a_longer_one_does_not() -> None:
    key = b"jp/".ljust(MAX_KEY, b"x")
    subroot, raw = bucket_of(0, 16, key)
    assert make_bucket(number_of(sha256(key)), subroot, raw)[0]
    key += b"x"
    with pytest.raises(Malformed, match="holds keys and values"):
        make_bucket(number_of(sha256(key)), subroot, encode([key, b"\x01"]))


def test_records_come_in_one_encoding_and_with_their_own_hash() -> None:
    key = b"jp/" + bytes(32)
    number = number_of(sha256(key))
    subroot, raw = bucket_of(0, 16, key)
    assert raw[:1] == b"\x92"
    with pytest.raises(Malformed, match="another encoding"):
        make_bucket(number, subroot, b"\xdc\x00\x02" + raw[1:])
    with pytest.raises(Malformed, match="trailing"):
        make_bucket(number, subroot, raw + b"\x00")
    for wrong in (encode([key]), encode([]), encode([key, b"\x01", key])):
        with pytest.raises(Malformed, match="holds keys and values"):
            make_bucket(number, subroot, wrong)
    with pytest.raises(Malformed, match="other records than its subroot says"):
        make_bucket(number, subroot, encode([key, b"\x02"]))
