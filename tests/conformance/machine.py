"""What a block does to the state, after `protocol_spec/blocks.md` and `transactions.md`; what messages do stands beside it.

ledger      the state, accounts, credits, deadlines      membership   members, cases, what is parked
evidence    double signing                               jobs         the job contract, judging its formulas
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.conformance import admission, federations, governance, jobs, key_changes, membership, predictions
from tests.conformance import records as r
from tests.conformance.checks import Refused, check, step
from tests.conformance.evidence import mark, report_double
from tests.conformance.judging import cd
from tests.conformance.keys import is_signed, sha, tagged, tx_digest
from tests.conformance.ledger import (
    BANNED,
    Account,
    Params,
    Parked,
    State,
    approve,
    charged,
    count,
    credit,
    deadlines_of_the_next_height_join_the_others,
    due_key,
    park,
    parked,
    rate,
    transfer,
    transfer_from,
)
from tests.conformance.light import Header, block_id, the_network_is_this_one, tx_id, validators_hash
from tests.conformance.light import the_transactions_have_the_header_s_root as the_transactions_are_those_of_the_header
from tests.conformance.trees import list_root, state_root
from tests.conformance.wire import decode, encode

MAX_BLOCK_BYTES = 4_065_536
MAX_TX_BYTES = 65_536
MAX_VALID_FOR = 100_000
MAX_INT = 2**63 - 1
ZERO = bytes(32)

__all__ = ["Result", "State", "block_id", "execute", "run", "serve"]


class Result(NamedTuple):
    receipts: list[bytes]
    put: dict[bytes, bytes]
    gone: list[bytes]
    state_root: bytes


# --- bandwidth: LC-TX-12, LC-TX-14 ----------------------------------------------------------------------------------------------


@check("LC-TX-12", 23)
def the_bytes_are_within_the_sender_s_bandwidth(s: State, account: Account, size: int, urgent: bool) -> bool:
    most = (s.clock + s.params.bandwidth_window) * 1_000
    if urgent:
        most += 65_536 * 1_000_000 // rate(s.params, account)
    return charged(s, account, size) <= most


@step("LC-TX-14")
def what_is_once_is_charged_if_refused(s: State, sender: bytes, arrival: int) -> None:
    account = s.account(sender)
    assert account is not None
    s.set_account(sender, account._replace(arrival=arrival))


HANDLERS: dict[int, Callable[..., None]] = {
    32: transfer,
    33: approve,
    34: transfer_from,
    64: membership.judge_case,
    65: report_double,
    66: membership.release,
    67: membership.set_capacity,
    68: admission.invite,
    69: admission.revoke,
    70: admission.join,
    71: admission.leave,
    72: admission.set_box_key,
    73: membership.set_training,
    192: governance.propose,
    193: governance.vote,
    194: governance.withdraw,
    **jobs.HANDLERS,
    **predictions.HANDLERS,
    **federations.HANDLERS,
    **key_changes.HANDLERS,
}
URGENT = {64, 65, 66, 97, 98, 99, 100, 101, 192, 193, 194} | key_changes.URGENT | predictions.URGENT | federations.URGENT
"""LC-TX-7"""
WORK = {64: 16, 66: 128, 68: 32, 69: 8, 70: 8, 71: 8}
"""LC-BLK-25"""
ONCE = {98, 99, 100, 101} | predictions.ONCE | federations.ONCE
"""LC-TX-14"""


# --- transactions: LC-TX-4 to LC-TX-6 -----------------------------------------------------------------------------------------


@check("LC-TX-4", 13)
def the_sender_has_an_account(account: Account | None) -> bool:
    return account is not None


@check("LC-TX-4", 12)
def the_signature_is_good(account: Account, digest: bytes, signature: bytes) -> bool:
    return is_signed(account.key, digest, signature)


@check("LC-TX-4", 14)
def the_sender_is_not_banned(account: Account) -> bool:
    return account.status != BANNED


@check("LC-TX-4", 17)
def the_transaction_is_still_valid(valid_until: int, height: int) -> bool:
    return valid_until >= height


@check("LC-TX-4", 18)
def the_transaction_is_not_valid_for_too_long(valid_until: int, height: int) -> bool:
    return valid_until <= height + MAX_VALID_FOR


@check("LC-TX-4", 15)
def the_sequence_was_not_used(sequence: int, expected: int) -> bool:
    return sequence >= expected


@check("LC-TX-4", 16)
def the_sequence_leaves_no_gap(sequence: int, expected: int) -> bool:
    return sequence <= expected


@check("LC-TX-4", 19)
def the_sender_is_within_its_quota(used: int, quota: int) -> bool:
    return used < quota


def _check_tx(s: State, chain_id: bytes, body: Any, signature: bytes, used: int, size: int) -> Account:
    net, sender, lane, sequence, valid_until, messages = body
    the_network_is_this_one(net, chain_id)
    account = s.account(sender)
    the_sender_has_an_account(account)
    if account is None:
        raise Refused("no account to go on with")
    the_signature_is_good(account, tx_digest(chain_id, encode(body)), signature)
    the_sender_is_not_banned(account)
    the_transaction_is_still_valid(valid_until, s.height)
    the_transaction_is_not_valid_for_too_long(valid_until, s.height)
    the_sequence_was_not_used(sequence, account.sequences[lane])
    the_sequence_leaves_no_gap(sequence, account.sequences[lane])
    the_sender_is_within_its_quota(used, s.params.quota)
    the_bytes_are_within_the_sender_s_bandwidth(s, account, size, all(tag in URGENT for tag, *_ in messages))
    return account


@step("LC-TX-5")
def a_transaction_raises_its_lane(s: State, sender: bytes, account: Account, lane: int, arrival: int) -> None:
    following = [n + (at == lane) for at, n in enumerate(account.sequences)]
    s.set_account(sender, account._replace(sequences=following, arrival=arrival))


@step("LC-TX-6")
def a_refusal_undoes_the_messages_before_it(s: State, before: dict[bytes, bytes]) -> None:
    s.records = before


def work_of(message: list[Any]) -> int:
    """LC-BLK-25"""
    if message[0] in WORK:
        return WORK[message[0]]
    if message[0] in key_changes.WORK:
        return key_changes.WORK[message[0]]
    if message[0] // 32 == 6:
        return 64
    if message[0] // 32 == 4:
        return predictions.work_of(message)
    if message[0] // 32 == 5:
        return federations.work_of(message)
    return jobs.work_of(message) if message[0] // 32 == 3 else 1


@check("LC-BLK-25")
def the_work_is_within_the_block_s(work: int, params: Params) -> bool:
    return work <= params.block_work


def _run_tx(s: State, raw: bytes, body: Any) -> list[Any]:
    """LC-TX-6: the receipt."""
    before = dict(s.records)
    s.events = []
    try:
        for op, (tag, *fields) in enumerate(body[5]):
            s.work += work_of([tag, *fields])
            the_work_is_within_the_block_s(s.work, s.params)
            s.tx, s.op = tx_id(raw), op
            admission.a_message_for_members_is_from_one_that_did_not_leave(s, body[1], tag)
            HANDLERS[tag](s, body[1], *fields)
    except Refused as refused:
        if refused.code is None:
            raise
        a_refusal_undoes_the_messages_before_it(s, before)
        return [tx_id(raw), refused.code, []]
    return [tx_id(raw), 0, s.events]


# --- blocks: LC-BLK-10 to LC-BLK-14 -------------------------------------------------------------------------------------------


@check("LC-BLK-11")
def the_version_is_that_of_the_state(header: Header, s: State) -> bool:
    return bool(header.version == (s.get(b"gu/") or [1])[0])


@check("LC-BLK-11")
def the_chain_is_this_one(header: Header, chain_id: bytes) -> bool:
    return header.chain_id == chain_id


@check("LC-BLK-11")
def the_height_is_one_more(header: Header, height: int) -> bool:
    return header.height == height + 1


@check("LC-BLK-11")
def the_set_is_that_of_the_state(header: Header, s: State) -> bool:
    return header.validators_hash == validators_hash(encode(s.validators))


@check("LC-BLK-11")
def the_parent_is_the_block_before(header: Header, parent: bytes) -> bool:
    return header.parent == parent


@check("LC-BLK-11")
def it_was_the_proposer_s_turn(header: Header, s: State) -> bool:
    return header.proposer == s.validators[(header.height + header.round) % len(s.validators)][0]


@check("LC-BLK-11")
def the_block_has_not_too_many_transactions(txs: list[bytes], params: Params) -> bool:
    return len(txs) <= params.block_txs


@check("LC-BLK-11")
def the_block_has_not_too_many_bytes(txs: list[bytes], params: Params) -> bool:
    return sum(map(len, txs)) <= params.block_bytes


@check("LC-BLK-10")
def the_time_is_above_the_parent_s(header: Header, time: int) -> bool:
    return header.time > time


@check("LC-BLK-12")
def nothing_is_revealed_without_a_commitment(header: Header, promised: Any) -> bool:
    return promised is not None or header.reveal == ZERO


@check("LC-BLK-12")
def what_is_revealed_was_committed_to(header: Header, promised: Any) -> bool:
    if promised is None or header.reveal == ZERO:
        return True
    return bool(tagged("lc/beacon-commitment", header.reveal) == promised[1])


@check("LC-BLK-11")
def the_state_root_is_what_executing_gives(header: Header, root: bytes) -> bool:
    return header.state_root == root


@check("LC-BLK-11")
def the_receipt_root_is_what_executing_gives(header: Header, receipts: list[bytes]) -> bool:
    return header.receipt_root == list_root(receipts)


@check("LC-BLK-11")
def the_next_set_is_what_executing_gives(header: Header, s: State) -> bool:
    return header.next_validators_hash == validators_hash(encode(s.validators))


class Failed(Exception):
    """A contract does not come to the end of a deadline (LC-BLK-20). Those here do; whoever plays one that does not raises this."""


def _member_due(s: State, ref: bytes, time: int) -> None:
    (admission.expire if len(ref) == 32 else membership.close_case)(s, ref, time)


DUE: dict[int, Callable[[State, bytes, int], None]] = {
    2: _member_due,
    3: jobs.on_due,
    4: predictions.on_due,
    5: federations.on_due,
    6: governance.on_due,
    7: key_changes.on_due,
}


@step("LC-BLK-14")
def due_deadlines_are_handled(s: State) -> None:
    for time, account, contract, ref in chosen(s):
        s.drop(due_key(account, time, contract, ref))
        known = parked(s, contract, ref)
        if known is not None:
            park(s, contract, ref, known._replace(held=[*known.held, [account, time]]))
        elif why := _rung(s, contract, ref, time):
            park(s, contract, ref, Parked(s.height, why, [[account, time]], [], []))
            s.noted("parked", ref, contract, why)


def _rung(s: State, contract: int, ref: bytes, time: int) -> str:
    """LC-BLK-20: why the reference is parked; empty where the deadline was handled."""
    if contract not in DUE:
        return "no handler"
    before, told = dict(s.records), len(s.events)
    try:
        DUE[contract](s, ref, time)
    except Failed:
        s.records = before
        del s.events[told:]
        return "failed"
    return ""


def chosen(s: State) -> list[Deadline]:
    """LC-BLK-14: the deadlines of this block, in their order."""
    of_account: dict[bytes, list[Deadline]] = {}
    for key in (key for key in s.records if key.startswith(b"d/")):
        deadline = Deadline(int.from_bytes(key[22:30], "big"), key[2:22], key[30], key[31:])
        if deadline.time <= s.clock:
            of_account.setdefault(deadline.account, []).append(deadline)
    found, work = list[Deadline](), 0
    for _, deadline in sorted(ranked for held in of_account.values() for ranked in _in_rounds(s, sorted(held))):
        if len(found) < s.params.max_due and work < s.params.max_due_work:
            found.append(deadline)
            work += deadline_work(s, deadline)
    return sorted(found)


def _in_rounds(s: State, deadlines: list[Deadline]) -> list[tuple[int, Deadline]]:
    """LC-BLK-14: those of one account, each with the number of its round."""
    share, share_of_work = max(1, s.params.max_due // 8), max(1, s.params.max_due_work // 8)
    found, number, count, work = list[tuple[int, Deadline]](), 0, 0, 0
    for deadline in deadlines:
        if count >= share or work >= share_of_work:
            number, count, work = number + 1, 0, 0
        found.append((number, deadline))
        count, work = count + 1, work + deadline_work(s, deadline)
    return found


def deadline_work(s: State, deadline: Deadline) -> int:
    """LC-BLK-31"""
    if deadline.contract == 2 and (case := s.get(b"mc/" + deadline.ref)) is not None:
        return 1 + len(case[3]) + cd(len(case[3]) * len(s.validators), 4)
    if deadline.contract == 7:
        return 1 + key_changes.due_work(s, deadline.ref)
    if deadline.contract == 4:
        return 1 + predictions.due_work(s, deadline.ref)
    if deadline.contract == 5:
        return 1 + federations.due_work(s, deadline.ref)
    return 1 + (jobs.due_work(s, deadline.ref) if deadline.contract == 3 else 0)


class Deadline(NamedTuple):
    """In the order that LC-BLK-14 gives them."""

    time: int
    account: bytes
    contract: int
    ref: bytes


@step("LC-BLK-13")
def the_proposer_gets_its_reward(s: State, proposer: bytes) -> None:
    reward = min(s.params.block_reward, MAX_INT - s.get(b"gs/")[0])
    if reward:
        count(s, reward, 0)
        credit(s, proposer, reward, "block reward", b"", b"")


@step("LC-BLK-13")
def a_change_of_the_set_takes_effect(s: State) -> None:
    following = s.get(b"gn/")
    if following is not None:
        s.put(b"gv/", following)
        s.drop(b"gn/")


def _check_header(s: State, header: Header, parent: bytes, chain: list[Any]) -> None:
    the_parent_is_the_block_before(header, parent)
    the_version_is_that_of_the_state(header, s)
    the_chain_is_this_one(header, chain[0])
    the_height_is_one_more(header, chain[1])
    the_set_is_that_of_the_state(header, s)
    it_was_the_proposer_s_turn(header, s)
    the_time_is_above_the_parent_s(header, chain[2])


class Outcome(NamedTuple):
    header: Header
    state: State
    receipts: list[bytes]


def run(records: dict[bytes, bytes], parent: bytes, raw: bytes) -> Outcome:
    """LC-BLK-11, 13: what a block with this parent does to this state, whatever roots its header names. Raises `Refused`."""
    header_fields, txs = decode(r.BLOCK, raw, MAX_BLOCK_BYTES)
    header, s = Header(*header_fields), State(records)
    chain = s.get(b"g/")
    the_transactions_are_those_of_the_header(header, txs)
    _check_header(s, header, parent, chain)
    the_block_has_not_too_many_transactions(txs, s.params)
    the_block_has_not_too_many_bytes(txs, s.params)
    promised = s.get(b"gb/" + header.proposer)
    nothing_is_revealed_without_a_commitment(header, promised)
    what_is_revealed_was_committed_to(header, promised)
    s.height, s.clock = chain[1] + 1, chain[3] + max(0, min(header.time - chain[2], s.params.max_step))
    s.put(b"g/", [chain[0], s.height, header.time, s.clock, sha(chain[4] + header.reveal)])
    s.put(b"gb/" + header.proposer, [s.height, header.commitment])
    mark(s)
    due_deadlines_are_handled(s)
    own, receipts, used = s.events, [], dict[bytes, int]()
    for tx in txs:
        receipts.append(_apply_tx(s, chain[0], tx, used))
    s.events = own
    if promised is None or header.reveal != ZERO:
        the_proposer_gets_its_reward(s, header.proposer)
    a_change_of_the_set_takes_effect(s)
    governance.pending_parameters_hold(s)
    governance.a_version_begins(s)
    deadlines_of_the_next_height_join_the_others(s)
    return Outcome(header, s, [encode([ZERO, 0, own]), *map(encode, receipts)])


def execute(records: dict[bytes, bytes], parent: bytes, raw: bytes) -> Result:
    """LC-BLK-11: the same of a whole block: its roots and its next set are what executing gives. Raises `Refused`."""
    header, s, receipts = run(records, parent, raw)
    root = state_root(s.records)
    the_receipt_root_is_what_executing_gives(header, receipts)
    the_state_root_is_what_executing_gives(header, root)
    the_next_set_is_what_executing_gives(header, s)
    put = {key: raw for key, raw in sorted(s.records.items()) if records.get(key) != raw}
    return Result(receipts, put, sorted(set(records) - set(s.records)), root)


def _apply_tx(s: State, chain_id: bytes, raw: bytes, used: dict[bytes, int]) -> list[Any]:
    try:
        body, signature = decode(r.SIGNED_TX, raw, MAX_TX_BYTES)
    except Refused as refused:
        raise Refused(str(refused), 10) from None
    sender = body[1]
    account = _check_tx(s, chain_id, body, signature, used.get(sender, 0), len(raw))
    used[sender] = used.get(sender, 0) + 1
    once, arrival = all(tag in ONCE for tag, *_ in body[5]), charged(s, account, len(raw))
    a_transaction_raises_its_lane(s, sender, account, body[2], account.arrival if once else arrival)
    receipt = _run_tx(s, raw, body)
    if once and receipt[1] != 0:
        what_is_once_is_charged_if_refused(s, sender, arrival)
    return receipt


# --- what contracts ask of membership -----------------------------------------------------------------------------------------

SERVICES: dict[str, Callable[..., Any]] = {
    "strike": membership.strike,
    "judged": lambda s, who, owner, verdict, ref: membership.keep_verdict(s, who, owner, verdict),
    "accuse": membership.accuse,
    "barred_from": membership.barred_from,
    "flagged": membership.flagged,
    "able": membership.able,
    "marked": membership.marked,
    "record_draw": membership.record_draw,
    "count_vote": membership.count_vote,
    "admit": admission.admit,
    "remove": admission.remove,
    "set_verifier": admission.set_verifier,
    "exists": admission.is_member,
    "ban": admission.ban,
    "lift_ban": admission.lift_ban,
}


def serve(records: dict[bytes, bytes], name: str, given: list[Any]) -> tuple[State, Any]:
    """LC-MEM-1 to LC-MEM-4, LC-MEM-15 to LC-MEM-19, called by a contract while the block of `g/` runs."""
    s = State(records)
    _, s.height, _, s.clock, _ = s.get(b"g/")
    return s, SERVICES[name](s, *given)
