"""A rough market: members who do their duties, lie, cheat, forget, repeat themselves and send nonsense, all at random.

One validator, no faults of the network: what is tested here is the ledger and its contracts, and the checkers know what each of
these messages must lead to (`checks_ledger`, `checks_jobs`). Posted expiries and all windows are whole tenths of a second, as are
the ticks of the node and of the members: blocks come exactly at deadlines, messages exactly with them, and with one deadline
event a block some jobs wait for theirs.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from chain.codec import encode
from chain.contracts.credits import Approve, Transfer, TransferFrom
from chain.contracts.job import records
from chain.contracts.job.duties import DueBallots, DueKey, DueOpening, DueReveal, Duty, duties_in
from chain.contracts.job.messages import Ballot, Claim, CommitVote, OpenVote, Reveal, RevealKey, job_id_of
from chain.contracts.job.records import ENDED, Job, JobState
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.contracts.membership import JudgeCase, ReportDouble, case_key
from chain.crypto import SigningKey, account_id
from chain.host import ACTIVE, Account, account_key
from chain.ledger.genesis import Genesis, GenesisAccount
from chain.ledger.transition import chain_record
from chain.ledger.tx import sign_tx
from chain.types import PREVOTE, TxBody, Vote, VoteEvidence, net_of, tx_id, vote_digest
from tests.hashes import tagged
from tests.network import genesis as network_genesis
from tests.sim.checks import EPOCH
from tests.sim.checks_job_rules import tol, vote_code
from tests.sim.market.clients import Market, Offer
from tests.sim.profile import PARAMS, Profile
from tests.sim.world import World, _key
from tests.unit.job_kit import KEY, cid_of, hidden_set, posting, sha

TICK, BOOT = 50, 100
MEMBERS = 18
FIRST = 100
"""Where the members' keys begin."""
POSTERS = 3
POSTED = (0, 800, 1_600, 4_500)
"""When the jobs come, in milliseconds."""
IDLERS = (3, 11, 12)
"""Members that do nothing on most jobs, until three strikes bar them."""
MEASURED = (VoteCode.OK, VoteCode.NEAR, VoteCode.FALSE)
QUIET = Profile(validators=1, observers=0, heal_at=BOOT, joins=((BOOT, 0),), delay=1, writer=(0,))


@cache
def _genesis(max_due: int, crowd: int, strike_life: int) -> Genesis:
    spans = {"job_reveal": 500, "job_key": 400, "job_vote_base": 300, "job_open_votes": 500, "appeal": 1_500}
    work = 2 if max_due > PARAMS.max_due_work else PARAMS.max_due_work  # somewhere the deadlines' work is what ends them
    params = msgspec.structs.replace(
        PARAMS, max_due=max_due, max_due_work=work, job_max_claimants=8, strike_life=strike_life, **spans
    )
    validator = [GenesisAccount(_key(0).public, 50_000, True, True)]
    members = [GenesisAccount(_key(FIRST + i).public, 60_000, False, i < crowd) for i in range(MEMBERS)]
    return network_genesis("rough", EPOCH, params, validator + members)


