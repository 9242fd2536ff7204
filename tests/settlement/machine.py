"""The rows of the table that no message is: deadlines, the draw, the count, verdicts, NEXT, the ends."""

from __future__ import annotations

from . import cases, committee, formulas, sides, votes
from .accounts import Verdict
from .events import Dropped, HiddenOff, Judgement, StateSet
from .graph import Graph
from .jobs import COMMIT, COUNT, DRAW, EMPTY, KEY, OPEN, PAID, REFUNDED, REVEAL, Candidate, Job, Judged, Round, Vote
from .scenario import BADKEY, FALSE, OK, UNDECIDED
from .scenario import REFUSED as REFUSED_VERDICT


def deadline(graph: Graph, job: Job) -> None:
    """The deadline of the job's state, which is due."""
    job.lateness += graph.clock - job.deadline
    {OPEN: close_claims, REVEAL: close_reveals, KEY: key_missing, DRAW: draw, COMMIT: close_commits, COUNT: verdicts}[job.state](
        graph, job
    )


def enter(graph: Graph, job: Job, state: str, window: int = 0) -> None:
    job.state = state
    job.deadline = graph.clock + window
    graph.tell(StateSet(job.id, state))


def end_window(graph: Graph, job: Job) -> None:
    """Nobody is left who could send anything: the state's deadline is now, and comes with those of the next block."""
    graph.reach("window.ends")
    job.deadline = graph.clock


# --- claims and reveals ---------------------------------------------------------------------------------------------------------


def in_order(graph: Graph, job: Job) -> list[Candidate]:
    """Claims by the height of the last improvement, inside one block by the beacon of the block that closes them."""
    beacon = graph.beacon
    return sorted(job.claims.values(), key=lambda c: (c.height, graph.hashing.order_of(beacon, c.tx, c.op)))


def close_claims(graph: Graph, job: Job) -> None:
    """T0."""
    if not job.claims:
        graph.reach("t0.empty")
        finish(graph, job, EMPTY)
        return
    claims = in_order(graph, job)
    job.claims = {claim.who: claim for claim in claims}
    job.must = [claims[i] for i in formulas.rank(job.terms, [c.loss for c in claims], job.terms.finalists)]
    graph.reach("t0.must")
    enter(graph, job, REVEAL, graph.params.w_r)


def close_reveals(graph: Graph, job: Job) -> None:
    """T1, by its time or because all have revealed."""
    for claim in job.must:
        if claim.revealed:
            continue
        account = graph.accounts[claim.who]
        if account.banned:
            graph.reach("t1.silent.banned")
            continue
        graph.reach("t1.silent")
        graph.money.burn(job.id, claim.who)
        graph.strike(account, job.root, "reveal")
    revealed = [claim for claim in job.claims.values() if claim.revealed]
    ranked = [revealed[i] for i in formulas.rank(job.terms, [c.loss for c in revealed])]
    job.finalists = finalists(graph, job, ranked)
    if not job.finalists:
        graph.reach("t1.none")
        finish(graph, job, EMPTY)
    elif job.hidden:
        graph.reach("t1.key")
        enter(graph, job, KEY, graph.params.w_k)
    else:
        to_draw(graph, job, 1)


def finalists(graph: Graph, job: Job, ranked: list[Candidate]) -> list[Candidate]:
    """The first K in rank order, at most K//2 of them not full while full ones are left."""
    k, left = job.terms.finalists, list(ranked)
    pick: list[Candidate] = []
    while left and len(pick) < k:
        one = left[0]
        if not one.full and sum(1 for c in pick if not c.full) >= k // 2:
            one = next((c for c in left if c.full), one)
        left.remove(one)
        pick.append(one)
    pick.sort(key=ranked.index)
    if pick != ranked[:k]:
        graph.reach("t1.full.before")
    return pick


def key_missing(graph: Graph, job: Job) -> None:
    """T2."""
    graph.reach("key.missing")
    hidden_off(graph, job)
    to_draw(graph, job, 1)


def hidden_off(graph: Graph, job: Job) -> None:
    job.hidden = False
    graph.money.burn(job.id, b"D")
    graph.tell(HiddenOff(job.id))


# --- the draw -------------------------------------------------------------------------------------------------------------------


def to_draw(graph: Graph, job: Job, r: int) -> None:
    job.r = r
    job.draw_height = graph.height + graph.draw_delay()
    enter(graph, job, DRAW)


def batch_of(graph: Graph, job: Job) -> list[Candidate]:
    """Whom the coming round judges."""
    if job.r == 2:
        graph.reach("draw.second")
        return [candidate for candidate in job.second if not candidate.dropped]
    unjudged = job.unjudged()
    if job.hidden:
        graph.reach("draw.hidden")
        return unjudged
    graph.reach("draw.first")
    return unjudged[:1]


