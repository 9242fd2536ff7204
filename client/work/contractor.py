"""The contractor's one duty: to open the hidden data of its job after the claimants revealed. Pure."""

from __future__ import annotations

from chain.contracts.base import Reader
from chain.contracts.job import records
from chain.contracts.job.records import Job, Posting, State
from chain.contracts.job.views import MAX_LIVE
from client.work.events import Effect, RevealKey


def key_duties(reader: Reader, me: bytes, keys: set[bytes]) -> list[Effect]:
    """Keys of ours (`keys`: their hashes) that a job of ours waits for."""
    found: list[Effect] = []
    for key, _ in reader.scan(b"j/", MAX_LIVE) if keys else ():
        job, posting = reader.get(records.job_key(key[2:])), reader.get(records.posting_key(key[2:]))
        if not isinstance(job, Job) or not isinstance(posting, Posting) or job.state != State.KEY or posting.poster != me:
            continue
        found += [RevealKey(key[2:], h.key_hash) for h in posting.terms.hidden if h.key_hash in keys]
    return found
