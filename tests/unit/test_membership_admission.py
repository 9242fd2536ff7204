"""Invitations, joining, leaving, votes' admissions and bans: LC-MEM-21 to LC-MEM-31."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from msgspec.structs import replace

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job import Claim
from learningchain.chain.contracts.keys import RotateKey, new_key_digest
from learningchain.chain.contracts.membership import (
    MAX_INVITATIONS,
    NUMBER,
    Invitation,
    Invite,
    Join,
    Leave,
    MemberCode,
    RevokeInvite,
    SetBoxKey,
    SetCapacity,
    SetTraining,
    SlotState,
    ban_key,
    invitation_escrow,
    invitation_id,
    invitation_key,
    join_digest,
    slots_of,
)
from learningchain.chain.contracts.membership.invitations import counts
from learningchain.chain.contracts.membership.records import SLOTS_KEPT
from learningchain.chain.crypto import LOW_ORDER, SigningKey
from learningchain.chain.errors import Code, Reject
from learningchain.chain.host import BANNED, MEMBERS, VERIFIERS, Due, Host, due_key
from learningchain.chain.types import LogEvent, Validator
from tests.unit.ledger_kit import GRANT, Chain, genesis_of, id_of, key_of
from tests.unit.membership_kit import JOB, SMALL, Court
from tests.unit.membership_kit import MEMBERS as NAMES

HOUR = 3_600_000
REF = b"p" * 32


def token(name: str) -> SigningKey:
    return key_of(f"token {name}")


class Door:
    """A chain on which members invite and newcomers join."""

    def __init__(self, **params: int) -> None:
        bounds: Any = {"invite_rest": 50_000, "invite_longest": 10 * HOUR} | params
        self.chain = Chain(genesis_of(*NAMES, **bounds))

    def invite(self, by: str, name: str, *, credits: int = 0, lasts: int = HOUR) -> int:
        message = Invite(token(name).public, self.chain.clock + 1_000 + lasts, credits)
        return self.chain.codes(self.chain.tx(by, message))[0]

    def joining(self, who: str, name: str, by: str = "alice", **changed: Any) -> Join:
        digest = join_digest(self.chain.chain_id, token(name).public, key_of(who).public)
        made = Join(id_of(by), token(name).public, key_of(who).public, key_of(who).sign(digest), token(name).sign(digest))
        return replace(made, **changed)

    def join(self, who: str, name: str, by: str = "alice", sender: str = "v1", **changed: Any) -> int:
        return self.chain.codes(self.chain.tx(sender, self.joining(who, name, by, **changed)))[0]

    def revoke(self, by: str, name: str) -> int:
        return self.chain.codes(self.chain.tx(by, RevokeInvite(invitation_id(token(name).public))))[0]

    def wait(self, until: int) -> None:
        while self.chain.clock < until:
            self.chain.block(step=min(60_000, until - self.chain.clock))

    def member(self, who: str) -> Any:
        return self.chain.state.get(b"m/" + id_of(who))

    def states(self, by: str = "alice") -> list[SlotState]:
        return [SlotState(slot.state) for slot in slots_of(self.chain.state, id_of(by))]

    def events(self, topic: str) -> list[LogEvent]:
        assert self.chain.last is not None
        found = [event for receipt in self.chain.last.receipts for event in receipt.events]
        return [event for event in found if isinstance(event, LogEvent) and event.topic == topic]


@pytest.fixture
def door() -> Door:
    return Door()


# --- invitations and joining --------------------------------------------------------------------------------------------------


def test_a_newcomer_joins_with_the_inviters_root_and_gets_its_credits(door: Door) -> None:
    """LC-MEM-21, 22, 23: whichever member sends the Join."""
    assert door.invite("alice", "one", credits=300) == 0
    invitation = invitation_id(token("one").public)
    assert door.chain.account("alice").balance == GRANT - 300
    assert door.events("invited") == [LogEvent("invited", id_of("alice"), [invitation, door.chain.clock + HOUR, 300])]
    assert door.join("nina", "one") == 0
    assert (door.chain.account("nina").balance, door.chain.account("nina").key) == (300, key_of("nina").public)
    nina = door.member("nina")
    assert (nina.root, nina.inviter, nina.since, nina.verifier, nina.left) == (
        id_of("alice"),
        id_of("alice"),
        door.chain.clock,
        False,
        0,
    )
    assert door.events("joined") == [LogEvent("joined", id_of("nina"), [id_of("alice"), id_of("alice"), id_of("v1")])]
    assert door.chain.state.get(invitation_key(invitation)) is None
    assert door.states() == [SlotState.USED]
    assert door.chain.codes(door.chain.tx("nina", SetCapacity(SMALL))) == [0]


def test_a_token_is_used_once(door: Door) -> None:
    """LC-MEM-23: not by another newcomer, not by the same one again, not twice in one block."""
    door.invite("alice", "one", credits=100)
    both = [door.chain.tx("v1", door.joining("nina", "one")), door.chain.tx("v2", door.joining("otto", "one"))]
    assert sorted(door.chain.codes(*both)) == [0, MemberCode.INVITATION_USED]
    assert door.join("otto", "one") == door.join("nina", "one") == MemberCode.INVITATION_USED
    assert sum(door.member(name) is not None for name in ("nina", "otto")) == 1


def test_what_ended_is_refused_with_its_reason(door: Door) -> None:
    """LC-MEM-25: revoked, expired, never made; its credits are back."""
    door.invite("alice", "one", credits=100)
    assert door.revoke("bob", "one") == MemberCode.NO_INVITATION
    assert door.revoke("alice", "one") == 0
    assert door.events("invitation.ended")[0].data == [invitation_id(token("one").public), "revoked"]
    assert door.join("nina", "one") == door.revoke("alice", "one") == MemberCode.INVITATION_REVOKED
    door.invite("alice", "two", credits=100, lasts=5_000)
    door.wait(door.chain.clock + 5_000)
    assert door.join("nina", "two") == MemberCode.INVITATION_EXPIRED
    assert door.join("nina", "three") == door.join("nina", "one", by="bob") == MemberCode.NO_INVITATION
    assert door.chain.account("alice").balance == GRANT
    assert door.states() == [SlotState.REVOKED, SlotState.EXPIRED]


def test_a_join_is_of_one_network_one_token_and_one_newcomer(door: Door) -> None:
    """LC-MEM-23: each signature is asked for, over this chain's id."""
    door.invite("alice", "one")
    other = join_digest(b"x" * 32, token("one").public, key_of("nina").public)
    altered: tuple[Any, ...] = (
        {"signature": key_of("nina").sign(other)},
        {"token": token("one").sign(other)},
        {"signature": key_of("otto").sign(join_digest(door.chain.chain_id, token("one").public, key_of("nina").public))},
        {"key": key_of("otto").public},
        {"key": b"\x07" * 33},
    )
    for changed in altered:
        assert door.join("nina", "one", **changed) == MemberCode.BAD_PROOF
    assert door.join("alice", "one") == MemberCode.KNOWN_KEY
    assert door.join("nina", "one") == 0


