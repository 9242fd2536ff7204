"""What a transaction needs to stand in a block, and what becomes of it there: LC-TX-4 to LC-TX-8."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Approve, CreditCode, Transfer, TransferFrom, allowance, supply
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import BrokenInvariant, Code, InvalidBlock, InvalidTx, Reject, TxCode
from learningchain.chain.host import Host
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.types import LogEvent, SignedTx, TransferEvent, TxBody
from tests.unit.ledger_kit import GRANT, Act, Chain, genesis_of, id_of, own_contract


def pay(amount: int = 1, to: str = "bob") -> Transfer:
    return Transfer(id_of(to), amount, b"")


def refusal(chain: Chain, *txs: Any) -> TxCode:
    """The code for which the last transaction cannot stand in a block behind the others; the block is then invalid."""
    with pytest.raises(InvalidBlock):
        chain.try_(*txs)
    skipped = chain.try_(*txs, building=True).skipped
    assert [tx for tx, _ in skipped] == [txs[-1]]
    return skipped[0][1].code


# --- validity -----------------------------------------------------------------------------------------------------------------


def test_a_good_transfer_moves_credits_and_leaves_a_receipt() -> None:
    chain = Chain()
    receipts = chain.block(chain.tx("alice", Transfer(id_of("bob"), 300, b"rent")))
    assert receipts[1].events == [TransferEvent("transfer", id_of("alice"), id_of("bob"), 300, b"rent")]
    assert (chain.account("alice").balance, chain.account("bob").balance) == (GRANT - 300, GRANT + 300)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"net": 1}, TxCode.FOREIGN_NETWORK),
        ({"signer": "bob"}, TxCode.BAD_SIGNATURE),
        ({"sender": bytes(20)}, TxCode.UNKNOWN_SENDER),
        ({"valid_until": 0}, TxCode.EXPIRED),
        ({"valid_until": 10**9}, TxCode.TOO_FAR_AHEAD),
        ({"sequence": 1}, TxCode.SEQUENCE_GAP),
        ({"sequence": 2**63 - 1}, TxCode.SEQUENCE_GAP),
    ],
)
def test_a_transaction_that_cannot_stand_makes_the_block_invalid(changed: dict[str, Any], code: TxCode) -> None:
    chain = Chain()
    assert refusal(chain, chain.tx("alice", pay(), **changed)) is code


def test_it_may_stand_up_to_the_height_it_names() -> None:
    chain = Chain()
    tx = chain.tx("alice", pay(), valid_until=2)
    chain.block()
    assert chain.codes(tx) == [0]


def test_a_transaction_stands_once() -> None:
    chain = Chain()
    tx = chain.tx("alice", pay())
    assert refusal(chain, tx, parse_tx(tx.raw)) is TxCode.SEQUENCE_USED
    chain.block(tx)
    assert refusal(chain, tx) is TxCode.SEQUENCE_USED


def test_lanes_are_independent_and_each_is_in_order() -> None:
    chain = Chain()
    lanes = [chain.tx("alice", pay(), lane=lane) for lane in (3, 0, 3, 1)]
    assert chain.codes(*lanes) == [0] * 4
    assert chain.account("alice").sequences == [1, 1, 0, 2]
    assert refusal(chain, chain.tx("alice", pay(), lane=2, sequence=1)) is TxCode.SEQUENCE_GAP


def test_an_account_has_a_quota_in_each_block() -> None:
    chain = Chain(genesis_of("alice", "bob", quota=2))
    first, second, third = (chain.tx("alice", pay()) for _ in range(3))
    assert refusal(chain, first, second, third) is TxCode.QUOTA
    assert chain.codes(first, chain.tx("bob", pay(to="alice")), second) == [0, 0, 0]
    assert chain.codes(third) == [0]


def test_what_is_refused_takes_of_the_quota_as_well() -> None:
    """LC-TX-4: the transactions that stand before it count, whatever became of them."""
    chain = Chain(genesis_of("alice", "bob", quota=2))
    poor, good, third = chain.tx("alice", pay(GRANT + 1)), chain.tx("alice", pay()), chain.tx("alice", pay())
    assert refusal(chain, poor, good, third) is TxCode.QUOTA
    assert chain.codes(poor, good) == [Code.INSUFFICIENT_CREDITS, 0]
    assert chain.codes(third) == [0]


def test_the_order_of_tests_is_that_of_the_spec() -> None:
    """Everything is wrong with this one; the faults are told in turn as they are mended."""
    chain = Chain()
    wrong: dict[str, Any] = {"net": 1, "sender": bytes(20), "signer": "bob", "valid_until": 0, "sequence": 7}
    told = [refusal(chain, chain.tx("alice", pay(), **wrong))]
    for name, code in (
        ("net", TxCode.UNKNOWN_SENDER),
        ("sender", TxCode.BAD_SIGNATURE),
        ("signer", TxCode.EXPIRED),
        ("valid_until", TxCode.SEQUENCE_GAP),
    ):
        del wrong[name]
        told.append(refusal(chain, chain.tx("alice", pay(), **wrong)))
        assert told[-1] is code
    assert told[0] is TxCode.FOREIGN_NETWORK


@pytest.mark.parametrize("changed", [b"", b"\xc0", b"\x92\x96", bytes(70_000)])
def test_bytes_that_are_no_transaction_are_malformed(changed: bytes) -> None:
    with pytest.raises(InvalidTx) as refused:
        parse_tx(changed)
    assert refused.value.code is TxCode.MALFORMED


@pytest.mark.parametrize(
    "op",
    [b"\xc0", b"\x80", b"\x91\x20", b"\xdc\x00\x04\x20" + b"\xc4\x14" + bytes(20) + b"\x01\xc4\x00", b"\x91\xcd\x7f\xff", b"\x01"],
    ids=["nil", "map", "fields missing", "a wide head", "unknown tag", "a number"],
)
def test_a_message_must_be_canonical_too(op: bytes) -> None:
    body = TxBody(0, bytes(20), 0, 0, 1, [msgspec.Raw(op)])
    with pytest.raises(InvalidTx) as refused:
        parse_tx(encode(SignedTx(body, bytes(64))))
    assert refused.value.code is TxCode.MALFORMED


def test_a_signature_found_good_once_is_not_trusted_for_another_chain() -> None:
    chain, other = Chain(), Chain(genesis_of("alice", "bob", quota=9))
    tx = chain.tx("alice", pay())
    chain.try_(tx)
    assert refusal(other, tx) is TxCode.FOREIGN_NETWORK


# --- messages -----------------------------------------------------------------------------------------------------------------


def test_a_refused_message_undoes_all_of_its_transaction_but_the_sequence() -> None:
    chain = Chain()
    tx = chain.tx("alice", pay(10), pay(GRANT), pay(10))
    receipts = chain.block(tx, chain.tx("bob", pay(5, "alice")))
    assert (receipts[1].code, receipts[1].events, receipts[2].code) == (Code.INSUFFICIENT_CREDITS, [], 0)
    assert (chain.account("alice").balance, chain.account("alice").sequences[0]) == (GRANT + 5, 1)
    assert refusal(chain, tx) is TxCode.SEQUENCE_USED


def test_messages_of_a_batch_see_each_other() -> None:
    chain = Chain()
    assert chain.codes(chain.tx("alice", Approve(id_of("bob"), 0, 7), Approve(id_of("bob"), 7, 3), pay(GRANT))) == [0]
    assert allowance(chain.state, id_of("alice"), id_of("bob")) == 3
    assert chain.account("alice").balance == 0


def test_the_order_in_a_block_is_drawn_by_the_parent_s_beacon(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-TX-8"""
    seen: list[bytes] = []
    own_contract(monkeypatch, {"look": lambda host, sender, m: seen.append(host.position)})
    chain = Chain()
    parent = chain.beacon
    tx = chain.tx("alice", Act("look"), Act("look"))
    chain.block(tx)
    assert seen == [(1).to_bytes(8, "big") + sha256(parent + tx.id) + bytes([index]) for index in (0, 1)]


