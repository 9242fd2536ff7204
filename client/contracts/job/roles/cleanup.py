"""What a node gives up when a job is over. Pure.

`forget` is what the worker says of its own jobs; `CleanUp` says it of every job that ended and of which this node still holds
something, whether or not another machine knows it. Until then `may_have` says to whom models go that are held.
"""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.chain.contracts.job import duties, records
from learningchain.chain.contracts.job.records import ENDED, Job
from learningchain.chain.host import Reader
from learningchain.chain.types import cid_text
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles import policy, secrets
from learningchain.client.node.interface import PRIVATE, PUBLIC
from learningchain.client.work.events import Chain, Effect, Forget, Input, Keep, lazily, take
from learningchain.client.work.gone import GoneRefs
from learningchain.client.work.machine import Machine, Recalled

DAY_MS = 24 * 3_600_000
OWN_PIN, SEAT_PIN, WON_PIN, UNCLEAR_PIN = PRIVATE + "job", PRIVATE + "verify", PUBLIC + "won", PRIVATE + "ended"
"""Why a model is pinned: its own under audit, one that it judges, its own that won, its own of which nobody can tell any more."""


def forget(reader: Reader, job: bytes, me: bytes, config: WorkConfig) -> Forget:
    """A job that ended is owed nothing more, but its winner's model to its buyer."""
    own, record = policy.own_claim(reader, job, me), reader.get(records.job_key(job))
    index = reader.get(records.claimant_key(job, me))
    won = isinstance(record, Job) and record.winner and index is not None and index.index == record.winner[0]
    if not won or own is None or not own.model:
        return Forget(job)
    return Forget(job, (Keep(cid_text(own.model), config.serve_won_days * DAY_MS, pinned=OWN_PIN, pin=WON_PIN),))


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
        """What was under audit is kept as long as if it had won, and given to nobody: whether it did stands in no record any more.
        Its owner has it still, for a buyer."""
        missing = [job for job in {*given.held, *self._claimed} if given.reader.get(records.job_key(job)) is None]
        gone = self._missing.look(given, missing)
        self._claimed.difference_update(gone)
        all_audited = Keep("", self._config.serve_won_days * DAY_MS, OWN_PIN, UNCLEAR_PIN)
        return [Forget(job, (all_audited,)) for job in gone]

    def _over(self, reader: Reader, job: bytes) -> list[Effect]:
        record = reader.get(records.job_key(job))
        return [forget(reader, job, self._me, self._config)] if isinstance(record, Job) and record.state in ENDED else []


def may_have(reader: Reader, reasons: Sequence[tuple[str, bytes]], model: bytes, account: bytes) -> bool:
    """LC-JOB-59: a model of this node's own goes to whom any of its jobs gives it. One that it got as a judge, which somebody may
    claim anew elsewhere to be given it there, goes to whom all say for which it is here."""
    own = [job for word, job in reasons if word == OWN_PIN]
    if any(duties.may_have_model(reader, job, model, account) for job in own):
        return True
    return not own and bool(reasons) and all(duties.may_have_model(reader, job, model, account) for _, job in reasons)
