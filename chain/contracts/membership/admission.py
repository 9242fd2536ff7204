"""Who belongs to the network: joining, admission by vote, leaving, the verifier flag, bans and their lifting, box keys."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from learningchain.chain.contracts.membership import invitations
from learningchain.chain.contracts.membership.cases import ban_member
from learningchain.chain.contracts.membership.members import end_training, member_in, root_of
from learningchain.chain.contracts.membership.messages import Join, Leave, MemberCode, SetBoxKey
from learningchain.chain.contracts.membership.params import JoinPolicy, MemberParams
from learningchain.chain.contracts.membership.records import (
    MAX_DEPTH,
    BanRecord,
    Branch,
    Member,
    ban_key,
    branch_key,
    member_key,
)
from learningchain.chain.crypto import address, is_low_order, is_public_key
from learningchain.chain.errors import Reject
from learningchain.chain.host import Host, Reader

LEAVE_WORK: Final = 8
"""Up to three invitations end with it."""


def is_member(reader: Reader, identity: bytes) -> bool:
    """LC-MEM-22: it came and has not left. A banned one still is."""
    found = reader.get(member_key(identity))
    return isinstance(found, Member) and not found.left


def has_left(reader: Reader, identity: bytes) -> bool:
    """LC-MEM-27"""
    found = reader.get(member_key(identity))
    return isinstance(found, Member) and found.left > 0


def _member(host: Host, identity: bytes) -> Member:
    found = host.get(member_key(identity), Member)
    if found is None or found.left:
        raise Reject(MemberCode.NOT_A_MEMBER, f"{address(identity)} is no member of this network")
    return found


# --- coming -------------------------------------------------------------------------------------------------------------------


def join(host: Host, sender: bytes, m: Join) -> None:
    """LC-MEM-23: whoever sends it, it does the same: nothing in it can be turned to another account."""
    invitation, record = invitations.joins(host, m)
    root = root_of(host.store, record.inviter)
    identity = _enter(host, m.key, root, record.inviter)
    invitations.use(host, invitation, record, identity)
    entered = member_in(host.store, identity)
    host.emit("joined", identity, entered.root, entered.inviter, sender)


def admit(host: Host, key: bytes, root: bytes | None) -> bytes:
    """LC-MEM-24"""
    if host.params_of(MemberParams).join_policy == JoinPolicy.INVITATION:
        raise Reject(MemberCode.INVITATIONS_ONLY, "this network admits members by invitation only (join_policy)")
    identity = _enter(host, key, root, b"")
    entered = member_in(host.store, identity)
    host.emit("joined", identity, entered.root, b"", b"")
    return identity


def _enter(host: Host, key: bytes, root: bytes | None, inviter: bytes) -> bytes:
    """LC-MEM-22: a new account, or one that left and has this key still: that one keeps root, strikes and draws."""
    if not is_public_key(key):
        raise Reject(MemberCode.BAD_KEY, "not a compressed secp256k1 public key")
    owner = host.key_owner(key)
    if owner is None:
        if inviter:
            _grow(host, inviter)
        identity = host.open_account(key)
        if inviter:
            host.put(branch_key(identity), Branch(0, inviter))
        member = Member(root or identity, False, 0, 0, [], 0, [], [], inviter, host.clock)
    else:
        identity, known = owner, member_in(host.store, owner)
        account = host.account(owner)
        if not known.left or account is None or account.key != key:
            text = f"this key is or was that of {address(owner)}: a key belongs to one identity for ever, once"
            raise Reject(MemberCode.KNOWN_KEY, text)
        if not host.is_active(owner):
            # A case that ends as a ban strikes the inviter: who invites it now has no part in what it did before.
            text = f"{address(owner)} is banned, or suspended: who left comes back once its case is over"
            raise Reject(MemberCode.KNOWN_KEY, text)
        member = replace(known, inviter=inviter, since=host.clock, left=0, box_key=b"", box_since=0)
    host.put(member_key(identity), member)
    return identity


def branch_of(reader: Reader, identity: bytes) -> Branch:
    """LC-MEM-33: what is known of the identities below this one."""
    found = reader.get(branch_key(identity))
    root = root_of(reader, identity)
    return found if isinstance(found, Branch) else Branch(0, b"" if root == identity else root)


def _path(host: Host, identity: bytes) -> list[tuple[bytes, Branch]]:
    """The identity and all above it, its root last; no more than one that is too deep needs."""
    path = [(identity, branch_of(host.store, identity))]
    while path[-1][1].above and len(path) <= MAX_DEPTH:
        above = path[-1][1].above
        path.append((above, branch_of(host.store, above)))
    return path


def _grow(host: Host, inviter: bytes) -> None:
    """LC-MEM-33: one more below the inviter and all above it. It counts whatever becomes of it: its account stays for ever.

    Whoever has as many below it as its inviter has room left for all the others waits: so nobody that was invited can use up
    what is its root's, and who has few below it is the last to be held up.
    """
    path, most = _path(host, inviter), host.params_of(MemberParams).invite_branch
    if len(path) > MAX_DEPTH:
        text = f"{MAX_DEPTH} invitations lead to {address(inviter)}, one after the other: no more follow"
        raise Reject(MemberCode.BRANCH_FULL, text)
    if sum(branch.below for _, branch in path) >= most:
        root, branch = path[-1]
        text = f"{branch.below} identities were invited below {address(root)}, of {most} that may be (invite_branch)"
        if len(path) > 1:
            text += f", {path[0][1].below} of them below {address(inviter)}: what is left is for who has fewer"
        raise Reject(MemberCode.BRANCH_FULL, text)
    for identity, branch in path:
        host.put(branch_key(identity), replace(branch, below=branch.below + 1))


# --- going --------------------------------------------------------------------------------------------------------------------


def leave(host: Host, sender: bytes, m: Leave) -> None:
    """LC-MEM-26"""
    _go(host, sender, "left")


def remove(host: Host, identity: bytes) -> None:
    """LC-MEM-26: by the validators' vote."""
    _go(host, identity, "removed")


