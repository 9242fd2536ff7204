"""Messages between rounds: open, join, admit, remove, leave, data, start, close, serve, vault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import cells, ends, formulas, pool
from .graph import Graph
from .records import ACTIVE, BOUNTY, DRAW, END, FEES, GONE, IDLE, PENDING, Attempt, Cells, Federation, Joined
from .refused import Refused, check
from .scenario import (
    ALIGNED,
    EQUAL,
    HALF,
    KRUM,
    MAX_BOUNTY,
    MAX_LOSS,
    MEAN,
    MEDIAN,
    N_MAX,
    OPENED,
    SAMPLES,
    SECOND,
    SUM,
    TRIMMED,
    AdmitMember,
    CloseFederation,
    JoinFederation,
    LeaveFederation,
    NewData,
    OpenFederation,
    Params,
    RemoveMember,
    ServeCells,
    ServeFederation,
    StartRound,
    Terms,
    VaultModel,
)
from .states import wait_for_draw


def found(graph: Graph, ref: bytes) -> Federation:
    check(ref in graph.federations, "NO_SUCH_FEDERATION")
    return graph.federations[ref]


def live(graph: Graph, ref: bytes) -> Federation:
    federation = found(graph, ref)
    check(federation.state != END, "WRONG_STATE")
    return federation


def sane(params: Params, clock: int, terms: Terms) -> bool:
    return (
        1 <= terms.bounty <= MAX_BOUNTY
        and 1 <= terms.rounds <= 1_000
        and formulas.least_fee(params, terms) <= terms.fee <= 10**9
        and terms.float_kind in (1, 2)
        and 0 <= terms.tol <= 10**18
        and 10 * SECOND <= terms.round_ms <= params.longest
        and params.t_min <= terms.pace_ms <= params.longest
        and params.t_min <= terms.ends - clock <= params.longest
        and 2 <= terms.min_members <= terms.max_members <= N_MAX
        and (1 if terms.secrecy == OPENED else 2) <= terms.min_sum <= terms.min_members
        and terms.secrecy in (SUM, OPENED)
        and terms.rule in ((MEAN, KRUM) if terms.secrecy == SUM else (MEAN, KRUM, TRIMMED, MEDIAN))
        and (not terms.cells or sane_cells(params, terms))
        and terms.split in (EQUAL, SAMPLES, ALIGNED, *((HALF,) if terms.cells else ()))
        and (terms.reference or terms.split != ALIGNED)
        and 10 <= terms.clip <= formulas.CLIP_MOST
        and 1 <= terms.patience <= 5
        and 0 <= terms.dp_milli <= 8_000
        and (not terms.dp_milli or (terms.secrecy == SUM and terms.split != ALIGNED))
        and terms.eval_s >= 1
        and terms.cpus_milli >= 1
        and 0 <= terms.params <= 8_192
    )


def sane_cells(params: Params, terms: Terms) -> bool:
    return (
        terms.min_members >= 3
        and 3 <= terms.min_sum <= params.in_cell
        and terms.rounds <= 20
        and terms.round_ms >= 600 * SECOND
        and formulas.RADIUS_LEAST <= terms.clip <= formulas.RADIUS_MOST
        and terms.rule == MEAN
        and terms.split in (EQUAL, HALF)
        and (terms.reference or terms.min_members >= 12)
        and formulas.least_noise(terms.dims) <= terms.dp_milli <= 8_000
    )


def open_federation(graph: Graph, sender: bytes, message: OpenFederation) -> None:
    terms, account = message.terms, graph.accounts[sender]
    check(graph.active(sender), "NOT_ACTIVE")
    check(graph.stands(sender), "NO_STANDING")
    check(sane(graph.params, graph.clock, terms), "BAD_TERMS")
    check(1 <= terms.dims <= 2**28 and 8 < terms.size - 4 * terms.dims <= formulas.HEADER, "BAD_MODEL")
    check(-MAX_LOSS < terms.target < MAX_LOSS, "BAD_TARGET")
    check(len(pool.able(graph, sender, terms.cells)) >= pool.least(graph, sender), "FEW_VERIFIERS")
    own = sum(1 for one in graph.federations.values() if one.root == account.root and one.state != END)
    check(own < graph.params.live, "TOO_MANY_FEDERATIONS")
    fees, price = formulas.fees(terms.fee, terms.rounds), formulas.price(graph.params, terms)
    check(graph.money.balance[sender] >= terms.bounty + fees + price, "INSUFFICIENT")
    graph.money.lock(sender, message.federation, BOUNTY, terms.bounty)
    graph.money.lock(sender, message.federation, FEES, fees + price)
    graph.money.burn(message.federation, FEES, "kept", price)
    federation = Federation(message.federation, sender, account.root, terms, terms.clip, b"initial")
    federation.cells = Cells() if terms.cells else None
    graph.federations[message.federation] = federation
    graph.reach("opened")
    ends.idle(graph, federation)


# --- members --------------------------------------------------------------------------------------------------------------------


def digest_free(federation: Federation, who: bytes, digest: bytes) -> bool:
    """Only data of ACTIVE members are taken: what waits shuts nobody out."""
    return all(one.digest != digest or one.id == who for one in federation.active())


def nobody_s(federation: Federation, who: bytes, digest: bytes) -> bool:
    """Nor of one that waits: a member cannot take the data of an owner that it saw ask."""
    return all(one.state == GONE or one.id == who or one.digest != digest for one in federation.members.values())


def active_count(graph: Graph, federation: Federation) -> int:
    return sum(1 for one in federation.active() if not graph.accounts[one.id].banned)


def becomes_active(graph: Graph, federation: Federation, member: Joined) -> None:
    check(digest_free(federation, member.id, member.digest), "DUPLICATE_DATA")
    check(active_count(graph, federation) < federation.terms.max_members, "FULL")
    if member.index is None:
        member.index = new_index(graph, federation)
    member.state = ACTIVE


def new_index(graph: Graph, federation: Federation) -> int:
    """The next one, or that of one that left and that nothing names: it is forgotten."""
    if federation.indexes < graph.params.indexes:
        federation.indexes += 1
        return federation.indexes - 1
    free = {one.index: one for one in federation.members.values() if one.index is not None and unnamed(federation, one)}
    check(free, "FULL")
    index = min(free)
    graph.reach("index.over")
    del federation.members[free[index].id]
    return index


def unnamed(federation: Federation, one: Joined) -> bool:
    benched = one.benched_until > federation.starts
    runs = federation.attempt is not None and one.id in federation.attempt.roster
    return one.state == GONE and not federation.named(one.id) and not benched and not runs


@contextmanager
def lapsed(graph: Graph, federation: Federation) -> Iterator[None]:
    """Who waited too long is forgotten, or GONE where it was a member before; not by a message that is refused."""
    known = dict(federation.members)
    over = [one for one in known.values() if one.state == PENDING and graph.clock >= one.since + graph.params.pending]
    for one in over:
        graph.reach("pending.lapsed")
        forget(federation, one)
    try:
        yield
    except Refused:
        federation.members = known
        for one in over:
            one.state = PENDING
        raise


def forget(federation: Federation, member: Joined) -> None:
    if member.index is None:
        del federation.members[member.id]
    else:
        member.state = GONE


def join(graph: Graph, sender: bytes, message: JoinFederation) -> None:
    federation = live(graph, message.federation)
    terms = federation.terms
    check(graph.active(sender), "NOT_ACTIVE")
    check(sender != federation.sponsor, "OWN_FEDERATION")
    check(sender not in federation.sat or not (terms.outside or terms.hidden), "OWN_FEDERATION")
    with lapsed(graph, federation):
        ask(graph, federation, sender, message)


def ask(graph: Graph, federation: Federation, sender: bytes, message: JoinFederation) -> None:
    terms = federation.terms
    check(not federation.joined(sender), "ALREADY_MEMBER")
    check(0 <= message.n < 2**31 and (terms.split == SAMPLES) == bool(message.n), "BAD_FILE")
    old = federation.members.get(sender)
    member = old or Joined(sender, PENDING, message.digest, message.n, graph.clock)
    if terms.admit_open:
        trial = Joined(sender, PENDING, message.digest, message.n, graph.clock, member.index)
        becomes_active(graph, federation, trial)
        member.index, member.state = trial.index, ACTIVE
        graph.reach("joined")
    else:
        make_room(graph, federation, sender)
        member.state = PENDING
        graph.reach("pending")
    if old is not None:
        graph.reach("joined.again")
    member.digest, member.n, member.since = message.digest, message.n, graph.clock
    federation.members[sender] = member


def make_room(graph: Graph, federation: Federation, sender: bytes) -> None:
    """Of as many as may wait the last one of the root that has most gives way, to one whose root has at least two fewer."""
    roots: dict[bytes, list[Joined]] = {}
    for one in federation.members.values():
        if one.state == PENDING:
            roots.setdefault(graph.accounts[one.id].root, []).append(one)
    if sum(map(len, roots.values())) < federation.terms.max_members:
        return
    most = max(map(len, roots.values()))
    check(len(roots.get(graph.accounts[sender].root, [])) <= most - 2, "FULL")
    graph.reach("pending.displaced")
    crowd = [one for of_root in roots.values() if len(of_root) == most for one in of_root]
    forget(federation, max(crowd, key=lambda one: (one.since, one.id)))


def by_sponsor(graph: Graph, sender: bytes, ref: bytes) -> Federation:
    federation = live(graph, ref)
    check(sender == federation.sponsor, "NOT_SPONSOR")
    return federation


def admit(graph: Graph, sender: bytes, message: AdmitMember) -> None:
    federation = by_sponsor(graph, sender, message.federation)
    with lapsed(graph, federation):
        member = federation.members.get(message.member)
        check(member is not None and member.state != GONE, "NOT_A_MEMBER")
        if member is not None:
            check(member.state == PENDING, "ALREADY_MEMBER")
            becomes_active(graph, federation, member)
            graph.reach("admitted")


def remove(graph: Graph, sender: bytes, message: RemoveMember) -> None:
    federation = by_sponsor(graph, sender, message.federation)
    check(federation.joined(message.member), "NOT_A_MEMBER")
    one = federation.members[message.member]
    check(federation.cells is None or federation.cells.of(one.index) is None, "IN_A_CELL")
    graph.reach("removed")
    forget(federation, one)


def leave(graph: Graph, sender: bytes, message: LeaveFederation) -> None:
    federation = live(graph, message.federation)
    check(federation.joined(sender), "NOT_A_MEMBER")
    graph.reach("left")
    if federation.cells is not None:
        cells.lose(graph, federation, federation.members[sender])
    forget(federation, federation.members[sender])


def new_data(graph: Graph, sender: bytes, message: NewData) -> None:
    federation = live(graph, message.federation)
    check(federation.joined(sender), "NOT_A_MEMBER")
    member = federation.members[sender]
    check(member.data_r < federation.r, "TOO_OFTEN")
    check(0 <= message.n < 2**31 and (federation.terms.split == SAMPLES) == bool(message.n), "BAD_FILE")
    check(member.state != ACTIVE or nobody_s(federation, sender, message.digest), "DUPLICATE_DATA")
    graph.reach("data")
    member.digest, member.n, member.data_r = message.digest, message.n, federation.r


def vault(graph: Graph, sender: bytes, message: VaultModel) -> None:
    """Names a file: nothing that the ledger reads."""
    federation = found(graph, message.federation)
    member = federation.members.get(sender)
    check(member is not None and member.index is not None, "NOT_A_MEMBER")
    if member is not None:
        check(member.vault_r < federation.r, "TOO_OFTEN")
        graph.reach("vault")
        member.vault_r = federation.r


# --- rounds ---------------------------------------------------------------------------------------------------------------------


def roster(graph: Graph, federation: Federation) -> dict[bytes, bool]:
    """Who is in at the next start, and whether it counts: benched ones only as far as the others are too few."""
    terms, number = federation.terms, federation.starts + 1
    active = [one for one in federation.active() if not graph.accounts[one.id].banned]
    found = {one.id: graph.flagged(one.id) for one in active if one.benched_until < number}
    benched = sorted((one for one in active if one.benched_until >= number), key=lambda one: (one.benched_until, one.index or 0))
    for one in benched:
        if enough(terms, found):
            break
        found[one.id] = graph.flagged(one.id)
    return found


def enough(terms: Terms, found: dict[bytes, bool]) -> bool:
    return len(found) >= terms.min_members and (not terms.vetted or sum(found.values()) >= terms.min_sum)


def start(graph: Graph, sender: bytes, message: StartRound) -> None:
    federation = by_sponsor(graph, sender, message.federation)
    check(federation.state == IDLE, "WRONG_STATE")
    check(message.r == federation.r, "WRONG_ROUND")
    check(graph.clock < federation.deadline, "TOO_LATE")
    least = pool.least(graph, sender)
    check(len(pool.able(graph, sender, federation.terms.cells)) >= least, "FEW_VERIFIERS")
    if federation.r == 0:
        able = len(pool.panel(graph, federation)) + len(pool.panel_members(graph, federation))
        check(able >= max(formulas.LEAST_VOTES, least), "NO_PANEL")
    elif federation.cells is not None:
        check(cells.may_start(graph, federation), "TOO_FEW_MEMBERS")
        check(len(pool.aggregators(graph, federation)) >= formulas.AGGREGATORS, "NO_AGGREGATORS")
        federation.attempt = Attempt(federation.starts + 1, {})
    else:
        who = roster(graph, federation)
        check(enough(federation.terms, who), "TOO_FEW_MEMBERS")
        check(len(pool.aggregators(graph, federation)) >= 2, "NO_AGGREGATORS")
        federation.attempt = Attempt(federation.starts + 1, who)
        if any(federation.members[one].benched_until > federation.starts for one in who):
            graph.reach("bench.short")
    federation.starts += 1
    graph.reach("started" if federation.r else "started.baseline")
    wait_for_draw(graph, federation, DRAW)


def close(graph: Graph, sender: bytes, message: CloseFederation) -> None:
    federation = by_sponsor(graph, sender, message.federation)
    check(federation.state == IDLE, "WRONG_STATE")
    ends.end(graph, federation, "CLOSED")


def serve(graph: Graph, sender: bytes, message: ServeFederation) -> None:
    account = graph.accounts[sender]
    if message.on:
        check(graph.active(sender), "NOT_ACTIVE")
        check(account.box, "BAD_BOXES")
    account.serves, account.unready = message.on, None


def serve_cells(graph: Graph, sender: bytes, message: ServeCells) -> None:
    account = graph.accounts[sender]
    if message.on:
        check(graph.active(sender), "NOT_ACTIVE")
        check(account.serves, "WRONG_STATE")
    account.serves_cells = message.on