# --- faults of our own --------------------------------------------------------------------------------------------------------


def cheat(host: Host, sender: bytes, m: Act) -> None:
    """Makes credits out of nothing."""
    account = host.known_account(sender)
    host._hold(sender, account, account.status, account.balance + 1, account.frozen)


def stumble(host: Host, sender: bytes, m: Act) -> None:
    host.emit("stumbled", sender)
    raise KeyError("a bug")


@pytest.mark.parametrize("what", [cheat, stumble])
def test_a_broken_contract_never_gets_into_a_block(monkeypatch: pytest.MonkeyPatch, what: Any) -> None:
    """LC-BLK-15: left out while building, as if it had not come; in another's block it is our fault, not the block's."""
    own_contract(monkeypatch, {"do": what})
    chain = Chain()
    bad, good = chain.tx("alice", Act("do")), chain.tx("bob", pay(3, "alice"))
    with pytest.raises(BrokenInvariant):
        chain.try_(bad, good)
    built = chain.try_(bad, good, building=True)
    assert [(tx, fault.code) for tx, fault in built.skipped] == [(bad, TxCode.QUARANTINED)]
    assert built.state_root == chain.try_(good).state_root
    assert [r.code for r in built.receipts] == [0, 0]
    chain.block(bad, good, building=True)
    assert chain.account("alice").sequences == [0] * 4


def test_a_quarantined_transaction_costs_no_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    own_contract(monkeypatch, {"do": cheat})
    chain = Chain(genesis_of("alice", "bob", quota=1))
    bad, good = chain.tx("alice", Act("do"), lane=1), chain.tx("alice", pay())
    assert [tx for tx, _ in chain.try_(bad, good, building=True).skipped] == [bad]