def test_three_invitations_of_a_member_count(door: Door) -> None:
    """LC-MEM-21: open ones, and used ones for a while; revoked and expired ones do not."""
    assert [door.invite("alice", str(n)) for n in range(4)] == [0, 0, 0, MemberCode.TOO_MANY_INVITATIONS]
    assert door.revoke("alice", "0") == 0
    assert door.invite("alice", "5") == 0
    assert door.join("nina", "5") == 0
    used = door.chain.clock
    assert door.invite("alice", "6") == MemberCode.TOO_MANY_INVITATIONS
    door.wait(used + 50_000 - 1_000)
    assert door.invite("alice", "6") == 0
    assert sum(counts(slot, door.chain.clock) for slot in slots_of(door.chain.state, id_of("alice"))) == MAX_INVITATIONS


def test_the_slots_of_a_member_are_bounded(door: Door) -> None:
    for n in range(SLOTS_KEPT + 4):
        assert door.invite("alice", str(n)) == door.revoke("alice", str(n)) == 0
    assert len(slots_of(door.chain.state, id_of("alice"))) == SLOTS_KEPT
    assert door.join("nina", "0") == MemberCode.NO_INVITATION
    assert door.join("nina", "19") == MemberCode.INVITATION_REVOKED


def test_what_an_invitation_may_be(door: Door) -> None:
    """LC-MEM-21"""
    c = door.chain
    for message, code in (
        (Invite(token("x").public, c.clock, 0), MemberCode.BAD_EXPIRY),
        (Invite(token("x").public, c.clock + 11 * HOUR, 0), MemberCode.BAD_EXPIRY),
        (Invite(b"\x07" * 33, c.clock + HOUR, 0), MemberCode.BAD_KEY),
        (Invite(token("x").public, c.clock + HOUR, GRANT + 1), Code.INSUFFICIENT_CREDITS),
    ):
        assert c.codes(c.tx("bob", message)) == [code]
    assert door.invite("bob", "two") == 0
    assert door.invite("carol", "two") == door.invite("bob", "two") == MemberCode.BAD_KEY
    door.revoke("bob", "two")
    assert door.invite("bob", "two") == MemberCode.BAD_KEY


