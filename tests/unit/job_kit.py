"""What the tests of the job contract share: a ledger in a dictionary, a membership that obeys the test, short constructors.

`World` runs handlers and deadlines as a block does: a refused message leaves nothing behind, due events run in order, at most
`max_due` a block. After every message and block it checks that no credit appeared or vanished but by counted mints and burns.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import msgspec

from chain.codec import decode, encode
from chain.contracts import ARCHIVED, LISTED, decode_message, host_of, membership, perform, state_type
from chain.contracts.job import CONTRACT, records, views
from chain.contracts.job.messages import (
    Ballot,
    Claim,
    CommitVote,
    HiddenSet,
    OpenVote,
    PostJob,
    Reveal,
    RevealKey,
    claim_commitment,
    job_id_of,
    vote_commitment,
)
from chain.contracts.job.records import Job
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.contracts.membership import MemberParams
from chain.errors import Reject
from chain.host import (
    ACTIVE,
    BANNED,
    K_SUPPLY,
    STRIKES,
    SUSPENDED,
    SUSPENSIONS,
    VERIFIERS,
    Account,
    ChainRecord,
    Contract,
    Escrow,
    Host,
    PastReader,
    Supply,
    account_key,
    params_key,
    split_due,
)
from chain.host.terms import Image, Limits
from chain.ledger.due import DeadlineBudget, DeadlineQueue
from chain.ledger.genesis import section_params
from chain.params import MAX_INT
from tests.network import NetworkParams

CHAIN_ID = hashlib.sha256(b"the test network").digest()
PARAMS = NetworkParams(
    job_min_open=10_000, job_reveal=60_000, job_key=50_000, job_vote_base=100_000, job_open_votes=40_000, appeal=500_000
)
START = 1_000_000
GRANT = 1_000_000


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
        self.archive: dict[bytes, Any] = {}
        """What a node would keep of the records that were removed."""

    def keys(self, prefix: bytes) -> list[bytes]:
        return self._order[prefix]

    def get(self, key: bytes) -> Any | None:
        return self.records.get(key)

    def put(self, key: bytes, record: Any) -> None:
        assert type(record) is state_type(key), f"{key!r} cannot hold a {type(record).__name__}"
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


class FakeMembership:
    """What the membership contract offers, as `chain.host.services` describes it; the test decides how cases end, with
    `World.close_case`."""

    def __init__(self) -> None:
        self.flags: dict[bytes, int] = {}
        self.strikes: list[tuple[bytes, str, int]] = []
        self.cases: dict[bytes, list[tuple[int, bytes, bytes]]] = {}
        self.corroborated: dict[bytes, bool] = {}
        self.draws: list[tuple[bytes, bool]] = []
        self.contract = replace(
            membership.CONTRACT, services={name: partial(FakeServices, self) for name in (STRIKES, SUSPENSIONS, VERIFIERS)}
        )

    def struck(self) -> list[tuple[bytes, str]]:
        return [(identity, reason) for identity, reason, _ in self.strikes]


class FakeServices:
    def __init__(self, fake: FakeMembership, host: Host) -> None:
        self.fake, self.host = fake, host

    def add(self, identity: bytes, reason: str, ref: bytes) -> None:
        self.fake.strikes.append((identity, reason, self.host.clock + self.host.params_of(MemberParams).strike_life))
        self.host.emit("strike", identity, reason, ref)

    def live(self, identity: bytes) -> int:
        return sum(who_ == identity and end > self.host.clock for who_, _, end in self.fake.strikes)

    def suspend(self, identity: bytes, ref: bytes, accuser: bytes, contract: int) -> None:
        cases, corroborated = self.fake.cases, self.fake.corroborated
        if identity in cases:
            if any(a != accuser for _, _, a in cases[identity]):
                corroborated[identity] = True
            cases[identity].append((contract, ref, accuser))
            return
        if self.host.is_active(identity):
            self.host.freeze(identity, ref)
            cases[identity] = [(contract, ref, accuser)]
            corroborated[identity] = False

    def corroborate(self, identity: bytes, ref: bytes) -> None:
        if any(r == ref for _, r, _ in self.fake.cases.get(identity, [])):
            self.fake.corroborated[identity] = True

    def appeal_ms(self) -> int:
        return self.host.params_of(MemberParams).appeal

    def since(self, before: int) -> list[bytes]:
        flags, host = self.fake.flags, self.host
        return sorted(i for i, since in flags.items() if since < before and host.is_active(i) and self.live(i) < 3)

    def count_draw(self, identity: bytes, good: bool) -> None:
        self.fake.draws.append((identity, good))


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
        """Let the job's present deadline pass."""
        self.until(self.job(job).deadline)

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
        {ACTIVE: host.unfreeze, SUSPENDED: host.freeze, BANNED: host.ban}[status](identity, b"elsewhere")
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

    def claim(self, job: bytes, name: object, loss: int, model: object = None) -> int:
        self.height += 1  # a block of its own: chain order is the order of calls
        return self.send(who(name), claim_of(job, who(name), loss, name if model is None else model))

    def reveal(self, job: bytes, name: object, claim: int = 1, model: object = None, **changes: Any) -> int:
        fields = {"model": cid_of(name if model is None else model), "size": 1_000, "salt": sha("salt"), "claim": claim}
        return self.send(who(name), Reveal(job=job, **(fields | changes)))  # type: ignore[arg-type]

    def open_to(self, job: bytes, losses: dict[Any, int]) -> None:
        """Claims and reveals of everybody in `losses`, in that order, up to the first audit (or KEY)."""
        for name, loss in losses.items():
            assert self.claim(job, name, loss) == 0, self.refused
        self.deadline(job)
        for name in losses:
            assert self.reveal(job, name) == 0, self.refused
        self.deadline(job)

    def committee(self, job: bytes) -> list[bytes]:
        record = self.job(job)
        return list(self.store.get(records.round_key(job, record.audit, record.round)).voters)

    def commit(self, job: bytes, voter: bytes, ballots: list[Ballot]) -> int:
        j = self.job(job)
        sealed = vote_commitment(CHAIN_ID, job, j.audit, j.round, voter, ballots, sha("salt", voter))
        return self.send(voter, CommitVote(job, j.audit, j.round, sealed))

    def open(self, job: bytes, voter: bytes, ballots: list[Ballot]) -> int:
        j = self.job(job)
        return self.send(voter, OpenVote(job, j.audit, j.round, ballots, sha("salt", voter)))

    def vote(self, job: bytes, votes: dict[bytes, list[Ballot] | None]) -> None:
        """Commit and open: None stays silent. The count ends when everybody who committed has opened."""
        now = (self.job(job).audit, self.job(job).round)
        for voter, ballots in votes.items():
            assert ballots is None or self.commit(job, voter, ballots) == 0, self.refused
        if self.state(job) == "COMMIT" and (self.job(job).audit, self.job(job).round) == now:
            self.deadline(job)
        for voter, ballots in votes.items():
            assert ballots is None or self.open(job, voter, ballots) == 0, self.refused


