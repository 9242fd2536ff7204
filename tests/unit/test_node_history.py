"""Whose history a block's events stand in, and that each is told there once."""

from __future__ import annotations

from learningchain.chain.node.history import concerned, index_accounts, lines
from learningchain.chain.types import Event, LogEvent, Receipt, TransferEvent

ALICE, BOB = b"a" * 20, b"b" * 20
JOB, ESCROW = b"j" * 32, b"j" * 32 + b"B"
TX = b"t" * 32


def moved(source: bytes, target: bytes) -> Event:
    return TransferEvent("test", source, target, 5, JOB)


def test_a_movement_is_told_to_both_of_its_accounts_once() -> None:
    assert concerned(moved(ALICE, BOB)) == [ALICE, BOB]
    assert concerned(moved(ALICE, ALICE)) == [ALICE], "credits that freeze stay where they are"
    assert concerned(moved(ALICE, ESCROW)) == concerned(moved(ESCROW, ALICE)) == [ALICE], "an escrow is nobody's"
    assert concerned(moved(b"", BOB)) == concerned(moved(BOB, b"")) == [BOB], "minted, burned"


def test_what_happened_is_told_to_its_account_or_subject_and_to_nobody_else() -> None:
    assert concerned(LogEvent("strike", ALICE, [])) == [ALICE]
    assert concerned(LogEvent("claim", JOB, [ALICE])) == [JOB]
    assert concerned(LogEvent("parked", ESCROW, [])) == concerned(LogEvent("parked", b"", [])) == []


def test_a_receipt_with_several_events_of_an_account_is_named_once_and_told_in_their_order() -> None:
    first, second = moved(ALICE, BOB), LogEvent("strike", ALICE, ["late"])
    receipts = [Receipt(bytes(32), 0, []), Receipt(TX, 0, [first, second, moved(BOB, ALICE)]), Receipt(TX, 0, [second])]
    assert index_accounts(receipts) == [(ALICE, [1, 2]), (BOB, [1])]
    assert [(line.tx, line.event) for line in lines(ALICE, receipts[1])] == [(TX, event) for event in receipts[1].events]
    assert [line.event for line in lines(BOB, receipts[1])] == [first, moved(BOB, ALICE)]