def draw(graph: Graph, job: Job) -> None:
    """d blocks after the trigger."""
    job.draws += 1
    for candidate in job.finalists:
        if candidate.verdict is None and not candidate.dropped and graph.accounts[candidate.who].banned:
            graph.reach("draw.dropped")
            candidate.dropped = True
            graph.tell(Dropped(job.id, candidate.who))
            sides.dropped(graph, job, candidate)
    batch = batch_of(graph, job)
    if not batch:
        graph.reach("draw.nobody")
        next_step(graph, job)
        return
    committees = committee.draw(graph, job, batch, job.r)
    seats: dict[bytes, list[Candidate]] = {}
    for candidate in batch:
        for seat in committees[candidate.who].seats:
            seats.setdefault(seat, []).append(candidate)
    job.round = Round(job.j, job.r, batch, committees, dict(sorted(seats.items())), job.hidden)
    if not seats:
        graph.reach("draw.noseats")
        verdicts(graph, job)
        return
    enter(graph, job, COMMIT, formulas.vote_window(graph.params, job.terms, len(batch)))


# --- commit, count, verdict -----------------------------------------------------------------------------------------------------


def the_round(job: Job) -> Round:
    if job.round is None:
        raise RuntimeError("no round is under way")
    return job.round


def close_commits(graph: Graph, job: Job) -> None:
    """By its time, or because all have committed."""
    current = the_round(job)
    if not current.committed:
        graph.reach("commit.nobody")
        verdicts(graph, job)
        return
    graph.reach("commit.all" if len(current.committed) == len(current.seats) else "commit.deadline")
    current.beacon = graph.beacon
    columns = len(current.batch) * (2 if current.hidden else 1)
    c = max(one.c for one in current.committees.values())
    enter(graph, job, COUNT, formulas.count_window(graph.params, columns, c))


