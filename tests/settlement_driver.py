"""Plays scenarios of the second settlement through the real handlers: `python -m tests.settlement --real`.

A block of a scenario is a block here: its chain clock and beacon are handed in, what is due runs by the real queue, and each
message becomes a real one: losses a Merkle-sum tree, a model a commitment, a vote a sealed ballot with openings. After every block
`view` says in the model's words what is so, and `tests.settlement.difference` compares. Membership and credits are the real ones;
no credit may appear or vanish but by counted mints and burns.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts import BY_NUMBER, perform
from learningchain.chain.contracts import credits as credit
from learningchain.chain.contracts.job import messages as jobs
from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import JobCode, OnCheat
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.contracts.job.records import JobState, Result
from learningchain.chain.contracts.membership import messages as members
from learningchain.chain.contracts.membership import records as kept
from learningchain.chain.contracts.membership.messages import MemberCode
from learningchain.chain.contracts.membership.params import MemberParams
from learningchain.chain.errors import Code, Reject
from learningchain.chain.host import (
    ACTIVE,
    K_SUPPLY,
    K_VALIDATORS,
    SUSPENDED,
    Account,
    Escrow,
    Supply,
    Validators,
    account_key,
    params_key,
)
from learningchain.chain.host.terms import Arch, Capacity, DataRef, DeviceAsk, Earlier, Image, ImageKind, Use
from learningchain.chain.host.terms import Limits as RealLimits
from learningchain.chain.losses import LossTree, Measurement, Opening, draw_probe, open_losses
from learningchain.chain.types import Validator
from learningchain.chain.verification import committee
from learningchain.chain.verification.standing import is_marked
from learningchain.chain.verification.votes import BallotCode, Judgement
from tests.played_ledger import EscrowStore, PlayedLedger
from tests.settlement import difference, play
from tests.settlement.generate import Naming, Player
from tests.settlement.hashing import Hashing
from tests.settlement.play import AccountView, BlockView, JobView
from tests.settlement.scenario import (
    BADKEY,
    Ballot,
    Block,
    Claim,
    Column,
    CommitVote,
    Entry,
    JudgeCase,
    Limits,
    Message,
    OpenVote,
    Params,
    Post,
    Reveal,
    RevealKey,
    Scenario,
    SetCapacity,
    SetVerifier,
    Terms,
    Transfer,
)
from tests.side_by_side import Played, parting
from tests.unit.job_kit import CHAIN_ID, KEY, hidden_set

PLAYED = {number: contract for number, contract in BY_NUMBER.items() if contract.on_banned is None}
"""Contracts that the model knows of: what another one makes of a ban takes its place among the deadlines of a block."""

KEEP = 10**15
"""Jobs that ended stay: the model tells of them to the end."""
HASHING = Hashing(order=b"lc/claim-order", seat=b"lc/seat", place=b"lc/loss-probe")
NAMES: dict[int, str] = {
    JobCode.SUSPENDED: "SUSPENDED",
    JobCode.NO_STANDING: "STANDING",
    JobCode.LOW_BOUNTY: "BOUNTY",
    JobCode.LOW_FEE: "FEE",
    JobCode.BAD_EXPIRY: "EXPIRY",
    JobCode.BAD_TERMS: "TERMS",
    JobCode.FEW_VERIFIERS: "CAPACITY",
    Code.INSUFFICIENT_CREDITS: "FUNDS",
    JobCode.NO_SUCH_JOB: "NO_JOB",
    JobCode.WRONG_STATE: "LATE",
    JobCode.TOO_LATE: "LATE",
    JobCode.OWN_JOB: "OWN",
    JobCode.BAD_LOSS: "RANGE",
    JobCode.NOT_BETTER: "NOT_BETTER",
    JobCode.TOO_MANY_CLAIMS: "COUNT",
    JobCode.JOB_FULL: "FULL",
    JobCode.NO_CLAIM: "NOT_YOURS",
    JobCode.ALREADY_REVEALED: "DOUBLE",
    JobCode.REVEAL_MISMATCH: "MISMATCH",
    JobCode.NOT_POSTER: "NOT_POSTER",
    JobCode.WRONG_KEY: "WRONG_KEY",
    JobCode.NOT_IN_COMMITTEE: "NO_SEAT",
    JobCode.WRONG_ROUND: "ROUND",
    JobCode.ALREADY_COMMITTED: "DOUBLE",
    JobCode.NOT_COMMITTED: "NOT_COMMITTED",
    JobCode.ALREADY_OPENED: "DOUBLE",
    JobCode.VOTE_MISMATCH: "MISMATCH",
    JobCode.BAD_VOTE: "BALLOT",
    JobCode.NO_COLUMN: "NO_COLUMN",
    JobCode.BAD_OPENING: "PROOF",
    MemberCode.NO_CASE: "NO_CASE",
    MemberCode.NOT_A_VALIDATOR: "NO_JUDGE",
    MemberCode.PARTY: "PARTY",
    MemberCode.ALREADY_VOTED: "SAID",
}
"""What the model calls the refusals."""
SAME = {"NOBODY": "CAPACITY", "NO_CASE": "NO_JUDGE"}
"""Refusals that the model tells apart, or in another order, and the ledger does not."""


class RealNaming(Naming):
    def job(self, tx: bytes) -> bytes:
        return jobs.job_id_of(tx, 0)


@lru_cache(maxsize=20_000)
def tree_of(column: Column) -> LossTree:
    tree = LossTree(column.leaves)
    if tree.measurement.total != column.sum:
        raise ValueError("the column's sum is not that of its leaves")
    return tree


def capacity_of(limits: Limits) -> Capacity:
    arch = Arch[limits.arch.upper()]
    return Capacity(arch, limits.cpus_milli, limits.mem_mb, limits.image, limits.model_cap, limits.eval_s)


def cid_of(job: bytes, model: int) -> bytes:
    return b"\x01\x55\x12\x20" + sha256(job + model.to_bytes(8, "big")).digest()


class Ledger(PlayedLedger):
    """The real contracts under a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(self.new_store(), PLAYED, scenario.params.max_due)
        self.scenario = scenario
        self.jobs: list[bytes] = []
        self.names: dict[int, str] = {}
        self.ballots: dict[tuple[bytes, int, int, bytes], tuple[Ballot, ...]] = {}
        """What was committed, by job, audit, round and voter."""
        self._begin(scenario)

    def new_store(self) -> Any:
        return VoteStore()

    def _begin(self, scenario: Scenario) -> None:
        put, p = self.store.put, scenario.params
        roots: dict[bytes, bytes] = {}
        for member in scenario.members:
            root = roots[member.id] = member.id if member.inviter is None else roots[member.inviter]
            declared = [] if member.capacity is None else [capacity_of(member.capacity)]
            put(account_key(member.id), Account(b"\x02" * 33, ACTIVE, member.balance, 0, [0, 0, 0, 0], 0))
            put(kept.member_key(member.id), kept.Member(root, member.flag, 0, 0, declared, 0, [], []))
        put(K_SUPPLY, Supply(sum(member.balance for member in scenario.members), 0))
        validators = sorted(member.id for member in scenario.members if member.validator)
        put(K_VALIDATORS, Validators(1, [Validator(one, b"\x02" * 33) for one in validators]))
        put(params_key(kept.NUMBER), MemberParams(appeal=p.appeal, standing_life=p.month))
        put(params_key(records.NUMBER), job_params(p))

    # blocks

    def run(self, block: Block) -> BlockView:
        return self.view(self.carry_out(block))

    # messages

    def send(self, entry: Entry) -> str | None:
        """None where the message was accepted, otherwise what the model calls the refusal."""
        account, message = self.get(account_key(entry.sender)), entry.message
        if account.status not in (ACTIVE, SUSPENDED):
            return "BANNED"
        if isinstance(message, SetVerifier):
            return self._set_flag(message)
        if isinstance(message, Transfer) and (message.amount == 0 or message.to == entry.sender):
            return "FUNDS" if message.amount > account.balance else None
        host = self.host(entry.tx, entry.op)
        real = self.real(entry.sender, message)
        self.store.begin()
        try:
            perform(host, entry.sender, real)
        except Reject as refusal:
            self.store.drop()
            if refusal.code == MemberCode.SAME_CAPACITY:
                return None
            return NAMES[refusal.code]
        self.store.keep()
        self.events += host.events
        if isinstance(message, Post):
            self.jobs.append(message.job)
        if isinstance(message, CommitVote):
            self.ballots[message.job, message.j, message.r, entry.sender] = message.ballots
        return None

    def _set_flag(self, message: SetVerifier) -> None:
        key = kept.member_key(message.account)
        member = self.get(key)
        if self.get(account_key(message.account)).status not in (ACTIVE, SUSPENDED):
            return  # a ban has taken the flag for good
        if message.flag and not member.verifier:
            self.store.put(key, replace(member, verifier=True, verifier_since=self.clock))
        elif not message.flag:
            self.store.put(key, replace(member, verifier=False))

    def real(self, sender: bytes, message: Message) -> Any:
        if isinstance(message, Post):
            return posting(message.terms)
        if isinstance(message, Claim):
            sealed = jobs.claim_commitment(CHAIN_ID, message.job, sender, cid_of(message.job, message.model)[4:], salt(sender))
            return jobs.Claim(message.job, message.loss, sealed, message.stake)
        if isinstance(message, Reveal):
            known = self.get(records.claimant_key(message.job, sender))
            count = self.get(records.claim_key(message.job, known.index)).count if known else 1
            return jobs.Reveal(message.job, count, cid_of(message.job, message.model), 1, salt(sender))
        if isinstance(message, RevealKey):
            return jobs.RevealKey(message.job, KEY if message.right else bytes(32))
        if isinstance(message, CommitVote):
            ballots = [real_ballot(ballot) for ballot in message.ballots]
            sealed = jobs.vote_commitment(CHAIN_ID, message.job, message.j, message.r, sender, ballots, salt(sender))
            return jobs.CommitVote(message.job, message.j, message.r, sealed)
        if isinstance(message, OpenVote):
            return self.opening(sender, message)
        if isinstance(message, JudgeCase):
            return members.JudgeCase(message.account, message.confirm)
        if isinstance(message, SetCapacity):
            return members.SetCapacity(capacity_of(message.capacity))
        if isinstance(message, Transfer):
            return credit.Transfer(message.to, message.amount, b"")
        raise TypeError(type(message).__name__)

    def opening(self, sender: bytes, m: OpenVote) -> jobs.OpenVote:
        ballots = [] if m.ballots is None else [real_ballot(ballot) for ballot in m.ballots]
        salted = b"" if m.ballots is None else salt(sender)
        if m.candidate is None:
            return jobs.OpenVote(m.job, m.j, m.r, ballots, salted, 0, False, [])
        shown = self.shown(sender, m, m.candidate)
        return jobs.OpenVote(m.job, m.j, m.r, ballots, salted, m.candidate, m.hidden, [shown])

    def shown(self, sender: bytes, m: OpenVote, candidate: int) -> Opening:
        """The opening of a committed column, or of any other where there is no such; one that does not hold where it should not."""
        committed = self.ballots.get((m.job, m.j, m.r, sender), ())
        ballot = committed[candidate] if candidate < len(committed) else Ballot("ABSTAIN")
        column = ballot.hidden if m.hidden else ballot.public
        if not isinstance(column, Column):
            column = Column((1,), 1)
        tree, drawn = tree_of(column), self.get(records.round_key(m.job, m.j, m.r))
        probe = draw_probe(drawn.probe if drawn else b"", m.job, m.j, m.r, column.n)
        opening = open_losses(tree, probe)
        if not m.holds:
            opening = replace(opening, leaves=[opening.leaves[0] - 1, *opening.leaves[1:]])
        return opening

    # what is so

    def view(self, refused: tuple[tuple[int, str], ...]) -> BlockView:
        return BlockView(
            refused,
            (),
            {member.id: self.account(member.id) for member in self.scenario.members},
            {job: self.job(job) for job in self.jobs},
            {(ref[:32], ref[32:]): record.amount for ref, record in self.escrows().items()},
            self.get(K_SUPPLY).burned,
        )

    def escrows(self) -> dict[bytes, Escrow]:
        """By reference."""
        return self.store.escrows  # type: ignore[no-any-return]

    def votes(self, one: bytes) -> dict[bytes, Any]:
        """The counted votes of an account, by origin."""
        return self.store.votes.get(one, {})  # type: ignore[no-any-return]

    def account(self, one: bytes) -> AccountView:
        get, month = self.get, self.scenario.params.month
        account, member, case = get(account_key(one)), get(kept.member_key(one)), get(kept.case_key(one))
        record, judged = get(records.contractor_key(one)) or records.NO_JOBS, get(kept.judged_key(one))
        marks = [origin for origin, votes in self.votes(one).items() if is_marked(votes, self.clock, month)]
        return AccountView(
            account.balance + account.frozen,
            account.frozen,
            {ACTIVE: "active", SUSPENDED: "suspended"}.get(account.status, "banned"),
            case.until if case else 0,
            tuple(sorted(strike.origin for strike in member.strikes if strike.end > self.clock)),
            tuple((draw.origin, draw.bad, draw.silent) for draw in member.draws),
            member.rests_until,
            tuple(sorted(marks)),
            tuple((v.origin, Judgement(v.verdict).name, v.time, v.lifted) for v in (judged.last if judged else ())),
            (record.paid, len(record.winners) + record.older_winners, record.refunded, record.undecided, record.unrepeatable),
        )

    def job(self, ref: bytes) -> JobView:
        job = self.get(records.job_key(ref))
        claims = [self.get(records.claim_key(ref, index)) for index in range(job.claimants)]
        ended = job.state in records.ENDED
        return JobView(
            JobState(job.state).name,
            job.audit,
            max(1, job.round),
            job.ended if ended else job.deadline,
            job.hidden == records.Hidden.ON,
            tuple(claims[index].claimant for index in job.must),
            tuple(claims[index].claimant for index in job.finalists),
            self.committees(ref, job, claims) if job.state in (JobState.COMMIT, JobState.COUNT) else (),
            tuple(
                (claims[i].claimant, Result(claims[i].result).name, claims[i].line)
                for i in job.finalists
                if claims[i].result in records.JUDGED
            ),
            claims[job.winner[0]].claimant if job.winner else None,
            job.bond_burned,
        )

    def committees(self, ref: bytes, job: Any, claims: list[Any]) -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
        drawn = self.get(records.round_key(ref, job.audit, job.round))
        seats = {voter: self.get(records.seat_key(ref, job.audit, job.round, voter)) for voter in drawn.voters}

        def ticket(voter: bytes) -> bytes:
            return committee.ticket(drawn.beacon, ref, job.audit, job.round, voter)

        return tuple(
            (claims[index].claimant, tuple(sorted((v for v, seat in seats.items() if index in seat.candidates), key=ticket)))
            for index in drawn.batch
        )


