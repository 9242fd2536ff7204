"""The contractor's one duty: to open the hidden data of its jobs after the claimants revealed. Pure."""

from __future__ import annotations

from chain.contracts.job import messages, records
from chain.contracts.job.records import ENDED, Job, JobState, Posting
from chain.host import Reader
from client.contracts.job import secrets
from client.work.events import Chain, Changed, Effect, Input, Kept, Submit, lazily, take
from client.work.machine import Machine, Recalled

_JOB = records.job_key(b"")


class Contractor(Machine):
    """Follows the jobs that this node posted with hidden data; those of others cost one look each when they move."""

    name = "contractor"

    def __init__(self, known: Recalled) -> None:
        self._me = known.me
        self._keys = {secret.key: secret.blob for secret in known.secrets if secret.kind == secrets.KEY}
        """Keys of ours by their hash, as postings name them; one goes when it is opened."""
        self._own: dict[bytes, list[bytes]] = {}
        """Hashes of the keys of each job."""

    def handle(self, given: Input) -> list[Effect]:
        effects: list[Effect] = []
        match given:
            case Changed():
                self._changed(given)
            case Chain():
                for job in sorted(self._own) if self._keys else ():
                    take(effects, job, lazily(self._open, given.reader, job))
            case Kept() if given.secret.kind == secrets.KEY:
                self._keys[given.secret.key] = given.secret.blob
        return effects

    def _changed(self, given: Changed) -> None:
        jobs = given.under(_JOB)
        for job in [*self._own, *jobs] if given.anew else jobs:
            posting, record = given.reader.get(records.posting_key(job)), given.reader.get(records.job_key(job))
            if not isinstance(posting, Posting) or posting.poster != self._me or not isinstance(record, Job):
                if record is None:
                    self._own.pop(job, None)
                continue
            if record.state in ENDED:
                self._own.pop(job, None)
            elif posting.terms.hidden:
                self._own[job] = [hidden.key_hash for hidden in posting.terms.hidden]

    def _open(self, reader: Reader, job: bytes) -> list[Effect]:
        """The keys that a job of ours waits for."""
        record = reader.get(records.job_key(job))
        if not isinstance(record, Job) or record.state != JobState.KEY:
            return []
        opened = [self._keys.pop(key_hash) for key_hash in self._own[job] if key_hash in self._keys]
        return [Submit(secrets.KIND, f"key:{job.hex()}", job, messages.RevealKey(job, key)) for key in opened]
