"""The state that a block changes, its accounts and its credits, after `credits.md` and LC-TX-11 to LC-TX-13, LC-BLK-33.

The state is a dictionary of encoded records: the plainest reading of the rules.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.conformance import records as r
from tests.conformance.checks import Refused, check, step
from tests.conformance.wire import decode, encode

MAX_RECORD = 1_000_000
ACTIVE, SUSPENDED, BANNED = 0, 1, 2
MOVED, NOTED = 1, 2


class Account(NamedTuple):
    key: bytes
    status: int
    balance: int
    frozen: int
    sequences: list[int]
    arrival: int


class Params(NamedTuple):
    """LC-BLK-9, in the order of `constants.md`."""

    block_bytes: int
    block_txs: int
    block_work: int
    quota: int
    max_due: int
    max_due_work: int
    block_reward: int
    heartbeat: int
    max_step: int
    drift: int
    timeout_propose: int
    timeout_vote: int
    timeout_step: int
    timeout_max: int
    evidence_age: int
    bandwidth_base: int
    bandwidth_per_credit: int
    bandwidth_window: int


class MemberParams(NamedTuple):
    """LC-BLK-32, in the order of `constants.md`."""

    appeal: int
    standing_life: int
    join_policy: int
    invite_longest: int
    invite_rest: int
    invite_branch: int


class JobParams(NamedTuple):
    """LC-BLK-32, in the order of `constants.md`."""

    min_bounty: int
    rate: int
    min_open: int
    max_open: int
    reveal: int
    key: int
    vote_base: int
    open_votes: int
    max_claimants: int
    max_live: int
    max_live_bytes: int
    keep: int


class Parked(NamedTuple):
    height: int
    reason: str
    held: list[list[Any]]
    retry: list[bytes]
    give_back: list[bytes]


class State:
    """LC-MRK-7: records by key. What a block has done so far can be put back."""

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self.records = dict(records)
        self.events: list[Any] = []
        self.height = self.clock = self.work = 0
        self.tx, self.op = b"", 0
        """Transaction and place of the message that runs."""

    def get(self, key: bytes) -> Any:
        raw = self.records.get(key)
        return None if raw is None else decode(r.STATE[key[: key.index(b"/") + 1]], raw, MAX_RECORD)

    def put(self, key: bytes, fields: Any) -> None:
        self.records[key] = encode(list(fields))

    def drop(self, key: bytes) -> None:
        self.records.pop(key, None)

    def account(self, identity: bytes) -> Account | None:
        found = self.get(b"a/" + identity)
        return None if found is None else Account(*found)

    def set_account(self, identity: bytes, account: Account) -> None:
        before = self.account(identity)
        self.put(b"a/" + identity, account)
        if before is not None and before.balance != account.balance:
            bandwidth_follows_the_credits(self, identity, before, account)

    @property
    def params(self) -> Params:
        return Params(*self.get(b"gp/"))

    @property
    def member_params(self) -> MemberParams:
        return MemberParams(*self.get(b"gp2/"))

    def at(self, contract: int, clock: int) -> list[int]:
        """LC-BLK-35: the parameters of a contract in the block of this clock."""
        for end in (self.get(b"gw/" + bytes([contract])) or [[]])[0]:
            if end >= clock:
                past: list[int] = self.get(b"gx/" + bytes([contract]) + end.to_bytes(8, "big"))[1]
                return past
        present: list[int] = self.get(b"gp%d/" % contract)
        return present

    @property
    def validators(self) -> list[list[bytes]]:
        found: list[list[bytes]] = self.get(b"gv/")[1]
        return found

    @property
    def beacon(self) -> bytes:
        """After this block, once it runs."""
        found: bytes = self.get(b"g/")[4]
        return found

    @property
    def chain_id(self) -> bytes:
        found: bytes = self.get(b"g/")[0]
        return found

    def moved(self, reason: str, source: bytes, target: bytes, amount: int, ref: bytes) -> None:
        self.events.append([MOVED, reason, source, target, amount, ref])

    def noted(self, topic: str, ref: bytes, *data: Any) -> None:
        self.events.append([NOTED, topic, ref, list(data)])


# --- bandwidth: transactions.md, LC-TX-11 to LC-TX-14 ---------------------------------------------------------------------------


def rate(p: Params, account: Account) -> int:
    """LC-TX-11"""
    return p.bandwidth_base + p.bandwidth_per_credit * (account.balance // 1_000_000)


@step("LC-TX-13")
def bandwidth_follows_the_credits(s: State, identity: bytes, before: Account, after: Account) -> None:
    r, new, now, window = rate(s.params, before), rate(s.params, after), s.clock * 1_000, s.params.bandwidth_window * 1_000
    if r == new:
        return
    h = (window - max(0, before.arrival - now)) * r
    s.put(b"a/" + identity, after._replace(arrival=now + max(0, window - h // new)))


def charged(s: State, account: Account, size: int) -> int:
    """LC-TX-12"""
    return max(account.arrival, s.clock * 1_000) + -(-size * 1_000_000 // rate(s.params, account))


# --- deadlines: LC-BLK-14, LC-BLK-33 --------------------------------------------------------------------------------------------


def due_key(account: bytes, at: int, contract: int, ref: bytes) -> bytes:
    return b"d/" + account + at.to_bytes(8, "big") + bytes([contract]) + ref


def schedule(s: State, account: bytes, at: int, contract: int, ref: bytes) -> None:
    s.put(due_key(account, at, contract, ref), [contract, ref])


def cancel(s: State, account: bytes, at: int, contract: int, ref: bytes) -> None:
    s.drop(due_key(account, at, contract, ref))


def schedule_at_height(s: State, height: int, account: bytes, contract: int, ref: bytes) -> None:
    s.put(b"dh/" + height.to_bytes(8, "big") + due_key(account, s.clock, contract, ref)[2:], [contract, ref])


def cancel_at_height(s: State, height: int, account: bytes, at: int, contract: int, ref: bytes) -> None:
    s.drop(b"dh/" + height.to_bytes(8, "big") + due_key(account, at, contract, ref)[2:])
    cancel(s, account, at, contract, ref)


@step("LC-BLK-33")
def deadlines_of_the_next_height_join_the_others(s: State) -> None:
    waiting = sorted(key for key in s.records if key.startswith(b"dh/"))[: 2 * s.params.max_due]
    for key in waiting:
        if int.from_bytes(key[3:11], "big") <= s.height + 1:
            s.records[b"d/" + key[11:]] = s.records.pop(key)


# --- credits: credits.md ------------------------------------------------------------------------------------------------------


def count(s: State, minted: int, burned: int) -> None:
    before = s.get(b"gs/")
    s.put(b"gs/", [before[0] + minted, before[1] + burned])


def credit(s: State, identity: bytes, amount: int, reason: str, source: bytes, ref: bytes) -> None:
    """LC-CRD-6"""
    account = s.account(identity)
    if account is None:
        raise Refused("credits for nobody", 2)
    if account.status == BANNED:
        count(s, 0, amount)
        what_a_banned_one_would_get_is_remembered(s, identity, amount)
        s.moved(f"{reason}:banned", source, b"", amount, ref)
        return
    s.set_account(identity, account._replace(balance=account.balance + amount))
    s.moved(reason, source, identity, amount, ref)


@step("LC-CRD-6")
def what_a_banned_one_would_get_is_remembered(s: State, identity: bytes, amount: int) -> None:
    s.put(b"gz/" + identity, [(s.get(b"gz/" + identity) or [0])[0] + amount])


@check("LC-CRD-2", 3)
def an_amount_is_at_least_one(amount: int) -> bool:
    return amount >= 1


@check("LC-CRD-2", 100)
def nobody_transfers_to_itself(sender: bytes, target: bytes) -> bool:
    return sender != target


@check("LC-CRD-2", 2)
def the_target_has_an_account(s: State, target: bytes) -> bool:
    return s.account(target) is not None


@check("LC-CRD-2", 1)
def the_source_has_that_much_free(s: State, source: bytes, amount: int) -> bool:
    account = s.account(source)
    return account is not None and account.balance >= amount


def _move(s: State, source: bytes, target: bytes, amount: int, reason: str, ref: bytes) -> None:
    the_target_has_an_account(s, target)
    the_source_has_that_much_free(s, source, amount)
    account = s.account(source)
    assert account is not None
    s.set_account(source, account._replace(balance=account.balance - amount))
    credit(s, target, amount, reason, source, ref)


def transfer(s: State, sender: bytes, target: bytes, amount: int, memo: bytes) -> None:
    """LC-CRD-2"""
    an_amount_is_at_least_one(amount)
    nobody_transfers_to_itself(sender, target)
    _move(s, sender, target, amount, "transfer", memo)


@check("LC-CRD-3", 2)
def the_spender_has_an_account(s: State, spender: bytes) -> bool:
    return s.account(spender) is not None


@check("LC-CRD-3", 100)
def nobody_is_its_own_spender(sender: bytes, spender: bytes) -> bool:
    return sender != spender


@check("LC-CRD-3", 101)
def the_allowance_is_what_was_expected(present: int, expected: int) -> bool:
    return present == expected


def _allowance(s: State, owner: bytes, spender: bytes) -> int:
    found = s.get(b"ca/" + owner + spender)
    return found[0] if found else 0


def _set_allowance(s: State, owner: bytes, spender: bytes, amount: int) -> None:
    key = b"ca/" + owner + spender
    if amount:
        s.put(key, [amount])
    else:
        s.drop(key)


def approve(s: State, sender: bytes, spender: bytes, expected: int, amount: int) -> None:
    """LC-CRD-3"""
    the_spender_has_an_account(s, spender)
    nobody_is_its_own_spender(sender, spender)
    the_allowance_is_what_was_expected(_allowance(s, sender, spender), expected)
    _set_allowance(s, sender, spender, amount)
    s.noted("approve", sender, spender, amount)


@check("LC-CRD-4", 3)
def an_amount_taken_is_at_least_one(amount: int) -> bool:
    return amount >= 1


@check("LC-CRD-4", 100)
def owner_and_target_differ(owner: bytes, target: bytes) -> bool:
    return owner != target


@check("LC-CRD-4", 102)
def the_allowance_is_large_enough(present: int, amount: int) -> bool:
    return present >= amount


@check("LC-CRD-4", 2)
def the_owner_has_an_account(s: State, owner: bytes) -> bool:
    return s.account(owner) is not None


@check("LC-CRD-4", 103)
def the_owner_is_not_banned(s: State, owner: bytes) -> bool:
    account = s.account(owner)
    return account is not None and account.status != BANNED


@step("LC-CRD-4")
def the_allowance_shrinks(s: State, owner: bytes, spender: bytes, amount: int) -> None:
    _set_allowance(s, owner, spender, max(0, _allowance(s, owner, spender) - amount))


def transfer_from(s: State, sender: bytes, owner: bytes, target: bytes, amount: int) -> None:
    """LC-CRD-4"""
    an_amount_taken_is_at_least_one(amount)
    owner_and_target_differ(owner, target)
    the_allowance_is_large_enough(_allowance(s, owner, sender), amount)
    the_owner_has_an_account(s, owner)
    the_owner_is_not_banned(s, owner)
    _move(s, owner, target, amount, "transfer-from", sender)
    the_allowance_shrinks(s, owner, sender, amount)


# --- escrows: LC-CRD-6, LC-BLK-15 -----------------------------------------------------------------------------------------------


def escrowed(s: State, escrow: bytes) -> int:
    found = s.get(b"e/" + escrow)
    return found[0] if found else 0


def _hold(s: State, escrow: bytes, amount: int) -> None:
    if amount:
        s.put(b"e/" + escrow, [amount])
    else:
        s.drop(b"e/" + escrow)


def lock(s: State, source: bytes, escrow: bytes, amount: int, reason: str, ref: bytes) -> None:
    """Nothing happens, and nothing is said, where the amount is 0; so it is with the two below."""
    if not amount:
        return
    account = s.account(source)
    assert account is not None
    s.set_account(source, account._replace(balance=account.balance - amount))
    _hold(s, escrow, escrowed(s, escrow) + amount)
    s.moved(reason, source, escrow, amount, ref)


def pay(s: State, escrow: bytes, target: bytes, amount: int, reason: str, ref: bytes) -> None:
    if amount:
        _hold(s, escrow, escrowed(s, escrow) - amount)
        credit(s, target, amount, reason, escrow, ref)


def burn(s: State, escrow: bytes, amount: int, reason: str, ref: bytes) -> None:
    if amount:
        _hold(s, escrow, escrowed(s, escrow) - amount)
        count(s, 0, amount)
        s.moved(reason, escrow, b"", amount, ref)


# --- what is parked: LC-BLK-20 --------------------------------------------------------------------------------------------------


def parked_key(contract: int, ref: bytes) -> bytes:
    return b"p/" + bytes([contract]) + ref


def parked(s: State, contract: int, ref: bytes) -> Parked | None:
    found = s.get(parked_key(contract, ref))
    return None if found is None else Parked(*found)


def park(s: State, contract: int, ref: bytes, record: Parked) -> None:
    held = sorted({(time, account) for account, time in record.held})[:64]
    s.put(parked_key(contract, ref), record._replace(held=[[account, time] for time, account in held]))
