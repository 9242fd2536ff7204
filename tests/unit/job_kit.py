"""What the tests of the job contract share: a ledger in a dictionary, a membership that obeys the test, short constructors.

`World` runs handlers and deadlines as a block does: a refused message leaves nothing behind, due events run in order, at most
`max_due` a block. After every message and block it checks that no credit appeared or vanished but by counted mints and burns.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from typing import Any

import msgspec

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts import ARCHIVED, LISTED, STATE_TYPES, decode_message, host_of, membership, perform
from learningchain.chain.contracts.job import CONTRACT, records
from learningchain.chain.contracts.job.messages import (
    Ballot,
    Claim,
    CommitVote,
    OpenVote,
    PostJob,
    Reveal,
    RevealKey,
    claim_commitment,
    job_id_of,
    judging_work,
    vote_commitment,
)
from learningchain.chain.contracts.job.records import Job
from learningchain.chain.contracts.membership import MemberParams
from learningchain.chain.errors import Reject
from learningchain.chain.host import (
    ACTIVE,
    BANNED,
    K_SUPPLY,
    K_VALIDATORS,
    STANDING,
    SUSPENDED,
    SUSPENSIONS,
    VERIFIERS,
    Account,
    ChainRecord,
    Contract,
    Escrow,
    Host,
    IndexLayers,
    PastReader,
    Supply,
    Validators,
    account_key,
    params_key,
    split_due,
    split_height_due,
)
from learningchain.chain.host.terms import Arch, Capacity, HiddenSet, Image, Limits
from learningchain.chain.ledger.due import DeadlineBudget, DeadlineQueue
from learningchain.chain.ledger.genesis import section_params
from learningchain.chain.losses import LossTree, Measurement, Opening, draw_probe, open_losses
from learningchain.chain.params import MAX_INT
from learningchain.chain.types import Validator
from learningchain.chain.verification.votes import BallotCode, Judgement
from learningchain.chain.verification.windows import least_fee
from learningchain.client.contracts.job.http import views
from tests.network import NetworkParams

CHAIN_ID = hashlib.sha256(b"the test network").digest()
PARAMS = NetworkParams(
    job_min_bounty=10,
    job_min_open=10_000,
    job_reveal=60_000,
    job_key=50_000,
    job_vote_base=100_000,
    job_open_votes=40_000,
    appeal=500_000,
)
START = 1_000_000
GRANT = 10_000_000
FEE = 160
"""What a vote costs at least in `posting`: sixteen seconds of one CPU, ten of them its evaluation's, at ten micro-credits."""