class VoteStore(EscrowStore):
    """With votes by account at hand, too."""

    def __init__(self) -> None:
        super().__init__()
        self.votes: dict[bytes, dict[bytes, Any]] = {}

    def _set(self, key: bytes, old: Any, record: Any) -> None:
        super()._set(key, old, record)
        if key.startswith(b"mv/"):
            origin, identity = kept.split_votes(key)
            of = self.votes.setdefault(identity, {})
            of.pop(origin, None)
            if record is not None:
                of[origin] = record.votes


def job_params(p: Params) -> JobParams:
    return JobParams(
        job_min_bounty=p.b_min,
        job_rate=p.rate,
        job_min_open=p.t_min,
        job_max_open=p.t_max,
        job_reveal=p.w_r,
        job_key=p.w_k,
        job_vote_base=p.v0,
        job_open_votes=p.w_o,
        job_max_claimants=p.max_claimants,
        job_keep=KEEP,
    )


def posting(terms: Terms) -> jobs.PostJob:
    limits, reference = terms.limits, "registry.example/model@sha256:" + "ab" * 32
    return jobs.PostJob(
        image=Image(ImageKind.REGISTRY, reference, b"", b"", limits.image),
        arch=Arch[limits.arch.upper()],
        params="",
        bounty=terms.bounty,
        fee=terms.fee,
        finalists=terms.finalists,
        expiry=terms.expiry,
        float_kind=terms.kind,
        tol=terms.tol,
        floor=terms.floor,
        on_cheat=OnCheat.REFUND if terms.refund_on_cheat else OnCheat.NEXT_BEST,
        limits=RealLimits(limits.cpus_milli, limits.mem_mb, 1, limits.eval_s, limits.model_cap, 0, 1),
        hidden=hidden_set() if terms.hidden else [],
        devices=[DeviceAsk(*terms.devices)] if terms.devices else [],
        data=data_sets(terms),
        earlier=[] if terms.earlier is None else [Earlier(bytes(32), SET_CID, 1, terms.earlier)],
    )


