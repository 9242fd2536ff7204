"""What each message does, and by which name it is refused. A refused message changes nothing.

A deadline counts as passed once the clock has reached it, even while its event waits for a block with room.
"""

from __future__ import annotations

from . import cases, committee, formulas, machine, votes
from .accounts import Account
from .events import StateSet
from .graph import Graph
from .jobs import COMMIT, COUNT, KEY, OPEN, REVEAL, Candidate, Job, columns
from .scenario import (
    MAX_LOSS,
    Ballot,
    Claim,
    CommitVote,
    Entry,
    JudgeCase,
    OpenVote,
    Post,
    Reveal,
    RevealKey,
    SetCapacity,
    SetVerifier,
    Terms,
    Transfer,
)


def apply(graph: Graph, entry: Entry) -> str | None:
    """Carry a message out; the name of the refusal, or nothing."""
    sender = graph.accounts[entry.sender]
    message = entry.message
    if sender.banned:
        graph.reach("banned.sender")
        return "BANNED"
    if isinstance(message, Post):
        return post(graph, sender, message)
    if isinstance(message, JudgeCase):
        return cases.word(graph, sender.id, message.account, message.confirm)
    if isinstance(message, SetCapacity):
        return set_capacity(graph, sender, message)
    if isinstance(message, SetVerifier):
        return set_verifier(graph, message)
    if isinstance(message, Transfer):
        if message.amount > graph.money.free(sender.id):
            return "FUNDS"
        graph.money.move(sender.id, message.to, message.amount)
        return None
    job = graph.jobs.get(message.job)
    if job is None:
        return "NO_JOB"
    if isinstance(message, Claim):
        return claim(graph, sender, job, entry, message)
    if isinstance(message, Reveal):
        return reveal(graph, sender, job, message)
    if isinstance(message, RevealKey):
        return reveal_key(graph, sender, job, message)
    if isinstance(message, CommitVote):
        return commit(graph, sender, job, message)
    return open_vote(graph, sender, job, message)


def refused(graph: Graph, row: str, name: str) -> str:
    graph.reach(row)
    return name


# --- posting and claiming -------------------------------------------------------------------------------------------------------


def post(graph: Graph, sender: Account, message: Post) -> str | None:
    terms = message.terms
    if sender.case is not None:
        return refused(graph, "post.suspended", "SUSPENDED")
    if not graph.stands(sender):
        return refused(graph, "post.standing", "STANDING")
    bad = bad_terms(graph, terms)
    if bad is not None:
        return bad
    if not committee.flagged(graph, sender.id):
        return refused(graph, "post.nobody", "NOBODY")
    if not committee.enough_can_judge(graph, sender.id, terms.needed):
        return refused(graph, "post.capacity", "CAPACITY")
    escrows = ((b"B", terms.bounty), (b"F", formulas.fees(terms)), (b"G", formulas.bond(terms)), (b"D", formulas.deposit(terms)))
    if sum(amount for _, amount in escrows) > graph.money.free(sender.id):
        return refused(graph, "post.funds", "FUNDS")
    for purpose, amount in escrows:
        graph.money.lock(sender.id, message.job, purpose, amount)
    job = Job(message.job, sender.id, sender.root, terms, terms.expiry, hidden=terms.hidden)
    graph.jobs[job.id] = graph.live[job.id] = job
    graph.reach("post.hidden" if terms.hidden else "post")
    graph.tell(StateSet(job.id, OPEN))
    return None


def bad_terms(graph: Graph, terms: Terms) -> str | None:
    if not graph.params.t_min <= terms.expiry - graph.clock <= graph.params.t_max:
        return refused(graph, "post.expiry", "EXPIRY")
    if not 2 <= terms.finalists <= 8 or not 0 <= terms.tol <= MAX_LOSS or abs(terms.floor) > MAX_LOSS:
        return "TERMS"
    if terms.bounty < graph.params.b_min:
        return refused(graph, "post.bounty", "BOUNTY")
    if terms.fee < formulas.least_fee(graph.params, terms):
        return refused(graph, "post.fee", "FEE")
    return None


def claim(graph: Graph, sender: Account, job: Job, entry: Entry, message: Claim) -> str | None:
    if job.state != OPEN or graph.clock >= job.deadline:
        return refused(graph, "claim.late", "LATE")
    if sender.case is not None:
        if job.root in sender.case.posters:
            return refused(graph, "claim.suspended", "SUSPENDED")
        graph.reach("claim.suspended.elsewhere")
    if not graph.stands(sender):
        return refused(graph, "claim.standing", "STANDING")
    if sender.id == job.poster:
        return refused(graph, "claim.own", "OWN")
    if not job.terms.floor <= message.loss <= MAX_LOSS:
        return refused(graph, "claim.range", "RANGE")
    old = job.claims.get(sender.id)
    if old is None:
        return first_claim(graph, sender, job, entry, message)
    if old.count >= formulas.MAX_CLAIMS:
        return refused(graph, "claim.count", "COUNT")
    if not formulas.beats(job.terms, message.loss, old.loss):
        return refused(graph, "claim.improvement", "NOT_BETTER")
    graph.reach("claim.again")
    old.loss, old.model, old.count = message.loss, message.model, old.count + 1
    old.height, old.tx, old.op = graph.height, entry.tx, entry.op
    return None


