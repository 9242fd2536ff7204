"""What must hold after every block of every run, whoever does what. `Checker` is told each block and raises `Violation`.

Each of PROPERTIES is a promise of the rules. They look at credits as they move and at what is so afterwards, not at how the
model came there.
"""

from __future__ import annotations

from collections import Counter

from . import formulas
from .events import CaseEnded, FeePaid, Flow, Judgement, Struck, Suspended
from .generate import Player
from .graph import Graph
from .jobs import EMPTY, PAID, REFUNDED, Candidate, Job
from .scenario import FALSE, OK, UNDECIDED
from .scenario import REFUSED as REFUSED_VERDICT

PROPERTIES: dict[str, str] = {
    "conserved": "balances, escrows and what was burned are together what they were at the start",
    "solvent": "no balance is negative, nothing empty lies in escrow, no more is frozen than is there",
    "escrows": "a live job holds its bounty, bond, deposit and stakes; one that has ended holds nothing",
    "ends": "every job ends by the latest end, with at most 2K+1 draws",
    "bond": "the bond burns exactly what verdicts burned of stakes, and never more than G",
    "stakes": "a claim loses at most its own stake, once, to a verdict against it or to its own silence",
    "honest-workers": "where every seat is honest, no verdict goes against a claim",
    "honest-verifiers": "where every seat is honest, only silence strikes a verifier",
    "winner": "the bounty goes to a claim judged OK that no finalist precedes which could still win; without one it goes back",
    "fees": "a seat is paid for a candidate at most once a round, and none for an UNDECIDED one",
    "seats": "no poster and no claimant judges itself, nobody banned is drawn, at most 7 sit in round one, 64 in two",
    "bans": "nobody is banned but after a FALSE, and by the words of more than a third of the judges",
    "frozen": "credits are frozen during a case only, for one verdict at most B less the stake",
    "cases": "a case ends at most 4*APPEAL after its start",
    "barred": "an account is barred where three different posters struck it within the month, and nowhere else",
    "banned": "a banned account holds nothing and receives nothing",
}


class Violation(AssertionError):
    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {PROPERTIES[name]}; but {what}")
        self.name = name


def need(name: str, condition: bool, what: object) -> None:
    if not condition:
        raise Violation(name, str(what))


