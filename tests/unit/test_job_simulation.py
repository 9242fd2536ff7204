"""Thousands of random jobs: honest and lying claimants and verifiers, silences, hidden keys, suspensions, bans, late blocks.

Two kinds of network. In an orderly one dishonest verifiers stay below a third of every committee: no honest identity is ever
struck or suspended, and a job that had an honest finalist and no cheater ahead pays. In a chaotic one anything goes. In both:
escrows equal payouts plus burns at every step, every job ends by the stated latest end, and nothing stays in escrow.

Everybody acts on `duties_in` alone, as the client's worker and verifier do. LC_JOB_SIM multiplies the number of runs.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from chain.contracts.job import messages, records, rules, views
from chain.contracts.job.duties import Audited, DueBallots, DueKey, DueOpening, DueReveal, Duty, duties_in
from chain.contracts.job.messages import Ballot, CommitVote, OpenVote, Reveal, vote_commitment
from chain.contracts.job.records import JobState
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.crypto import address
from chain.host import ACTIVE, SUSPENSIONS
from chain.verification import scale
from tests.network import NetworkParams
from tests.unit.job_kit import (
    CHAIN_ID,
    PARAMS,
    World,
    cid_of,
    claim_of,
    hidden_set,
    key_message,
    posting,
    replaced,
    sha,
    who,
)

SCALE = int(os.environ.get("LC_JOB_SIM", "1"))
JOBS_PER_RUN = 6
KEPT = (1, 60_000, 10**8)
"""Milliseconds for which an ended job stays in the state: fewer than a case takes, and more."""
ELSEWHERE = 9
"""The number of a contract that suspends for reasons of its own."""


@dataclass
class Member:
    """How one identity behaves. Rates are chances per decision."""

    name: str
    honest: bool
    lie: float = 0.0
    """Claims a loss that no model of its reaches."""
    silent: float = 0.0
    """Leaves a duty undone."""
    vote_lie: float = 0.0
    lazy: float = 0.0
    """Votes OK without running anything: copies the claim, invents the probe."""

    @property
    def id(self) -> bytes:
        return who(self.name)


@dataclass
class Model:
    """What a model really scores; machines differ by less than the base tolerance."""

    loss: int
    hidden: int
    probe: int
    valid: bool = True


@dataclass
class Run:
    """One network with a few jobs at once."""

    seed: int
    orderly: bool
    rng: random.Random = field(init=False)
    world: World = field(init=False)
    members: dict[bytes, Member] = field(init=False)
    by_address: dict[str, bytes] = field(init=False)
    models: dict[bytes, Model] = field(default_factory=dict)
    best: dict[tuple[bytes, bytes], tuple[bytes, int]] = field(default_factory=dict)
    """(job, claimant) -> model and loss of the standing claim."""
    ballots: dict[tuple[bytes, bytes, int, int], list[Ballot]] = field(default_factory=dict)
    jobs: list[bytes] = field(default_factory=list)
    hides_key: set[bytes] = field(default_factory=set)
    junk_key: set[bytes] = field(default_factory=set)
    cases: list[tuple[int, bytes]] = field(default_factory=list)
    last: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    """Each job as the state told of it last."""

    def __post_init__(self) -> None:
        self.rng = rng = random.Random(self.seed * 2 + self.orderly)
        size = rng.choice([1, 2, 3, 4, 5, 8, 13, 16, 20, 30])
        params = replaced(PARAMS, max_due=rng.choice([1, 3, 256]), appeal=rng.choice([1_000, 300_000, 10**7]))
        params = replaced(params, job_keep=KEPT[self.seed % len(KEPT)])
        self.posters = [Member(f"boss{i}", True) for i in range(2)]
        people = [Member(f"m{i}", True) for i in range(size)] if self.orderly else [self._anybody(f"m{i}") for i in range(size)]
        if self.orderly:
            # of the smallest pool that a job can leave (everybody but K finalists), fewer than a third may be dishonest
            liars = max(0, (size - rules.MAX_FINALISTS - 1) // 3)
            people += [Member(f"x{i}", False, 0.9, 0.2, 0.5, 0.5) for i in range(liars)]
            people += [Member(f"worker{i}", False, 0.7, 0.3) for i in range(rng.randrange(4))]
        verifiers = [m.name for m in people if not m.name.startswith("worker") and (self.orderly or rng.random() < 0.8)]
        everybody = self.posters + people
        self.members = {m.id: m for m in everybody}
        self.by_address = {address(i): i for i in self.members}
        self.world = self.make_world([m.name for m in everybody], verifiers, params, rng.choice([100_000, 1_000_000]))

    def make_world(self, names: list[str], verifiers: list[str], params: NetworkParams, grant: int) -> World:
        return World(names, verifiers, params=params, grant=grant)

    def _anybody(self, name: str) -> Member:
        r = self.rng
        if r.random() < 0.5:
            return Member(name, True)
        return Member(name, False, *(r.choice([0.0, 0.3, 0.9]) for _ in range(4)))

    # the jobs

    def post(self) -> None:
        r = self.rng
        poster = r.choice(self.posters)
        self.world.refused = ""
        job = messages.job_id_of(sha("tx", self.world._sent + 1), 0)
        message = posting(
            bounty=r.choice([1, 9, 10_000, 12_345]),
            fee=r.choice([1, 10, 77]),
            finalists=r.randint(1, 8),
            expiry=self.world.clock + r.randint(10_000, 80_000),
            float_kind=r.choice([1, 2]),
            tol=r.choice([0, 50, 10**9]),
            floor=-(10**6),
            on_cheat=r.randrange(2),
            hidden=hidden_set() if r.random() < 0.4 else [],
            eval_s=r.choice([1, 30]),
            model_cap=r.choice([1_000, 20_000_000]),
        )
        if self.world.send(poster.id, message) == 0:
            self.jobs.append(job)
            if r.random() < 0.3:
                self.hides_key.add(job)
            elif r.random() < 0.3:
                self.junk_key.add(job)

    def noise(self, job: bytes, value: int) -> int:
        """What another machine measures: at most half the base tolerance off."""
        half = scale.base(self.terms(job).float_kind, value) // 2
        return value + self.rng.randint(-half, half)

    def terms(self, job: bytes) -> messages.PostJob:
        found = self.world.past.get(records.posting_key(job))
        assert isinstance(found, records.Posting)
        return found.terms

    def claim(self, job: bytes, member: Member) -> None:
        r = self.rng
        name = sha("model", self.seed, len(self.models))
        true = r.choice([r.randint(0, 10**6), r.randint(0, 10**5), 500_000])
        model = Model(true, r.randint(0, 10**6), true + r.randint(-1_000, 1_000), valid=member.honest or r.random() < 0.8)
        self.models[cid_of(name)] = model
        announced = self.noise(job, model.loss)
        if r.random() < member.lie:
            announced -= r.choice([100, 10_000, 10**7])
        announced = max(announced, -(10**6))
        if self.world.send(member.id, claim_of(job, member.id, announced, name)) == 0:
            self.best[(job, member.id)] = (cid_of(name), announced)

    # duties

    def act(self, job: bytes) -> None:
        w = self.world
        record = w.job(job)
        if record.state == JobState.OPEN:
            for member in self.rng.sample(list(self.members.values()), k=min(4, len(self.members))):
                self.claim(job, member)
            return
        if record.state == JobState.KEY:
            people = [w.store.get(records.posting_key(job)).poster]
        elif record.state == JobState.REVEAL:
            people = [w.store.get(records.claim_key(job, i)).claimant for i in range(record.claimants)]
        elif record.state in (JobState.COMMIT, JobState.COUNT):
            people = w.committee(job)
        else:
            return
        people = [identity for identity in people if identity in self.members]
        self.rng.shuffle(people)
        for identity in people:
            for duty in duties_in(w.store, job, identity, w.clock):
                self.fulfil(job, self.members[identity], duty)

    def fulfil(self, job: bytes, member: Member, duty: Duty) -> None:
        w = self.world
        able = w.host().is_active(member.id)
        if self.rng.random() < member.silent:
            return
        if isinstance(duty, DueReveal):
            model, _ = self.best[(job, member.id)]
            code = w.send(member.id, Reveal(job, duty.claim, model, 500, sha("salt")))
        elif isinstance(duty, DueKey):
            code = 0 if job in self.hides_key else w.send(member.id, key_message(job))
        elif isinstance(duty, DueBallots):
            ballots = [self.ballot(job, member, candidate, duty) for candidate in duty.candidates]
            at = (duty.audit, duty.round)
            self.ballots[(job, member.id, *at)] = ballots
            sealed = vote_commitment(CHAIN_ID, job, *at, member.id, ballots, sha("salt"))
            code = w.send(member.id, CommitVote(job, *at, sealed))
        elif isinstance(duty, DueOpening):
            ballots = self.ballots[(job, member.id, duty.audit, duty.round)]
            code = w.send(member.id, OpenVote(job, duty.audit, duty.round, ballots, sha("salt")))
        else:
            return
        assert code == 0 or not able or w.state(job) not in ("REVEAL", "COMMIT", "COUNT", "KEY") or not member.honest, w.refused

    def ballot(self, job: bytes, member: Member, candidate: Audited, duty: DueBallots) -> Ballot:
        r, terms, claimed = self.rng, self.terms(job), candidate.loss
        claimant = candidate.claimant
        model = self.models[self.best[(job, claimant)][0]]
        measured, probe = self.noise(job, model.loss), self.noise(job, model.probe)
        if r.random() < member.lazy:
            measured, probe = claimed, r.randint(0, 10**6)
        elif r.random() < member.vote_lie:
            measured = claimed + r.choice([0, 10**4, 10**7])
            if r.random() < 0.3:
                return Ballot(int(r.choice([VoteCode.INVALID, VoteCode.NOMODEL, VoteCode.ABSTAIN])), 0, 0, 0, 0)
        elif not model.valid:
            return Ballot(VoteCode.INVALID, 0, 0, 0, 0)
        column, value = HiddenVote.NONE, 0
        if duty.hidden is not None:
            column, value = HiddenVote.VALUE, self.noise(job, model.hidden)
            if job in self.junk_key:
                column, value = HiddenVote.BADKEY, 0
        return Ballot(messages.vote_code(terms, claimed, measured), measured, probe, column, value)

    # the world around

    def trouble(self) -> None:
        """Cases end, and sometimes somebody is suspended for another reason."""
        w, r = self.world, self.rng
        for identity in sorted(w.membership.cases):
            if not any(i == identity for _, i in self.cases):
                self.cases.append((w.clock + w.params.appeal, identity))
        for due in [c for c in self.cases if c[0] <= w.clock]:
            self.cases.remove(due)
            w.close_case(due[1], banned=r.random() < 0.5)
        if not self.orderly and r.random() < 0.01:
            self.suspend_somebody()

    def suspend_somebody(self) -> None:
        identity = self.rng.choice(sorted(self.members))
        host = self.world.host()
        if host.is_active(identity):
            host.service(SUSPENSIONS).suspend(identity, sha("other"), who("boss0"), ELSEWHERE)
            self.world._took(host)

    def struck(self) -> list[tuple[bytes, str]]:
        return [(e.ref, e.data[0]) for e in self.world.events if hasattr(e, "topic") and e.topic == "strike"]

    def waiting(self) -> bool:
        """Is there still a job or a case that has not come to its end?"""
        return self.world.unsettled_due() is not None or bool(self.world.membership.cases)

    def run(self) -> None:
        r, w = self.rng, self.world
        while len(self.jobs) < JOBS_PER_RUN and w._sent < 5_000:
            if r.random() < 0.5:
                self.post()
            self.step()
        limit = w.clock + 10**9
        while self.waiting() and w.clock < limit:
            self.step()
        w.until(w.clock + max(KEPT) + 2 * w.params.appeal)

    def step(self) -> None:
        r, w = self.rng, self.world
        due = w.unsettled_due()
        ahead = r.randint(1, 15_000) if due is None or r.random() < 0.3 else max(0, due - w.clock) + r.choice([0, 0, 0, 5, 30_000])
        if due is None and self.cases:
            ahead = max(1, min(self.cases)[0] - w.clock)
        w.block(ahead)
        self.trouble()
        for job in self.jobs:
            before = None
            while before != (before := (w.job(job).state, w.job(job).audit, w.job(job).round)):
                self.act(job)
        self.last |= {job: told for job in self.jobs if (told := views.describe(w.store, job)) is not None}

    # what must hold

    def check(self) -> None:
        w = self.world
        w.audit()
        for job in self.jobs:
            record = w.job(job)
            assert record.state in records.ENDED, f"a job of seed {self.seed} never ended: {w.state(job)}"
            assert w.escrowed(job) == 0, f"seed {self.seed}: {w.escrowed(job)} left in escrow of a job that is {w.state(job)}"
            open_case = any(case.state == records.CaseState.PENDING for case in record.cases)
            assert open_case or not w.keys_of(job), f"seed {self.seed}: records of a job that was to leave"
            described = views.describe(w.past, job)
            assert described is not None
            assert described | {"contractor": 0} == self.last[job] | {"contractor": 0}, "what left tells what the state told last"
            late = w.lateness.get(job, 0)
            assert record.ended <= described["latest_end"] + late, f"seed {self.seed}: ended late"
            self.check_money(job, described)
        if self.orderly:
            self.check_honest()

    def check_money(self, job: bytes, described: dict) -> None:  # type: ignore[type-arg]
        """What the job locked is what it paid, returned and burned."""
        moves = [e for e in self.world.events if hasattr(e, "reason") and e.ref == job]
        assert sum(e.amount for e in moves if len(e.target) > 20) == sum(e.amount for e in moves if len(e.source) > 20)
        moves = [(e.reason, e.amount) for e in moves]
        payments = described["payments"]
        fees = sum(amount for reason, amount in moves if reason in ("fee", "fee:banned"))
        assert payments["fees_paid"] == fees <= rules.COMMITTEE * self.terms(job).fee * self.terms(job).finalists
        bounty = self.terms(job).bounty
        back = sum(a for reason, a in moves if reason.split(":")[0] in ("bounty.returned", "tenth.returned"))
        assert payments["bounty_paid"] + back + sum(a for reason, a in moves if reason == "tenth.burned") == bounty

    def check_honest(self) -> None:
        w = self.world
        honest = {m.id for m in self.members.values() if m.honest}
        assert not [(address(i), reason) for i, reason in self.struck() if i in honest], f"seed {self.seed}"
        assert all(w.account(i).status == ACTIVE for i in honest), f"seed {self.seed}"
        for job in self.jobs:
            described = views.describe(w.past, job)
            assert described is not None
            for claim in described["claims"]:
                if self.by_address.get(claim["claimant"]) in honest:
                    assert claim["result"] in (None, "OK", "UNDECIDED"), f"seed {self.seed}: {claim}"
                    assert claim["stake_is"] != "burned"


def simulate(kind: type[Run], orderly: bool, seeds: int) -> dict[str, int]:
    """Run and check; counts how jobs ended and what happened on the way, so that nobody trusts an empty simulation."""
    seen: dict[str, int] = {}
    for seed in range(seeds):
        run = kind(seed, orderly)
        run.run()
        run.check()
        for topic in [*(run.world.state(job) for job in run.jobs), *(e.topic for e in run.world.events if hasattr(e, "topic"))]:
            seen[topic] = seen.get(topic, 0) + 1
    return seen


HAPPENS = ("PAID", "REFUNDED", "EMPTY", "key", "key.bad", "key.missing", "silent", "second.round", "tenth", "strike", "verdict")


@pytest.mark.parametrize("orderly", [True, False], ids=["orderly", "chaotic"])
def test_random_jobs(orderly: bool) -> None:
    seen = simulate(Run, orderly, 300 * SCALE)
    expected = HAPPENS if orderly else (*HAPPENS, "dropped")
    assert not [what for what in expected if not seen.get(what)], seen