def test_an_invited_member_invites_after_a_while(door: Door) -> None:
    """LC-MEM-21: its invitees have the same root."""
    door.invite("alice", "one")
    door.join("nina", "one")
    joined = door.chain.clock
    assert door.invite("nina", "two") == MemberCode.TOO_NEW
    door.wait(joined + 50_000)
    assert door.invite("nina", "two") == 0
    assert door.join("otto", "two", by="nina") == 0
    assert (door.member("otto").root, door.member("otto").inviter) == (id_of("alice"), id_of("nina"))


def test_an_invitation_stands_for_its_time_and_no_longer(door: Door) -> None:
    """LC-MEM-21, 25: its one deadline is at its end, and goes with it."""
    c, longest = door.chain, 10 * HOUR
    for lasts, code in ((0, MemberCode.BAD_EXPIRY), (longest + 1, MemberCode.BAD_EXPIRY), (longest, 0)):
        assert door.invite("alice", "one", lasts=lasts) == code
    (slot,) = slots_of(c.state, id_of("alice"))
    assert slot.until == c.clock + longest
    assert c.deadlines() == [(id_of("alice"), slot.until, NUMBER, slot.invitation)]
    assert door.revoke("alice", "one") == 0 and c.deadlines() == []
    door.invite("alice", "two")
    assert door.join("nina", "two") == 0 and c.deadlines() == []


def test_an_invitation_that_stands_behind_its_time_lets_nobody_in(door: Door) -> None:
    """LC-MEM-23: where many deadlines wait, its own comes later than its time: from then on it is over all the same."""
    door.invite("alice", "one")
    key = invitation_key(invitation_id(token("one").public))
    record = door.chain.state.get(key)
    assert isinstance(record, Invitation)
    door.chain.put(key, replace(record, expires=door.chain.clock + 1_000))
    assert door.join("nina", "one") == MemberCode.INVITATION_EXPIRED


def test_a_deadline_from_before_is_that_of_no_other_invitation(door: Door) -> None:
    """LC-MEM-25: one that comes at another time than the invitation's ends nothing."""
    door.invite("alice", "one")
    invitation = invitation_id(token("one").public)
    door.chain.put(due_key(id_of("alice"), door.chain.clock + 1, NUMBER, invitation), Due(NUMBER, invitation))
    door.chain.block()
    assert door.states() == [SlotState.OPEN]


def test_a_join_names_who_invited(door: Door) -> None:
    """LC-MEM-23: whose root the newcomer gets is what it signed for, or the inviter's slots could be asked about others'."""
    door.invite("alice", "one")
    assert door.join("nina", "one", by="bob") == MemberCode.NO_INVITATION
    assert door.join("nina", "one") == 0


def test_an_inviter_waits_for_its_rest_to_the_millisecond(door: Door) -> None:
    """LC-MEM-21"""
    door.invite("alice", "one")
    door.join("nina", "one")
    joined = door.chain.clock
    door.wait(joined + 50_000 - 1_001)
    message = Invite(token("two").public, door.chain.clock + HOUR, 0)
    assert door.chain.codes(door.chain.tx("nina", message)) == [MemberCode.TOO_NEW]
    assert door.chain.codes(door.chain.tx("nina", message), step=1) == [0]


