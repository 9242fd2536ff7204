"""Whole jobs as blocks, one after the other, each with what the node's own executor makes of it (LC-JOB).

A play begins with the records of `state`, but for those that it changes. `Play` is the script's pen: it signs, lets time pass, and
lets seats vote. Losses of examples are few, so that a file holds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import messages, records
from learningchain.chain.contracts.job.messages import Ballot, PostJob
from learningchain.chain.contracts.job.records import AuditRound, ClaimantIndex, ClaimRecord, Job, JobState, Seat
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.host.terms import Capacity, HiddenSet, Image, Limits
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state, make_params
from learningchain.chain.losses import LossTree, Measurement, draw_probe, open_losses
from learningchain.chain.types import tx_id
from learningchain.chain.verification.votes import BallotCode
from tests.vectors.kit import id_of, key_of
from tests.vectors.plays import Script

VALIDATORS = ("v1", "v2", "v3", "v4")
VERIFIERS = (*VALIDATORS, *(f"w{n}" for n in range(1, 9)))
OTHERS = ("alice", "bob", "carol", "dave", "erin", "frank")
"""Contractors and workers. Erin has next to nothing."""
NAMES = {id_of(name): name for name in (*VERIFIERS, *OTHERS)}
LEAST = Capacity(1, 1_000, 512, 1_000_000, 1_000_000, 1)
BOUNTY, FEE, STAKE = 100_000, 70, 10_000
OPEN_FOR, REVEAL, KEY, KEEP, APPEAL, LIFE = 10_000, 6_000, 5_000, 8_000, 20_000, 200_000
SHORT = {
    "appeal": APPEAL,
    "standing_life": LIFE,
    "job_min_bounty": 1_000,
    "job_min_open": 5_000,
    "job_max_open": 100_000,
    "job_reveal": REVEAL,
    "job_key": KEY,
    "job_vote_base": 4_000,
    "job_open_votes": 3_000,
    "job_max_claimants": 4,
    "job_max_live": 3,
    "job_max_live_bytes": 1_500,
    "job_keep": KEEP,
}


@cache
def start() -> tuple[bytes, dict[bytes, bytes]]:
    """(chain id, encoded records): verifiers have declared what the jobs of the plays need."""
    accounts = [
        GenesisAccount(key_of(n).public, 10_000_000, n in VALIDATORS, n in VERIFIERS) for n in NAMES.values() if n != "erin"
    ]
    accounts.append(GenesisAccount(key_of("erin").public, 5, False, False))
    params, sections = make_params(**SHORT)
    genesis = Genesis(1, "plays", 1_700_000_000_000, params, accounts, b"", b"", sections)
    found = {key: raw for key, raw in first_state(genesis)[1] if raw is not None}
    for name in VERIFIERS:
        identity = id_of(name)
        found[member_key(identity)] = encode(Member(identity, True, 0, 0, [LEAST], 0, [], []))
    return genesis.chain_id, found


def terms(**changed: Any) -> PostJob:
    """A posting of two finalists that everybody of the plays can judge; `expiry` is set by `Play.post`."""
    image = Image(1, "plays/digits@sha256:" + "0" * 64, b"", b"", 1_000)
    limits = Limits(1_000, 512, 60, 1, 1_000_000, 0, 1)
    plain = PostJob(image, 1, "{}", BOUNTY, FEE, 2, 0, 2, 0, 0, 1, limits, [], [], [], [])
    return replace(plain, **changed)


KEY_OF_HIDDEN = hashlib.sha256(b"a key").digest()
HIDDEN = HiddenSet(b"\x01\x55\x12\x20" + bytes(32), bytes(32), hashlib.sha256(KEY_OF_HIDDEN).digest(), 100)


def model_of(name: str) -> bytes:
    return b"\x01\x55\x12\x20" + hashlib.sha256(b"model " + name.encode()).digest()


def salt_of(name: str) -> bytes:
    return hashlib.sha256(b"salt " + name.encode()).digest()


@dataclass
class Vote:
    """What a seat says of one candidate: losses of the public and the hidden examples, or a code."""

    public: list[int] = field(default_factory=list)
    hidden: list[int] = field(default_factory=list)
    badkey: bool = False
    code: BallotCode | None = None


@dataclass
class Play(Script):
    """A script of one job after the other: `job` is the one that its steps are about."""

    start = staticmethod(start)
    job: bytes = b""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.after is not None:
            self.job = self.after.job
        self.trees: dict[bytes, LossTree] = {}
        self.ballots: dict[tuple[bytes, int, int, bytes], list[Ballot]] = {}

    def until(self, state: JobState) -> None:
        """Blocks until the job is there: each passes its deadline."""
        for _ in range(40):
            if self.read().state == state:
                return
            self.block(step=100 if self.read().state == JobState.DRAW else max(100, self.read().deadline - self.clock))
        raise AssertionError(f"{self.name}: the job is {JobState(self.read().state).name}, not {state.name}")

    # what stands in the state

    def read(self) -> Job:
        found: Any = self.state.get(records.job_key(self.job))
        return found if isinstance(found, Job) else replace(_GONE)

    def claim_of(self, name: str) -> ClaimRecord:
        known: Any = self.state.get(records.claimant_key(self.job, id_of(name)))
        assert isinstance(known, ClaimantIndex)
        found: Any = self.state.get(records.claim_key(self.job, known.index))
        assert isinstance(found, ClaimRecord)
        return found

    def round(self) -> AuditRound:
        job = self.read()
        found: Any = self.state.get(records.round_key(self.job, job.audit, job.round))
        assert isinstance(found, AuditRound)
        return found

    def seat(self, voter: bytes) -> Seat:
        job = self.read()
        found: Any = self.state.get(records.seat_key(self.job, job.audit, job.round, voter))
        assert isinstance(found, Seat)
        return found

    def voters(self) -> list[str]:
        return [NAMES[voter] for voter in self.round().voters]

    # steps of a job

    def post(self, poster: str = "alice", **changed: Any) -> None:
        raw = self.tx(poster, terms(**{"expiry": self.clock + 100 + OPEN_FOR} | changed))
        self.job = messages.job_id_of(tx_id(raw), 0)
        codes = self.block(raw)
        if codes != [0]:
            raise AssertionError(f"{self.name}: the posting was refused with {codes}")

    def claim(self, name: str, loss: int, stake: bool = True) -> messages.Claim:
        digest = model_of(name)[4:]
        commitment = messages.claim_commitment(self.chain_id, self.job, id_of(name), digest, salt_of(name))
        return messages.Claim(self.job, loss, commitment, stake)

    def claims(self, *claims: tuple[str, int] | tuple[str, int, bool]) -> None:
        codes = self.block(*(self.tx(one[0], self.claim(*one)) for one in claims))
        assert not any(codes), codes

    def reveal(self, name: str) -> messages.Reveal:
        return messages.Reveal(self.job, self.claim_of(name).count, model_of(name), 1_000, salt_of(name))

    def reveals(self, *names: str) -> None:
        codes = self.block(*(self.tx(name, self.reveal(name)) for name in names))
        assert not any(codes), codes

    def _measured(self, losses: list[int]) -> list[Measurement]:
        if not losses:
            return []
        tree = LossTree(losses)
        self.trees[tree.measurement.root] = tree
        return [tree.measurement]

    def ballot(self, vote: Vote, index: int) -> Ballot:
        claim: Any = self.state.get(records.claim_key(self.job, index))
        public, hidden = self._measured(vote.public), self._measured(vote.hidden)
        code = vote.code
        if code is None:
            posting: Any = self.state.get(records.posting_key(self.job))
            code = messages.ballot_code(posting.terms, claim.loss, public[0].mean)
        return Ballot(code, public, hidden, vote.badkey)

    def ballots_of(self, voter: str, vote: Callable[[str, str], Vote]) -> list[Ballot]:
        ballots = []
        for index in self.seat(id_of(voter)).candidates:
            claim: Any = self.state.get(records.claim_key(self.job, index))
            ballots.append(self.ballot(vote(voter, NAMES[claim.claimant]), index))
        return ballots

    def commitment(self, voter: str, vote: Callable[[str, str], Vote]) -> messages.CommitVote:
        job, ballots = self.read(), self.ballots_of(voter, vote)
        self.ballots[self.job, job.audit, job.round, id_of(voter)] = ballots
        return self.committed(voter, ballots)

    def committed(self, voter: str, ballots: list[Ballot], salt: bytes = b"") -> messages.CommitVote:
        job, salt = self.read(), salt or salt_of(voter)
        sealed = messages.vote_commitment(self.chain_id, self.job, job.audit, job.round, id_of(voter), ballots, salt)
        return messages.CommitVote(self.job, job.audit, job.round, sealed)

    def openings(self, voter: str) -> list[messages.OpenVote]:
        """Each column of the seat, in its order."""
        job, probe = self.read(), self.round().probe
        ballots = self.ballots[self.job, job.audit, job.round, id_of(voter)]
        found: list[messages.OpenVote] = []
        for place, ballot in enumerate(ballots):
            for hidden, columns in ((False, ballot.public), (True, ballot.hidden)):
                for column in columns:
                    asked = draw_probe(probe, self.job, job.audit, job.round, column.count)
                    opening = open_losses(self.trees[column.root], asked)
                    said = ([], b"") if found else (ballots, salt_of(voter))
                    found.append(messages.OpenVote(self.job, job.audit, job.round, *said, place, hidden, [opening]))
        return found or [messages.OpenVote(self.job, job.audit, job.round, ballots, salt_of(voter), 0, False, [])]

    def opening_of(self, voter: str, ballots: list[Ballot]) -> messages.OpenVote:
        """The first one of a seat that committed these ballots, without a column."""
        job = self.read()
        return messages.OpenVote(self.job, job.audit, job.round, ballots, salt_of(voter), 0, False, [])

    def vote(
        self, vote: Callable[[str, str], Vote], *, commits: Callable[[str], bool] = bool, opens: Callable[[str], bool] = bool
    ) -> None:
        """A round from its draw to its verdicts. `commits`, `opens`: which seats do."""
        self.until(JobState.COMMIT)
        sealing = [voter for voter in self.voters() if commits(voter)]
        if sealing:
            codes = self.block(*(self.tx(voter, self.commitment(voter, vote)) for voter in sealing))
            assert not any(codes), codes
        if self.read().state == JobState.COMMIT:
            self.wait(max(100, self.read().deadline - self.clock))
        if not sealing:
            return
        opening = [voter for voter in sealing if opens(voter)]
        codes = self.block(*(self.tx(voter, *self.openings(voter)) for voter in opening))
        assert not any(codes), codes
        if self.read().state == JobState.COUNT:
            self.wait(max(100, self.read().deadline - self.clock))


_GONE = Job(0, 0, 0, 0, 0, b"", [], [], 0, b"", 0, 0, [], 0, 0, [], [], 0, 0, 0, 0, 0, 0)
"""Of a job that left."""