SET_CID = b"\x01\x55\x12\x20" + bytes(32)


def data_sets(terms: Terms) -> list[DataRef]:
    """One for trainings alone, one for both."""
    sizes = ((terms.trained, Use.TRAIN), (max(0, terms.evaluated - 200_000), Use.TRAIN | Use.EVALUATE))
    return [DataRef(SET_CID, size, 1, f"set-{use}", use) for size, use in sizes if size]


def salt(sender: bytes) -> bytes:
    return sha256(b"salt" + sender).digest()


def real_ballot(ballot: Ballot) -> jobs.Ballot:
    public, hidden = ballot.public, ballot.hidden
    return jobs.Ballot(BallotCode[ballot.code], measurement(public), measurement(hidden), hidden == BADKEY)


def measurement(column: Column | str | None) -> list[Measurement]:
    return [tree_of(column).measurement] if isinstance(column, Column) else []


# --- side by side --------------------------------------------------------------------------------------------------------------


def play_seed(seed: int, ledger: type[Ledger] = Ledger) -> Played:
    player = Player(seed, HASHING, RealNaming())
    scenario = player.run()
    parted = parting(scenario.blocks, play.play(scenario, HASHING), ledger(scenario).run, differs)
    return Played(len(player.graph.jobs), len(scenario.blocks), player.sent, player.graph.reached, parted)


def differs(one: BlockView, other: BlockView) -> tuple[str, str, str] | None:
    found = next(difference.of_blocks(named(one), named(other)), None)
    return None if found is None else (found[0], repr(found[1]), repr(found[2]))


def named(view: BlockView) -> BlockView:
    refused = tuple((i, SAME.get(why, why)) for i, why in view.refused)
    return BlockView(refused, (), view.accounts, view.jobs, view.escrow, view.burned)