def test_slots_that_count_are_never_dropped_for_those_that_do_not(door: Door) -> None:
    """LC-MEM-21: the oldest of the others goes first, and a list of sixteen stays one."""
    assert door.invite("alice", "kept") == 0
    for n in range(SLOTS_KEPT + 3):
        assert door.invite("alice", str(n)) == door.revoke("alice", str(n)) == 0
    slots = slots_of(door.chain.state, id_of("alice"))
    made = [invitation_id(token(name).public) for name in ("kept", *(str(n) for n in range(4, SLOTS_KEPT + 3)))]
    assert [slot.invitation for slot in slots] == made


def test_all_invitations_of_who_leaves_end_even_one_that_is_about_to(door: Door) -> None:
    """LC-MEM-25, 26"""
    door.invite("alice", "long", credits=7)
    door.invite("alice", "short", credits=7, lasts=1_001)
    assert door.chain.codes(door.chain.tx("alice", Leave())) == [0]
    assert door.states() == [SlotState.REVOKED, SlotState.REVOKED] and door.chain.deadlines() == []
    assert door.chain.account("alice").balance == GRANT


def test_the_policy_says_how_members_come() -> None:
    """LC-MEM-21, 24"""
    voted = Door(join_policy=2)
    assert voted.invite("alice", "one") == voted.join("nina", "one") == MemberCode.NO_INVITATIONS


def test_a_newcomer_may_send_a_little_at_once(door: Door) -> None:
    """LC-TX-15: identities are no way to more bytes."""
    from learningchain.chain import bandwidth

    door.invite("alice", "one")
    door.join("nina", "one")
    account, params = door.chain.account("nina"), door.chain.genesis.params
    assert bandwidth.left(params, account.balance, account.arrival, door.chain.clock) == bandwidth.NEWCOMER


# --- going --------------------------------------------------------------------------------------------------------------------


def test_who_leaves_keeps_its_credits_and_may_move_them(door: Door) -> None:
    """LC-MEM-26, 27: it posts, claims, invites and declares nothing any more; its invitations end."""
    door.invite("alice", "one", credits=100)
    assert door.chain.codes(door.chain.tx("alice", Leave())) == [0]
    assert door.events("left") == [LogEvent("left", id_of("alice"), ["left"])]
    assert door.states() == [SlotState.REVOKED]
    assert door.join("nina", "one") == MemberCode.INVITATION_REVOKED
    assert door.chain.codes(door.chain.tx("alice", Transfer(id_of("bob"), GRANT, b""))) == [0]
    for message in (
        SetCapacity(SMALL),
        SetBoxKey(b"b" * 32),
        SetTraining(1, 60),
        Invite(token("x").public, door.chain.clock + HOUR, 0),
        Claim(JOB, 1, bytes(32), False),
        door.joining("nina", "one"),
    ):
        assert door.chain.codes(door.chain.tx("alice", message)) == [Code.LEFT]
    assert door.chain.codes(door.chain.tx("alice", Leave())) == [MemberCode.NOT_A_MEMBER]


def test_a_validator_leaves_the_set_first(door: Door) -> None:
    """LC-MEM-26"""
    assert door.chain.codes(door.chain.tx("v1", Leave())) == [MemberCode.STILL_A_VALIDATOR]


def test_who_left_comes_back_as_who_it_was(door: Door) -> None:
    """LC-MEM-22: with its root: leaving sheds nothing."""
    door.chain.codes(door.chain.tx("bob", Leave()))
    door.invite("alice", "one", credits=5)
    assert door.join("bob", "one") == 0
    bob = door.member("bob")
    assert (bob.root, bob.inviter, bob.left, door.chain.account("bob").balance) == (id_of("bob"), id_of("alice"), 0, GRANT + 5)
    assert bob.since == door.chain.clock


def test_who_comes_back_seals_under_another_box_key_and_waits_like_a_newcomer(door: Door) -> None:
    """LC-MEM-21, 22, 29: whoever had its machine meanwhile reads nothing that comes, and nobody leaves to invite sooner."""
    door.chain.codes(door.chain.tx("bob", SetBoxKey(b"b" * 32)))
    door.chain.codes(door.chain.tx("bob", Leave()))
    door.invite("alice", "one")
    assert door.join("bob", "one") == 0
    assert (door.member("bob").box_key, door.member("bob").box_since) == (b"", 0)
    assert door.invite("bob", "two") == MemberCode.TOO_NEW


