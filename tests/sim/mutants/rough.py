"""A rough market: members who do their duties, lie, cheat, forget, repeat themselves and send nonsense, all at random.

One validator, no faults of the network: what is tested here is the ledger and its contracts, and the checkers know what each of
these messages must lead to (`checks_chain`). Posted expiries and all windows are whole tenths of a second, as are
the ticks of the node and of the members: blocks come exactly at deadlines, messages exactly with them, and with one deadline
event a block some jobs wait for theirs.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import msgspec

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts.credits import Approve, Transfer, TransferFrom
from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.duties import DueBallots, DueKey, DueOpening, DueReveal, Duty, duties_in
from learningchain.chain.contracts.job.messages import (
    CancelJob,
    Claim,
    CommitVote,
    ExtendJob,
    OpenVote,
    Reveal,
    RevealKey,
    job_id_of,
)
from learningchain.chain.contracts.job.records import ENDED, Job, JobState
from learningchain.chain.contracts.membership import JudgeCase, Member, ReportDouble, case_key, member_key
from learningchain.chain.contracts.membership.messages import SetCapacity
from learningchain.chain.contracts.membership.params import MemberParams
from learningchain.chain.crypto import SigningKey, account_id
from learningchain.chain.host import ACTIVE, BANNED, Account, account_key
from learningchain.chain.host.terms import Arch, Capacity
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.losses import Opening
from learningchain.chain.types import PREVOTE, TxBody, Vote, VoteEvidence, net_of, tx_id, vote_digest
from learningchain.chain.verification.votes import BallotCode
from tests.conformance.judging import tol
from tests.hashes import tagged
from tests.network import genesis as network_genesis
from tests.sim.checks import EPOCH
from tests.sim.comings import Comings
from tests.sim.market.clients import CAPACITY, Market, Offer
from tests.sim.market.sealed import Sealed
from tests.sim.profile import PARAMS, Profile
from tests.sim.world import World, _key
from tests.unit.job_kit import KEY, cid_of, hidden_set, posting, sha

TICK, BOOT = 50, 100
MEMBERS = 18
FIRST = 100
"""Where the members' keys begin."""
POSTERS = 5
POSTED = (0, 800, 1_600, 4_500, 7_000)
"""When the jobs come, in milliseconds."""
CONTRARY = (6, 7)
"""Members that find every model bad where there is a crowd; the others there mostly agree, so that quorums decide."""
IDLERS = (3, 11, 12)
"""Members that do nothing on most jobs, until three strikes bar them."""
SMALL = Capacity(int(Arch.AMD64), 100, 64, 10_000, 100, 1)
"""Too little for any job here."""
COUNTS = (1, 5, 20, 20, 20, 33)
"""Examples of a job's evaluation."""
QUIET = Profile(validators=1, observers=0, heal_at=BOOT, joins=((BOOT, 0),), delay=1, writer=(0,))


@cache
def _genesis(max_due: int, crowd: int, standing_life: int) -> Genesis:
    spans = {"job_reveal": 500, "job_key": 400, "job_vote_base": 300, "job_open_votes": 400, "appeal": 1_200}
    spans |= {"job_min_bounty": 10, "job_rate": 1}
    work = 2 if max_due > PARAMS.max_due_work else PARAMS.max_due_work  # somewhere the deadlines' work is what ends them
    params = msgspec.structs.replace(
        PARAMS, max_due=max_due, max_due_work=work, job_max_claimants=8, standing_life=standing_life, **spans
    )
    validator = [GenesisAccount(_key(0).public, 50_000, True, True)]
    members = [GenesisAccount(_key(FIRST + i).public, 60_000, False, i < crowd) for i in range(MEMBERS)]
    return network_genesis("rough", EPOCH, params, validator + members)