class Checker:
    """Looks at one player's graph after every block."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.known: set[bytes] = set()
        """Jobs whose end was looked at."""
        self.flows: dict[bytes, list[Flow]] = {}
        """By job."""
        self.fees: Counter[tuple[bytes, bytes, bytes]] = Counter()
        """By job, candidate and seat."""
        self.against: set[tuple[bytes, bytes]] = set()
        """Job and claimant of the verdicts that take a stake."""
        self.false: set[bytes] = set()
        """Who was ever found FALSE: an account keeps no verdicts in work of its own root, and a case may follow one."""
        self.struck: dict[bytes, dict[bytes, int]] = {}
        """By account and poster: time of the last strike."""
        self.drawn: set[tuple[bytes, int, int]] = set()
        """Job, batch and round of the committees that were looked at."""

    def __call__(self, player: Player) -> None:
        graph = player.graph
        if self.total is None:
            self.total = sum(member.balance for member in player.members)
        need("conserved", graph.money.total() == self.total, f"{graph.money.total()} of {self.total}")
        for event in graph.events:
            if isinstance(event, Flow):
                self.flows.setdefault(event.job, []).append(event)
            elif isinstance(event, Judgement):
                self.judgement(player, event)
            elif isinstance(event, FeePaid):
                self.fees[event.job, event.who, event.seat] += 1
            elif isinstance(event, Struck):
                self.strike(player, event)
            elif isinstance(event, CaseEnded):
                self.case_ended(event)
            elif isinstance(event, Suspended):
                job = graph.jobs[event.job]
                left = job.terms.bounty - job.claims[event.account].stake
                need("frozen", event.frozen <= left, f"{event.frozen} of {left}")
        self.money(graph)
        self.members(graph)
        for job in graph.live.values():
            self.live(graph, job)
        for job in graph.jobs.values():
            if job.ended and job.id not in self.known:
                self.known.add(job.id)
                self.ended(graph, job)

    # --- what happened ------------------------------------------------------------------------------------------------------

    def judgement(self, player: Player, event: Judgement) -> None:
        if event.verdict in (FALSE, REFUSED_VERDICT):
            job = player.graph.jobs[event.job]
            need("honest-workers", not calm(player, job, job.claims[event.who]), f"{event.verdict} by line {event.line}")
            self.against.add((event.job, event.who))
        if event.verdict == FALSE:
            self.false.add(event.who)

    def strike(self, player: Player, event: Struck) -> None:
        self.struck.setdefault(event.account, {})[event.poster] = player.graph.clock
        if event.why in ("leaves", "side", "hidden"):
            jobs = [job for job in player.graph.jobs.values() if job.root == event.poster]
            honest = all(calm(player, job, claim) for job in jobs for claim in job.claims.values())
            need("honest-verifiers", not honest, event.why)

    def case_ended(self, event: CaseEnded) -> None:
        if event.how != "banned":
            return
        said = f"{event.confirms} of {event.judges} confirmed"
        need("bans", 3 * event.confirms > event.judges and event.account in self.false, said)

    # --- what is so ---------------------------------------------------------------------------------------------------------

    def money(self, graph: Graph) -> None:
        money = graph.money
        for account, balance in money.balance.items():
            if not 0 <= money.frozen.get(account, 0) <= balance:
                need("solvent", False, balance)
        for (job, purpose), amount in money.escrow.items():
            need("solvent", amount > 0, purpose)
            need("escrows", job in graph.live, f"{amount} for {purpose!r} after the end")

    def members(self, graph: Graph) -> None:
        params = graph.params
        for account in graph.accounts.values():
            if account.case is None:
                if account.id in graph.money.frozen:
                    need("frozen", False, "frozen without a case")
            else:
                need("cases", account.case.until <= account.case.start + 4 * params.appeal, account.case.until)
            if account.banned:
                need("banned", graph.money.balance[account.id] == 0, graph.money.balance[account.id])
                continue
            struck = self.struck.get(account.id)
            live = [time for time in struck.values() if graph.clock - time < params.month] if struck else []
            if graph.stands(account) != (len(live) < 3):
                need("barred", False, f"{len(live)} posters")

    def live(self, graph: Graph, job: Job) -> None:
        held = {purpose: graph.money.escrow.get((job.id, purpose), 0) for purpose in (b"B", b"F", b"G", b"D")}
        terms = job.terms
        need("escrows", held[b"B"] == terms.bounty and held[b"G"] == formulas.bond(terms), held)
        need("escrows", held[b"D"] == (formulas.deposit(terms) if job.hidden else 0), held)
        need("escrows", held[b"F"] <= formulas.fees(terms), held)
        for claim in job.claims.values():
            gone = claim.verdict not in (None, OK) or (claim in job.must and not claim.revealed)
            need("stakes", gone or graph.money.escrow.get((job.id, claim.who), 0) == claim.stake, claim.verdict)
        self.seats(graph, job)

    def seats(self, graph: Graph, job: Job) -> None:
        current = job.round
        if current is None or (job.id, current.j, current.r) in self.drawn:
            return
        self.drawn.add((job.id, current.j, current.r))
        now = {event.account for event in graph.events if isinstance(event, CaseEnded)}  # its end may come after the draw
        for who, drawn in current.committees.items():
            need("seats", drawn.c <= (7 if current.r == 1 else 64) and len(set(drawn.seats)) == drawn.c, drawn.c)
            need("seats", who not in drawn.seats and job.poster not in drawn.seats, "a party sits")
            need("seats", not any(graph.accounts[seat].banned for seat in drawn.seats if seat not in now), "a banned one sits")

    # --- the end of a job ---------------------------------------------------------------------------------------------------

    def ended(self, graph: Graph, job: Job) -> None:
        terms = job.terms
        need("ends", job.draws <= 2 * terms.finalists + 1, f"{job.draws} draws")
        late = job.ended_at - formulas.latest_end(graph.params, terms) - job.lateness
        need("ends", late <= 0, f"{late} ms late")
        flows = self.flows.get(job.id, [])
        taken = self.stakes(graph, job, flows)
        burned = sum(flow.amount for flow in flows if flow.purpose == b"G" and flow.to is None)
        if not graph.accounts[job.poster].banned:
            need("bond", burned == taken <= formulas.bond(terms), f"{burned} for {taken}")
        self.winner(job)
        for (of, who, _), times in self.fees.items():
            if of == job.id:
                claim = job.claims[who]
                need("fees", times <= len(claim.rounds) and claim.verdict != UNDECIDED, f"{times} fees, {claim.verdict}")

    def stakes(self, graph: Graph, job: Job, flows: list[Flow]) -> int:
        """What verdicts burned of stakes; by the way, that nothing else burned of them."""
        taken = 0
        for claim in job.claims.values():
            out = [flow for flow in flows if flow.purpose == claim.who]
            need("stakes", len(out) <= 1 and sum(flow.amount for flow in out) == claim.stake, out)
            need("stakes", claim.stake in (0, job.terms.bounty // 10), claim.stake)
            burned = bool(out) and out[0].to is None
            against = (job.id, claim.who) in self.against
            silent = claim in job.must and not claim.revealed
            banned = graph.accounts[claim.who].banned
            need("stakes", burned == (claim.stake > 0 and (against or silent)) or banned, claim.verdict)
            taken += claim.stake if against else 0
        return taken

    def winner(self, job: Job) -> None:
        ok = [claim for claim in job.finalists if claim.verdict == OK]
        if job.state != PAID:
            need("winner", job.state in (REFUNDED, EMPTY) and not ok and job.winner is None, f"{job.state} with {len(ok)} OK")
            return
        won = next((claim for claim in ok if claim.who == job.winner), None)
        need("winner", won is not None and won.revealed and not won.dropped, "no verdict OK")
        if not job.hidden and won is not None:
            before = job.finalists[: job.finalists.index(won)]
            need("winner", all(c.dropped or c.verdict not in (None, OK) for c in before), "another precedes it")


def calm(player: Player, job: Job, claim: Candidate) -> bool:
    """Nobody lied in this job, and a loss of this size can be measured."""
    return player.plans[job.id].mood.calm and abs(claim.loss) <= 10**17
