"""Rotation and recovery, after `keys.md`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from tests.conformance.checks import Refused, check, step
from tests.conformance.evidence import KEPT_SETS, reportable_since
from tests.conformance.keys import check_key, identity, is_signed, tagged
from tests.conformance.ledger import BANNED, State, cancel, parked, schedule
from tests.conformance.membership import GIVE_BACK, member_of

CONTRACT = 7
RETRY = 10_000
MOST_SETS = 48


class KeyParams(NamedTuple):
    """LC-BLK-32, in the order of `constants.md`."""

    key_rest: int
    recovery_delay_min: int
    recovery_delay_max: int
    recovery_gather: int


class Guardians(NamedTuple):
    """`coming`: none, or [[since, ids, threshold, delay]]."""

    ids: list[bytes]
    threshold: int
    delay: int
    coming: list[list[Any]]


class Recovery(NamedTuple):
    since: int
    until: int
    words: list[list[bytes]]
    key: bytes
    gather: int
    objected: bool


class Changes(NamedTuple):
    number: int
    rotated: int
    barred_until: int


def params(s: State) -> KeyParams:
    return KeyParams(*s.get(b"gp7/"))


def changes(s: State, account: bytes) -> Changes:
    return Changes(*(s.get(b"kc/" + account) or [0, 0, 0]))


def guardians(s: State, account: bytes) -> Guardians | None:
    found = s.get(b"kg/" + account)
    return None if found is None else Guardians(*found)


def in_force(s: State, account: bytes) -> Guardians | None:
    """LC-KEY-4"""
    known = guardians(s, account)
    if known is None or not known.coming:
        return known
    since, ids, threshold, delay = known.coming[0]
    if recovery(s, account) is not None or s.clock < since:
        return known
    return Guardians(ids, threshold, delay, []) if ids else None


def recovery(s: State, account: bytes) -> Recovery | None:
    found = s.get(b"kr/" + account)
    return None if found is None else Recovery(*found)


# --- new keys: LC-KEY-1, LC-KEY-3 -----------------------------------------------------------------------------------------------


def _is_key(key: bytes) -> bool:
    try:
        check_key(key)
    except Refused:
        return False
    return True


def belongs(s: State, key: bytes) -> bool:
    if not _is_key(key):
        return False
    return s.get(b"gk/" + key) is not None or s.account(identity(key)) is not None


@check("LC-KEY-1", 700)
def a_new_key_is_a_key(key: bytes) -> bool:
    return _is_key(key)


@check("LC-KEY-1", 701)
def a_new_key_is_nobody_s(s: State, key: bytes) -> bool:
    return not belongs(s, key)


@check("LC-KEY-1", 702)
def a_new_key_signed_for_the_account(s: State, account: bytes, key: bytes, signature: bytes) -> bool:
    return is_signed(key, tagged("lc/new-key", s.chain_id, account, key), signature)


def check_new_key(s: State, account: bytes, key: bytes, signature: bytes) -> None:
    a_new_key_is_a_key(key)
    a_new_key_is_nobody_s(s, key)
    a_new_key_signed_for_the_account(s, account, key, signature)


@check("LC-KEY-2", 5)
def a_validator_has_a_share_of_the_sets_left(s: State, sender: bytes) -> bool:
    following = _following(s)
    if not any(one == sender for one, _ in following):
        return True
    sets, used = s.get(b"gh/")[0], 0
    for (_, before), (since, after) in pairwise(sets):
        old, new = dict(map(tuple, before)).get(sender), dict(map(tuple, after)).get(sender)
        both = old is not None and new is not None
        used += both and old != new and since >= reportable_since(s)
    return used < max(1, MOST_SETS // len(following))


@check("LC-KEY-3", 5)
def the_sets_of_keys_leave_room_for_others(s: State) -> bool:
    return sum(since >= reportable_since(s) for since, _ in s.get(b"gh/")[0]) < MOST_SETS


@check("LC-KEY-3", 5)
def the_set_of_keys_was_not_changed_in_this_block(s: State) -> bool:
    return s.get(b"gn/") is None


def _following(s: State) -> list[list[bytes]]:
    following = s.get(b"gn/")
    return s.validators if following is None else following[1]  # type: ignore[no-any-return]


def change_key(s: State, account: bytes, key: bytes) -> None:
    """LC-KEY-3"""
    found = s.account(account)
    assert found is not None
    if any(one == account for one, _ in _following(s)):
        the_sets_of_keys_leave_room_for_others(s)
        the_set_of_keys_was_not_changed_in_this_block(s)
        the_key_in_the_set_changes(s, account, key)
    the_key_belongs_to_the_account_for_ever(s, account, key)
    s.put(b"a/" + account, found._replace(key=key))


@step("LC-KEY-3")
def the_key_in_the_set_changes(s: State, account: bytes, key: bytes) -> None:
    following = [[one, key if one == account else old] for one, old in _following(s)]
    s.put(b"gn/", [s.height + 1, following])
    s.put(b"gh/", [[*s.get(b"gh/")[0], [s.height + 1, following]][-KEPT_SETS:]])


@step("LC-KEY-3")
def the_key_belongs_to_the_account_for_ever(s: State, account: bytes, key: bytes) -> None:
    s.put(b"gk/" + key, [account, s.height])


# --- by the owner: LC-KEY-2 -----------------------------------------------------------------------------------------------------


@check("LC-KEY-2", 703)
def the_key_rested(s: State, sender: bytes) -> bool:
    rotated = changes(s, sender).rotated
    return not rotated or s.clock >= rotated + params(s).key_rest


def rotate(s: State, sender: bytes, key: bytes, signature: bytes) -> None:
    check_new_key(s, sender, key, signature)
    the_key_rested(s, sender)
    a_validator_has_a_share_of_the_sets_left(s, sender)
    change_key(s, sender, key)
    known = changes(s, sender)
    s.put(b"kc/" + sender, known._replace(number=known.number + 1, rotated=s.clock))
    s.noted("key.rotated", sender, key, known.number + 1)
    a_rotation_is_an_objection(s, sender)


@step("LC-KEY-2")
def a_rotation_is_an_objection(s: State, sender: bytes) -> None:
    known = recovery(s, sender)
    if known is not None and not known.objected:
        _objected(s, sender, known)


# --- guardians: LC-KEY-4 --------------------------------------------------------------------------------------------------------


@check("LC-KEY-4", 704)
def guardians_ascend(ids: list[bytes]) -> bool:
    return all(a < b for a, b in pairwise(ids))


@check("LC-KEY-4", 704)
def nobody_guards_itself(sender: bytes, ids: list[bytes]) -> bool:
    return sender not in ids


@check("LC-KEY-4", 704)
def guardians_are_members(s: State, ids: list[bytes]) -> bool:
    return all(s.get(b"m/" + one) is not None and not member_of(s, one).left for one in ids)


@check("LC-KEY-4", 704)
def no_guardian_is_banned(s: State, ids: list[bytes]) -> bool:
    found = [s.account(one) for one in ids]
    return all(account is None or account.status != BANNED for account in found)


@check("LC-KEY-4", 705)
def the_threshold_is_within_the_guardians(ids: list[bytes], threshold: int) -> bool:
    return (1 if ids else 0) <= threshold <= len(ids)


@check("LC-KEY-4", 706)
def the_delay_is_long_enough(s: State, ids: list[bytes], delay: int) -> bool:
    return not ids or delay >= params(s).recovery_delay_min


@check("LC-KEY-4", 706)
def the_delay_is_not_too_long(s: State, ids: list[bytes], delay: int) -> bool:
    return delay <= (params(s).recovery_delay_max if ids else 0)


def set_guardians(s: State, sender: bytes, ids: list[bytes], threshold: int, delay: int) -> None:
    guardians_ascend(ids)
    nobody_guards_itself(sender, ids)
    guardians_are_members(s, ids)
    no_guardian_is_banned(s, ids)
    the_threshold_is_within_the_guardians(ids, threshold)
    the_delay_is_long_enough(s, ids, delay)
    the_delay_is_not_too_long(s, ids, delay)
    present, since = in_force(s, sender), s.clock
    if present is None or [ids, threshold, delay] == [*present[:3]]:
        _guard(s, sender, Guardians(ids, threshold, delay, []) if ids else None)
    else:
        since = s.clock + present.delay
        _guard(s, sender, present._replace(coming=[[since, ids, threshold, delay]]))
    s.noted("guardians", sender, len(ids), threshold, delay, since)


def _guard(s: State, account: bytes, of: Guardians | None) -> None:
    if of is None:
        s.drop(b"kg/" + account)
    else:
        s.put(b"kg/" + account, [*of])


# --- words: LC-KEY-5, LC-KEY-6 --------------------------------------------------------------------------------------------------


@check("LC-BLK-20", 6)
def the_recovery_is_not_parked(s: State, account: bytes) -> bool:
    return parked(s, CONTRACT, account) is None


@check("LC-KEY-5", 708)
def the_sender_is_a_guardian(of: Guardians | None, sender: bytes) -> bool:
    return of is not None and sender in of.ids


@check("LC-KEY-5", 709)
def who_is_recovered_is_not_banned(s: State, account: bytes) -> bool:
    found = s.account(account)
    return found is None or found.status != BANNED


@check("LC-KEY-5", 710)
def no_recovery_begins_soon_after_an_objection(s: State, account: bytes) -> bool:
    of, open_ = in_force(s, account), recovery(s, account) is not None
    return open_ or s.clock >= changes(s, account).barred_until or (of is not None and bool(of.coming))


@check("LC-KEY-5", 711)
def the_word_is_another_one(s: State, account: bytes, sender: bytes, key: bytes) -> bool:
    known = recovery(s, account)
    return known is None or [sender, key] not in known.words


def recover(s: State, sender: bytes, account: bytes, key: bytes, signature: bytes) -> None:
    the_recovery_is_not_parked(s, account)
    of = in_force(s, account)
    the_sender_is_a_guardian(of, sender)
    if of is None:
        raise Refused("nobody guards it", 708)
    who_is_recovered_is_not_banned(s, account)
    no_recovery_begins_soon_after_an_objection(s, account)
    check_new_key(s, account, key, signature)
    the_word_is_another_one(s, account, sender, key)
    known = recovery(s, account)
    if known is None:
        its_guardians_are_those_in_force(s, account, of)
        gather = s.clock + params(s).recovery_gather
        begun = Recovery(s.clock, gather, [], b"", gather, False)
    else:
        begun = known
    words = sorted([*([one, said] for one, said in begun.words if one != sender), [sender, key]])
    _with(s, account, known, begun._replace(words=words), of)
    s.noted("recovery.word", account, sender, key, _for(words, key), needed(of, begun.objected))


@step("LC-KEY-5")
def its_guardians_are_those_in_force(s: State, account: bytes, of: Guardians) -> None:
    if guardians(s, account) != of:
        _guard(s, account, of)


def _for(words: list[list[bytes]], key: bytes) -> int:
    return sum(said == key for _, said in words)


def needed(of: Guardians, objected: bool) -> int:
    """LC-KEY-6"""
    return max(of.threshold, 2 * len(of.ids) // 3 + 1) if objected else of.threshold


def _agreed(words: list[list[bytes]], least: int, before: bytes) -> bytes:
    """LC-KEY-6"""
    best = max((_for(words, said) for _, said in words), default=0)
    most = [said for _, said in words if _for(words, said) == best >= least]
    return before if before in most else most[0] if most else b""


def _with(s: State, account: bytes, known: Recovery | None, now: Recovery, of: Guardians) -> None:
    """LC-KEY-6"""
    key = _agreed(now.words, needed(of, now.objected), now.key)
    until = now.until
    if key != now.key:
        until = s.clock + of.delay if key else now.gather
    if known is not None:
        cancel(s, account, known.until, CONTRACT, account)
    schedule(s, account, until, CONTRACT, account)
    s.put(b"kr/" + account, [*now._replace(until=until, key=key)])


# --- ends: LC-KEY-7 to LC-KEY-9 -------------------------------------------------------------------------------------------------


def end(s: State, account: bytes, why: str) -> None:
    """LC-KEY-9"""
    known = recovery(s, account)
    assert known is not None
    s.drop(b"kr/" + account)
    cancel(s, account, known.until, CONTRACT, account)
    of = guardians(s, account)
    if known.objected:
        none_begins_for_the_delay(s, account, 0 if of is None else of.delay)
    s.noted("recovery.ended", account, why)


@check("LC-KEY-7", 712)
def a_recovery_is_open(s: State, sender: bytes) -> bool:
    return recovery(s, sender) is not None


@check("LC-KEY-7", 707)
def nobody_objected(known: Recovery) -> bool:
    return not known.objected


def object_to(s: State, sender: bytes) -> None:
    a_recovery_is_open(s, sender)
    known = recovery(s, sender)
    assert known is not None
    nobody_objected(known)
    _objected(s, sender, known)


def _objected(s: State, account: bytes, known: Recovery) -> None:
    """LC-KEY-7"""
    of, gather = guardians(s, account), s.clock + params(s).recovery_gather
    assert of is not None
    key = _agreed(known.words, needed(of, True), known.key)
    until = known.until if key else gather
    cancel(s, account, known.until, CONTRACT, account)
    schedule(s, account, until, CONTRACT, account)
    s.put(b"kr/" + account, [*known._replace(key=key, until=until, gather=gather, objected=True)])
    s.noted("recovery.objected", account, needed(of, True), until)


@step("LC-KEY-9")
def none_begins_for_the_delay(s: State, sender: bytes, delay: int) -> None:
    s.put(b"kc/" + sender, changes(s, sender)._replace(barred_until=s.clock + delay))


def on_due(s: State, account: bytes, at: int) -> None:
    """LC-KEY-8"""
    known, of = recovery(s, account), guardians(s, account)
    if known is None or of is None or known.until != at:
        return
    if not known.key:
        end(s, account, "expired")
    elif _is_void(s, account, of, known):
        end(s, account, "void")
    else:
        _carry_out(s, account, known, of)


def _is_void(s: State, account: bytes, of: Guardians, known: Recovery) -> bool:
    agreed = [one for one, said in known.words if said == known.key and not _banned(s, one)]
    return len(agreed) < needed(of, known.objected) or _banned(s, account) or belongs(s, known.key)


def _banned(s: State, account: bytes) -> bool:
    found = s.account(account)
    return found is not None and found.status == BANNED


def _carry_out(s: State, account: bytes, known: Recovery, of: Guardians) -> None:
    try:
        change_key(s, account, known.key)
    except Refused as refused:
        if refused.code != 5:
            raise
        schedule(s, account, s.clock + RETRY, CONTRACT, account)
        s.put(b"kr/" + account, [*known._replace(until=s.clock + RETRY)])
        return
    s.drop(b"kr/" + account)
    guardians_that_were_coming_do_not(s, account, of)
    number = changes(s, account).number + 1
    s.put(b"kc/" + account, changes(s, account)._replace(number=number))
    s.noted("key.recovered", account, known.key, number)


@step("LC-KEY-8")
def guardians_that_were_coming_do_not(s: State, account: bytes, of: Guardians) -> None:
    if of.coming:
        _guard(s, account, of._replace(coming=[]))


def give_back(s: State, account: bytes) -> None:
    """LC-KEY-9"""
    if recovery(s, account) is not None:
        end(s, account, "void")


GIVE_BACK[CONTRACT] = give_back


def due_work(s: State, account: bytes) -> int:
    """LC-KEY-8"""
    known = recovery(s, account)
    return 0 if known is None else len(known.words)


HANDLERS: dict[int, Any] = {224: rotate, 225: set_guardians, 226: recover, 227: object_to}
URGENT = {224, 226, 227}
WORK = {224: 4, 225: 8, 226: 32, 227: 4}
"""LC-BLK-25"""