def sha(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


@cache
def who(name: object) -> bytes:
    return sha("identity", name)[:20]


def cid_of(name: object) -> bytes:
    return b"\x01\x55\x12\x20" + sha("model", name)


def holding(record: Any) -> int:
    if type(record) is Account:
        return record.balance + record.frozen
    return record.amount if type(record) is Escrow else 0


class MemoryStore:
    """A dictionary that can forget what a refused message did; checks what the real state checks."""

    def __init__(self) -> None:
        self.records: dict[bytes, Any] = {}
        self._order: dict[bytes, list[bytes]] = {prefix: [] for prefix in LISTED}
        self._undo: list[list[tuple[bytes, Any]]] = []
        self.writes = 0
        self.bytes_written = 0
        self.measure = False
        self.held = 0
        self._indexes: dict[Any, Any] = {}
        self.archive: dict[bytes, Any] = {}
        """What a node would keep of the records that were removed."""

    def keys(self, prefix: bytes) -> list[bytes]:
        return self._order[prefix]

    def get(self, key: bytes) -> Any | None:
        return self.records.get(key)

    def put(self, key: bytes, record: Any) -> None:
        assert type(record) is STATE_TYPES[key[: key.index(b"/") + 1]], f"{key!r} cannot hold a {type(record).__name__}"
        self.writes += 1
        if self.measure:
            self.bytes_written += len(encode(record))
        self._change(key, record)

    def delete(self, key: bytes) -> None:
        if key.startswith(ARCHIVED) and key in self.records:
            self.archive[key] = self.records[key]
        self._change(key, None)

    def _change(self, key: bytes, record: Any) -> None:
        old = self.records.get(key)
        if self._undo:
            self._undo[-1].append((key, old))
        self._set(key, old, record)

    def _set(self, key: bytes, old: Any, record: Any) -> None:
        self.held += holding(record) - holding(old)
        for kind in [kind for kind in self._indexes if key.startswith(kind.prefix)]:
            del self._indexes[kind]
        order = self._order.get(key[: key.index(b"/") + 1])
        if order is not None and old is None and record is not None:
            insort(order, key)
        elif order is not None and old is not None and record is None:
            del order[bisect_left(order, key)]
        if record is None:
            self.records.pop(key, None)
        else:
            self.records[key] = record

    def scan(self, prefix: bytes, limit: int) -> Iterator[tuple[bytes, Any]]:
        keys = self._order[prefix]
        yield from [(key, self.records[key]) for key in keys[:limit]]

    def begin(self) -> None:
        self._undo.append([])

    def keep(self) -> None:
        inner = self._undo.pop()
        if self._undo:
            self._undo[-1] += inner

    def drop(self) -> None:
        for key, old in reversed(self._undo.pop()):
            self._set(key, self.records.get(key), old)

    def audit(self) -> None:
        """`World.check` does it."""

    def index(self, kind: Any) -> Any:
        """Made anew after each change: the tests are about what it says, not about its cost."""
        known = self._indexes.get(kind)
        if known is None:
            known = kind()
            for key in self._order[kind.prefix]:
                known.put(key, self.records[key])
            self._indexes[kind] = known
        return IndexLayers(known, kind(), kind(), ())


@dataclass
class FakeMembership:
    """What the membership contract offers, as `chain.host.services` describes it; the test decides how cases end, with
    `World.close_case`. Everybody is its own root but for `roots`, and has declared enough but for `weak`."""

    flags: dict[bytes, int] = field(default_factory=dict)
    """When the flag was set."""
    weak: set[bytes] = field(default_factory=set)
    roots: dict[bytes, bytes] = field(default_factory=dict)
    barred: set[bytes] = field(default_factory=set)
    """Without standing."""
    marks: set[bytes] = field(default_factory=set)
    strikes: list[tuple[bytes, str, bytes]] = field(default_factory=list)
    """Account, reason, whose work."""
    cases: dict[bytes, list[tuple[int, bytes, bytes]]] = field(default_factory=dict)
    """Contract, reference, whose work."""
    judged: list[tuple[bytes, Judgement]] = field(default_factory=list)
    draws: list[tuple[bytes, bool, bool]] = field(default_factory=list)
    """Account, bad, silent."""
    votes: list[tuple[bytes, bool]] = field(default_factory=list)
    """Account, bad."""
    asked: list[tuple[Capacity, int]] = field(default_factory=list)
    """What committees were drawn for."""

    @property
    def contract(self) -> Contract:
        services = {name: partial(FakeServices, self) for name in (STANDING, SUSPENSIONS, VERIFIERS)}
        return replace(membership.CONTRACT, services=services)

    def struck(self) -> list[tuple[bytes, str]]:
        return [(identity, reason) for identity, reason, _ in self.strikes]


class FakeServices:
    def __init__(self, fake: FakeMembership, host: Host) -> None:
        self.fake, self.host = fake, host

    def root_of(self, identity: bytes) -> bytes:
        return self.fake.roots.get(identity, identity)

    def strike(self, identity: bytes, owner: bytes, reason: str, ref: bytes) -> None:
        if not self.host.is_banned(identity):
            self.fake.strikes.append((identity, reason, owner))

    def live(self, identity: bytes) -> int:
        return len({self.root_of(owner) for struck, _, owner in self.fake.strikes if struck == identity})

    def stands(self, identity: bytes) -> bool:
        return identity not in self.fake.barred and self.live(identity) < 3

    def judged(self, identity: bytes, owner: bytes, verdict: Judgement, ref: bytes) -> None:
        self.fake.judged.append((identity, verdict))

    def accuse(self, identity: bytes, owner: bytes, amount: int, ref: bytes, contract: int) -> bool:
        if self.host.is_banned(identity):
            return False
        self.host.freeze(identity, amount, ref)
        self.fake.cases.setdefault(identity, []).append((contract, ref, owner))
        return True

    def barred_from(self, identity: bytes, owner: bytes) -> bool:
        return any(self.root_of(other) == self.root_of(owner) for _, _, other in self.fake.cases.get(identity, []))

    def longest_ms(self) -> int:
        return 4 * self.host.params_of(MemberParams).appeal

    def _flagged(self, before: int = MAX_INT) -> list[bytes]:
        flags = self.fake.flags.items()
        return sorted(one for one, since in flags if since < before and not self.host.is_banned(one) and self.stands(one))

    def flagged(self, owner: bytes, needed: Capacity) -> tuple[int, int]:
        flagged = [one for one in self._flagged() if one != owner]
        return len(flagged), sum(one not in self.fake.weak for one in flagged)

    def able(self, needed: Capacity, before: int) -> list[bytes]:
        self.fake.asked.append((needed, before))
        return [one for one in self._flagged(before) if one not in self.fake.weak]

    def marked(self, identities: list[bytes], owner: bytes) -> set[bytes]:
        return self.fake.marks & set(identities)

    def record_draw(self, identity: bytes, owner: bytes, *, bad: bool, silent: bool) -> None:
        self.fake.draws.append((identity, bad, silent))

    def count_vote(self, identity: bytes, owner: bytes, *, bad: bool) -> None:
        self.fake.votes.append((identity, bad))


class World:
    """A network of members with equal grants, block by block. Members named in `verifiers` have had the flag since the start."""

    def __init__(self, members: list[Any], verifiers: list[Any] | None = None, params: Any = PARAMS, grant: int = GRANT) -> None:
        self.store: Any = MemoryStore()
        self.membership: Any = FakeMembership()
        self.contracts: dict[int, Contract] = {CONTRACT.number: CONTRACT, membership.NUMBER: self.membership.contract}
        self.params = params
        self.height = 1
        self.clock = START
        self.beacon = sha("beacon")
        self.parent_beacon = sha("parent beacon")
        self.events: list[Any] = []
        self.lateness: dict[bytes, int] = {}
        self.refused = ""
        self._sent = 0
        self.granted = 0
        self.columns: dict[tuple[bytes, bytes], list[Ballot]] = {}
        """The ballots that voters committed, by job and voter."""
        self.store.put(K_VALIDATORS, Validators(1, [Validator(who("validator"), b"\x02" * 33)]))
        self.store.put(K_SUPPLY, Supply(0, 0))
        for name in members:
            identity = who(name)
            self.store.put(account_key(identity), Account(b"\x02" * 33, ACTIVE, grant, 0, [0, 0, 0, 0], 0))
            self.granted += grant
        self.store.put(K_SUPPLY, Supply(self.granted, 0))
        for section in params.sections:
            record = section_params(section)
            if record is not None:
                self.store.put(params_key(section.number), record)
        self.flag([who(name) for name in (members if verifiers is None else verifiers)])

    def flag(self, identities: list[bytes]) -> None:
        """Set the verifier flag, long ago."""
        self.membership.flags |= dict.fromkeys(identities, 0)

    # running

    def host(self) -> Host:
        self._sent += 1
        parent = ChainRecord(CHAIN_ID, self.height - 1, 0, 0, self.parent_beacon)
        block = self.height, self.clock, self.clock, self.beacon
        made = host_of(self.store, self.params, parent, *block, contracts=self.contracts)
        made.tx_id = sha("tx", self._sent)
        return made

    def send(self, sender: bytes, message: Any, *, wire: bool = True) -> int:
        """Run a message as a transaction of its own: 0, or the code it was refused with (text in `refused`)."""
        if wire:
            message = decode_message(encode(message))
        host = self.host()
        self.store.begin()
        try:
            perform(host, sender, message)
        except Reject as e:
            self.store.drop()
            self.refused = e.text
            return e.code
        self.store.keep()
        self._took(host)
        return 0

    def _took(self, host: Host) -> None:
        self.events += host.events
        self.check()

    def block(self, step: int) -> None:
        """The next block, `step` ms of chain clock later; runs what is due."""
        self.height += 1
        self.clock += step
        self.parent_beacon, self.beacon = self.beacon, sha("next", self.beacon)
        host = self.host()
        for key in [key for key in self.store.keys(b"dh/") if split_height_due(key)[0] <= self.height]:
            record = self.store.get(key)
            self.store.delete(key)
            self.store.put(split_height_due(key)[1], record)
        keys = [key for key, _ in self.store.scan(b"d/", MAX_INT)]
        for key in DeadlineQueue(keys).choose(keys, self.clock, DeadlineBudget(self.params.max_due, MAX_INT), lambda _: 1):
            _, at, contract, ref = split_due(key)
            self.store.delete(key)
            self.lateness[ref] = self.lateness.get(ref, 0) + self.clock - at
            found = self.contracts[contract]
            found.on_due(host.acting(found), ref, at)  # type: ignore[misc]
        self._took(host)

    def next_due(self) -> int | None:
        return DeadlineQueue([key for key, _ in self.store.scan(b"d/", MAX_INT)]).earliest()

    def unsettled_due(self) -> int | None:
        """The same, but for deadlines at which a job leaves that has nothing else to come."""
        keys = [key for key, _ in self.store.scan(b"d/", MAX_INT)]
        return DeadlineQueue([key for key in keys if not self._leaves(*split_due(key)[1:])]).earliest()

    def _leaves(self, at: int, contract: int, ref: bytes) -> bool:
        job = self.store.get(records.job_key(ref)) if contract == CONTRACT.number else None
        return isinstance(job, Job) and job.state in records.ENDED and at >= job.ended + self.params.job_keep

    def until(self, clock: int) -> None:
        """Blocks at every deadline up to `clock`, and one at `clock`."""
        while (due := self.next_due()) is not None and due <= clock:
            self.block(max(0, due - self.clock))
        if clock > self.clock:
            self.block(clock - self.clock)

    def deadline(self, job: bytes) -> None:
        """Let the job's present deadline pass, and the blocks of the draw that it asks for."""
        self.until(self.job(job).deadline)
        self.draw(job)

    def next(self, job: bytes) -> None:
        """The next block, where the job's deadline is now since nobody is left who could do anything."""
        found = self.job(job)
        if found.state not in records.ENDED and found.state != records.JobState.DRAW and found.deadline <= self.clock:
            self.block(1)

    def draw(self, job: bytes) -> None:
        """The blocks up to the draw, where the job waits for one."""
        self.next(job)
        while self.state(job) == "DRAW":
            self.block(1)

    def close_case(self, identity: bytes, banned: bool) -> None:
        host = self.host()
        refs = self.membership.cases.pop(identity)
        if banned:
            host.ban(identity, refs[0][1])
        else:
            host.unfreeze(identity, refs[0][1])
        for _, ref, _ in refs:
            CONTRACT.on_case_closed(host.acting(CONTRACT), ref, identity, banned)  # type: ignore[misc]
        self._took(host)

    def set_status(self, identity: bytes, status: int) -> None:
        """As another contract would do it."""
        host = self.host()
        if status == SUSPENDED:
            host.freeze(identity, 0, b"elsewhere")
        else:
            {ACTIVE: host.unfreeze, BANNED: host.ban}[status](identity, b"elsewhere")
        self._took(host)

    def check(self) -> None:
        """Accounts plus escrows are what was minted less what was burned."""
        supply = self.store.records[K_SUPPLY]
        assert self.store.held == supply.minted - supply.burned

    def audit(self) -> None:
        """The same, counted from scratch."""
        assert sum(map(holding, self.store.records.values())) == self.store.held
        self.check()

    # reading

    def account(self, name: object) -> Account:
        record = self.store.get(account_key(name if isinstance(name, bytes) else who(name)))
        assert isinstance(record, Account)
        return record

    def free(self, name: object) -> int:
        return self.account(name).balance

    def burned(self) -> int:
        return int(self.store.records[K_SUPPLY].burned)

    @property
    def past(self) -> PastReader:
        """Jobs in the state, and those that left it."""
        return PastReader(self.store.archive, lambda _, record: record, self.store)

    def job(self, job: bytes) -> Job:
        record = self.store.get(records.job_key(job)) or self.past.get(records.job_key(job))
        assert isinstance(record, Job)
        return record

    def state(self, job: bytes) -> str:
        return records.JobState(self.job(job).state).name

    def escrowed(self, job: bytes) -> int:
        """Everything that any escrow of the job still holds."""
        return sum(r.amount for key, r in self.store.records.items() if type(r) is Escrow and key[2:34] == job)

    def keys_of(self, job: bytes) -> list[bytes]:
        """Keys of the job's records, whatever they are."""
        return [key for key in self.store.records if job in (key[3:35], key[2:34]) or key.endswith(job)]

    def result(self, job: bytes, name: object) -> str:
        index: Any = self.past.get(records.claimant_key(job, who(name)))
        claim: Any = self.past.get(records.claim_key(job, index.index))
        return views.Result(claim.result).name

    def topics(self, job: bytes) -> list[str]:
        return [e.topic for e in self.events if hasattr(e, "topic") and e.ref == job]

    def moves(self, job: bytes) -> list[tuple[str, int]]:
        return [(e.reason, e.amount) for e in self.events if hasattr(e, "reason") and e.ref == job]

    # the usual messages

    def post(self, poster: object, **changes: Any) -> bytes:
        """Post and return the job's id; asserts that it was accepted."""
        changes.setdefault("expiry", self.clock + 100_000)
        job = job_id_of(sha("tx", self._sent + 1), 0)
        code = self.send(who(poster), posting(**changes))
        assert code == 0, self.refused
        return job

    def claim(self, job: bytes, name: object, loss: int, model: object = None, stake: bool = True) -> int:
        self.height += 1  # a block of its own: the order of claims is the order of calls
        return self.send(who(name), claim_of(job, who(name), loss, name if model is None else model, stake))

    def reveal(self, job: bytes, name: object, claim: int = 1, model: object = None, **changes: Any) -> int:
        fields = {"model": cid_of(name if model is None else model), "size": 1_000, "salt": sha("salt"), "claim": claim}
        return self.send(who(name), Reveal(job=job, **(fields | changes)))  # type: ignore[arg-type]

    def open_to(self, job: bytes, losses: dict[Any, int], stakeless: frozenset[str] = frozenset()) -> None:
        """Claims and reveals of everybody in `losses`, in that order, up to the first committee (or KEY)."""
        for name, loss in losses.items():
            assert self.claim(job, name, loss, stake=name not in stakeless) == 0, self.refused
        self.deadline(job)
        for name in losses:
            assert self.reveal(job, name) == 0, self.refused
        self.draw(job)

    def show_key(self, job: bytes, poster: object = "boss") -> None:
        assert self.send(who(poster), key_message(job)) == 0, self.refused
        self.draw(job)

    def round(self, job: bytes) -> records.AuditRound:
        j = self.job(job)
        record = self.store.get(records.round_key(job, j.audit, j.round))
        assert isinstance(record, records.AuditRound)
        return record

    def seat(self, job: bytes, voter: bytes) -> records.Seat:
        j = self.job(job)
        record = self.store.get(records.seat_key(job, j.audit, j.round, voter))
        assert isinstance(record, records.Seat)
        return record

    def committee(self, job: bytes) -> list[bytes]:
        return list(self.round(job).voters)

    def commit(self, job: bytes, voter: bytes, ballots: list[Ballot]) -> int:
        j = self.job(job)
        self.columns[job, voter] = ballots
        sealed = vote_commitment(CHAIN_ID, job, j.audit, j.round, voter, ballots, sha("salt", voter))
        return self.send(voter, CommitVote(job, j.audit, j.round, sealed))

    def opening(self, job: bytes, voter: bytes, ballots: list[Ballot], place: int, hidden: bool = False) -> list[Opening]:
        """What shows a column of these ballots."""
        j, ballot = self.job(job), ballots[place]
        column = (ballot.hidden if hidden else ballot.public)[0]
        probe = draw_probe(self.round(job).probe, job, j.audit, j.round, column.count)
        return [open_losses(TREES[column.root], probe)]

    def open_message(self, job: bytes, voter: bytes, ballots: list[Ballot], **changes: Any) -> OpenVote:
        """The first opening of a seat: ballots, salt, and its first column."""
        j = self.job(job)
        found = columns(ballots)
        place, hidden = found[0] if found else (0, False)
        fields: dict[str, Any] = {
            "job": job,
            "audit": j.audit,
            "round": j.round,
            "ballots": ballots,
            "salt": sha("salt", voter),
            "candidate": place,
            "hidden": hidden,
            "opening": self.opening(job, voter, ballots, place, hidden) if found and not {"opening"} & set(changes) else [],
        }
        return OpenVote(**(fields | changes))

    def column_message(self, job: bytes, voter: bytes, ballots: list[Ballot], place: int, hidden: bool) -> OpenVote:
        """A later opening of a seat."""
        j = self.job(job)
        return OpenVote(job, j.audit, j.round, [], b"", place, hidden, self.opening(job, voter, ballots, place, hidden))

    def open(self, job: bytes, voter: bytes, ballots: list[Ballot]) -> int:
        """All columns of a seat, the first one with its ballots; the code of the first refusal."""
        code = self.send(voter, self.open_message(job, voter, ballots))
        for place, hidden in columns(ballots)[1:]:
            code = code or self.send(voter, self.column_message(job, voter, ballots, place, hidden))
        return code

    def vote(self, job: bytes, votes: dict[bytes, list[Ballot] | None]) -> None:
        """Commit and open: None stays silent. The count ends when everybody who committed has opened; then a draw follows."""
        self.vote_and_wait(job, votes)
        self.draw(job)

    def vote_and_wait(self, job: bytes, votes: dict[bytes, list[Ballot] | None]) -> None:
        """The same without the draw."""
        now = (self.job(job).audit, self.job(job).round)
        for voter, ballots in votes.items():
            assert ballots is None or self.commit(job, voter, ballots) == 0, self.refused
        self.next(job)
        if self.state(job) == "COMMIT" and (self.job(job).audit, self.job(job).round) == now:
            self.deadline(job)
        for voter, ballots in votes.items():
            assert ballots is None or self.open(job, voter, ballots) == 0, self.refused
        self.next(job)

    def everybody(self, job: bytes, *ballots: Ballot) -> None:
        """Every seat votes the same, candidate by candidate of the batch."""
        batch = self.round(job).batch
        given = dict(zip(batch, ballots, strict=True))
        self.vote(job, {voter: [given[index] for index in self.seat(job, voter).candidates] for voter in self.committee(job)})


def posting(**changes: Any) -> PostJob:
    """A sane posting; `changes` replace fields, those of `limits` and `image` as well."""
    limits = {"cpus_milli": 1_000, "mem_mb": 512, "train_s": 60, "eval_s": 10, "model_cap": 1_000_000, "tmp_mb": 64, "threads": 1}
    image = {"kind": 1, "reference": "registry.example/digits@sha256:" + "ab" * 32, "cid": b"", "image_id": b"", "size": 10_000}
    fields: dict[str, Any] = {
        "image": Image(**{k: changes.pop(f"image_{k}", v) for k, v in image.items()}),  # type: ignore[arg-type]
        "arch": int(Arch.AMD64),
        "params": '{"lr":"0.1"}',
        "bounty": 10_000,
        "fee": 2 * FEE if changes.get("hidden") else FEE,
        "finalists": 3,
        "expiry": START + 100_000,
        "float_kind": 1,
        "tol": 0,
        "floor": 0,
        "on_cheat": 0,
        "limits": Limits(**{k: changes.pop(k, v) for k, v in limits.items()}),
        "hidden": [],
        "devices": [],
        "data": [],
        "earlier": [],
    }
    least = least_fee(judging_work(PostJob(**fields | {"hidden": changes.get("hidden", [])})), 10)
    return PostJob(**(fields | {"fee": max(fields["fee"], least)} | changes))


KEY = sha("the key")


def hidden_set() -> list[HiddenSet]:
    return [HiddenSet(cid_of("hidden"), sha("plain"), hashlib.sha256(KEY).digest(), 5_000)]


def key_message(job: bytes, key: bytes = KEY) -> RevealKey:
    return RevealKey(job, key)


def claim_of(job: bytes, claimant: bytes, loss: int, model: object, stake: bool = True) -> Claim:
    return Claim(job, loss, claim_commitment(CHAIN_ID, job, claimant, cid_of(model)[4:], sha("salt")), stake)


# --- ballots -------------------------------------------------------------------------------------------------------------------

TREES: dict[bytes, LossTree] = {}
"""By root: what tests measured."""
EXAMPLES = 20


@lru_cache(maxsize=4_096)
def measured(losses: tuple[int, ...]) -> Measurement:
    tree = LossTree(losses)
    TREES[tree.measurement.root] = tree
    return tree.measurement


def column(loss: int | tuple[int, ...], examples: int = EXAMPLES) -> Measurement:
    """So many examples with this loss each, or these losses."""
    return measured(loss if isinstance(loss, tuple) else (loss,) * examples)


def ballot(
    code: BallotCode,
    loss: int | tuple[int, ...] | None = None,
    hidden: int | tuple[int, ...] | None = None,
    *,
    badkey: bool = False,
    examples: int = EXAMPLES,
) -> Ballot:
    public = [] if loss is None else [column(loss, examples)]
    return Ballot(int(code), public, [] if hidden is None else [column(hidden, examples)], badkey)


def columns(ballots: list[Ballot]) -> list[tuple[int, bool]]:
    return [(i, h) for i, b in enumerate(ballots) for h, found in ((False, b.public), (True, b.hidden)) if found]


def roundtrip(record: Any) -> Any:
    return decode(type(record), encode(record), 1_000_000)


def replaced(record: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(record, **changes)