class RoughWorld(World):
    def genesis(self) -> Genesis:
        """In some worlds more verifiers than one committee holds."""
        return _genesis((1, 256, 2)[self.seed // 2 % 3], (6, 8, MEMBERS)[self.seed % 3], (1_500, 60_000)[self.seed // 2 % 2])

    def clients(self) -> Market:
        return RoughMarket(self)


class RoughMarket(Market):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        keys = [_key(0), *(_key(FIRST + i) for i in range(MEMBERS))]
        self.people: list[tuple[bytes, SigningKey]] = [(account_id(key.public), key) for key in keys]
        self.jobs: list[bytes] = []
        self.known: set[bytes] = set()
        """Those that stood in the state once: one of them that does not has left."""
        self.ballots: dict[tuple[bytes, int, int, int], list[Ballot]] = {}
        self.sent: list[Any] = []
        """Messages that somebody may repeat."""
        self.state: Any = None
        self.ticking = False

    def unfinished(self) -> str:
        if len(self.jobs) < len(POSTED) or self.offers:
            return f"{len(self.jobs)} jobs, {len(self.offers)} messages under way"
        states = [job.state for job in map(self._job, self.jobs) if job is not None]
        cases = sum(self.state.get(case_key(identity)) is not None for identity, _ in self.people)
        return f"jobs in states {states}, {cases} cases" if cases or any(s not in ENDED for s in states) else ""

    def _job(self, job: bytes) -> Job | None:
        found = self.state.get(records.job_key(job))
        return found if isinstance(found, Job) else None

    # --- sending ----------------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Three chains of ticks in turn: set as early as this, one comes before the node's own tick of the same millisecond."""
        for turn in (2,) if self.ticking else (0, 1, 2):
            self.world.later(TICK * (turn + 1) - self.world.now % TICK, self.tick)
        self.ticking = True
        machine = self.world.machines[0]
        if not machine.up:
            return
        self.state = machine.node.state
        self.known |= {job for job in self.jobs if self.state.get(records.job_key(job)) is not None}
        self.jobs = [job for job in self.jobs if job in self.known]
        self._forget(self.state)
        self._everybody()
        for offer in self.offers.values():
            if offer.again <= self.world.now:
                offer.again = self.world.now + 1_000
                self._offer(machine, offer.raw)

    def _sequence(self, state: Any, machine: int, lane: int) -> int:
        account: Account = state.get(account_key(self.people[machine][0]))
        return account.sequences[lane]

    def _sign(self, state: Any, machine: int, lane: int, sequence: int, message: Any) -> bytes:
        """`message` is a list of operations. Who is suspended by now does not sign again."""
        until = chain_record(state).height + self.rng.choice([3, 60, 60])
        sender, key = self.people[machine]
        ops = [msgspec.Raw(encode(op)) for op in message]
        raw = sign_tx(key, self.world.chain_id, TxBody(net_of(self.world.chain_id), sender, lane, sequence, until, ops))
        self.offers[machine, lane, sequence] = Offer(raw, until, message, self.world.now)
        return raw

    def _forget(self, state: Any) -> None:
        for key in sorted(self.offers):
            account: Account = state.get(account_key(self.people[key[0]][0]))
            if account.status != ACTIVE or self.offers[key].until <= chain_record(state).height:
                del self.offers[key]
        super()._forget(state)

    # --- what they do -----------------------------------------------------------------------------------------------------------

    def _everybody(self) -> None:
        clock = chain_record(self.state).clock
        for person, (identity, _) in enumerate(self.people):
            account: Account = self.state.get(account_key(identity))
            if account.status != ACTIVE and self.rng.random() > 0.2:
                continue  # most know that it is no use
            for lane, act in ((0, self._credits), (1, self._market), (2, self._judge)):
                if not self._busy(person, lane) and (ops := act(person, clock)):
                    raw = self._send(self.state, person, lane, ops)
                    if lane == 1:
                        self._note(raw, ops)

    def _note(self, raw: bytes, ops: list[Any]) -> None:
        self.sent = [*self.sent, *ops][-20:]
        posted = [job_id_of(tx_id(raw), i) for i, op in enumerate(ops) if hasattr(op, "bounty")]
        self.jobs += posted

    def _anybody(self) -> bytes:
        return self.rng.choice(self.people)[0]

    def _few(self) -> bytes:
        """Allowances are given and used among three."""
        return self.people[self.rng.randint(5, 7)][0]

    def _credits(self, person: int, _clock: int) -> list[Any]:
        r = self.rng
        if r.random() > (0.06 if 5 <= person <= 7 else 0.01) or not self._open():
            return []
        kinds: list[Any] = [
            Transfer(self._anybody(), r.choice([0, 1, 50, 900, 10**6]), b""),
            Transfer(r.choice(self._suspended() or [self._anybody()]), 1, b"memo"),
            Approve(self._few(), r.choice([0, 0, 50]), r.choice([0, 50, 900])),
            TransferFrom(self._few(), self._anybody(), r.choice([1, 20, 50, 51])),
        ]
        return r.sample(kinds, r.choice([1, 1, 2, 3]))

    def _suspended(self) -> list[bytes]:
        return [identity for identity, _ in self.people if self.state.get(case_key(identity)) is not None]

    def _open(self) -> bool:
        found = [self._job(job) for job in self.jobs if job not in self.known or self._job(job) is not None]
        return not self.jobs or any(job is None or job.state not in ENDED for job in found)

    def _judge(self, person: int, _clock: int) -> list[Any]:
        r = self.rng
        if r.random() > (0.03 if person == 0 else 0.01) or not self._open():
            return []
        if accused := self._suspended():
            return [JudgeCase(r.choice(accused), r.random() < 0.6)]
        if r.random() < 0.9:
            return []
        return [ReportDouble(self._forged(person))]

    def _forged(self, person: int) -> VoteEvidence:
        """Against the validator, signed by somebody else; or one vote twice."""
        (victim, own), (_, key) = self.people[0], self.people[person]
        height, signer = max(1, chain_record(self.state).height - 1), self.rng.choice([own, key])
        blocks = [sha("one"), sha("two" if signer is key else "one")]
        votes = [
            Vote(PREVOTE, height, 0, b, victim, signer.sign(vote_digest(self.world.chain_id, PREVOTE, height, 0, b)))
            for b in blocks
        ]
        return VoteEvidence(*votes)

    # --- jobs -------------------------------------------------------------------------------------------------------------------

    def _market(self, person: int, clock: int) -> list[Any]:
        r = self.rng
        if 1 <= person <= POSTERS and self._wanted() and r.random() < 0.3:
            return [self._posting(clock)]
        for job in r.sample(self.jobs, len(self.jobs)):
            record = self._job(job)
            if record is None or record.state in ENDED:
                continue
            message = self._act(job, record, person, clock)
            if message is not None:
                return [message, self._twisted(message)] if r.random() < 0.03 else [message]
        return []

    def _wanted(self) -> bool:
        under_way = sum(hasattr(offer.message[0], "bounty") for offer in self.offers.values())
        return len(self.jobs) + under_way < sum(at <= self.world.now for at in POSTED)

    def _posting(self, clock: int) -> Any:
        r = self.rng
        return posting(
            bounty=r.choice([9, 1_000, 20_000]),
            fee=r.choice([1, 7, 50]),
            finalists=r.randint(1, 3),
            expiry=clock - clock % 100 + r.choice([400, 600, 600]),
            float_kind=r.choice([1, 2]),
            tol=r.choice([0, 50, 10**9]),
            floor=-(10**6),
            on_cheat=r.randrange(2),
            hidden=hidden_set() if r.random() < 0.35 else [],
            eval_s=1,
            model_cap=100_000,
        )

    def _act(self, job: bytes, record: Job, person: int, clock: int) -> Any | None:
        r, identity = self.rng, self.people[person][0]
        if r.random() < 0.01 and self.sent:
            return self._twisted(r.choice(self.sent))
        if record.state == JobState.OPEN:
            if person == 0:  # the machine's own member stays honest
                return None
            known = self.state.get(records.claimant_key(job, identity))
            often = 0.1 if known else 0.3 if person in IDLERS else 0.07
            return self._announce(job, person, known) if r.random() < often else None
        for duty in duties_in(self.state, job, identity, clock):
            idle = person in IDLERS and not self._kind(job, f"idle {person}", 4)
            if idle or (isinstance(duty, DueKey) and self._kind(job, "secret", 3)) or r.random() < 0.12:
                continue  # later, or never
            message = self._fulfil(job, person, duty)
            if message is not None:
                return self._twisted(message) if r.random() < (0.5 if isinstance(duty, DueKey) else 0.05) else message
        return None

    def _kind(self, job: bytes, what: str, among: int) -> bool:
        """One job in so many is of a kind: its key is kept or opens junk, its verifiers fall out, its claims are close together."""
        return sha(what, job)[0] % among == 0

    def _truth(self, job: bytes, person: int) -> int:
        drawn = int.from_bytes(sha("truth", job, person)[:4], "big")
        return 500_000 + drawn % 60 if self._kind(job, "close", 2) else 100_000 + drawn % 900_000

    def _terms(self, job: bytes) -> Any:
        posted: Any = self.state.get(records.posting_key(job))
        return posted.terms

    def _announce(self, job: bytes, person: int, known: Any) -> Claim:
        """Honest, too careful, a little or much too low; a second one is better by just enough, not enough, or worse."""
        r, loss = self.rng, self._truth(job, person)
        loss += r.choice([0, 0, 3, 40_000, -4_000, -1_000_000, -1_000_000])
        if known is not None:
            old: Any = self.state.get(records.claim_key(job, known.index))
            enough = 2 * tol(self._terms(job), old.loss)
            loss = old.loss - r.choice([enough, enough - 1, 10 * enough, -5, 0])
        model = cid_of((job, person))[4:]
        return Claim(job, loss, tagged(b"lc/claim", self.world.chain_id, job, self.people[person][0], model, sha("salt")))

    def _fulfil(self, job: bytes, person: int, duty: Duty) -> Any | None:
        place = (job, getattr(duty, "audit", 0), getattr(duty, "round", 0), person)
        match duty:
            case DueReveal():
                return Reveal(job, duty.claim, cid_of((job, person)), 1_000, sha("salt"))
            case DueKey():
                return RevealKey(job, KEY)
            case DueBallots():
                self.ballots[place] = ballots = self._vote(job, duty, person)
                sealed = tagged(
                    b"lc/ballots", self.world.chain_id, job, bytes(place[1:3]), self.people[person][0], sha("salt"), encode(ballots)
                )
                return CommitVote(job, duty.audit, duty.round, sealed)
            case DueOpening():
                return OpenVote(job, duty.audit, duty.round, self.ballots.get(place) or self._copied(job), sha("salt"))
        return None

    def _copied(self, job: bytes) -> list[Ballot]:
        """Of somebody whose commitment this one repeated."""
        return next(ballots for place, ballots in self.ballots.items() if place[0] == job)

    def _vote(self, job: bytes, duty: DueBallots, person: int) -> list[Ballot]:
        r, terms = self.rng, self._terms(job)
        seat: Any = self.state.get(records.seat_key(job, duty.audit, duty.round, self.people[person][0]))
        ids = [identity for identity, _ in self.people]
        found = []
        for index in seat.candidates:
            claim: Any = self.state.get(records.claim_key(job, index))
            truth = self._truth(job, ids.index(claim.claimant))
            often = 1 if self._kind(job, "contested", 2) else 12
            measured = truth + r.choice([0, 1, 2, 2]) + r.choice([0] * often + [-300, 5_000, 10**7])
            code = vote_code(terms, claim.loss, measured)
            if r.random() < 0.06:
                code = r.choice([VoteCode.INVALID, VoteCode.NOMODEL, VoteCode.ABSTAIN, VoteCode.OK])
            if code not in MEASURED:
                measured, probe = 0, 0
            else:
                probe = truth // 2 + r.choice([0, 1, 0, 1, 0, 1, 10**6])
            column, value = HiddenVote.NONE, 0
            if duty.hidden is not None and code in MEASURED:
                bad = self._kind(job, "junk", 4) or r.random() < 0.05
                column, value = (HiddenVote.BADKEY, 0) if bad else (HiddenVote.VALUE, truth // 3 + r.choice([0, 1]))
            found.append(Ballot(int(code), measured, probe, int(column), value))
        return found

    def _twisted(self, message: Any) -> Any:
        """The same again, or with something wrong in it."""
        r, change = self.rng, msgspec.structs.replace
        match message:
            case Claim():
                return change(message, loss=message.loss + r.choice([0, -1, 1, 10**19 % 2**62, -(10**7)]))
            case Reveal():
                wrong: list[dict[str, Any]] = [
                    {},
                    {"salt": sha("other")},
                    {"claim": message.claim + 1},
                    {"size": 10**9},
                    {"model": cid_of("other")},
                ]
                return change(message, **r.choice(wrong))
            case RevealKey():
                return change(message, key=sha("other"))
            case CommitVote():
                return change(message, **r.choice([{}, {}, {"round": 3 - message.round}, {"audit": message.audit + 1}]))
            case OpenVote():
                wrong = [{}, {}, {"salt": sha("other")}, {"round": 3 - message.round}]
                return change(message, **r.choice(wrong))
        return message