def test_who_changed_its_key_comes_back_by_the_new_one_alone(door: Door) -> None:
    """LC-MEM-22: whoever found the old key is nobody."""
    c = door.chain
    proof = key_of("later").sign(new_key_digest(c.chain_id, id_of("bob"), key_of("later").public))
    assert c.codes(c.tx("bob", RotateKey(key_of("later").public, proof))) == [0]
    assert c.codes(c.tx("bob", Leave(), signer="later")) == [0]
    door.invite("alice", "one")
    assert door.join("bob", "one") == MemberCode.KNOWN_KEY
    assert door.join("later", "one") == 0
    assert door.member("bob").left == 0 and door.member("later") is None


def test_a_validator_that_is_on_its_way_into_the_set_does_not_leave(court: Court) -> None:
    """LC-MEM-26: the set that signs the next block counts, as this block says."""

    def both(host: Host) -> int:
        keys = [*host.validators(), Validator(id_of("bob"), key_of("bob").public)]
        host.change_validators(keys)
        try:
            host.service(MEMBERS).remove(id_of("bob"))
        except Reject as refusal:
            return refusal.code
        return 0

    assert court.do(both) == [MemberCode.STILL_A_VALIDATOR]


def test_a_suspended_member_and_one_with_three_strikes_invite_nobody(court: Court) -> None:
    """LC-MEM-21"""
    chain = court.chain

    def invite(name: str) -> int:
        return chain.codes(chain.tx("bob", Invite(token(name).public, chain.clock + HOUR, 0)))[0]

    assert invite("one") == 0
    court.accuse()
    assert invite("two") == MemberCode.MAY_NOT_INVITE
    court.judge(False, "v1", "v2", "v3")
    assert invite("two") == 0
    for owner in ("carol", "dave", "erin"):
        court.strike(owner)
    assert invite("three") == MemberCode.MAY_NOT_INVITE


# --- box keys -----------------------------------------------------------------------------------------------------------------


def test_a_member_has_one_sound_box_key(door: Door) -> None:
    """LC-MEM-29"""
    c = door.chain
    assert c.codes(c.tx("alice", SetBoxKey(b"b" * 32))) == [0]
    assert (door.member("alice").box_key, door.member("alice").box_since) == (b"b" * 32, c.clock)
    assert door.events("box.key") == [LogEvent("box.key", id_of("alice"), [b"b" * 32])]
    assert c.codes(c.tx("alice", SetBoxKey(b"b" * 32))) == [MemberCode.SAME_BOX_KEY]
    assert c.codes(c.tx("alice", SetBoxKey(bytes(32)))) == [MemberCode.BAD_BOX_KEY]
    assert c.codes(c.tx("alice", SetBoxKey(b"c" * 32))) == [0]


@pytest.mark.parametrize("highest", [0, 0x80])
@pytest.mark.parametrize("low", sorted(LOW_ORDER), ids=bytes.hex)
def test_a_box_key_with_which_every_secret_is_zero_is_refused(door: Door, low: bytes, highest: int) -> None:
    """LC-MEM-29: X25519 itself says which they are; it leaves the highest bit out."""
    key = low[:31] + bytes([low[31] | highest])
    with pytest.raises(ValueError, match="shared key"):
        X25519PrivateKey.from_private_bytes(b"k" * 32).exchange(X25519PublicKey.from_public_bytes(key))
    assert door.chain.codes(door.chain.tx("alice", SetBoxKey(key))) == [MemberCode.BAD_BOX_KEY]


def test_the_keys_without_secrets_are_all_in_the_list() -> None:
    """RFC 7748, section 6.1: the points of small order in both of their spellings below 2^255."""
    assert len(LOW_ORDER) == 7 and {0, 1} < {int.from_bytes(low, "little") for low in LOW_ORDER}


# --- what a vote may do -------------------------------------------------------------------------------------------------------


@pytest.fixture
def court(monkeypatch: pytest.MonkeyPatch) -> Court:
    return Court(monkeypatch)


def refused(court: Court, act: Any) -> int:
    def tried(host: Host) -> int:
        try:
            act(host.service(MEMBERS))
        except Reject as refusal:
            return refusal.code
        return 0

    code: int = court.do(tried)[0]
    return code


