"""What a block does to the state, after `protocol_spec/blocks.md`, `transactions.md`, `credits.md` and `membership.md`.

The state is a dictionary of encoded records. It stands for the plainest reading of the rules: every root is computed from scratch.
Contract 3 is not carried out here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.conformance import records as r
from tests.conformance.checks import Refused, check, step
from tests.conformance.keys import is_signed, proposal_digest, sha, tagged, tx_digest, vote_digest
from tests.conformance.light import Header, block_id, quorum, the_network_is_this_one, tx_id, validators_hash
from tests.conformance.light import the_transactions_have_the_header_s_root as the_transactions_are_those_of_the_header
from tests.conformance.trees import list_root, state_root
from tests.conformance.wire import decode, decode_plain, encode

MAX_BLOCK_BYTES = 4_065_536
MAX_TX_BYTES = 65_536
MAX_RECORD = 1_000_000
MAX_VALID_FOR = 100_000
MAX_INT = 2**63 - 1
ACTIVE, SUSPENDED, BANNED = 0, 1, 2
ZERO = bytes(32)
MOVED, NOTED = 1, 2
KEPT_SETS, KEPT_STRIKES, KEPT_REFS, KEPT_DRAWS = 64, 16, 64, 10
KEPT_HELD = 64

__all__ = ["Result", "State", "block_id", "execute", "serve"]


class Account(NamedTuple):
    key: bytes
    status: int
    balance: int
    frozen: int
    sequences: list[int]
    arrival: int


class Case(NamedTuple):
    until: int
    refs: list[list[Any]]
    corroborated: bool
    confirm: list[bytes]
    lift: list[bytes]


class Member(NamedTuple):
    verifier: bool
    since: int
    strikes: list[int]
    draws: list[bool]


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
    strike_life: int


class Parked(NamedTuple):
    height: int
    reason: str
    held: list[list[Any]]
    retry: list[bytes]
    give_back: list[bytes]


class Result(NamedTuple):
    receipts: list[bytes]
    put: dict[bytes, bytes]
    gone: list[bytes]
    state_root: bytes


class State:
    """LC-MRK-7: records by key. What a block has done so far can be put back."""

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self.records = dict(records)
        self.events: list[Any] = []
        self.height = self.clock = self.work = 0

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

    @property
    def validators(self) -> list[list[bytes]]:
        found: list[list[bytes]] = self.get(b"gv/")[1]
        return found

    def moved(self, reason: str, source: bytes, target: bytes, amount: int, ref: bytes) -> None:
        self.events.append([MOVED, reason, source, target, amount, ref])

    def noted(self, topic: str, ref: bytes, *data: Any) -> None:
        self.events.append([NOTED, topic, ref, list(data)])


# --- bandwidth: transactions.md, LC-TX-11 to LC-TX-14 ---------------------------------------------------------------------------


def _rate(p: Params, account: Account) -> int:
    """LC-TX-11"""
    return p.bandwidth_base + p.bandwidth_per_credit * (account.balance // 1_000_000)


@step("LC-TX-13")
def bandwidth_follows_the_credits(s: State, identity: bytes, before: Account, after: Account) -> None:
    r, new, now, window = _rate(s.params, before), _rate(s.params, after), s.clock * 1_000, s.params.bandwidth_window * 1_000
    if r == new:
        return
    h = (window - max(0, before.arrival - now)) * r
    s.put(b"a/" + identity, after._replace(arrival=now + max(0, window - h // new)))


def _charged(s: State, account: Account, size: int) -> int:
    """LC-TX-12"""
    return max(account.arrival, s.clock * 1_000) + -(-size * 1_000_000 // _rate(s.params, account))


@check("LC-TX-12", 23)
def the_bytes_are_within_the_sender_s_bandwidth(s: State, account: Account, size: int, urgent: bool) -> bool:
    most = (s.clock + s.params.bandwidth_window) * 1_000
    if urgent:
        most += 65_536 * 1_000_000 // _rate(s.params, account)
    return _charged(s, account, size) <= most


@step("LC-TX-14")
def what_is_once_is_charged_if_refused(s: State, sender: bytes, arrival: int) -> None:
    account = s.account(sender)
    assert account is not None
    s.set_account(sender, account._replace(arrival=arrival))


# --- credits: credits.md ------------------------------------------------------------------------------------------------------


def _count(s: State, minted: int, burned: int) -> None:
    before = s.get(b"gs/")
    s.put(b"gs/", [before[0] + minted, before[1] + burned])


def _credit(s: State, identity: bytes, amount: int, reason: str, source: bytes, ref: bytes) -> None:
    """LC-CRD-6"""
    account = s.account(identity)
    if account is None:
        raise Refused("credits for nobody", 2)
    if account.status == BANNED:
        _count(s, 0, amount)
        s.moved(f"{reason}:banned", source, b"", amount, ref)
        return
    if account.status == SUSPENDED:
        s.set_account(identity, account._replace(frozen=account.frozen + amount))
    else:
        s.set_account(identity, account._replace(balance=account.balance + amount))
    s.moved(reason, source, identity, amount, ref)


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
    _credit(s, target, amount, reason, source, ref)


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
def the_owner_is_active(s: State, owner: bytes) -> bool:
    account = s.account(owner)
    return account is not None and account.status == ACTIVE


@step("LC-CRD-4")
def the_allowance_shrinks(s: State, owner: bytes, spender: bytes, amount: int) -> None:
    _set_allowance(s, owner, spender, max(0, _allowance(s, owner, spender) - amount))


def transfer_from(s: State, sender: bytes, owner: bytes, target: bytes, amount: int) -> None:
    """LC-CRD-4"""
    an_amount_taken_is_at_least_one(amount)
    owner_and_target_differ(owner, target)
    the_allowance_is_large_enough(_allowance(s, owner, sender), amount)
    the_owner_has_an_account(s, owner)
    the_owner_is_active(s, owner)
    _move(s, owner, target, amount, "transfer-from", sender)
    the_allowance_shrinks(s, owner, sender, amount)


# --- membership: membership.md ------------------------------------------------------------------------------------------------


def _member(s: State, identity: bytes) -> Member:
    found = s.get(b"m/" + identity)
    return Member(False, 0, [], []) if found is None else Member(*found)


def strike(s: State, identity: bytes, reason: str, ref: bytes) -> None:
    """LC-MEM-1"""
    member = _member(s, identity)
    live = [end for end in member.strikes if end > s.clock]
    kept = sorted([*live, s.clock + s.member_params.strike_life])[-KEPT_STRIKES:]
    s.put(b"m/" + identity, member._replace(strikes=kept))
    s.noted("strike", identity, reason, ref)


def verifiers(s: State, before: int) -> list[bytes]:
    """LC-MEM-2"""
    found = []
    for key in sorted(k for k in s.records if k.startswith(b"m/")):
        member, account = Member(*s.get(key)), s.account(key[2:])
        live = sum(end > s.clock for end in member.strikes)
        if member.verifier and member.since < before and live < 3 and account is not None and account.status == ACTIVE:
            found.append(key[2:])
    return found


def record_draw(s: State, identity: bytes, good: bool) -> None:
    """LC-MEM-3"""
    member = _member(s, identity)
    draws = [*member.draws, good][-KEPT_DRAWS:]
    ends = member.verifier and draws.count(False) > 5
    s.put(b"m/" + identity, member._replace(draws=draws, verifier=member.verifier and not ends))
    if ends:
        s.noted("verifier.off", identity)


def _due_key(account: bytes, at: int, contract: int, ref: bytes) -> bytes:
    return b"d/" + account + at.to_bytes(8, "big") + bytes([contract]) + ref


def suspend(s: State, identity: bytes, ref: bytes, accuser: bytes, contract: int) -> None:
    """LC-MEM-4"""
    found, account = s.get(b"mc/" + identity), s.account(identity)
    if found is not None:
        case = Case(*found)
        another = any(accuser != known for _, _, known in case.refs)
        refs = [*case.refs, [ref, contract, accuser]][:KEPT_REFS]
        s.put(b"mc/" + identity, case._replace(refs=refs, corroborated=case.corroborated or another))
        return
    if account is None or account.status != ACTIVE:
        return
    until = s.clock + s.member_params.appeal
    if account.balance:
        s.moved("frozen", identity, identity, account.balance, ref)
    s.set_account(identity, account._replace(status=SUSPENDED, balance=0, frozen=account.frozen + account.balance))
    s.put(b"mc/" + identity, Case(until, [[ref, contract, accuser]], False, [], []))
    s.put(_due_key(identity, until, 2, identity), [2, identity])
    s.noted("suspended", identity, ref, until)


def corroborate(s: State, identity: bytes, ref: bytes) -> None:
    """LC-MEM-5"""
    found = s.get(b"mc/" + identity)
    if found is None or found[2] or all(known != ref for known, _, _ in found[1]):
        return
    s.put(b"mc/" + identity, Case(*found)._replace(corroborated=True))
    s.noted("case.corroborated", identity, ref)


@check("LC-MEM-6", 200)
def the_sender_is_a_validator(s: State, sender: bytes) -> bool:
    return any(identity == sender for identity, _ in s.validators)


@check("LC-MEM-6", 201)
def the_account_has_a_case(s: State, identity: bytes) -> bool:
    return s.get(b"mc/" + identity) is not None


@check("LC-MEM-6", 202)
def this_word_is_not_recorded_yet(case: Case, sender: bytes, confirm: bool) -> bool:
    return sender not in (case.confirm if confirm else case.lift)


def judge_case(s: State, sender: bytes, identity: bytes, confirm: bool) -> None:
    """LC-MEM-6"""
    the_case_is_not_parked(s, identity)
    the_sender_is_a_validator(s, sender)
    the_account_has_a_case(s, identity)
    case = Case(*s.get(b"mc/" + identity))
    this_word_is_not_recorded_yet(case, sender, confirm)
    words = {True: set(case.confirm), False: set(case.lift)}
    words[confirm].add(sender)
    words[not confirm].discard(sender)
    s.put(b"mc/" + identity, case._replace(confirm=sorted(words[True]), lift=sorted(words[False])))
    s.noted("case.judged", identity, sender, "confirm" if confirm else "lift")


def close_case(s: State, identity: bytes) -> None:
    """LC-MEM-7, 8"""
    found, account = s.get(b"mc/" + identity), s.account(identity)
    if found is None or account is None:
        return
    case = Case(*found)
    ids = {v[0] for v in s.validators}
    confirmed = len(ids & set(case.confirm)) >= quorum(len(ids))
    lifted = len(ids & set(case.lift)) >= quorum(len(ids))
    first = case.refs[0][0]
    s.drop(b"mc/" + identity)
    if confirmed or (case.corroborated and not lifted):
        lost = account.balance + account.frozen
        if lost:
            _count(s, 0, lost)
            s.moved("ban", identity, b"", lost, first)
        s.set_account(identity, account._replace(status=BANNED, balance=0, frozen=0))
        s.noted("banned", identity, first)
        return
    _reinstate(s, identity, account, first)
    if not lifted:
        strike(s, identity, "lapsed", first)
    s.noted("reinstated", identity, first)


def _reinstate(s: State, identity: bytes, account: Account, ref: bytes) -> None:
    """LC-MEM-8"""
    if account.frozen:
        s.moved("returned", identity, identity, account.frozen, ref)
    s.set_account(identity, account._replace(status=ACTIVE, balance=account.balance + account.frozen, frozen=0))


def _set_at(s: State, height: int) -> list[list[bytes]] | None:
    """LC-MEM-12"""
    fitting = [members for since, members in s.get(b"gh/")[0] if since <= height]
    return fitting[-1] if fitting else None


@check("LC-MEM-10", 204)
def the_evidence_is_not_too_old(s: State, height: int) -> bool:
    return height + s.params.evidence_age >= s.height


@check("LC-MEM-10", 204)
def the_evidence_is_not_of_a_height_to_come(s: State, height: int) -> bool:
    return height <= s.height


@check("LC-MEM-10", 204)
def the_set_of_the_evidence_is_known(s: State, height: int) -> bool:
    return _set_at(s, height) is not None


@check("LC-MEM-10", 203)
def the_signer_was_in_the_set(signer: bytes, then: list[list[bytes]]) -> bool:
    return any(identity == signer for identity, _ in then)


@check("LC-MEM-10", 203)
def both_signatures_are_for_one_place(a: list[Any], b: list[Any]) -> bool:
    return a == b


@check("LC-MEM-10", 203)
def the_two_name_different_blocks(a: bytes, b: bytes) -> bool:
    return a != b


@check("LC-MEM-10", 203)
def both_are_signed_by_the_key_of_that_set(key: bytes, digests: list[bytes], signatures: list[bytes]) -> bool:
    return all(is_signed(key, d, sig) for d, sig in zip(digests, signatures, strict=True))


@check("LC-MEM-10", 205)
def it_was_not_dealt_with(s: State, signer: bytes, height: int) -> bool:
    return s.get(b"me/" + signer + height.to_bytes(8, "big")) is None


@check("LC-MEM-10", 206)
def the_signer_is_not_the_last_validator(s: State, signer: bytes) -> bool:
    return any(identity != signer for identity, _ in s.validators)


@check("LC-MEM-11", 5)
def the_set_was_not_changed_in_this_block(s: State) -> bool:
    return s.get(b"gn/") is None


def report_double(s: State, sender: bytes, evidence: list[Any]) -> None:
    """LC-MEM-10, 11"""
    kind, a, b = evidence
    chain_id = s.get(b"g/")[0]
    height, signer = (a[1], a[4]) if kind == 1 else (a[0], a[4])
    the_evidence_is_not_too_old(s, height)
    the_evidence_is_not_of_a_height_to_come(s, height)
    the_set_of_the_evidence_is_known(s, height)
    then = _set_at(s, height) or []
    the_signer_was_in_the_set(signer, then)
    key = next((key for identity, key in then if identity == signer), b"")
    if kind == 1:
        place, names, make = [[x[0], x[1], x[2], x[4]] for x in (a, b)], [a[3], b[3]], vote_digest
        digests = [make(chain_id, x[0], x[1], x[2], x[3]) for x in (a, b)]
    else:
        place, names = [[x[0], x[1], x[4]] for x in (a, b)], [a[3], b[3]]
        digests = [proposal_digest(chain_id, x[0], x[1], x[2], x[3]) for x in (a, b)]
    both_signatures_are_for_one_place(place[0], place[1])
    the_two_name_different_blocks(names[0], names[1])
    both_are_signed_by_the_key_of_that_set(key, digests, [a[5], b[5]])
    it_was_not_dealt_with(s, signer, height)
    the_signer_is_not_the_last_validator(s, signer)
    s.put(b"me/" + signer + height.to_bytes(8, "big"), [height])
    rest = [v for v in s.validators if v[0] != signer]
    if len(rest) == len(s.validators):
        s.noted("double.signing", signer, height)
        return
    the_set_was_not_changed_in_this_block(s)
    s.put(b"gn/", [s.height + 1, rest])
    s.put(b"gh/", [[*s.get(b"gh/")[0], [s.height + 1, rest]][-KEPT_SETS:]])
    s.noted("validator.ejected", signer, height)


# --- what is parked: LC-BLK-20, LC-MEM-13, 14 ---------------------------------------------------------------------------------


def _parked_key(contract: int, ref: bytes) -> bytes:
    return b"p/" + bytes([contract]) + ref


def _parked(s: State, contract: int, ref: bytes) -> Parked | None:
    found = s.get(_parked_key(contract, ref))
    return None if found is None else Parked(*found)


def _park(s: State, contract: int, ref: bytes, parked: Parked) -> None:
    held = sorted({(time, account) for account, time in parked.held})[:KEPT_HELD]
    s.put(_parked_key(contract, ref), parked._replace(held=[[account, time] for time, account in held]))


@check("LC-BLK-20", 6)
def the_case_is_not_parked(s: State, identity: bytes) -> bool:
    return _parked(s, 2, identity) is None


@check("LC-MEM-13", 200)
def who_releases_is_a_validator(s: State, sender: bytes) -> bool:
    return any(identity == sender for identity, _ in s.validators)


@check("LC-MEM-13", 207)
def the_reference_is_parked(parked: Parked | None) -> bool:
    return parked is not None


@check("LC-MEM-13", 208)
def the_contract_has_something_to_give_back(contract: int, give_back: bool) -> bool:
    return not give_back or contract in (2, 3)


@check("LC-MEM-13", 202)
def this_word_of_a_release_is_not_recorded_yet(words: list[bytes], sender: bytes) -> bool:
    return sender not in words


def release(s: State, sender: bytes, contract: int, ref: bytes, give_back: bool) -> None:
    """LC-MEM-13"""
    who_releases_is_a_validator(s, sender)
    parked = _parked(s, contract, ref)
    the_reference_is_parked(parked)
    the_contract_has_something_to_give_back(contract, give_back)
    if parked is None:
        raise Disappeared(contract, ref)
    this_word_of_a_release_is_not_recorded_yet(parked.give_back if give_back else parked.retry, sender)
    ids = {v[0] for v in s.validators}
    words = {True: set(parked.give_back) & ids, False: set(parked.retry) & ids}
    words[give_back].add(sender)
    words[not give_back].discard(sender)
    word = "give back" if give_back else "retry"
    s.noted("release.voted", ref, contract, sender, word)
    if len(words[give_back]) < quorum(len(ids)):
        s.put(_parked_key(contract, ref), parked._replace(retry=sorted(words[False]), give_back=sorted(words[True])))
        return
    s.drop(_parked_key(contract, ref))
    s.noted("released", ref, contract, word)
    if give_back:
        _give_back(s, contract, ref)
        return
    for account, time in parked.held:
        s.put(_due_key(account, time, contract, ref), [contract, ref])


class Disappeared(Exception):
    """What was looked for a moment ago: a check that would have refused was taken out."""


def _give_back(s: State, contract: int, identity: bytes) -> None:
    """LC-MEM-14"""
    if contract != 2:
        raise NotImplementedError(f"contract {contract} is not carried out here")
    found, account = s.get(b"mc/" + identity), s.account(identity)
    if found is None or account is None:
        return
    s.drop(b"mc/" + identity)
    _reinstate(s, identity, account, Case(*found).refs[0][0])
    s.noted("reinstated", identity, Case(*found).refs[0][0])


HANDLERS: dict[int, Callable[..., None]] = {
    32: transfer,
    33: approve,
    34: transfer_from,
    64: judge_case,
    65: report_double,
    66: release,
}
URGENT = {64, 65, 66, 97, 98, 99, 100, 101}
"""LC-TX-7"""
ONCE = {98, 99, 100, 101}
"""LC-TX-14"""
WORK = {66: 128}
"""LC-BLK-25: of a message that is neither of the job contract nor 1."""


# --- transactions: LC-TX-4 to LC-TX-6 -----------------------------------------------------------------------------------------


@check("LC-TX-4", 13)
def the_sender_has_an_account(account: Account | None) -> bool:
    return account is not None


@check("LC-TX-4", 12)
def the_signature_is_good(account: Account, digest: bytes, signature: bytes) -> bool:
    return is_signed(account.key, digest, signature)


@check("LC-TX-4", 14)
def the_sender_is_active(account: Account) -> bool:
    return account.status == ACTIVE


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
    the_sender_is_active(account)
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


@check("LC-JOB-22", 300)
def there_is_such_a_job(s: State, job: bytes) -> bool:
    """All of contract 3 that is carried out here: its messages name their job first, and this is tested first."""
    return b"jb/" + job in s.records


def work_of(tag: int) -> int:
    """LC-BLK-25"""
    return WORK.get(tag, 32 if tag // 32 == 3 else 1)


@check("LC-BLK-25")
def the_work_is_within_the_block_s(work: int, params: Params) -> bool:
    return work <= params.block_work


def _run_tx(s: State, raw: bytes, body: Any) -> list[Any]:
    """LC-TX-6: the receipt."""
    before = dict(s.records)
    s.events = []
    try:
        for tag, *fields in body[5]:
            s.work += work_of(tag)
            the_work_is_within_the_block_s(s.work, s.params)
            if tag in (URGENT - HANDLERS.keys()):
                there_is_such_a_job(s, fields[0])
            if tag not in HANDLERS:
                raise NotImplementedError(f"message {tag} belongs to a contract that is not carried out here")
            HANDLERS[tag](s, body[1], *fields)
    except Refused as refused:
        if refused.code is None:
            raise
        a_refusal_undoes_the_messages_before_it(s, before)
        return [tx_id(raw), refused.code, []]
    return [tx_id(raw), 0, s.events]


# --- blocks: LC-BLK-10 to LC-BLK-14 -------------------------------------------------------------------------------------------


@check("LC-BLK-11")
def the_version_is_1(header: Header) -> bool:
    return header.version == 1


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


@step("LC-BLK-14")
def due_deadlines_are_handled(s: State) -> None:
    for time, account, contract, ref in chosen(s):
        s.drop(_due_key(account, time, contract, ref))
        parked = _parked(s, contract, ref)
        if parked is not None:
            _park(s, contract, ref, parked._replace(held=[*parked.held, [account, time]]))
        elif contract == 2:
            close_case(s, ref)
        elif contract == 3:
            raise NotImplementedError("deadlines of contract 3 are not carried out here")
        else:
            _park(s, contract, ref, Parked(s.height, "no handler", [[account, time]], [], []))
            s.noted("parked", ref, contract, "no handler")


def chosen(s: State) -> list[Deadline]:
    """LC-BLK-14: the deadlines of this block, in their order."""
    of_account: dict[bytes, list[Deadline]] = {}
    for key in s.records:
        deadline = Deadline(int.from_bytes(key[22:30], "big"), key[2:22], key[30] if len(key) > 30 else 0, key[31:])
        if key.startswith(b"d/") and deadline.time <= s.clock:
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
        return 1 + len(case[1])
    if deadline.contract != 3:
        return 1
    job, leaving = _plain(s, b"jb/" + deadline.ref), _plain(s, b"jl/" + deadline.ref)
    if job is not None:
        state, claimants, audit, round_ = job[0], job[2], job[7], job[8]
        return 1 + (claimants if state < PAID else _next_page(s, deadline.ref, claimants, audit, round_))
    return 1 if leaving is None else 1 + _next_page(s, deadline.ref, *leaving[1:4])


PAID, PAGE = 7, 128


def _plain(s: State, key: bytes) -> Any:
    """The fields of a record of contract 3: what they are is not checked here."""
    raw = s.records.get(key)
    return None if raw is None else decode_plain(raw)


def _next_page(s: State, job: bytes, claims: int, audit: int, round_: int) -> int:
    """LC-JOB-45: the records that the next event removes."""
    size = min(claims, PAGE)
    while round_ > 0 and size < PAGE:
        votes = _plain(s, b"jr/" + job + bytes((audit, round_)))
        if votes is not None:
            size += 1 + len(votes[7])
        if round_ == 2:
            round_ = 1
        else:
            audit, round_ = audit - 1, 2 if audit else 0
    return size


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
        _count(s, reward, 0)
        _credit(s, proposer, reward, "block reward", b"", b"")


@step("LC-BLK-13")
def a_change_of_the_set_takes_effect(s: State) -> None:
    following = s.get(b"gn/")
    if following is not None:
        s.put(b"gv/", following)
        s.drop(b"gn/")


def _check_header(s: State, header: Header, parent: bytes, chain: list[Any]) -> None:
    the_parent_is_the_block_before(header, parent)
    the_version_is_1(header)
    the_chain_is_this_one(header, chain[0])
    the_height_is_one_more(header, chain[1])
    the_set_is_that_of_the_state(header, s)
    it_was_the_proposer_s_turn(header, s)
    the_time_is_above_the_parent_s(header, chain[2])


def execute(records: dict[bytes, bytes], parent: bytes, raw: bytes) -> Result:
    """LC-BLK-11, 13: what a block with this parent does to this state. Raises `Refused` where it is not valid."""
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
    due_deadlines_are_handled(s)
    own, receipts, used = s.events, [], dict[bytes, int]()
    for tx in txs:
        receipts.append(_apply_tx(s, chain[0], tx, used))
    s.events = own
    if promised is None or header.reveal != ZERO:
        the_proposer_gets_its_reward(s, header.proposer)
    a_change_of_the_set_takes_effect(s)
    encoded = [encode([ZERO, 0, own]), *map(encode, receipts)]
    root = state_root(s.records)
    the_receipt_root_is_what_executing_gives(header, encoded)
    the_state_root_is_what_executing_gives(header, root)
    the_next_set_is_what_executing_gives(header, s)
    put = {key: raw for key, raw in sorted(s.records.items()) if records.get(key) != raw}
    return Result(encoded, put, sorted(set(records) - set(s.records)), root)


def _apply_tx(s: State, chain_id: bytes, raw: bytes, used: dict[bytes, int]) -> list[Any]:
    try:
        body, signature = decode(r.SIGNED_TX, raw, MAX_TX_BYTES)
    except Refused as refused:
        raise Refused(str(refused), 10) from None
    sender = body[1]
    account = _check_tx(s, chain_id, body, signature, used.get(sender, 0), len(raw))
    used[sender] = used.get(sender, 0) + 1
    once, charged = all(tag in ONCE for tag, *_ in body[5]), _charged(s, account, len(raw))
    a_transaction_raises_its_lane(s, sender, account, body[2], account.arrival if once else charged)
    receipt = _run_tx(s, raw, body)
    if once and receipt[1] != 0:
        what_is_once_is_charged_if_refused(s, sender, charged)
    return receipt


# --- what contracts ask of membership -----------------------------------------------------------------------------------------

SERVICES: dict[str, Callable[..., Any]] = {
    "strike": strike,
    "suspend": suspend,
    "corroborate": corroborate,
    "verifiers": verifiers,
    "record_draw": record_draw,
}


def serve(records: dict[bytes, bytes], name: str, given: list[Any]) -> tuple[State, Any]:
    """LC-MEM-1 to LC-MEM-5, called by a contract while the block of `g/` runs."""
    s = State(records)
    _, s.height, _, s.clock, _ = s.get(b"g/")
    return s, SERVICES[name](s, *given)