def first_claim(graph: Graph, sender: Account, job: Job, entry: Entry, message: Claim) -> str | None:
    if job.terms.earlier is not None and not formulas.beats(job.terms, message.loss, job.terms.earlier):
        return refused(graph, "claim.earlier", "NOT_BETTER")
    if len(job.claims) >= graph.params.max_claimants:
        return refused(graph, "claim.room", "FULL")
    stake = formulas.stake(job.terms)
    full = message.stake and graph.money.free(sender.id) >= stake
    graph.reach("claim.full" if full else "claim.poor" if message.stake else "claim.stakeless")
    locked = stake if full else 0
    graph.money.lock(sender.id, job.id, sender.id, locked)
    job.claims[sender.id] = Candidate(sender.id, message.loss, message.model, locked, full, graph.height, entry.tx, entry.op)
    return None


# --- reveals --------------------------------------------------------------------------------------------------------------------


def reveal(graph: Graph, sender: Account, job: Job, message: Reveal) -> str | None:
    own = job.claims.get(sender.id)
    if job.state != REVEAL or graph.clock >= job.deadline:
        return refused(graph, "reveal.refused", "LATE")
    if own is None or own.revealed or own.model != message.model:
        return refused(graph, "reveal.refused", "NOT_YOURS" if own is None else "DOUBLE" if own.revealed else "MISMATCH")
    own.revealed = True
    graph.reach("reveal")
    if all(other.revealed for other in job.claims.values()):
        graph.reach("reveal.all")
        machine.end_window(graph, job)
    return None


def reveal_key(graph: Graph, sender: Account, job: Job, message: RevealKey) -> str | None:
    if sender.id != job.poster:
        return refused(graph, "key.refused", "NOT_POSTER")
    if job.state != KEY or graph.clock >= job.deadline or not message.right:
        late = job.state != KEY or graph.clock >= job.deadline
        return refused(graph, "key.refused", "LATE" if late else "WRONG_KEY")
    graph.reach("key")
    job.key = True
    machine.to_draw(graph, job, 1)
    return None


# --- votes ----------------------------------------------------------------------------------------------------------------------


def misplaced(graph: Graph, sender: Account, job: Job, state: str, message: CommitVote | OpenVote) -> str | None:
    if job.state != state or graph.clock >= job.deadline:
        return "LATE"
    current = machine.the_round(job)
    if (message.j, message.r) != (current.j, current.r):
        return "ROUND"
    return None if sender.id in current.seats else "NO_SEAT"


def commit(graph: Graph, sender: Account, job: Job, message: CommitVote) -> str | None:
    why = misplaced(graph, sender, job, COMMIT, message)
    if why is not None:
        return refused(graph, "commit.refused", why)
    current = machine.the_round(job)
    if sender.id in current.committed:
        return refused(graph, "commit.refused", "DOUBLE")
    current.committed[sender.id] = message.ballots
    current.measured[sender.id] = columns(message.ballots)
    graph.reach("commit")
    if len(current.committed) == len(current.seats):
        machine.end_window(graph, job)
    return None


def open_vote(graph: Graph, sender: Account, job: Job, message: OpenVote) -> str | None:
    why = misplaced(graph, sender, job, COUNT, message) or cannot_open(job, sender, message)
    if why is not None:
        return refused(graph, "open.refused", why)
    current = machine.the_round(job)
    opened = current.opened.setdefault(sender.id, set())
    if message.candidate is None:
        graph.reach("open.empty")
    else:
        graph.reach("open")
        opened.add((message.candidate, message.hidden))
    if current.has_opened(sender.id) and all(current.has_opened(seat) for seat in current.committed):
        machine.end_window(graph, job)
    return None


def cannot_open(job: Job, sender: Account, message: OpenVote) -> str | None:
    """The first opening of a seat carries its ballots; each opens a measured column that is not open yet, if there is one."""
    current = machine.the_round(job)
    ballots = current.committed.get(sender.id)
    if ballots is None:
        return "NOT_COMMITTED"
    if sender.id in current.opened:
        if message.ballots is not None:
            return "DOUBLE"
    elif message.ballots != ballots:
        return "MISMATCH"
    elif not well_formed(job, current.seats[sender.id], current.hidden, ballots):
        return "BALLOT"
    measured = current.measured[sender.id]
    if message.candidate is None:
        return "NO_COLUMN" if measured or sender.id in current.opened else None
    place = (message.candidate, message.hidden)
    if place not in measured or place in current.opened.get(sender.id, ()):
        return "NO_COLUMN"
    return None if message.holds else "PROOF"


def well_formed(job: Job, candidates: list[Candidate], hidden: bool, ballots: tuple[Ballot, ...]) -> bool:
    return len(ballots) == len(candidates) and all(
        votes.well_formed(job.terms, candidate.loss, hidden, ballot) for candidate, ballot in zip(candidates, ballots, strict=True)
    )


# --- capacity and flag ----------------------------------------------------------------------------------------------------------


def set_capacity(graph: Graph, sender: Account, message: SetCapacity) -> str | None:
    """The same declaration again changes nothing, so it stays declared since it came first."""
    if sender.capacity != message.capacity:
        sender.capacity, sender.capacity_since = message.capacity, graph.clock
    return None


def set_verifier(graph: Graph, message: SetVerifier) -> str | None:
    account = graph.accounts[message.account]
    if message.flag and account.flag_since is None:
        account.flag_since = graph.clock
    elif not message.flag:
        account.flag_since = None
    return None
