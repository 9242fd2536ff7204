"""Members (LC-FED-10 to LC-FED-14)."""

from __future__ import annotations

from tests.conformance import membership
from tests.conformance.checks import check, part, register, step
from tests.conformance.federation_rounds import the_sender_is_the_sponsor
from tests.conformance.federation_state import CELL_HOOKS, GONE, IS_ACTIVE, MOST_INDEXES, PENDING, Member, Work, places
from tests.conformance.job_posts import is_cid
from tests.conformance.ledger import ACTIVE, State

HANDED = register("LC-FED-11: an index that nothing names goes over")
NAMED = register("LC-FED-11: what an accepted set names does not go over")
STILL_BENCHED = register("LC-FED-11: a bench is served before an index goes over")
STILL_RUNS = register("LC-FED-11: nor does an index of the attempt that runs")
CROWDED = register("LC-FED-10: one of the root of most that wait gives way")
LAPSES = register("LC-FED-10: who waits too long is forgotten")


@check("LC-FED-10", 535)
def the_sender_is_active(s: State, sender: bytes) -> bool:
    account = s.account(sender)
    return account is not None and account.status == ACTIVE


@check("LC-FED-10", 505)
def the_sponsor_does_not_join(work: Work, sender: bytes) -> bool:
    return sender != work.sponsor


@check("LC-FED-10", 505)
def who_sat_before_what_is_hidden_does_not_join(work: Work, sender: bytes) -> bool:
    return not work.secret or sender not in work.sat


@check("LC-FED-10", 506)
def who_joins_is_not_a_member(member: Member | None) -> bool:
    return member is None or member.state == GONE


@check("LC-FED-10", 521)
def samples_are_given_where_they_count(work: Work, n: int) -> bool:
    return 1 <= n < 2**31 if work.by_samples else n == 0


@check("LC-FED-10", 508)
def not_too_many_are_pending(work: Work) -> bool:
    pending = [one for one in work.members.values() if one.state == PENDING]
    return bool(len(pending) < work.terms.max_members)


@check("LC-FED-11", 509)
def the_data_are_not_another_member_s(work: Work, account: bytes, digest: bytes) -> bool:
    return all(one.digest != digest for one in work.members.values() if one.state == IS_ACTIVE and one.id != account)


@check("LC-FED-11", 508)
def there_is_room_for_a_member(work: Work) -> bool:
    return len(work.active) < work.terms.max_members


@check("LC-FED-11", 508)
def there_is_an_index_left(work: Work, member: Member | None) -> bool:
    return (member is not None and member.index != 0) or work.now.indexes < MOST_INDEXES or bool(_free(work))


def _free(work: Work) -> list[Member]:
    """Whose index another one may get, the lowest first."""
    named = set(places(work.now.named)) if part(NAMED) else set()
    runs = {account for account, _, _ in work.roster} if part(STILL_RUNS) else set()
    gone = [one for one in work.members.values() if one.state == GONE and one.index and one.index - 1 not in named]
    gone = [one for one in gone if one.id not in runs and (one.benched_until <= work.now.starts or not part(STILL_BENCHED))]
    return sorted(gone, key=lambda one: one.index) if part(HANDED) else []


@check("LC-FED-12", 507)
def it_asked_to_join(member: Member | None) -> bool:
    return member is not None and member.state != GONE


@check("LC-FED-12", 506)
def it_is_not_active_already(member: Member) -> bool:
    return member.state == PENDING


@check("LC-FED-12", 507)
def it_is_a_member(member: Member | None) -> bool:
    return member is not None and member.state != GONE


@check("LC-FED-12", 539)
def who_has_a_cell_is_not_removed(work: Work, account: bytes) -> bool:
    return not work.terms.has_cells or work.cell.of(work.members[account].place) is None


@check("LC-FED-13", 507)
def who_renews_is_a_member(member: Member | None) -> bool:
    return member is not None and member.state != GONE


@check("LC-FED-13", 533)
def data_are_renewed_once_a_round(work: Work, member: Member) -> bool:
    return member.data_r != work.now.r + 1


@check("LC-FED-13", 507)
def who_keeps_a_vault_has_an_index(member: Member | None) -> bool:
    return member is not None and member.index != 0


@check("LC-FED-13", 533)
def a_vault_is_kept_once_a_round(work: Work, member: Member) -> bool:
    return member.vault_r != work.now.r + 1


@check("LC-FED-14", 527)
def who_serves_has_a_box_key(s: State, sender: bytes) -> bool:
    return bool(membership.member_of(s, sender).box_key)


@check("LC-FED-13", 521)
def a_vault_has_a_name(cid: bytes) -> bool:
    return is_cid(cid)


def _lapse(work: Work) -> None:
    """LC-FED-10: those that waited too long are forgotten."""
    for one in sorted(work.members.values(), key=lambda one: one.id):
        if one.state == PENDING and work.s.clock >= one.since + work.p.pending and part(LAPSES):
            _forget(work, one)
            work.noted("fed.lapsed", one.id)


def _forget(work: Work, member: Member) -> None:
    if member.index:
        member.state = GONE
    else:
        del work.members[member.id]