def test_a_contract_that_loses_credits_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(host: Host, sender: bytes, m: Act) -> None:
        host.lock(sender, b"e" * 32, 10, "lost", b"")
        host.delete(b"e/" + b"e" * 32)

    own_contract(monkeypatch, {"do": lose})
    chain = Chain()
    with pytest.raises(BrokenInvariant, match="changed by -10, mints and burns by 0"):
        chain.try_(chain.tx("alice", Act("do")))


def test_a_contract_may_mint_and_burn_by_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def honest(host: Host, sender: bytes, m: Act) -> None:
        host.mint(sender, 50, "found", b"")
        host.lock(sender, b"e" * 32, 30, "in", b"")
        host.burn(b"e" * 32, 20, "out", b"")

    own_contract(monkeypatch, {"do": honest})
    chain = Chain()
    assert chain.codes(chain.tx("alice", Act("do")), building=True) == [0]
    assert supply(chain.state) == {"minted": 6 * GRANT + 50, "burned": 20, "supply": 6 * GRANT + 30}
    assert chain.state.total() == 6 * GRANT + 30


def test_a_refusal_after_a_mint_undoes_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(host: Host, sender: bytes, m: Act) -> None:
        host.mint(sender, 50, "found", b"")
        raise Reject(7, "no")

    own_contract(monkeypatch, {"do": refuse})
    chain = Chain()
    assert chain.codes(chain.tx("alice", Act("do"))) == [7]
    assert supply(chain.state)["minted"] == 6 * GRANT == chain.state.total()


# --- credits ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "code"),
    [
        (Transfer(id_of("bob"), 0, b""), Code.BAD_AMOUNT),
        (Transfer(id_of("alice"), 5, b""), CreditCode.SELF_TRANSFER),
        (Transfer(bytes(20), 5, b""), Code.UNKNOWN_ACCOUNT),
        (Transfer(id_of("bob"), GRANT + 1, b""), Code.INSUFFICIENT_CREDITS),
        (Transfer(id_of("bob"), 2**63 - 1, b""), Code.INSUFFICIENT_CREDITS),
        (Approve(bytes(20), 0, 5), Code.UNKNOWN_ACCOUNT),
        (Approve(id_of("alice"), 0, 5), CreditCode.SELF_TRANSFER),
        (Approve(id_of("bob"), 1, 5), CreditCode.ALLOWANCE_CHANGED),
        (TransferFrom(id_of("bob"), id_of("alice"), 0), Code.BAD_AMOUNT),
        (TransferFrom(id_of("bob"), id_of("bob"), 1), CreditCode.SELF_TRANSFER),
        (TransferFrom(id_of("bob"), id_of("alice"), 1), CreditCode.ALLOWANCE_TOO_SMALL),
    ],
)
def test_what_credits_refuse(op: Any, code: int) -> None:
    chain = Chain()
    assert chain.codes(chain.tx("alice", op)) == [code]
    assert chain.account("alice").balance == chain.account("bob").balance == GRANT


def test_an_allowance_is_changed_only_by_who_knows_it() -> None:
    """Compare-and-set: two changes made at the same time cannot both hold."""
    chain = Chain()
    spend = TransferFrom(id_of("alice"), id_of("v1"), 4)
    receipts = chain.block(chain.tx("alice", Approve(id_of("bob"), 0, 10)), chain.tx("bob", spend))
    assert receipts[1].events == [LogEvent("approve", id_of("alice"), [id_of("bob"), 10])]
    assert receipts[2].events == [TransferEvent("transfer-from", id_of("alice"), id_of("v1"), 4, id_of("bob"))]
    for expected in (10, 5, 0):
        assert chain.codes(chain.tx("alice", Approve(id_of("bob"), expected, 20))) == [CreditCode.ALLOWANCE_CHANGED]
    assert chain.codes(chain.tx("bob", TransferFrom(id_of("alice"), id_of("bob"), 7))) == [CreditCode.ALLOWANCE_TOO_SMALL]
    assert chain.codes(chain.tx("bob", TransferFrom(id_of("alice"), id_of("bob"), 6))) == [0]
    assert chain.state.get(b"ca/" + id_of("alice") + id_of("bob")) is None
    assert chain.account("alice").balance == GRANT - 10


def test_an_allowance_above_the_owner_s_credits_takes_what_is_there_and_no_more() -> None:
    chain = Chain()
    chain.block(chain.tx("alice", Approve(id_of("bob"), 0, 2**63 - 1)))
    assert chain.codes(chain.tx("bob", TransferFrom(id_of("alice"), id_of("bob"), GRANT + 1))) == [Code.INSUFFICIENT_CREDITS]
    assert chain.codes(chain.tx("bob", TransferFrom(id_of("alice"), id_of("bob"), GRANT))) == [0]
    assert allowance(chain.state, id_of("alice"), id_of("bob")) == 2**63 - 1 - GRANT
