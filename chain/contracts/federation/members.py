"""JoinFederation, AdmitMember, RemoveMember, LeaveFederation, NewData, VaultModel, ServeFederation. LC-FED-10 to 14."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from learningchain.chain.contracts.federation import cells, formulas, records
from learningchain.chain.contracts.federation.guards import known, live, require_active, require_cid, require_sponsor
from learningchain.chain.contracts.federation.messages import (
    MAX_EXAMPLES_CLAIMED,
    AdmitMember,
    FederationCode,
    JoinFederation,
    LeaveFederation,
    NewData,
    PaySplit,
    RemoveMember,
    ServeFederation,
    VaultModel,
)
from learningchain.chain.contracts.federation.records import FederationMember, FederationServer, MemberState
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.crypto import address
from learningchain.chain.errors import Reject
from learningchain.chain.host import MEMBERS, STANDING, Host


def join_federation(host: Host, sender: bytes, m: JoinFederation) -> None:
    """LC-FED-10"""
    federation = live(host, m.federation)
    require_active(host, sender, "join a federation")
    _require_stranger(federation, sender)
    _lapse(federation)
    old = federation.member(sender)
    if old is not None and old.state != MemberState.GONE:
        raise Reject(FederationCode.ALREADY_MEMBER, f"you are {MemberState(old.state).name} in this federation")
    _check_examples(federation, m.n)
    member = replace(old or _NEW, state=MemberState.PENDING, digest=m.digest, n=m.n, since=host.clock)
    if federation.terms.admit_open:
        _become_active(federation, sender, member)
        return
    _make_room(federation, sender)
    federation.put_member(sender, member)
    federation.emit("fed.asked", sender)


def _make_room(federation: FederationContext, sender: bytes) -> None:
    """Where as many wait as may, the last one of the root that has most gives way to one of a root that has at least two fewer:
    accounts of one root keep nobody else out."""
    waiting = [(one.since, who, one) for who, one in federation.members() if one.state == MemberState.PENDING]
    if len(waiting) < federation.terms.max_members:
        return
    root_of = federation.host.service(STANDING).root_of
    roots = Counter(root_of(who) for _, who, _ in waiting)
    most = max(roots.values())
    if roots[root_of(sender)] + 2 > most:
        raise Reject(FederationCode.FULL, f"{len(waiting)} wait to be admitted, no more may")
    _, last, one = max(entry for entry in waiting if roots[root_of(entry[1])] == most)
    _forget(federation, last, one)
    federation.emit("fed.lapsed", last)


_NEW = FederationMember(
    state=MemberState.PENDING,
    digest=bytes(32),
    n=0,
    since=0,
    index=0,
    bad=0,
    benched_until=0,
    points=0,
    paid=0,
    data_r=0,
    vault_r=0,
    vault=b"",
)


def _require_stranger(federation: FederationContext, sender: bytes) -> None:
    terms = federation.terms
    if sender == federation.sponsor:
        raise Reject(FederationCode.OWN_FEDERATION, "you are its sponsor")
    if (terms.outside or terms.hidden) and federation.has_sat(sender):
        raise Reject(FederationCode.OWN_FEDERATION, "you have or had a seat of its panel")


def _check_examples(federation: FederationContext, n: int) -> None:
    by_samples = federation.terms.split == PaySplit.SAMPLES
    if n > MAX_EXAMPLES_CLAIMED or bool(n) != by_samples:
        text = f"1 to {MAX_EXAMPLES_CLAIMED} examples are claimed" if by_samples else "no examples are claimed"
        raise Reject(FederationCode.BAD_FILE, f"{text} in this federation, not {n}")


def _become_active(federation: FederationContext, account: bytes, member: FederationMember) -> None:
    """LC-FED-11"""
    _require_free_digest(federation, account, member.digest)
    terms = federation.terms
    active = sum(not federation.host.is_banned(who) for who, _ in federation.active())
    if active >= terms.max_members:
        raise Reject(FederationCode.FULL, f"{active} members are active, no more may be")
    index = member.index or _new_index(federation)
    federation.put_member(account, replace(member, state=MemberState.ACTIVE, index=index))
    federation.emit("fed.joined", account, index - 1)


def _new_index(federation: FederationContext) -> int:
    """The next one; where all were given, the lowest of those that left and that nothing names. One more than the index."""
    given = federation.record.indexes
    if given < formulas.INDEXES:
        federation.change(indexes=given + 1)
        return given + 1
    free = [(one.index, who) for who, one in federation.members() if _is_unnamed(federation, who, one)]
    if not free:
        raise Reject(FederationCode.FULL, f"{given} had an update summed, are in, or are benched: no more can be members")
    index, who = min(free)
    federation.host.delete(records.member_key(federation.id, who))
    federation.emit("fed.forgotten", who)
    return index


def _is_unnamed(federation: FederationContext, account: bytes, member: FederationMember) -> bool:
    """It left, it had part in no accepted set, so that none on any base gets another meaning, its bench is over, and it is not in
    the attempt that runs."""
    now = federation.record
    if member.state != MemberState.GONE or not member.index or formulas.of_bitmap(now.named) >> (member.index - 1) & 1:
        return False
    return member.benched_until <= now.starts and not federation.is_in_attempt(account)


def _require_free_digest(federation: FederationContext, account: bytes, digest: bytes) -> None:
    """Only data of ACTIVE members are taken: what waits shuts nobody out."""
    if any(one.digest == digest and who != account for who, one in federation.active()):
        raise Reject(FederationCode.DUPLICATE_DATA, f"another member trains on data of the digest {digest.hex()}")


def _require_nobodys_digest(federation: FederationContext, account: bytes, digest: bytes) -> None:
    """LC-FED-13: nor of one that waits, so that no member takes the data of an owner that it saw ask."""
    _require_free_digest(federation, account, digest)
    for who, one in federation.members():
        if one.state == MemberState.PENDING and one.digest == digest and who != account:
            raise Reject(FederationCode.DUPLICATE_DATA, f"one that waits to be admitted has data of the digest {digest.hex()}")


def _lapse(federation: FederationContext) -> None:
    """Who waited too long is forgotten, or GONE where it was a member before."""
    host, longest = federation.host, federation.params.fed_pending
    for who, one in federation.members():
        if one.state == MemberState.PENDING and host.clock >= one.since + longest:
            _forget(federation, who, one)
            federation.emit("fed.lapsed", who)


def _forget(federation: FederationContext, account: bytes, member: FederationMember) -> None:
    if member.index:
        federation.put_member(account, replace(member, state=MemberState.GONE))
    else:
        federation.host.delete(records.member_key(federation.id, account))


# --- who is in -----------------------------------------------------------------------------------------------------------------


def admit_member(host: Host, sender: bytes, m: AdmitMember) -> None:
    """LC-FED-12"""
    federation = live(host, m.federation)
    require_sponsor(federation, sender, "admits members")
    _lapse(federation)
    member = _joined(federation, m.member)
    if member.state != MemberState.PENDING:
        raise Reject(FederationCode.ALREADY_MEMBER, f"{address(m.member)} is a member already")
    _become_active(federation, m.member, member)


def remove_member(host: Host, sender: bytes, m: RemoveMember) -> None:
    """LC-FED-12: from the next start on."""
    federation = live(host, m.federation)
    require_sponsor(federation, sender, "removes members")
    member = _joined(federation, m.member)
    if federation.has_cells and cells.is_in_cell(federation, member.index):
        text = "has a cell: sums with and without it would tell its update; close the federation instead"
        raise Reject(FederationCode.IN_A_CELL, f"{address(m.member)} {text}")
    _forget(federation, m.member, member)
    federation.emit("fed.removed", m.member)


def leave_federation(host: Host, sender: bytes, m: LeaveFederation) -> None:
    """LC-FED-12: from the next start on."""
    federation = live(host, m.federation)
    member = _joined(federation, sender)
    _forget(federation, sender, member)
    federation.emit("fed.left", sender)
    if federation.has_cells:
        cells.leave_cell(federation, sender, member.index)


def _joined(federation: FederationContext, account: bytes) -> FederationMember:
    found = federation.member(account)
    if found is None or found.state == MemberState.GONE:
        raise Reject(FederationCode.NOT_A_MEMBER, f"{address(account)} is no member, and does not wait to be one")
    return found


# --- what members say beside ----------------------------------------------------------------------------------------------------


def new_data(host: Host, sender: bytes, m: NewData) -> None:
    """LC-FED-13"""
    federation = live(host, m.federation)
    member, r = _joined(federation, sender), federation.record.r
    if member.data_r > r:
        raise Reject(FederationCode.TOO_OFTEN, f"you said in round {r} already that your data are others")
    _check_examples(federation, m.n)
    if member.state == MemberState.ACTIVE:
        _require_nobodys_digest(federation, sender, m.digest)
    federation.put_member(sender, replace(member, digest=m.digest, n=m.n, data_r=r + 1))
    federation.emit("fed.data", sender)


def vault_model(host: Host, sender: bytes, m: VaultModel) -> None:
    """LC-FED-13: names a file that the ledger never reads; also when the federation has ended."""
    federation = known(host, m.federation)
    member, r = federation.member(sender), federation.record.r
    if member is None or not member.index:
        raise Reject(FederationCode.NOT_A_MEMBER, "you are no member of this federation")
    if member.vault_r > r:
        raise Reject(FederationCode.TOO_OFTEN, f"you named a file in round {r} already")
    require_cid(m.cid, "what is kept")
    federation.put_member(sender, replace(member, vault=m.cid, vault_r=r + 1))
    federation.emit("fed.vault", sender, m.cid)


def serve_federation(host: Host, sender: bytes, m: ServeFederation) -> None:
    """LC-FED-14"""
    if m.on:
        require_active(host, sender, "serve federations")
        if not host.service(MEMBERS).box_key(sender):
            raise Reject(FederationCode.BAD_BOXES, "you have no box key on the ledger: no hidden file could be opened to you")
        host.put(records.serving_key(sender), FederationServer(host.clock, 0))
    else:
        host.delete(records.serving_key(sender))
    host.emit("fed.serving", sender, int(m.on))