def join_federation(work: Work, sender: bytes, digest: bytes, n: int) -> None:
    s = work.s
    the_sender_is_active(s, sender)
    the_sponsor_does_not_join(work, sender)
    who_sat_before_what_is_hidden_does_not_join(work, sender)
    _lapse(work)
    member = work.member(sender)
    who_joins_is_not_a_member(member)
    samples_are_given_where_they_count(work, n)
    if work.terms.open_admission:
        _activate(work, sender, digest)
    else:
        _crowded_gives_way(work, sender)
        not_too_many_are_pending(work)
    member = work.members.setdefault(sender, Member(sender, PENDING, digest, n, s.clock))
    member.digest, member.n, member.since = digest, n, s.clock
    if work.terms.open_admission:
        _gets_an_index(work, member)
    else:
        member.state = PENDING
        work.noted("fed.asked", sender)


def _crowded_gives_way(work: Work, sender: bytes) -> None:
    """LC-FED-10"""
    waiting = [one for one in work.members.values() if one.state == PENDING]
    if len(waiting) < work.terms.max_members or not part(CROWDED):
        return
    many: dict[bytes, int] = {}
    for one in waiting:
        root = membership.root_of(work.s, one.id)
        many[root] = many.get(root, 0) + 1
    if many.get(membership.root_of(work.s, sender), 0) + 2 <= max(many.values()):
        crowd = [one for one in waiting if many[membership.root_of(work.s, one.id)] == max(many.values())]
        last = max(crowd, key=lambda one: (one.since, one.id))
        _forget(work, last)
        work.noted("fed.lapsed", last.id)


def _activate(work: Work, account: bytes, digest: bytes) -> None:
    the_data_are_not_another_member_s(work, account, digest)
    there_is_room_for_a_member(work)
    there_is_an_index_left(work, work.member(account))


def _gets_an_index(work: Work, member: Member) -> None:
    if not member.index and work.now.indexes == MOST_INDEXES:
        former = _free(work)[0]
        del work.members[former.id]
        work.noted("fed.forgotten", former.id)
        member.index = former.index
    elif not member.index:
        work.now.indexes += 1
        member.index = work.now.indexes
    member.state = IS_ACTIVE
    work.noted("fed.joined", member.id, member.index - 1)


def admit_member(work: Work, sender: bytes, account: bytes) -> None:
    the_sender_is_the_sponsor(work, sender)
    _lapse(work)
    member = work.member(account)
    it_asked_to_join(member)
    if member is None:
        raise membership.Disappeared(account)
    it_is_not_active_already(member)
    _activate(work, account, member.digest)
    _gets_an_index(work, member)


def remove_member(work: Work, sender: bytes, account: bytes) -> None:
    the_sender_is_the_sponsor(work, sender)
    it_is_a_member(work.member(account))
    who_has_a_cell_is_not_removed(work, account)
    _leaves(work, account, "fed.removed")


def leave_federation(work: Work, sender: bytes) -> None:
    _leaves(work, sender, "fed.left")
    if work.terms.has_cells and sender in work.members:
        CELL_HOOKS["leave"](work, work.members[sender])


def _leaves(work: Work, account: bytes, topic: str) -> None:
    member = work.member(account)
    it_is_a_member(member)
    if member is None:
        raise membership.Disappeared(account)
    _forget(work, member)
    work.noted(topic, account)


@check("LC-FED-13", 509)
def nobody_that_waits_asked_with_these_data(work: Work, account: bytes, digest: bytes) -> bool:
    return all(one.digest != digest for one in work.members.values() if one.state == PENDING and one.id != account)


def new_data(work: Work, sender: bytes, digest: bytes, n: int) -> None:
    member = work.member(sender)
    who_renews_is_a_member(member)
    if member is None:
        raise membership.Disappeared(sender)
    data_are_renewed_once_a_round(work, member)
    samples_are_given_where_they_count(work, n)
    if member.state == IS_ACTIVE:
        the_data_are_not_another_member_s(work, sender, digest)
        nobody_that_waits_asked_with_these_data(work, sender, digest)
    member.digest, member.n, member.data_r = digest, n, work.now.r + 1
    work.noted("fed.data", sender)


def vault_model(work: Work, sender: bytes, cid: bytes) -> None:
    member = work.member(sender)
    who_keeps_a_vault_has_an_index(member)
    if member is None:
        raise membership.Disappeared(sender)
    a_vault_is_kept_once_a_round(work, member)
    a_vault_has_a_name(cid)
    member.vault_r, member.vault = work.now.r + 1, cid
    work.noted("fed.vault", sender, cid)


def serve_federation(s: State, sender: bytes, on: bool) -> None:
    if on:
        the_sender_is_active(s, sender)
        who_serves_has_a_box_key(s, sender)
    _serves(s, sender, on)
    s.noted("fed.serving", sender, int(on))


@step("LC-FED-14")
def _serves(s: State, sender: bytes, on: bool) -> None:
    if on:
        s.put(b"fx/" + sender, [s.clock, 0])
    else:
        s.drop(b"fx/" + sender)
