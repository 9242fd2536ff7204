"""What a node gives up when a job is over. Pure.

`forget` is what the worker says of its own jobs; `CleanUp` says it of every job that ended and of which this node still holds
something, whether or not another machine knows it.
"""

from __future__ import annotations

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.records import ENDED, Job
from learningchain.chain.contracts.job.views import cid_text
from learningchain.chain.host import Reader
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles import policy, secrets
from learningchain.client.work.events import Chain, Effect, Forget, Input, Keep, lazily, take
from learningchain.client.work.gone import GoneRefs
from learningchain.client.work.machine import Machine, Recalled

DAY_MS = 24 * 3_600_000
PUBLISHED = "job"
"""Why a model under audit is pinned; the winner's stays as `won`, which the node's files show."""


def forget(reader: Reader, job: bytes, me: bytes, config: WorkConfig) -> Forget:
    """A job that ended is owed nothing more, but its winner's model to its buyer."""
    own, record = policy.own_claim(reader, job, me), reader.get(records.job_key(job))
    index = reader.get(records.claimant_key(job, me))
    won = isinstance(record, Job) and record.winner and index is not None and index.index == record.winner[0]
    if not won or own is None or not own.model:
        return Forget(job)
    return Forget(job, (Keep(cid_text(own.model), config.serve_won_days * DAY_MS, pinned=PUBLISHED, pin="won"),))


class CleanUp(Machine):
    """What is held is told with each look. A job that left the state while this node was off has no record (`GoneRefs`)."""

    name = "clean-up"

    def __init__(self, known: Recalled) -> None:
        self._me, self._config = known.me, known.config
        self._claimed = {secret.ref for secret in known.secrets if secret.kind == secrets.CLAIM}
        """Jobs with claims of an earlier start, held or not."""
        self._missing = GoneRefs()

    def reconfigure(self, config: WorkConfig) -> None:
        self._config = config

    def handle(self, given: Input) -> list[Effect]:
        if not isinstance(given, Chain):
            return []
        found: list[Effect] = []
        for job in sorted(given.held):
            take(found, job, lazily(self._over, given.reader, job))
        return [*found, *self._gone(given)]

    def _gone(self, given: Chain) -> list[Effect]:
        """What a claim published is kept as if it had won: whether it did stands in no record any more."""
        missing = [job for job in {*given.held, *self._claimed} if given.reader.get(records.job_key(job)) is None]
        gone = self._missing.look(given, missing)
        self._claimed.difference_update(gone)
        all_published = Keep("", self._config.serve_won_days * DAY_MS, PUBLISHED, "won")
        return [Forget(job, (all_published,)) for job in gone]

    def _over(self, reader: Reader, job: bytes) -> list[Effect]:
        record = reader.get(records.job_key(job))
        return [forget(reader, job, self._me, self._config)] if isinstance(record, Job) and record.state in ENDED else []
