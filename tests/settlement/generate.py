"""Random graphs: members with habits play jobs with moods against the model, and what they sent is the scenario.

`Player.watch` sees the graph after every block. A driver that needs real transaction ids gives a `naming`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256

from . import formulas, machine, messages, play, votes
from .evaluations import CODES, Evaluations, some_loss
from .graph import Graph
from .habits import (
    ANY,
    CROWDED,
    FALSE_CLAIMS,
    HABITS,
    LARGE,
    MOODS,
    SEVERE,
    SMALL,
    TEMPERS,
    Mood,
    some_members,
    some_params,
    weighted,
)
from .hashing import Hashing
from .jobs import COMMIT, COUNT, DRAW, KEY, OPEN, REVEAL, Candidate, Job
from .scenario import (
    ABSTAIN,
    BADKEY,
    F32,
    F64,
    FALSE,
    INVALID,
    MAX_LOSS,
    MEASURED,
    OK,
    Ballot,
    Block,
    Claim,
    Column,
    CommitVote,
    Entry,
    JudgeCase,
    Message,
    OpenVote,
    Post,
    Reveal,
    RevealKey,
    Scenario,
    SetCapacity,
    SetVerifier,
    Terms,
    Transfer,
)

MOST_BLOCKS = 5_000


class Naming:
    """The ids of transactions and jobs. A driver of the real handlers gives its own, so that both sides draw alike."""

    def tx(self, sender: bytes, number: int, message: Message) -> bytes:
        """Of the transaction with this message alone; no number comes twice. A posting is asked for first without its job's id."""
        return sha256(sender + number.to_bytes(8, "big")).digest()

    def job(self, tx: bytes) -> bytes:
        """Of the job that this transaction posts."""
        return sha256(b"job" + tx).digest()


@dataclass(slots=True)
class Plan:
    """What the player knows of a job and the ledger does not."""

    mood: Mood
    workers: list[bytes]
    centre: int
    truths: dict[bytes, str] = field(default_factory=dict)
    turns: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """Blocks that passed in a state, batch and round."""
    spammed: bool = False