def posting(**changes: Any) -> PostJob:
    """A sane posting; `changes` replace fields, those of `limits` and `image` as well."""
    limits = {"cpus_milli": 1_000, "mem_mb": 512, "train_s": 60, "eval_s": 10, "model_cap": 1_000_000, "tmp_mb": 64, "threads": 1}
    image = {"kind": 1, "reference": "registry.example/digits@sha256:" + "ab" * 32, "cid": b"", "image_id": b"", "size": 10_000}
    fields: dict[str, Any] = {
        "image": Image(**{k: changes.pop(f"image_{k}", v) for k, v in image.items()}),  # type: ignore[arg-type]
        "params": '{"lr":"0.1"}',
        "bounty": 10_000,
        "fee": 10,
        "finalists": 3,
        "expiry": START + 100_000,
        "float_kind": 1,
        "tol": 0,
        "floor": 0,
        "on_cheat": 0,
        "limits": Limits(**{k: changes.pop(k, v) for k, v in limits.items()}),
        "hidden": [],
    }
    return PostJob(**(fields | changes))


KEY = sha("the key")


def hidden_set() -> list[HiddenSet]:
    return [HiddenSet(cid_of("hidden"), sha("plain"), hashlib.sha256(KEY).digest(), 5_000)]


def key_message(job: bytes, key: bytes = KEY) -> RevealKey:
    return RevealKey(job, key)


def claim_of(job: bytes, claimant: bytes, loss: int, model: object) -> Claim:
    return Claim(job, loss, claim_commitment(CHAIN_ID, job, claimant, cid_of(model)[4:], sha("salt")))


def ballot(code: VoteCode, measured: int = 0, probe: int = 0, hidden: int = HiddenVote.NONE, hidden_loss: int = 0) -> Ballot:
    return Ballot(int(code), measured, probe, int(hidden), hidden_loss)


def roundtrip(record: Any) -> Any:
    return decode(type(record), encode(record), 1_000_000)


def replaced(record: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(record, **changes)
