"""The contractor's one duty: to open the hidden data of its jobs after the claimants revealed. Pure.

The key lies in the work database from before the posting, so that it is opened after a restart, too. Where it is not there, or its
time passed, the operator is told: the deposit, as large as the bounty, burns.
"""

from __future__ import annotations

from learningchain.chain.contracts.job import messages, records
from learningchain.chain.contracts.job.records import ENDED, Hidden, Job, JobState, Posting
from learningchain.chain.host import Reader
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.work.events import Chain, Changed, Effect, Input, Kept, Notice, Submit, lazily, take
from learningchain.client.work.machine import Machine, Recalled

_JOB = records.job_key(b"")


class Contractor(Machine):
    """Follows the jobs that this node posted with hidden data; those of others cost one look each when they move."""

    name = "contractor"

    def __init__(self, known: Recalled) -> None:
        self._me = known.me
        self._keys = {secret.key: secret.blob for secret in known.secrets if secret.kind == secrets.KEY}
        """Keys of ours by their hash, as postings name them."""
        self._opened: set[bytes] = set()
        """Jobs of which the key was said."""
        self._troubles: dict[bytes, str] = {}
        """By job, why its key is not opened."""
        self._own: dict[bytes, list[bytes]] = {}
        """Hashes of the keys of each job."""

    def handle(self, given: Input) -> list[Effect]:
        effects: list[Effect] = []
        match given:
            case Changed():
                self._changed(given)
            case Chain():
                for job in sorted(self._own):
                    take(effects, job, lazily(self._open, given.reader, job))
            case Kept() if given.secret.kind == secrets.KEY:
                self._keys[given.secret.key] = given.secret.blob
        return effects

    def notices(self) -> list[Notice]:
        return [Notice("hidden.key", job, text) for job, text in sorted(self._troubles.items())]

    def _changed(self, given: Changed) -> None:
        jobs = given.under(_JOB)
        for job in [*self._own, *jobs] if given.anew else jobs:
            posting, record = given.reader.get(records.posting_key(job)), given.reader.get(records.job_key(job))
            if not isinstance(posting, Posting) or posting.poster != self._me or not isinstance(record, Job):
                if record is None:
                    self._drop(job)
                continue
            if record.state in ENDED:
                self._drop(job)
            elif posting.terms.hidden:
                self._own[job] = [hidden.key_hash for hidden in posting.terms.hidden]

    def _drop(self, job: bytes) -> None:
        self._own.pop(job, None)
        self._opened.discard(job)
        self._troubles.pop(job, None)

    def _open(self, reader: Reader, job: bytes) -> list[Effect]:
        """The key that a job of ours waits for."""
        record = reader.get(records.job_key(job))
        if not isinstance(record, Job):
            return []
        held = [self._keys[key_hash] for key_hash in self._own[job] if key_hash in self._keys]
        self._note(job, record, bool(held))
        if record.state != JobState.KEY or job in self._opened or not held:
            return []
        self._opened.add(job)
        return [Submit(secrets.KIND, f"key:{job.hex()}", job, messages.RevealKey(job, key)) for key in held]

    def _note(self, job: bytes, record: Job, held: bool) -> None:
        """What the operator can still do, or has lost."""
        short = job.hex()[:12]
        self._troubles.pop(job, None)
        if record.state <= JobState.KEY and not record.key and not held:
            self._troubles[job] = (
                f"the key of the hidden data of job {short} is not on this node: nobody opens it when the claims are revealed, and "
                "the deposit burns. Hand the key to this node, or open it from the one that has it"
            )
        elif record.state > JobState.KEY and not record.key and record.hidden == Hidden.OFF:
            self._troubles[job] = (
                f"the key of the hidden data of job {short} was not opened in time: the deposit is burned, the public data decide. "
                "See the log of that time: the node was off, behind, or had no key"
            )