def test_the_vote_admits_by_key(court: Court) -> None:
    """LC-MEM-24: as a root of its own, or below one."""
    key = key_of("nina").public
    assert court.do(lambda host: host.service(MEMBERS).admit(key, None)) == [id_of("nina")]
    assert (court.member("nina").root, court.member("nina").inviter) == (id_of("nina"), b"")
    assert refused(court, lambda members: members.admit(key, None)) == MemberCode.KNOWN_KEY
    assert refused(court, lambda members: members.admit(b"\x07" * 33, None)) == MemberCode.BAD_KEY
    court.do(lambda host: host.service(MEMBERS).admit(key_of("otto").public, id_of("alice")))
    assert court.member("otto").root == id_of("alice")
    assert court.do(
        lambda host: host.service(MEMBERS).exists(id_of("otto")), lambda host: host.service(MEMBERS).exists(b"\x07" * 20)
    ) == [True, False]


def test_the_vote_sets_and_takes_the_flag(court: Court) -> None:
    """LC-MEM-28: the flag counts from now on."""
    bob = id_of("bob")
    court.do(lambda host: host.service(MEMBERS).set_verifier(bob, True))
    assert (court.member().verifier, court.member().verifier_since) == (True, court.chain.clock)
    assert court.last_events("verifier") == [LogEvent("verifier", bob, [1])]
    assert refused(court, lambda members: members.set_verifier(bob, True)) == MemberCode.SAME_FLAG
    court.do(lambda host: host.service(MEMBERS).remove(bob))
    assert (court.member().verifier, court.member().left) == (False, court.chain.clock)
    assert refused(court, lambda members: members.set_verifier(bob, True)) == MemberCode.NOT_A_MEMBER
    assert refused(court, lambda members: members.remove(bob)) == MemberCode.NOT_A_MEMBER
    assert refused(court, lambda members: members.remove(id_of("v1"))) == MemberCode.STILL_A_VALIDATOR


def test_a_ban_strikes_the_inviter_once_and_its_lifting_ends_the_strike(court: Court) -> None:
    """LC-MEM-30, 31: what it burned is minted back as a named event."""
    chain = court.chain
    digest = join_digest(chain.chain_id, token("one").public, key_of("nina").public)
    chain.codes(chain.tx("alice", Invite(token("one").public, chain.clock + HOUR, 700)))
    joined = Join(
        id_of("alice"), token("one").public, key_of("nina").public, key_of("nina").sign(digest), token("one").sign(digest)
    )
    assert chain.codes(chain.tx("v1", joined)) == [0]
    nina, alice = id_of("nina"), id_of("alice")
    court.do(lambda host: host.service(MEMBERS).ban(nina, REF))
    assert (chain.account("nina").status, chain.account("nina").balance) == (BANNED, 0)
    assert [s.origin for s in court.member("alice").strikes] == [nina]
    assert court.last_events("strike") == [LogEvent("strike", alice, ["invitee.banned", REF, nina])]
    assert court.do(lambda host: host.service(MEMBERS).burned(nina)) == [700]
    assert refused(court, lambda members: members.ban(nina, REF)) == MemberCode.ALREADY_BANNED
    assert refused(court, lambda members: members.lift_ban(nina, 701, REF)) == MemberCode.TOO_MUCH
    court.do(lambda host: host.service(MEMBERS).lift_ban(nina, 700, REF))
    assert (chain.account("nina").status, chain.account("nina").balance) == (0, 700)
    assert court.member("alice").strikes == [] and chain.state.get(ban_key(nina)) is None
    assert court.last_events("ban.lifted") == [LogEvent("ban.lifted", nina, [REF, 700])]
    assert refused(court, lambda members: members.lift_ban(nina, 1, REF)) == MemberCode.NOT_BANNED


def test_a_newcomer_is_drawn_once_it_has_the_flag_and_a_capacity(court: Court) -> None:
    """LC-MEM-28: invited members work at once, and verify when the validators say so."""
    chain, nina = court.chain, id_of("nina")
    court.do(lambda host: host.service(MEMBERS).admit(key_of("nina").public, None))
    assert chain.codes(chain.tx("nina", SetCapacity(SMALL))) == [0]

    def drawn() -> bool:
        found: list[bytes] = court.do(lambda host: host.service(VERIFIERS).able(SMALL, chain.clock + 10_000))[0]
        return nina in found

    assert not drawn()
    court.do(lambda host: host.service(MEMBERS).set_verifier(nina, True))
    assert drawn()
    court.do(lambda host: host.service(MEMBERS).remove(nina))
    assert not drawn()


