"""The contractor's one duty: to open the hidden data of its jobs after the claimants revealed. Pure."""

from __future__ import annotations

from chain.contracts.job import records
from chain.contracts.job.records import ENDED, Job, JobState, Posting
from chain.host import Reader
from client.contracts.job.events import JobEffect, JobsChanged, RevealHiddenKey


class Contractor:
    """Follows the jobs that this node (`me`) posted with hidden data; those of others cost one look each when they move."""

    def __init__(self, me: bytes) -> None:
        self._me = me
        self._own: dict[bytes, list[bytes]] = {}
        """Hashes of the keys of each job."""

    def moved(self, given: JobsChanged) -> None:
        for job in [*self._own, *given.jobs] if given.anew else given.jobs:
            posting, record = given.reader.get(records.posting_key(job)), given.reader.get(records.job_key(job))
            if not isinstance(posting, Posting) or posting.poster != self._me or not isinstance(record, Job):
                continue
            if record.state in ENDED:
                self._own.pop(job, None)
            elif posting.terms.hidden:
                self._own[job] = [hidden.key_hash for hidden in posting.terms.hidden]

    def duties(self, reader: Reader, keys: set[bytes]) -> list[JobEffect]:
        """Keys of ours (`keys`: their hashes) that a job of ours waits for."""
        found: list[JobEffect] = []
        for job in sorted(self._own) if keys else ():
            record = reader.get(records.job_key(job))
            if isinstance(record, Job) and record.state == JobState.KEY:
                found += [RevealHiddenKey(job, key_hash) for key_hash in self._own[job] if key_hash in keys]
        return found