def probe_of(graph: Graph, job: Job, n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    current = the_round(job)
    graph.reach("probe.small" if n < formulas.PROBED else "probe.tree")
    return formulas.probe(n, lambda k: graph.hashing.number(current.beacon, job.id, current.j, current.r, k))


def opened_votes(graph: Graph, job: Job) -> None:
    """Put the opened votes of the round with its candidates; strike who was silent."""
    current = the_round(job)
    complete = {seat for seat in current.seats if current.has_opened(seat)}
    for seat in current.seats:
        if seat not in complete:
            if seat in current.opened:
                graph.reach("open.half")
            sides.silence(graph, job, seat)
    sizes = {
        column.n
        for seat in sorted(complete)
        for ballot in current.committed[seat]
        for column in (ballot.public, ballot.hidden)
        if column is not None and not isinstance(column, str)
    }
    places = {n: probe_of(graph, job, n) for n in sorted(sizes)}
    for candidate in current.batch:
        drawn = current.committees[candidate.who]
        found = []
        for seat in drawn.seats:
            if seat in complete:
                ballot = current.committed[seat][current.seats[seat].index(candidate)]
                graph.reach(f"vote.{ballot.code}")
                if ballot.hidden == BADKEY:
                    graph.reach("vote.BADKEY")
                found.append(Vote(seat, ballot, seat in drawn.neutral))
        if len(votes.counted(found)) < len(found):
            graph.reach("vote.uncounted")
        candidate.rounds.append(Judged(current.r, drawn, tuple(found), places))


def verdicts(graph: Graph, job: Job) -> None:
    """COUNT is over: a verdict for each candidate of the batch, or round two, then NEXT."""
    current = the_round(job)
    if job.state == COUNT:
        graph.reach("open.all" if all(current.has_opened(seat) for seat in current.committed) else "open.deadline")
    opened_votes(graph, job)
    job.round = None
    forced = bad_keys(graph, job, current)
    job.second = []
    for candidate in current.batch:
        judged = candidate.rounds[-1]
        counts = votes.tally(job.terms, candidate.loss, judged.votes, judged.committee, current.r, job.hidden)
        line, verdict = (4, None) if candidate.who in forced else votes.decide(counts)
        note_line(graph, job, counts, line, verdict)
        if verdict is None:
            job.second.append(candidate)
        else:
            judge(graph, job, candidate, line, verdict)
    if job.second:
        to_draw(graph, job, 2)
    else:
        next_step(graph, job)


def bad_keys(graph: Graph, job: Job, current: Round) -> set[bytes]:
    """Turn the hidden data off where BADKEY decides on any candidate; otherwise the candidates that it sends to round two."""
    if not job.hidden:
        return set()
    for candidate in current.batch:
        judged = candidate.rounds[-1]
        if votes.bad_key_decides(judged.votes, judged.committee, current.r):
            graph.reach("badkey.last" if votes.is_last(current.r, judged.committee, len(judged.votes)) else "badkey.novalue")
            hidden_off(graph, job)
            return set()
    forced = {c.who for c in current.batch if votes.bad_key_quorum(c.rounds[-1].votes, c.rounds[-1].committee)}
    if forced:
        graph.reach("badkey.second")
    return forced


def note_line(graph: Graph, job: Job, counts: votes.Tally, line: int, verdict: str | None) -> None:
    if line == 6:
        graph.reach("line.6.tie" if counts.ok == counts.neg else "line.6.ok" if verdict == OK else "line.6.refused")
        return
    graph.reach(f"line.{line}")
    if line == 1 and counts.neg:
        graph.reach("line.1.dissent")
    if line == 1 and job.hidden and counts.hidden_agrees:
        graph.reach("line.1.hidden")
    if counts.ok >= formulas.quorum(counts.c) and not counts.neg and not counts.hidden_agrees:
        graph.reach("line.1.hidden.not")


def judge(graph: Graph, job: Job, candidate: Candidate, line: int, verdict: str) -> None:
    """The verdict on a candidate, and what it costs its author."""
    candidate.verdict, candidate.line = verdict, line
    graph.tell(Judgement(job.id, candidate.who, verdict, line))
    account = graph.accounts[candidate.who]
    last = candidate.rounds[-1]
    if verdict == OK and job.hidden:
        losses = votes.hidden_losses(last.votes, (OK,))
        candidate.hidden_loss = votes.agreed(job.terms, candidate.loss, losses, last.committee.c)
    sides.settle(graph, job, candidate)
    case = 0
    if verdict == UNDECIDED:
        graph.money.pay(job.id, candidate.who, candidate.who)
    elif verdict in (REFUSED_VERDICT, FALSE):
        job.burned += graph.money.burn(job.id, candidate.who)
        if verdict == FALSE:
            case = cases.accuse(graph, job, candidate)
        else:
            graph.strike(account, job.root, "refused")
    if job.root != account.root:
        account.judged(Verdict(job.root, verdict, graph.clock, case))


# --- NEXT and the ends ----------------------------------------------------------------------------------------------------------


def first_ok(job: Job) -> Candidate | None:
    return next((c for c in job.finalists if c.verdict == OK), None)


def next_step(graph: Graph, job: Job) -> None:
    first, unjudged = first_ok(job), job.unjudged()
    if first is not None and not job.hidden:
        graph.reach("next.paid")
        finish(graph, job, PAID, first)
    elif first is not None:
        finish(graph, job, PAID, hidden_winner(graph, job, first))
    elif not job.hidden and job.terms.refund_on_cheat and any(c.verdict == FALSE and c.full for c in job.finalists):
        graph.reach("next.cheat")
        finish(graph, job, REFUNDED)
    elif not job.hidden and unjudged:
        graph.reach("next.unjudged")
        again(graph, job)
    elif any(c.verdict is not None for c in job.finalists):
        graph.reach("next.refunded")
        finish(graph, job, REFUNDED)
    else:
        graph.reach("next.empty")
        finish(graph, job, EMPTY)


def again(graph: Graph, job: Job) -> None:
    job.j += 1
    to_draw(graph, job, 1)


def hidden_winner(graph: Graph, job: Job, first: Candidate) -> Candidate:
    agreeing = [c for c in job.claims.values() if c in job.finalists and c.verdict == OK and c.hidden_loss is not None]
    if not agreeing:
        graph.reach("next.paid.none.agrees")
        return first
    graph.reach("next.paid.hidden")
    return agreeing[formulas.leader(job.terms, [c.hidden_loss for c in agreeing if c.hidden_loss is not None])]


def finish(graph: Graph, job: Job, state: str, winner: Candidate | None = None) -> None:
    """All escrows are emptied."""
    poster, record = graph.accounts[job.poster], graph.accounts[job.poster].contractor
    graph.reach("end.paid" if winner else "end.back")
    if poster.banned:
        graph.reach("end.poster.banned")
    elif poster.case is not None:
        graph.reach("end.poster.suspended")
    if winner is None:
        graph.money.pay(job.id, b"B", job.poster)
        if any(c.revealed for c in job.claims.values()):
            record.refunded_after_reveal += job.terms.bounty
    else:
        job.winner = winner.who
        if graph.accounts[winner.who].banned:
            graph.reach("end.winner.banned")
        graph.money.pay(job.id, b"B", winner.who)
        record.paid += job.terms.bounty
        record.won(winner.who)
    if any(c.verdict == UNDECIDED for c in job.finalists):
        record.undecided += 1
    bond = graph.money.escrow.get((job.id, b"G"), 0)
    job.bond_burned = graph.money.burn(job.id, b"G", min(job.burned, bond))
    graph.reach("end.bond.burned" if job.bond_burned else "end.bond.returned")
    for purpose in (b"G", b"F", b"D"):
        graph.money.pay(job.id, purpose, job.poster)
    for claim in job.claims.values():
        graph.money.pay(job.id, claim.who, claim.who)
    job.round = None
    job.ended_at = graph.clock
    enter(graph, job, state)
    del graph.live[job.id]
