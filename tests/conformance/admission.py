"""Invitations, coming and going, flags, bans by vote, box keys, after `membership.md`: LC-MEM-21 to LC-MEM-31, LC-TX-15."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.conformance import judging, membership
from tests.conformance.checks import Refused, check, step
from tests.conformance.keys import check_key, identity, is_signed, tagged
from tests.conformance.ledger import (
    ACTIVE,
    Account,
    State,
    cancel,
    count,
    credit,
    lock,
    parked,
    pay,
    rate,
    schedule,
)
from tests.conformance.membership import Member, member_of, set_member

OPEN, USED, REVOKED, EXPIRED = range(4)
WORDS = ("open", "used", "revoked", "expired")
MOST, KEPT, NEWCOMER = 3, 16, 16_384
BY_INVITATION, BY_VOTE = 1, 2
LOW_ORDER = [
    n.to_bytes(32, "little")
    for n in (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        2**255 - 20,
        2**255 - 19,
        2**255 - 18,
    )
]


class Invitation(NamedTuple):
    key: bytes
    inviter: bytes
    expires: int
    credits: int


def _is_key(key: bytes) -> bool:
    try:
        check_key(key)
    except Refused:
        return False
    return True


def invitation_id(key: bytes) -> bytes:
    """LC-MEM-21"""
    return tagged("lc/invitation", key)


def slots_of(s: State, inviter: bytes) -> list[list[Any]]:
    found = s.get(b"mq/" + inviter)
    return found[0] if found else []


def counts(s: State, slot: list[Any]) -> bool:
    """LC-MEM-21"""
    return bool(slot[1] == OPEN or (slot[1] == USED and s.clock < slot[2]))


def put_slots(s: State, inviter: bytes, slots: list[list[Any]]) -> None:
    """LC-MEM-21: the oldest of those that do not count go."""
    while len(slots) > KEPT:
        slots.remove(next(slot for slot in slots if not counts(s, slot)))
    s.put(b"mq/" + inviter, [slots])


# --- who may: LC-MEM-27 ---------------------------------------------------------------------------------------------------------

FOR_MEMBERS = {67, 68, 70, 72, 73, 96, 97, 128, 131, 133, 139, 140, 160, 161, 178, 181}


@check("LC-MEM-27", 7)
def a_message_for_members_is_from_one_that_did_not_leave(s: State, sender: bytes, tag: int) -> bool:
    return tag not in FOR_MEMBERS or member_of(s, sender).left == 0


def is_member(s: State, identity: bytes) -> bool:
    """LC-MEM-22"""
    return s.get(b"m/" + identity) is not None and member_of(s, identity).left == 0


# --- invitations: LC-MEM-21, 25 -------------------------------------------------------------------------------------------------


@check("LC-BLK-20", 6)
def the_invitation_is_not_parked(s: State, invitation: bytes) -> bool:
    return parked(s, 2, invitation) is None


@check("LC-MEM-21", 210)
def who_invites_is_a_member(s: State, sender: bytes) -> bool:
    return s.get(b"m/" + sender) is not None


@check("LC-MEM-21", 213)
def the_network_takes_invitations(s: State) -> bool:
    return s.member_params.join_policy != BY_VOTE


@check("LC-MEM-21", 215)
def who_invites_is_active(s: State, sender: bytes) -> bool:
    account = s.account(sender)
    return account is not None and account.status == ACTIVE


@check("LC-MEM-21", 215)
def who_invites_stands(s: State, sender: bytes) -> bool:
    return judging.live(member_of(s, sender).strikes, s.clock) < 3


@check("LC-MEM-21", 216)
def who_invites_is_no_newcomer(s: State, member: Member) -> bool:
    return not member.inviter or s.clock >= member.since + s.member_params.invite_rest


@check("LC-MEM-21", 217)
def an_invitation_expires_later(s: State, expires: int) -> bool:
    return expires > s.clock


@check("LC-MEM-21", 217)
def an_invitation_does_not_stand_too_long(s: State, expires: int) -> bool:
    return expires <= s.clock + s.member_params.invite_longest


@check("LC-MEM-21", 218)
def an_invitation_has_a_key(key: bytes) -> bool:
    return _is_key(key)


@check("LC-MEM-21", 218)
def an_invitation_s_key_is_in_no_other_open_one(s: State, key: bytes) -> bool:
    return s.get(b"mk/" + invitation_id(key)) is None


@check("LC-MEM-21", 218)
def an_invitation_s_key_is_in_none_of_the_sender_s_slots(s: State, sender: bytes, key: bytes) -> bool:
    return invitation_id(key) not in [slot[0] for slot in slots_of(s, sender)]


@check("LC-MEM-21", 219)
def fewer_than_three_of_the_sender_s_invitations_count(s: State, sender: bytes) -> bool:
    return sum(counts(s, slot) for slot in slots_of(s, sender)) < MOST


@check("LC-MEM-21", 1)
def the_sender_has_the_invitation_s_credits_free(s: State, sender: bytes, amount: int) -> bool:
    account = s.account(sender)
    return account is not None and account.balance >= amount


def invite(s: State, sender: bytes, key: bytes, expires: int, amount: int) -> None:
    """LC-MEM-21"""
    who_invites_is_a_member(s, sender)
    the_network_takes_invitations(s)
    who_invites_is_active(s, sender)
    who_invites_stands(s, sender)
    who_invites_is_no_newcomer(s, member_of(s, sender))
    an_invitation_expires_later(s, expires)
    an_invitation_does_not_stand_too_long(s, expires)
    an_invitation_has_a_key(key)
    an_invitation_s_key_is_in_no_other_open_one(s, key)
    an_invitation_s_key_is_in_none_of_the_sender_s_slots(s, sender, key)
    fewer_than_three_of_the_sender_s_invitations_count(s, sender)
    the_sender_has_the_invitation_s_credits_free(s, sender, amount)
    invitation = invitation_id(key)
    lock(s, sender, invitation + b"I", amount, "invitation.locked", invitation)
    s.put(b"mk/" + invitation, Invitation(key, sender, expires, amount))
    put_slots(s, sender, [*slots_of(s, sender), [invitation, OPEN, expires]])
    schedule(s, sender, expires, 2, invitation)
    s.noted("invited", sender, invitation, expires, amount)


def _over(s: State, invitation: bytes, found: Invitation, state: int, until: int, heir: bytes, reason: str) -> None:
    pay(s, invitation + b"I", heir, found.credits, reason, invitation)
    s.drop(b"mk/" + invitation)
    cancel(s, found.inviter, found.expires, 2, invitation)
    the_slot_tells_what_became_of_it(s, found.inviter, [invitation, state, until])


@step("LC-MEM-25")
def the_slot_tells_what_became_of_it(s: State, inviter: bytes, now: list[Any]) -> None:
    put_slots(s, inviter, [now if slot[0] == now[0] else slot for slot in slots_of(s, inviter)])


def take_back(s: State, invitation: bytes, state: int) -> None:
    """LC-MEM-25"""
    found = Invitation(*s.get(b"mk/" + invitation))
    _over(s, invitation, found, state, 0, found.inviter, "invitation.returned")
    s.noted("invitation.ended", found.inviter, invitation, WORDS[state])


def all_are_revoked(s: State, inviter: bytes) -> None:
    """LC-MEM-25"""
    for invitation, state, _ in slots_of(s, inviter):
        if state == OPEN:
            take_back(s, invitation, REVOKED)


def expire(s: State, invitation: bytes, at: int) -> None:
    """LC-MEM-25"""
    found = s.get(b"mk/" + invitation)
    if found is not None and found[2] == at:
        take_back(s, invitation, EXPIRED)


def give_back(s: State, invitation: bytes) -> None:
    """LC-MEM-14"""
    if s.get(b"mk/" + invitation) is not None:
        take_back(s, invitation, REVOKED)


def _state(s: State, inviter: bytes, invitation: bytes) -> int:
    """Of one that is not open any more; OPEN where nothing is known of it."""
    return next((slot[1] for slot in slots_of(s, inviter) if slot[0] == invitation), OPEN)


@check("LC-MEM-25", 221)
def it_was_not_used(state: int) -> bool:
    return state != USED


@check("LC-MEM-25", 222)
def it_was_not_revoked(state: int) -> bool:
    return state != REVOKED


@check("LC-MEM-25", 223)
def it_did_not_expire(state: int) -> bool:
    return state != EXPIRED


@check("LC-MEM-25", 220)
def it_is_an_open_one_of_this_member(s: State, inviter: bytes, invitation: bytes) -> bool:
    found = s.get(b"mk/" + invitation)
    return found is not None and found[1] == inviter


def open_one(s: State, inviter: bytes, invitation: bytes) -> Invitation:
    """LC-MEM-25"""
    found = s.get(b"mk/" + invitation)
    if found is None or found[1] != inviter:
        state = _state(s, inviter, invitation)
        it_was_not_used(state)
        it_was_not_revoked(state)
        it_did_not_expire(state)
    it_is_an_open_one_of_this_member(s, inviter, invitation)
    if found is None:
        raise Refused("no invitation to go on with")
    return Invitation(*found)


def revoke(s: State, sender: bytes, invitation: bytes) -> None:
    """LC-MEM-25"""
    the_invitation_is_not_parked(s, invitation)
    open_one(s, sender, invitation)
    take_back(s, invitation, REVOKED)


# --- coming: LC-MEM-22 to LC-MEM-24 ---------------------------------------------------------------------------------------------


@check("LC-MEM-23", 223)
def the_invitation_s_time_is_not_over(s: State, found: Invitation) -> bool:
    return s.clock < found.expires


@check("LC-MEM-23", 224)
def the_newcomer_signed(digest: bytes, key: bytes, signature: bytes) -> bool:
    return is_signed(key, digest, signature)


@check("LC-MEM-23", 224)
def the_invitation_s_key_signed(digest: bytes, key: bytes, signature: bytes) -> bool:
    return is_signed(key, digest, signature)


@check("LC-MEM-22", 218)
def a_newcomer_has_a_key(key: bytes) -> bool:
    return _is_key(key)


@check("LC-MEM-22", 225)
def a_known_key_is_of_one_that_left(s: State, who: bytes) -> bool:
    return s.account(who) is None or member_of(s, who).left > 0


@check("LC-MEM-22", 225)
def a_known_key_is_that_of_now(s: State, who: bytes, key: bytes) -> bool:
    account = s.account(who)
    return account is None or account.key == key


@check("LC-MEM-22", 225)
def a_known_key_is_of_one_in_good_standing(s: State, who: bytes) -> bool:
    account = s.account(who)
    return account is None or account.status == ACTIVE


@check("LC-MEM-33", 233)
def the_inviter_is_not_too_deep(depth: int) -> bool:
    return depth < 32


@check("LC-MEM-33", 233)
def the_inviter_has_room(room: int) -> bool:
    return room >= 1


def branch_of(s: State, who: bytes) -> tuple[int, bytes]:
    """LC-MEM-33: how many are below it, and who is above it."""
    found = s.get(b"mt/" + who)
    if found is not None:
        return found[0], found[1]
    root = member_of(s, who).root
    return 0, root if root != who else b""


def depth_of(s: State, who: bytes, most: int = 32) -> int:
    above = branch_of(s, who)[1]
    return 1 + depth_of(s, above, most - 1) if above and most else 0


def room_of(s: State, who: bytes) -> int:
    below, above = branch_of(s, who)
    return (room_of(s, above) if above else int(s.member_params.invite_branch)) - below


def one_more(s: State, who: bytes) -> None:
    below, above = branch_of(s, who)
    s.put(b"mt/" + who, [below + 1, above])
    if above:
        one_more(s, above)


def grow(s: State, inviter: bytes, newcomer: bytes) -> None:
    """LC-MEM-33"""
    the_inviter_is_not_too_deep(depth_of(s, inviter))
    the_inviter_has_room(room_of(s, inviter))
    one_more(s, inviter)
    s.put(b"mt/" + newcomer, [0, inviter])


def enter(s: State, key: bytes, root: bytes | None, inviter: bytes) -> bytes:
    """LC-MEM-22"""
    a_newcomer_has_a_key(key)
    later = s.get(b"gk/" + key)
    who: bytes = later[0] if later is not None else identity(key)
    a_known_key_is_of_one_that_left(s, who)
    a_known_key_is_that_of_now(s, who, key)
    a_known_key_is_of_one_in_good_standing(s, who)
    if s.account(who) is None:
        if inviter:
            grow(s, inviter, who)
        account = Account(key, ACTIVE, 0, 0, [0] * 4, 0)
        owed = s.params.bandwidth_window * 1_000 - NEWCOMER * 1_000_000 // rate(s.params, account)
        s.put(b"a/" + who, account._replace(arrival=s.clock * 1_000 + max(0, owed)))
        member = Member(root or who, False, 0, 0, [], 0, [], [], inviter, s.clock)
    else:
        member = member_of(s, who)._replace(inviter=inviter, since=s.clock, left=0, box_key=b"", box_since=0)
    set_member(s, who, member)
    return who


def join(s: State, sender: bytes, inviter: bytes, token: bytes, key: bytes, signature: bytes, proof: bytes) -> None:
    """LC-MEM-23"""
    invitation = invitation_id(token)
    the_invitation_is_not_parked(s, invitation)
    the_network_takes_invitations(s)
    found = open_one(s, inviter, invitation)
    the_invitation_s_time_is_not_over(s, found)
    digest = tagged("lc/join", s.chain_id, token, key)
    the_newcomer_signed(digest, key, signature)
    the_invitation_s_key_signed(digest, token, proof)
    who = enter(s, key, membership.root_of(s, inviter), inviter)
    until = s.clock + s.member_params.invite_rest
    _over(s, invitation, found, USED, until, who, "invitation.paid")
    s.noted("joined", who, membership.root_of(s, who), inviter, sender)


@check("LC-MEM-24", 214)
def the_network_takes_votes(s: State) -> bool:
    return s.member_params.join_policy != BY_INVITATION


def admit(s: State, key: bytes, root: bytes) -> bytes:
    """LC-MEM-24: an empty root: one of its own."""
    the_network_takes_votes(s)
    who = enter(s, key, root or None, b"")
    s.noted("joined", who, membership.root_of(s, who), b"", b"")
    return who


# --- going: LC-MEM-26 -----------------------------------------------------------------------------------------------------------


@check("LC-MEM-26", 210)
def who_goes_is_a_member(s: State, who: bytes) -> bool:
    return is_member(s, who)


@check("LC-MEM-26", 226)
def who_goes_is_no_validator_of_the_next_block(s: State, who: bytes) -> bool:
    following = s.get(b"gn/") or s.get(b"gv/")
    return who not in [v[0] for v in following[1]]


def go(s: State, who: bytes, how: str) -> None:
    """LC-MEM-26"""
    who_goes_is_a_member(s, who)
    who_goes_is_no_validator_of_the_next_block(s, who)
    all_are_revoked(s, who)
    membership.it_trains_for_nobody(s, who)
    set_member(s, who, member_of(s, who)._replace(verifier=False, left=s.clock))
    s.noted("left", who, how)


def leave(s: State, sender: bytes) -> None:
    go(s, sender, "left")


def remove(s: State, who: bytes) -> None:
    go(s, who, "removed")


# --- flags, bans, box keys: LC-MEM-28 to LC-MEM-31 ------------------------------------------------------------------------------


@check("LC-MEM-28", 210)
def whose_flag_it_is_is_a_member(s: State, who: bytes) -> bool:
    return is_member(s, who)


@check("LC-MEM-28", 227)
def a_flag_changes(s: State, who: bytes, on: bool) -> bool:
    return member_of(s, who).verifier != on


@check("LC-MEM-28", 227)
def whose_flag_it_is_is_not_banned(s: State, who: bytes) -> bool:
    return not membership.is_banned(s, who)


def set_verifier(s: State, who: bytes, on: bool) -> None:
    """LC-MEM-28"""
    whose_flag_it_is_is_a_member(s, who)
    a_flag_changes(s, who, on)
    whose_flag_it_is_is_not_banned(s, who)
    set_member(s, who, member_of(s, who)._replace(verifier=on, verifier_since=s.clock))
    s.noted("verifier", who, int(on))


@check("LC-MEM-30", 210)
def who_is_banned_was_a_member(s: State, who: bytes) -> bool:
    return s.get(b"m/" + who) is not None


@check("LC-MEM-30", 228)
def nobody_is_banned_twice(s: State, who: bytes) -> bool:
    return not membership.is_banned(s, who)


def ban(s: State, who: bytes, ref: bytes) -> None:
    """LC-MEM-30"""
    who_is_banned_was_a_member(s, who)
    nobody_is_banned_twice(s, who)
    found = s.get(b"mc/" + who)
    if found is not None:
        case = membership.Case(*found)
        cancel(s, who, case.until, 2, who)
        membership.end(s, who, case, membership.IS_BANNED)
        return
    membership.end_account(s, who, ref)
    s.noted("banned", who, ref, 0, 0, 0, 0)


@check("LC-MEM-31", 229)
def whose_ban_is_lifted_is_banned(s: State, who: bytes) -> bool:
    return s.get(b"mb/" + who) is not None


@check("LC-MEM-31", 230)
def no_more_is_minted_than_was_burned(s: State, who: bytes, amount: int) -> bool:
    return amount <= burned(s, who)


def burned(s: State, who: bytes) -> int:
    """LC-MEM-31: 0 without a ban."""
    by_the_ban, since = s.get(b"mb/" + who), s.get(b"gz/" + who) or [0]
    return 0 if by_the_ban is None else int(by_the_ban[0] + since[0])


def lift_ban(s: State, who: bytes, amount: int, ref: bytes) -> None:
    """LC-MEM-31"""
    whose_ban_is_lifted_is_banned(s, who)
    no_more_is_minted_than_was_burned(s, who, amount)
    account, inviter = s.account(who), member_of(s, who).inviter
    assert account is not None
    s.drop(b"mb/" + who)
    s.drop(b"gz/" + who)
    s.set_account(who, account._replace(status=ACTIVE))
    if amount:
        count(s, amount, 0)
        credit(s, who, amount, "ban lifted", b"", ref)
    if s.get(b"m/" + inviter) is not None:
        the_inviter_s_strike_ends(s, inviter, who)
    s.noted("ban.lifted", who, ref, amount)


@step("LC-MEM-31")
def the_inviter_s_strike_ends(s: State, inviter: bytes, who: bytes) -> None:
    member = member_of(s, inviter)
    set_member(s, inviter, member._replace(strikes=[strike for strike in member.strikes if strike[0] != who]))


@check("LC-MEM-29", 210)
def whose_box_it_is_is_a_member(s: State, sender: bytes) -> bool:
    return is_member(s, sender)


@check("LC-MEM-29", 231)
def a_box_key_keeps_secrets(key: bytes) -> bool:
    return int.from_bytes(key, "little") % 2**255 not in [int.from_bytes(low, "little") for low in LOW_ORDER]


@check("LC-MEM-29", 232)
def a_box_key_is_another_one(member: Member, key: bytes) -> bool:
    return member.box_key != key


def set_box_key(s: State, sender: bytes, key: bytes) -> None:
    """LC-MEM-29"""
    whose_box_it_is_is_a_member(s, sender)
    a_box_key_keeps_secrets(key)
    member = member_of(s, sender)
    a_box_key_is_another_one(member, key)
    set_member(s, sender, member._replace(box_key=key, box_since=s.clock))
    s.noted("box.key", sender, key)


membership.ALL_ARE_REVOKED.append(all_are_revoked)
membership.INVITATION_GIVEN_BACK.append(give_back)