class RoughWorld(World):
    patience = 60_000
    """A job with hidden data and three finalists may take half of it."""

    def genesis(self) -> Genesis:
        """In some worlds more verifiers than one committee holds, in others so few that finalists help."""
        return _genesis((1, 256, 2)[self.seed // 2 % 3], (3, 8, MEMBERS)[self.seed % 3], (1_500, 60_000)[self.seed // 2 % 2])

    def first_state(self, genesis: Genesis) -> tuple[State, list[tuple[bytes, bytes | None]]]:
        """Two of the contractors have one root, as if one had invited the other."""
        _, items = super().first_state(genesis)
        ids = [account_id(_key(FIRST + i).public) for i in range(2)]
        keys = {member_key(identity) for identity in ids}
        known = {key: raw for key, raw in items if key in keys and raw is not None}
        invited = msgspec.structs.replace(decode(Member, known[member_key(ids[1])], 10_000), root=ids[0])
        changed = [(key, encode(invited) if key == member_key(ids[1]) else raw) for key, raw in items]
        return State.load((key, raw) for key, raw in changed if raw is not None), changed

    def clients(self) -> Market:
        return RoughMarket(self)


class OutcastWorld(RoughWorld):
    """The same, with judges that confirm, and banned people who go on sending."""

    def clients(self) -> Market:
        return OutcastMarket(self)


class RestlessWorld(RoughWorld):
    """The same, and members come and go."""

    def genesis(self) -> Genesis:
        made = super().genesis()
        spans = {"invite_rest": 2_000, "invite_longest": 10_000, "invite_branch": 2}
        changed = [s if s.number != 2 else msgspec.structs.replace(s, values=_with(spans, s.values)) for s in made.contracts]
        return msgspec.structs.replace(made, contracts=changed)

    def clients(self) -> Market:
        return RestlessMarket(self)


def _with(changes: dict[str, int], values: list[int]) -> list[int]:
    names = MemberParams.__struct_fields__
    return [changes.get(name, value) for name, value in zip(names, values, strict=True)]


class RoughMarket(Market):
    def __init__(self, world: World) -> None:
        super().__init__(world)
        keys = [_key(0), *(_key(FIRST + i) for i in range(MEMBERS))]
        self.people: list[tuple[bytes, SigningKey]] = [(account_id(key.public), key) for key in keys]
        self.jobs: list[bytes] = []
        self.known: set[bytes] = set()
        """Those that stood in the state once: one of them that does not has left."""
        self.votes: dict[tuple[bytes, int, int, int], Sealed] = {}
        self.sent: list[Any] = []
        """Messages that somebody may repeat."""
        self.state: Any = None
        self.crowded = world.seed % 3 == 2
        self.posters = 2 if self.crowded else POSTERS
        """In a crowd two of one root: who dissents again and again bears its mark."""
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

    def _public(self, state: Any, machine: int) -> bytes:
        return self.people[machine][1].public

    def _sequence(self, state: Any, machine: int, lane: int) -> int:
        account: Account = state.get(account_key(self.people[machine][0]))
        return account.sequences[lane]

    def _sign(self, state: Any, machine: int, lane: int, sequence: int, message: Any) -> bytes:
        """`message` is a list of operations. Who is suspended by now does not sign again."""
        until = chain_record(state).height + self.rng.choice([3, 60, 60])
        sender, key = self.people[machine]
        ops = [msgspec.Raw(encode(op)) for op in message]
        raw = sign_tx(key, self.world.chain_id, TxBody(net_of(self.world.chain_id), sender, lane, sequence, until, ops))
        self.offers[machine, lane, sequence] = Offer(raw, until, message, self.world.now, key.public)
        return raw

    def _forget(self, state: Any) -> None:
        for key in sorted(self.offers):
            account: Account = state.get(account_key(self.people[key[0]][0]))
            if account.status == BANNED or self.offers[key].until <= chain_record(state).height:
                del self.offers[key]
        super()._forget(state)

    # --- what they do -----------------------------------------------------------------------------------------------------------

    def _everybody(self) -> None:
        clock = chain_record(self.state).clock
        for person, (identity, _) in enumerate(self.people):
            account: Account = self.state.get(account_key(identity))
            if account.status == BANNED or (account.status != ACTIVE and self.rng.random() > 0.5):
                continue
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
        if (declared := self._declaration(person)) is not None:
            return [declared]
        if 1 <= person <= self.posters and self._wanted() and r.random() < 0.3:
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
        return len(self.jobs) + under_way < self._due()

    def _due(self) -> int:
        """Jobs that should stand by now."""
        return sum(at <= self.world.now for at in POSTED)

    def _declaration(self, person: int) -> SetCapacity | None:
        """At first all that it has; now and then the same again, less, or all again."""
        member: Any = self.state.get(member_key(self.people[person][0]))
        if not member.capacity:
            return SetCapacity(CAPACITY) if member.verifier else None
        if self.rng.random() > 0.002 or not self._open():
            short = len(self.known) < self._due() and not self._open()
            # Where nobody can judge a job that is still to be posted, all declare all again.
            return SetCapacity(CAPACITY) if short and member.verifier and member.capacity == [SMALL] else None
        return SetCapacity(SMALL if member.capacity == [CAPACITY] and self.rng.random() < 0.5 else CAPACITY)

    def _posting(self, clock: int) -> Any:
        r = self.rng
        return posting(
            bounty=r.choice([9, 10, 1_000, 5_000]),
            fee=r.choice([7, 13, 20, 30]),
            finalists=r.randint(2, 3),
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
            if self._poster(job) == identity and r.random() < (0.01 if record.claimants else 0.15):
                return r.choice([CancelJob(job), ExtendJob(job, record.deadline + r.choice([0, 100, 400]))])
            known = self.state.get(records.claimant_key(job, identity))
            often = 0.1 if known else 0.3 if person in IDLERS else 0.07
            return self._announce(job, person, known) if r.random() < often else None
        for duty in duties_in(self.state, job, identity, clock):
            idle = person in IDLERS and not self.crowded and not self._kind(job, f"idle {person}", 4)
            if idle or (isinstance(duty, DueKey) and self._kind(job, "secret", 3)) or r.random() < 0.12:
                continue  # later, or never
            message = self._fulfil(job, person, duty)
            if message is not None:
                often = 0.5 if isinstance(duty, DueKey) else 0.1 if isinstance(duty, DueOpening) else 0.05
                return self._twisted(message) if r.random() < often else message
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

    def _poster(self, job: bytes) -> bytes:
        posted: Any = self.state.get(records.posting_key(job))
        return bytes(posted.poster)

    def _announce(self, job: bytes, person: int, known: Any) -> Claim:
        """Honest, too careful, a little or much too low; a second one is better by just enough, not enough, or worse."""
        r, loss = self.rng, self._truth(job, person)
        if person:  # the machine's own member stays honest
            loss += r.choice([0, 0, 3, 40_000, -4_000, -1_000_000, -1_000_000])
        if known is not None:
            old: Any = self.state.get(records.claim_key(job, known.index))
            terms = self._terms(job)
            enough = 2 * tol(terms.float_kind, terms.tol, old.loss)
            loss = old.loss - r.choice([enough, enough - 1, 10 * enough, -5, 0])
        model = cid_of((job, person))[4:]
        sealed = tagged(b"lc/claim", self.world.chain_id, job, self.people[person][0], model, sha("salt"))
        return Claim(job, loss, sealed, r.random() < 0.8)

    def _fulfil(self, job: bytes, person: int, duty: Duty) -> Any | None:
        place = (job, getattr(duty, "audit", 0), getattr(duty, "round", 0), person)
        match duty:
            case DueReveal():
                return Reveal(job, duty.claim, cid_of((job, person)), 1_000, sha("salt"))
            case DueKey():
                return RevealKey(job, KEY)
            case DueBallots():
                self.votes[place] = sealed = self._vote(job, duty, person)
                return sealed.commit(self.world.chain_id, place[:3], self.people[person][0])
            case DueOpening():
                return self._opening(job, place)
        return None

    def _opening(self, job: bytes, place: tuple[bytes, int, int, int]) -> OpenVote | None:
        seat: Any = self.state.get(records.seat_key(*place[:3], self.people[place[3]][0]))
        current: Any = self.state.get(records.round_key(*place[:3]))
        sealed = self.votes.get(place) or self._copied(job)
        if seat.ballots and place not in self.votes:
            return None
        return sealed.opening(place[:3], seat, current.probe)

    def _copied(self, job: bytes) -> Sealed:
        """Of somebody whose commitment this one repeated."""
        return next(sealed for place, sealed in self.votes.items() if place[0] == job)

    def _vote(self, job: bytes, duty: DueBallots, person: int) -> Sealed:
        r, terms = self.rng, self._terms(job)
        seat: Any = self.state.get(records.seat_key(job, duty.audit, duty.round, self.people[person][0]))
        current: Any = self.state.get(records.round_key(job, duty.audit, duty.round))
        ids = [identity for identity, _ in self.people]
        sealed = Sealed(sha("salt"))
        for index in seat.candidates:
            claim: Any = self.state.get(records.claim_key(job, index))
            truth = self._truth(job, ids.index(claim.claimant))
            often = 60 if self.crowded else 1 if self._kind(job, "contested", 2) else 12
            if person in CONTRARY and self.crowded:
                truth += 10**8
            measured = truth + r.choice([0, 1, 2, 2]) + r.choice([0] * often + [-300, 5_000, 10**7])
            if r.random() < (0.02 if self.crowded else 0.7 if self._kind(job, "abstaining", 5) else 0.08):
                kinds = [BallotCode.INVALID, BallotCode.BROKEN, BallotCode.NOMODEL, *[BallotCode.ABSTAIN] * 5]
                sealed.said(r.choice(kinds))
                continue
            public, hidden, badkey = self._losses(job, measured), None, False
            if current.hidden:
                badkey = self._kind(job, "junk", 4) or r.random() < 0.05
                hidden = None if badkey else self._losses(job, truth // 3 + r.choice([0, 1]) + r.choice([0] * 12 + [10**7]))
            sealed.measured(terms, claim.loss, public, hidden, badkey)
        return sealed

    def _losses(self, job: bytes, mean: int) -> list[int]:
        """Of one evaluation: mostly what everybody gets, now and then some or all of it made up, or of another number."""
        r, count = self.rng, COUNTS[sha("examples", job)[0] % len(COUNTS)]
        count += r.random() < 0.04
        apart = [int.from_bytes(sha("apart", job, k)[:3], "big") if 2 * k + 1 < count else 0 for k in range((count + 1) // 2)]
        losses = [mean + sign * apart[k] for k in range((count + 1) // 2) for sign in (1, -1)][:count]
        if count > 1 and r.random() < 0.08:
            moved = r.choice([1, count // 2])
            for k in range(moved):
                losses[2 * k] += 10**8
                losses[2 * k + 1] -= 10**8
        return losses

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
                wrong = [{}, {}, {"salt": sha("other")}, {"round": 3 - message.round}, {"candidate": message.candidate + 1}]
                wrong += [{"hidden": not message.hidden}, {"opening": []}, {"ballots": []}]
                wrong += [{"opening": [_spoiled(opening)]} for opening in message.opening]
                return change(message, **r.choice(wrong))
        return message


def _spoiled(opening: Opening) -> Opening:
    """Two losses are other ones, and their sum is the same."""
    first, second, *rest = [*opening.leaves, 0]
    return msgspec.structs.replace(opening, leaves=[first + 1, second - 1, *rest][: len(opening.leaves)])


class OutcastMarket(RoughMarket):
    TRIES = 3

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.tried: Counter[int] = Counter()

    def _judge(self, person: int, _clock: int) -> list[Any]:
        accused = self._suspended()
        return [JudgeCase(self.rng.choice(accused), True)] if accused and person == 0 and self.rng.random() < 0.3 else []

    def _everybody(self) -> None:
        super()._everybody()
        for person, (identity, _) in enumerate(self.people):
            account: Account = self.state.get(account_key(identity))
            if account.status == BANNED and self.tried[person] < self.TRIES:
                self.tried[person] += 1
                raw = self._sign(self.state, person, 0, account.sequences[0], [Transfer(self._anybody(), 0, b"")])
                del self.offers[person, 0, account.sequences[0]]
                self._offer(self.world.machines[0], raw)


class RestlessMarket(RoughMarket):
    """On the fourth lane members invite, let in, revoke and leave; newcomers take part in everything once they are in."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.restless = Comings(world.seed, world.chain_id)

    def _everybody(self) -> None:
        known = {identity for identity, _ in self.people}
        for key in self.restless.newcomers:
            identity = account_id(key.public)
            if identity not in known and self.state.get(account_key(identity)) is not None:
                self.people.append((identity, key))
        clock = chain_record(self.state).clock
        for person, (identity, _) in enumerate(self.people):
            if self.state.get(account_key(identity)).status == BANNED or self._busy(person, 3) or not self._open():
                continue
            message = self.restless.drawn(identity, clock, [key for _, key in self.people[MEMBERS - 3 :]])
            if message is None and person > MEMBERS - 4:
                message = self.restless.leaving()
            if message is not None:
                self._send(self.state, person, 3, [message])
        super()._everybody()