class Player:
    def __init__(
        self, seed: int, hashing: Hashing | None = None, naming: Naming | None = None, watch: Callable[[Player], None] | None = None
    ) -> None:
        self.rng = rng = random.Random(seed)
        self.watch = watch
        self.naming = naming or Naming()
        self.temper = weighted(rng, TEMPERS)
        self.params, self.members = some_params(rng, self.temper), some_members(rng, self.temper)
        self.graph = Graph(self.params, self.members, hashing)
        self.ids = [member.id for member in self.members]
        self.habits = {one: weighted(rng, HABITS) for one in self.ids}
        self.outside = [m.id for m in self.members if self.temper == ANY or not m.validator]
        """Who works and posts: in tempers that are not any, no validator, so that all may judge."""
        many = self.temper != ANY
        self.posters = rng.sample(self.outside, k=min(len(self.outside), 8 if many else rng.choice((1, 1, 2, 3, 4, 6))))
        self.to_post, self.at_once = rng.choice((1, 2, 4, 6, 10, 16)), rng.choice((1, 2, 3, 6))
        self.confirming, self.speaking = rng.choice((0.0, 0.4, 0.7, 1.0)), rng.choice((0.0, 0.3, 0.8, 1.0))
        if many:
            self.to_post, self.at_once = rng.choice((6, 16)), 6 if self.temper == SEVERE else 16
            self.confirming, self.speaking = (rng.choice((0.6, 1.0)), 1.0) if self.temper == SEVERE else (0.5, 0.0)
        self.noisy = rng.choice((0.0, 0.1, 0.5))
        self.plans: dict[bytes, Plan] = {}
        self.evaluations = Evaluations(rng)
        self.blocks: list[Block] = []
        self.sent = self.number_of_posts = 0
        self.quiet: set[tuple[bytes, int]] = set()
        """Judges that have thought about a case."""

    def run(self) -> Scenario:
        """Until everything was posted and everything has ended."""
        while self.to_post or self.graph.live or any(a.case is not None for a in self.graph.accounts.values()):
            self.block()
            if len(self.blocks) > MOST_BLOCKS:
                raise RuntimeError("a job or a case does not end")
        return Scenario(self.params, self.members, tuple(self.blocks))

    def block(self) -> None:
        clock, beacon = self.next_clock(), self.rng.randbytes(32)
        play.begin(self.graph, clock, beacon)
        entries: list[Entry] = []
        for sender, message in self.wishes():
            self.sent += 1
            tx = self.naming.tx(sender, self.sent, message)
            entry = Entry(sender, tx, 0, message)
            entries.append(entry)
            messages.apply(self.graph, entry)
        self.blocks.append(Block(clock, beacon, tuple(entries)))
        if self.watch is not None:
            self.watch(self)

    def next_clock(self) -> int:
        """A small step while there is something to do, otherwise to the next deadline or about it."""
        graph, window = self.graph, self.params.w_o
        if (not graph.live and self.to_post == 0) or self.rng.random() < 0.25:
            times = [job.deadline for job in graph.live.values() if job.state != DRAW]
            times += [a.case.until for a in graph.accounts.values() if a.case is not None]
            ahead = [time for time in times if time > graph.clock]
            if ahead:
                return max(graph.clock + 1, min(ahead) + self.rng.choice((-1, 0, 0, 1, window)))
        return graph.clock + self.rng.choice((1, window // 100, window // 20, window // 5))

    # --- what members wish --------------------------------------------------------------------------------------------------

    def wishes(self) -> Iterator[tuple[bytes, Message]]:
        rng = self.rng
        if self.to_post and len(self.graph.live) < self.at_once and rng.random() < 0.7:
            yield from self.post()
        for job in list(self.graph.live.values()):
            plan = self.plans[job.id]
            turn = (job.state, job.j, job.r)
            plan.turns[turn] = plan.turns.get(turn, 0) + 1
            duty = {OPEN: self.claims, REVEAL: self.reveals, KEY: self.key, COMMIT: self.commits, COUNT: self.openings}.get(
                job.state
            )
            if duty is not None:
                yield from duty(job, plan)
        yield from self.words()
        if rng.random() < self.noisy:
            yield from self.noises()

    def post(self) -> Iterator[tuple[bytes, Message]]:
        rng, params = self.rng, self.params
        self.to_post -= 1
        self.number_of_posts += 1
        poster = rng.choice(self.posters)
        number = self.sent + 1
        limits = LARGE if rng.random() < 0.15 else SMALL
        evaluated = (0, 0, 200_001, 210_001, limits.image - 1)[self.number_of_posts % 5]
        # As much as an image alone: the same verifiers can. Some ask for a byte more.
        limits = replace(limits, image=limits.image - evaluated + (self.number_of_posts % 64 == 33))
        mood = weighted(rng, MOODS) if self.temper != CROWDED else FALSE_CLAIMS
        hidden = rng.random() < (0.9 if mood.badkey or mood.hidden_off else 0.3)
        bounty = max(params.b_min, rng.choice((10, 99, 10_000, 1_000_000, 12_345_678)))
        if rng.random() < 0.02:
            bounty = params.b_min - 1
        later = self.number_of_posts % 16 * params.appeal * 3 // 10 if self.temper == CROWDED else 0
        terms = Terms(
            bounty=bounty,
            fee=0,
            expiry=self.graph.clock
            + params.t_min
            + later
            + rng.choice((0, 0, params.w_o // 10, params.w_o))
            - (rng.random() < 0.01),
            finalists=rng.choice((2, 2, 3, 4, 4, 5, 8)),
            kind=rng.choice((F32, F32, F64)),
            tol=rng.choice((0, 0, 5_000, 10**9)),
            floor=rng.choice((0, 0, 0, -MAX_LOSS, -1_000)),
            refund_on_cheat=rng.random() < 0.3,
            hidden=hidden,
            limits=limits,
            trained=(0, 10**9)[self.number_of_posts % 2],
            evaluated=evaluated,
            # Nearly everything is better; what claims the most that a loss can be is not.
            earlier=MAX_LOSS if self.number_of_posts % 4 == 0 else None,
            devices=(None, (1, 1, 0), (2, 8, 2**20))[self.number_of_posts % 3],
        )
        least = formulas.least_fee(params, terms)
        fee = max(0, least + rng.choice((0, 0, 1, 100)) - (rng.random() < 0.02))
        terms = replace(terms, fee=fee)
        message = Post(terms, self.naming.job(self.naming.tx(poster, number, Post(terms, b""))))
        crowd = weighted(rng, ((6, 3), (6, 6), (2, 12), (1, 30)))
        workers = rng.sample(self.outside, k=min(len(self.outside), rng.randint(0, crowd) if crowd < 12 else crowd))
        cheats = [one for one in self.outside if self.habits[one].cheat and one not in workers]
        self.plans[message.job] = Plan(
            mood, workers + ([] if mood.calm else rng.sample(cheats, k=min(len(cheats), 2))), some_loss(rng)
        )
        yield poster, message

    def claims(self, job: Job, plan: Plan) -> Iterator[tuple[bytes, Message]]:
        rng, terms = self.rng, job.terms
        step = 2 * formulas.tol(terms, plan.centre)
        for who in plan.workers:
            if rng.random() < 0.4:
                continue
            own = job.claims.get(who)
            loss = plan.centre + rng.choice((0, 0, 1, -1, 2, -2, 3, -5, 20)) * step // rng.choice((1, 1, 2))
            if self.habits[who].cheat and not plan.mood.calm and terms.floor <= plan.centre - 20 * step:
                loss = plan.centre - 20 * step
            if own is not None:
                loss = own.loss - rng.choice((1, 1, 2, 5)) * 2 * formulas.tol(terms, own.loss) + (rng.random() < 0.2)
            if rng.random() < 0.02:
                loss = rng.choice((terms.floor, terms.floor - 1, MAX_LOSS, MAX_LOSS + 1))
            yield who, Claim(job.id, loss, rng.randrange(1_000), rng.random() < 0.75)
        if plan.workers and not plan.spammed and rng.random() < 0.01:
            plan.spammed = True
            who, loss = plan.workers[0], MAX_LOSS
            for _ in range(formulas.MAX_CLAIMS + 2):
                yield who, Claim(job.id, loss, 7)
                loss -= 2 * formulas.tol(terms, loss)

    def reveals(self, job: Job, plan: Plan) -> Iterator[tuple[bytes, Message]]:
        for who, claim in list(job.claims.items()):
            if not claim.revealed and self.turn(who, job, plan, plan.mood.reveal):
                yield who, Reveal(job.id, claim.model + (self.rng.random() < 0.01))

    def key(self, job: Job, plan: Plan) -> Iterator[tuple[bytes, Message]]:
        if self.turn(job.poster, job, plan, plan.mood.key):
            if self.rng.random() < 0.05:
                yield job.poster, RevealKey(job.id, right=False)
            yield job.poster, RevealKey(job.id)

    def turn(self, who: bytes, job: Job, plan: Plan, willing: float) -> bool:
        """Whether a member does its duty in this block: mostly at once, if it does so at all."""
        passed = plan.turns[job.state, job.j, job.r]
        if not plan.mood.calm and self.rng.random() > willing:
            return False
        return passed > 3 or self.rng.random() < 0.85

    def commits(self, job: Job, plan: Plan) -> Iterator[tuple[bytes, Message]]:
        current = machine.the_round(job)
        first = plan.turns[job.state, job.j, job.r] == 1
        for seat, candidates in list(current.seats.items()):
            if seat in current.committed or (not first and self.rng.random() < 0.5):
                continue
            if self.rng.random() < self.share(plan, plan.mood.silent, self.habits[seat].silent):
                continue
            ballots = tuple(self.ballot(job, plan, seat, candidate, current.hidden) for candidate in candidates)
            if self.rng.random() < plan.mood.malformed:
                ballots = self.rng.choice((ballots[:-1], (*ballots[:-1], Ballot(OK)), (*ballots[:-1], Ballot(FALSE, None, BADKEY))))
            yield seat, CommitVote(job.id, current.j, current.r, ballots)

    def share(self, plan: Plan, of_job: float, of_member: float) -> float:
        return of_job if plan.mood.calm else max(of_job, of_member)

    def ballot(self, job: Job, plan: Plan, seat: bytes, candidate: Candidate, hidden: bool) -> Ballot:
        rng, habit, mood = self.rng, self.habits[seat], plan.mood
        if candidate.who not in plan.truths:
            cheat = not mood.calm and rng.random() < self.habits[candidate.who].cheat
            plan.truths[candidate.who] = FALSE if cheat else rng.choices(CODES, mood.truth)[0]
        code = plan.truths[candidate.who]
        if rng.random() < self.share(plan, mood.dissent, habit.dissent):
            code = rng.choice(CODES) if mood.dissent == 1.0 or rng.random() < 0.3 else (FALSE if code == OK else OK)
        if rng.random() < self.share(plan, 0.01 if mood.dissent else 0.0, habit.abstain):
            code = ABSTAIN
        if code not in MEASURED:
            return Ballot(code)
        off = rng.random() < self.share(plan, mood.off, habit.off)
        scatter = code == FALSE and rng.random() < mood.scatter
        column = self.evaluations.column(job.id, candidate.who, code, job.terms, candidate.loss, off, scatter)
        if column is None or votes.code_of(job.terms, candidate.loss, column.measured) != code:
            return Ballot(INVALID)
        value: Column | str | None = None
        if hidden:
            value = BADKEY
            if rng.random() >= mood.badkey:
                strange = rng.random() < mood.hidden_off
                off = rng.random() < mood.off / 2
                value = self.evaluations.column(job.id, candidate.who, "hidden", job.terms, candidate.loss, off, strange)
                if value is None:
                    return Ballot(INVALID)
        return Ballot(code, column, value)

    def openings(self, job: Job, plan: Plan) -> Iterator[tuple[bytes, Message]]:
        current = machine.the_round(job)
        for seat, ballots in list(current.committed.items()):
            if current.has_opened(seat) or self.rng.random() < self.share(plan, plan.mood.silent, self.habits[seat].silent):
                continue
            places = [place for place in current.measured[seat] if place not in current.opened.get(seat, ())]
            shown: tuple[Ballot, ...] | None = None if seat in current.opened else ballots
            if shown is not None and self.rng.random() < plan.mood.malformed:
                yield seat, OpenVote(job.id, current.j, current.r, (*ballots, Ballot(ABSTAIN)))
            if not places:
                yield seat, OpenVote(job.id, current.j, current.r, shown)
            for index, hidden in places:
                holds = self.rng.random() >= plan.mood.malformed
                yield seat, OpenVote(job.id, current.j, current.r, shown, index, hidden, holds)
                shown = None if holds else shown
                if self.rng.random() < 0.02:
                    break

    def words(self) -> Iterator[tuple[bytes, Message]]:
        rng = self.rng
        for accused in list(self.graph.accounts.values()):
            if accused.case is None:
                continue
            for judge in self.graph.validators():
                if (judge.id, accused.case.number) in self.quiet and rng.random() > 0.02:
                    continue
                if rng.random() < 0.5:
                    self.quiet.add((judge.id, accused.case.number))
                    if rng.random() < self.speaking:
                        yield judge.id, JudgeCase(accused.id, rng.random() < self.confirming)
                    if accused.case is None:
                        break

    def noises(self) -> Iterator[tuple[bytes, Message]]:
        """Messages out of place, transfers, changes of capacity and flag."""
        rng = self.rng
        who, other = rng.choice(self.ids), rng.choice(self.ids)
        jobs = list(self.graph.jobs.values())
        if jobs:
            job = rng.choice(jobs[-4:])
            claim = job.claims.get(who)
            yield rng.choice(
                (
                    (who, Claim(job.id, rng.randint(0, 10**9), 1)),
                    (job.poster, Claim(job.id, 5, 1)),
                    (who, Reveal(job.id, claim.model if claim else 0)),
                    (who, RevealKey(job.id)),
                    (who, CommitVote(job.id, job.j, job.r, (Ballot(ABSTAIN),))),
                    (who, OpenVote(job.id, job.j, job.r, (Ballot(ABSTAIN),))),
                    (who, JudgeCase(other, rng.random() < 0.5)),
                )
            )
        roll = rng.random()
        if roll < 0.2 and not self.graph.accounts[other].banned:
            free = self.graph.money.free(who)
            yield who, Transfer(other, rng.choice((0, free, free // 2, free + 1)))
        elif roll < 0.35:
            yield who, SetCapacity(rng.choice((SMALL, LARGE)))
        elif roll < 0.5:
            yield who, SetVerifier(other, rng.random() < 0.8)


def generate(seed: int, hashing: Hashing | None = None, naming: Naming | None = None) -> Scenario:
    return Player(seed, hashing, naming).run()
