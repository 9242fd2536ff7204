"""The job contract's part of a node's work: which machines it has, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.records import Job, Posting
from learningchain.chain.host import Reader
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles import secrets
from learningchain.client.contracts.job.roles.cleanup import OWN_PIN, SEAT_PIN, UNCLEAR_PIN, WON_PIN, CleanUp, may_have
from learningchain.client.contracts.job.roles.contractor import Contractor
from learningchain.client.contracts.job.roles.ledger_status import LEDGER_STATUSES
from learningchain.client.contracts.job.roles.verifier import Verifier
from learningchain.client.contracts.job.roles.worker import Worker
from learningchain.client.work.machine import Machine, Recalled, Watch, WorkPart

_LIVE, _JOB, _CONTRACTOR = records.live_key(b""), records.job_key(b""), records.contractor_key(b"")


def _machines(known: Recalled) -> Sequence[Machine]:
    """In the order in which they are asked: whether a committee waits for this node decides what may be trained."""
    return Verifier(known), Worker(known), Contractor(known), CleanUp(known)


def _images(reader: Reader) -> Iterator[tuple[bytes, str]]:
    for key in list(reader.keys(_LIVE)):  # type: ignore[attr-defined]
        job = key[len(_LIVE) :]
        posting = reader.get(records.posting_key(job))
        if isinstance(posting, Posting) and posting.terms.image.image_id:
            yield job, f"sha256:{posting.terms.image.image_id.hex()}"


def _runs(config: WorkConfig, drawn: bool) -> bool:
    """Else what is left is to abstain and to serve."""
    return config.enabled or (config.verify and drawn)


def _knows(reader: Reader, ref: bytes) -> bool:
    return isinstance(reader.get(records.job_key(ref)), Job)


PART = WorkPart(
    name=secrets.KIND,
    knows=_knows,
    machines=_machines,
    ledger_statuses=LEDGER_STATUSES,
    watch=Watch((_JOB, _CONTRACTOR), _LIVE, _JOB),
    runs=_runs,
    images=_images,
    keeps={
        OWN_PIN: "own model",
        SEAT_PIN: "model under audit",
        WON_PIN: "own model that won",
        UNCLEAR_PIN: "own model of one whose end was missed",
    },
    may_have=may_have,
)