def of_membership(chain: Chain) -> list[bytes]:
    """The references of its deadlines: other contracts have theirs for a banned account (LC-PRE-13)."""
    return [ref for _, _, contract, ref in chain.deadlines() if contract == NUMBER]


def test_a_vote_ends_an_open_case_as_a_ban(court: Court) -> None:
    """LC-MEM-30: the contracts are told, and its deadline is gone."""
    court.accuse()
    until = court.case().until
    court.do(lambda host: host.service(MEMBERS).ban(id_of("bob"), REF))
    assert court.closed == [(JOB, id_of("bob"), True)] and court.open_case() is None
    assert not of_membership(court.chain)
    while court.chain.clock < until:
        assert not court.chain.block(step=5_000)[0].events


def test_lifting_a_ban_gives_back_what_was_frozen_too(court: Court) -> None:
    """LC-MEM-30, 31"""
    court.accuse(1_000)
    court.do(lambda host: host.service(MEMBERS).ban(id_of("bob"), REF))
    assert court.do(lambda host: host.service(MEMBERS).burned(id_of("bob"))) == [GRANT]


def test_a_banned_member_s_invitations_end_and_it_gets_no_flag(court: Court) -> None:
    """LC-MEM-25, 28, 30: what it set aside for a newcomer burns with the rest."""
    chain = court.chain
    chain.codes(chain.tx("bob", Invite(token("one").public, chain.clock + HOUR, 700)))
    court.do(lambda host: host.service(MEMBERS).ban(id_of("bob"), REF))
    assert not of_membership(chain) and [slot.state for slot in slots_of(chain.state, id_of("bob"))] == [SlotState.REVOKED]
    assert court.do(lambda host: host.service(MEMBERS).burned(id_of("bob"))) == [GRANT]
    assert refused(court, lambda members: members.set_verifier(id_of("bob"), True)) == MemberCode.SAME_FLAG


def test_lifting_a_ban_ends_the_inviter_s_strike_for_it_and_no_other(court: Court) -> None:
    """LC-MEM-31"""
    chain = court.chain
    nina = key_of("nina")
    digest = join_digest(chain.chain_id, token("one").public, nina.public)
    joined = Join(id_of("alice"), token("one").public, nina.public, nina.sign(digest), token("one").sign(digest))
    chain.codes(chain.tx("alice", Invite(token("one").public, chain.clock + HOUR, 0)))
    assert chain.codes(chain.tx("v1", joined)) == [0]
    court.strike("carol", who="alice")
    court.do(lambda host: host.service(MEMBERS).ban(id_of("nina"), REF))
    court.do(lambda host: host.service(MEMBERS).lift_ban(id_of("nina"), 0, REF))
    assert [s.origin for s in court.member("alice").strikes] == [id_of("carol")]


@pytest.mark.parametrize(("policy", "code"), [(1, MemberCode.INVITATIONS_ONLY), (2, 0), (3, 0)])
def test_the_vote_admits_where_the_policy_has_votes(monkeypatch: pytest.MonkeyPatch, policy: int, code: int) -> None:
    """LC-MEM-24"""
    court = Court(monkeypatch)
    court.chain = Chain(genesis_of(*NAMES, join_policy=policy))
    assert refused(court, lambda members: members.admit(key_of("nina").public, None)) == code


def test_a_parked_invitation_is_given_back(court: Court) -> None:
    """LC-MEM-14"""
    from learningchain.chain.contracts.membership import CONTRACT

    chain, give_back = court.chain, CONTRACT.on_give_back
    chain.codes(chain.tx("alice", Invite(token("one").public, chain.clock + HOUR, 700)))
    invitation = invitation_id(token("one").public)
    assert give_back is not None
    court.do(lambda host: give_back(host.acting(CONTRACT), invitation))
    assert court.do(lambda host: host.escrowed(invitation_escrow(invitation))) == [0]
    assert chain.account("alice").balance == GRANT