def _go(host: Host, identity: bytes, how: str) -> None:
    member = _member(host, identity)
    if any(v.id == identity for v in host.following_validators()):
        raise Reject(MemberCode.STILL_A_VALIDATOR, "a validator leaves the set first: by the validators' vote")
    invitations.end_all(host, identity)
    end_training(host, identity)
    host.put(member_key(identity), replace(member, verifier=False, left=host.clock))
    host.emit("left", identity, how)


# --- the flag -----------------------------------------------------------------------------------------------------------------


def set_verifier(host: Host, identity: bytes, on: bool) -> None:
    """LC-MEM-28"""
    member = _member(host, identity)
    if member.verifier == on or host.is_banned(identity):
        text = "is banned" if host.is_banned(identity) else f"has {'the' if on else 'no'} verifier flag already"
        raise Reject(MemberCode.SAME_FLAG, f"{address(identity)} {text}")
    host.put(member_key(identity), replace(member, verifier=on, verifier_since=host.clock))
    host.emit("verifier", identity, int(on))


# --- bans ---------------------------------------------------------------------------------------------------------------------


def ban(host: Host, identity: bytes, ref: bytes) -> None:
    """LC-MEM-30: by the validators' vote. Also of who left: by leaving nobody keeps what a ban burns."""
    if host.get(member_key(identity), Member) is None:
        raise Reject(MemberCode.NOT_A_MEMBER, f"{address(identity)} never was a member of this network")
    if host.is_banned(identity):
        raise Reject(MemberCode.ALREADY_BANNED, f"{address(identity)} is banned already")
    ban_member(host, identity, ref)


def burned(host: Host, identity: bytes) -> int | None:
    """With what the account would have got since: stakes, bounties, fees, rewards, payments of others. None: no ban."""
    record = host.get(ban_key(identity), BanRecord)
    return record.burned + host.burned_since(identity) if record is not None else None


def lift_ban(host: Host, identity: bytes, amount: int, ref: bytes) -> None:
    """LC-MEM-31: the strike that its inviter got for it ends, too."""
    most = burned(host, identity)
    if most is None:
        raise Reject(MemberCode.NOT_BANNED, f"{address(identity)} is not banned")
    if amount > most:
        raise Reject(MemberCode.TOO_MUCH, f"the ban burned {most} until now, no more can be given back")
    host.unban(identity)
    host.delete(ban_key(identity))
    host.mint(identity, amount, "ban lifted", ref)
    inviter = member_in(host.store, identity).inviter
    known = host.get(member_key(inviter), Member) if inviter else None
    if known is not None:
        host.put(member_key(inviter), replace(known, strikes=[s for s in known.strikes if s.origin != identity]))
    host.emit("ban.lifted", identity, ref, amount)


# --- box keys -----------------------------------------------------------------------------------------------------------------


def set_box_key(host: Host, sender: bytes, m: SetBoxKey) -> None:
    """LC-MEM-29"""
    member = _member(host, sender)
    if is_low_order(m.key):
        raise Reject(MemberCode.BAD_BOX_KEY, "an X25519 key with which every secret is zero")
    if member.box_key == m.key:
        raise Reject(MemberCode.SAME_BOX_KEY, f"{address(sender)} has this box key already")
    host.put(member_key(sender), replace(member, box_key=m.key, box_since=host.clock))
    host.emit("box.key", sender, m.key)
