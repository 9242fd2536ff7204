"""Blocks whose transactions pay, are signed, follow one another and share the space: credits, sequences, lanes, bandwidth."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Allowance, Approve, Transfer, TransferFrom, allowance_key
from learningchain.chain.contracts.job import Reveal
from learningchain.chain.contracts.membership import (
    JudgeCase,
)
from learningchain.chain.host import (
    BANNED,
    K_PARAMS,
    SUSPENDED,
    account_key,
)
from learningchain.chain.params import MAX_INT, MAX_VALID_FOR
from learningchain.chain.types import (
    SignedTx,
)
from tests.vectors.executed import (
    ALICE,
    BOB,
    HEIGHT,
    JOB,
    NEXT,
    NOBODY,
    ORDER,
    V1,
    Maker,
    Records,
    account,
    clock,
    genesis_of_cases,
    pay_to,
    tx,
)
from tests.vectors.kit import id_of


def _credits() -> list[Maker]:
    gone = {account_key(NOBODY): None}
    allowed = {allowance_key(ALICE, BOB): Allowance(100)}
    banned = {account_key(BOB): account("bob", status=BANNED, balance=0)}
    suspended = {account_key(BOB): account("bob", status=SUSPENDED, balance=0, frozen=9)}
    owner_away = {account_key(ALICE): account("alice", status=SUSPENDED, balance=90, frozen=500)} | allowed
    owner_gone = {account_key(ALICE): account("alice", status=BANNED, balance=0)} | allowed

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
        one("from a suspended owner, what is free", "LC-CRD-4", "bob", f(ALICE, BOB, 90), records=owner_away),
        one("from a suspended owner, more than is free", "LC-CRD-4", "bob", f(ALICE, BOB, 91), records=owner_away),
        one("a transfer of what is free beside frozen credits", "LC-MEM-9", "alice", t(BOB, 90, b""), records=owner_away),
        one("a transfer of what is frozen", "LC-MEM-9", "alice", t(BOB, 91, b""), records=owner_away),
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
            "from a banned owner to nobody: the owner is tested first",
            "LC-CRD-5",
            "bob",
            f(ALICE, NOBODY, 1),
            records=owner_gone,
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


def _bandwidth() -> list[Maker]:
    """LC-TX-11 to 14: alice earns 144 bytes/s with 5 credits, 64 without any, and so does bob."""
    now = (clock() + NEXT) * 1_000
    window = 4_096_000_000
    end, params = now + window, genesis_of_cases().params
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
    few = {K_PARAMS: replace(genesis_of_cases().params, quota=2)}
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
        bad("banned and wrongly signed: the signature is tested first", tx("alice", pay, key="bob"), banned),
        bad("banned and expired: the standing is tested first", tx("alice", pay, valid_until=1), banned),
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


def cases() -> list[Maker]:
    return [*_credits(), *_transactions(), *_bandwidth()]
