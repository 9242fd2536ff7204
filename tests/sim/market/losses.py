"""What honest members may lose, exactly: the page's bounds (LC-JOB-12, 37, 40; membership), job by job and role by role.

claimant     its stake, once, by a verdict FALSE or REFUSED or by its own silence; never more than a tenth of the bounty, and
             nothing where it staked nothing. What a verdict burned of stakes, the same verdict's job burns of the contractor's
             bond: no contractor takes from workers what it does not lose itself, whoever wins
suspended    by FALSE alone; at most the bounty less the stake is frozen for each, and comes back with the case's end
verifier     no credits, ever; a strike for silence only, or where a quorum, half of a side or the program lied
contractor   bounty to the winner, u for each paid vote and each opened vote of an undecided candidate, as much bond as stakes
             were burned by verdicts, and the deposit where its key was kept or opened junk (or a quorum lied about it)
anybody      is banned by no verdict and no silence: where it is honest, only if a quorum of a committee lied about it, or the
             programs of contractors of two roots did and the judges follow what they measured (the page's residual)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from learningchain.chain.contracts.job import messages, records
from learningchain.chain.contracts.job.records import ENDED, Job, Posting
from learningchain.chain.ledger.state import State
from learningchain.chain.types import LogEvent, TransferEvent
from tests.sim.checks import Violation

if TYPE_CHECKING:
    from tests.sim.market.graph import MarketWorld
    from tests.sim.market.verdicts import Verdicts

ID = 20
JOB = 32
SILENT = ("vote.silent", "claim.silent")
"""Reasons of strikes that need no verdict."""


class Losses:
    def __init__(self, world: MarketWorld, verdicts: Verdicts) -> None:
        self._world, self._verdicts = world, verdicts
        self.by_verdict: Counter[bytes] = Counter()
        """Of each job: stakes that verdicts burned."""
        self.bonds: Counter[bytes] = Counter()
        """Of each job: bond that was burned."""
        self.frozen: Counter[bytes] = Counter()
        self.residual: set[bytes] = set()
        """Honest members that were banned as the page cannot prevent."""
        self._silent: set[tuple[bytes, bytes]] = set()
        """(job, claimant) that did not reveal."""
        self._false: set[tuple[bytes, bytes]] = set()
        """(job, claimant) that were judged FALSE."""
        self._may_freeze: dict[bytes, int] = defaultdict(int)

    # --- events -----------------------------------------------------------------------------------------------------------------

    def told(self, note: LogEvent) -> None:
        if note.topic == "silent":
            self._silent.add((note.ref, bytes(note.data[0])))  # type: ignore[arg-type]
        elif note.topic == "verdict" and note.data[3] == records.Result.FALSE:
            claimant = bytes(note.data[2])  # type: ignore[arg-type]
            self._false.add((note.ref, claimant))
            self._may_freeze[claimant] += self._world.postings[note.ref].terms.bounty
        elif note.topic in ("case.lapsed", "case.lifted", "banned"):
            self._may_freeze[note.ref] = self.frozen[note.ref] = 0

    def moved(self, m: TransferEvent) -> None:
        if m.reason == "frozen":
            self.frozen[m.source] += m.amount
        elif m.reason == "stake.burned":
            self._stake(m)
        elif m.reason == "bond.burned":
            self.bonds[m.source[:JOB]] += m.amount
        elif not m.target and len(m.source) == ID and m.source in self._world.honest_ids and not self._excused(m.source):
            raise Violation(f"{m.reason}: {m.amount} of the honest {self._world.name_of(m.source)} was burned")

    def _stake(self, m: TransferEvent) -> None:
        job, claimant = m.source[:JOB], m.source[JOB:]
        terms = self._world.postings[job].terms
        if m.amount > messages.full_stake(terms):
            raise Violation(f"a stake of {m.amount} burned on a bounty of {terms.bounty}")
        if (job, claimant) not in self._silent:
            self.by_verdict[job] += m.amount
        if (job, claimant) in self._false:
            self._may_freeze[claimant] -= m.amount
        if claimant in self._world.honest_ids:
            self._world.acts["stake of an honest member burned"] += 1

    def punished(self, how: str, who: bytes, why: str, job: bytes) -> None:
        """A strike, a suspension or a ban."""
        world, verdicts = self._world, self._verdicts
        if who not in world.honest_ids:
            return
        name = world.name_of(who)
        if how == "banned":
            if not self._excused(who):
                raise Violation(f"the honest {name} was banned")
            self.residual.add(who)
        if how == "suspended" and who not in verdicts.framed and who not in verdicts.outvoted:
            raise Violation(f"the honest {name} was suspended, and nobody lied about it")
        lied = job in world.postings and world.lies(world.postings[job])
        if how != "strike" or lied or who in verdicts.outvoted or who in verdicts.framed:
            return
        if why == "vote.wrong" and job not in verdicts.unjust:
            raise Violation(f"the honest {name} was struck for a true vote, and no quorum lied")
        if why in ("vote.leaves", "vote.hidden") and job not in verdicts.unsafe:
            raise Violation(f"the honest {name} was struck ({why}), and most of its side were honest")
        if world.plan.calm and job not in verdicts.unsafe | verdicts.unjust:
            raise Violation(f"the honest {name} was struck ({why}) though nothing failed")

    def _excused(self, who: bytes) -> bool:
        """A ban that the page allows: a committee's quorum lied, or programs of two roots did and the judges believe what they
        measure."""
        if who in self._verdicts.outvoted:
            return True
        return self._world.plan.judge != "never" and len(self._world.lied[self._world.name_of(who)]) >= 2

    # --- states -----------------------------------------------------------------------------------------------------------------

    def check(self, state: State) -> None:
        """After a block. Raises `Violation`."""
        for who, amount in self.frozen.items():
            if amount > self._may_freeze[who]:
                raise Violation(f"{amount} of {self._world.name_of(who)} are frozen, its verdicts allow {self._may_freeze[who]}")
        for job, posting in self._world.postings.items():
            record = state.get(records.job_key(job))
            if isinstance(record, Job) and record.state in ENDED:
                self._ended(job, record, posting)

    def _ended(self, job: bytes, record: Job, posting: Posting) -> None:
        stakes, bond = self.by_verdict[job], self.bonds[job]
        if bond != min(stakes, messages.bond(posting.terms)):
            raise Violation(f"verdicts of job {job.hex()[:8]} burned {stakes} of stakes and {bond} of its bond")
        if stakes > messages.bond(posting.terms):
            raise Violation(f"verdicts of job {job.hex()[:8]} burned more stakes than it has finalists")

    def over(self, state: State) -> None:
        """When every case is over: nothing honest is frozen."""
        for who, amount in self.frozen.items():
            account: Any = state.get(b"a/" + who)
            if amount and who in self._world.honest_ids and not self._excused(who) and account.frozen:
                raise Violation(f"{amount} of the honest {self._world.name_of(who)} stay frozen")
