"""The worker: trains for bounties, claims what it measured, reveals, serves its model to the committee. Pure: inputs to effects.

Which jobs there are is told by `Changed`; those that the policy accepts are kept in a `FairQueue`, best-paying first. A look
takes what it needs from the front: it costs the same with ten postings as with a hundred thousand. A contractor whose jobs came to
nothing here comes after the others, and one contractor alone never has every image that is being fetched.

    input                      when                                   effect
    Chain, OPEN                image unknown                          BringImage
    Chain, OPEN                a training of an earlier start         BringImage, then StartRun: the same attempt, before all others
    Chain, OPEN                image ready, a slot free, room (*)     StartRun: train (attempt n, its own seed)
    RunEnded train OK          still OPEN                             StartRun: the job's own evaluation, as a committee runs it
    RunEnded train OK          the same model as an earlier attempt   it is dropped, and no further attempt is made
    RunEnded check OK          better than this job's best so far     kept; the other model is dropped
    Chain, OPEN                the best improves on the own claim     Submit Claim with the mean that was measured here
    SecretRefused              still OPEN                             the same Submit again; else the model is dropped
    Chain, OPEN                no time to evaluate it once more       the model is dropped, and no claim is made
    Chain, expiry or not OPEN  trainings under way                    Kill
    Chain, about the expiry    own claim stands                       StartRun: its model's evaluation once more (`again`)
    Chain, REVEAL              evaluated again, or no time for it     Submit Reveal (must-claims; the others by policy)
    Chain, REVEAL              the second one measured far more       silence, where that is cheaper (`policy.keeps_silent`)
    Chain, COMMIT or COUNT     own model under audit                  PublishFile, to its seats alone (`cleanup.may_have`)
    Chain                      given up, or all attempts made         ReleaseImage
    Chain, ended               anything kept for the job              Forget
    (*) no committee's evaluation waits or runs here, or other computers of the owner's would take the training

Salts are drawn here, and the outbox has each in the database before the message that seals something with it leaves the node.
Claims stand on the ledger and models, salts and attempts on this disk: a worker that starts again goes on from both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from learningchain.chain.contracts.job import duties, messages, records
from learningchain.chain.contracts.job.duties import DueReveal, DueService, Duty
from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.contracts.job.records import ENDED, Job, JobState, Posting
from learningchain.chain.contracts.job.store import params_of
from learningchain.chain.host import Reader
from learningchain.chain.host.terms import model_id
from learningchain.chain.losses import Measurement
from learningchain.chain.types import cid_text
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles import cleanup, policy, runs, secrets
from learningchain.client.contracts.job.roles.policy import JobOffer
from learningchain.client.work.events import (
    Attempt,
    BringImage,
    Chain,
    Changed,
    DropFile,
    DropSecret,
    Effect,
    EngineReady,
    ImageFailed,
    ImageReady,
    Input,
    Kill,
    Model,
    Notice,
    NotPublished,
    PublishFile,
    RefFaulted,
    ReleaseImage,
    RunEnded,
    Secret,
    SecretRefused,
    SecretStored,
    Settled,
    StartRun,
    Submit,
    lazily,
    take,
)
from learningchain.client.work.gone import GoneRefs
from learningchain.client.work.machine import Machine, Recalled
from learningchain.client.work.order import FairQueue
from learningchain.client.work.slots import MachineShare
from learningchain.sandbox import DataSet, Outcome, RunStatus

_JOB, _CONTRACTOR = records.job_key(b""), records.contractor_key(b"")
MAX_WALK = 64
"""Jobs whose time turned out to be over that one look leaves behind; the next look goes on after them."""
BRING_AHEAD_MS = 120_000
"""So long before the second evaluation its image is asked for, where it was released."""
MAX_FAILURES = 3
"""Failures in a row after which a job is given up."""
MAX_EXCUSED = 64
"""Runs of a job that may end by no doing of the job's: more are failures, for a job may well be what brings machines down."""
RETRY_MS = 10_000
"""How long the chain clock runs before an image or an engine that failed is tried again; doubles with each failure."""
OWN_TROUBLE = "It was this node's engine or machine each time, not the job: mend it, and start the node again to take the job up"
AHEAD_MS = 2_000
"""While every slot is taken, jobs to fetch images for are looked at only this often."""


@dataclass
class _Running:
    attempt: int
    terms: PostJob
    model: Model | None = None
    """Set during a self-check."""
    claim: bytes = b""
    """The commitment of the claim whose model is evaluated once more."""
    devices: tuple[str, ...] = ()
    """Those that it was given, until it ends."""
    full_time: bool = True
    killed: bool = False
    since: int = 0
    """The chain clock at its start."""


@dataclass
class _JobProgress:
    """One job that this node works on."""

    poster: bytes = b""
    used: set[int] = field(default_factory=set)
    image: str = ""
    sets: Mapping[str, DataSet] = field(default_factory=dict)
    """Those of the job, here since its image is."""
    model: Path | None = None
    """What its trainings begin with, too."""
    asked: bool = False
    failures: int = 0
    machines: int = 0
    """So many of the `failures` were a machine's or an engine's own."""
    excused: int = 0
    retry_at: int = 0
    gave_up: str = ""
    by_machines: bool = False
    """Whether it was given up for troubles of this node's own machines alone."""
    best: tuple[int, Model] | None = None
    """(measured loss, model) that is not claimed yet."""
    runs: dict[str, _Running] = field(default_factory=dict)
    starts: int = 0
    let_go: bool = False
    second: dict[bytes, int | None] = field(default_factory=dict)
    """By commitment, what the second evaluation of a claim's model measured; None: it did not pass."""
    needed: bool = False
    """Its image, for a second evaluation that comes soon."""
    second_failures: int = 0
    took: int = 0
    """The longest of its own evaluations until now, in milliseconds of the chain clock; 0: none since the start."""
    made: set[bytes] = field(default_factory=set)
    """Ids of the models that trainings came to, since the start."""
    settled: str = ""
    """Why no further attempt is made though some are left."""
    late: str = ""
    """Why its last model was not claimed."""
    no_image: str = ""
    """Why its image is not here, where it was asked for."""
    unseen: str = ""
    """Why the standing claim was revealed without a second evaluation."""
    withheld: str = ""
    """Why the standing claim is not revealed."""
    crowded: str = ""
    """Why no training starts though there is a slot."""

    @property
    def taken(self) -> set[int]:
        """Attempts that are used up or under way."""
        return self.used | {running.attempt for running in self.runs.values() if not running.claim}

    @property
    def training(self) -> int:
        """Runs that take a slot."""
        return sum(not running.claim for running in self.runs.values())


def _nobody(_: int) -> str:
    """What trainings on other machines, or a worker that was told nothing yet, go by."""
    return ""


class Worker(Machine):
    """The machine of one node."""

    name = "worker"

    def __init__(self, known: Recalled) -> None:
        self._known, self._me, self._config = known, known.me, known.config
        self._reader: Reader | None = None
        """The committed state, since the first look at it."""
        self._resumes = {(job, number) for job, numbers in known.under_way.get(secrets.KIND, {}).items() for number in numbers}
        """Trainings that an earlier start of this node began, and that may still go on."""
        used = known.attempts.get(secrets.KIND, {})
        self._progress_of: dict[bytes, _JobProgress] = {job: _JobProgress(used=set(numbers)) for job, numbers in used.items()}
        self._claims = {secret.key: secret for secret in known.secrets if secret.kind == secrets.CLAIM}
        """By commitment: every claim whose model and salt are on this disk."""
        self._claiming = {ref for kind, key, ref in known.pending if kind == secrets.KIND and key.startswith("claim:")}
        """Jobs with a claim on its way."""
        self._missing = GoneRefs()
        self._making: dict[bytes, Submit] = {}
        """By commitment: claims that the disk has not taken yet."""
        self._said: set[tuple[str, bytes, int]] = set()
        self.clock = self._look_again = 0
        self._room: MachineShare | None = None
        self._used: Callable[[int], str] = _nobody
        self._devices: frozenset[str] = frozenset()
        """Those that runs got when the sandbox was tried."""
        self._open = FairQueue()
        """Jobs that take claims and that this node may work on."""
        self._weigh_again: set[bytes] = set()

    def reconfigure(self, config: WorkConfig) -> None:
        self._config = config

    def handle(self, given: Input) -> list[Effect]:
        """Starts and claims happen with `Chain`, which follows every other input but `Changed`."""
        match given:
            case Chain():
                return self._chain(given)
            case Changed():
                self._changed(given)
            case EngineReady():
                self._devices = given.devices
            case ImageReady() if (progress := self._progress_of.get(given.ref)) is not None:
                self._image_ready(progress, given)
            case ImageFailed() if (progress := self._progress_of.get(given.ref)) is not None:
                progress.asked, progress.no_image = False, given.reason
                self._failed(given.ref, progress, given.reason, given.lasting)
            case RunEnded():
                return self._ended(given)
            case SecretStored():
                self._making.pop(given.secret.key, None)
                self._claims[given.secret.key] = given.secret
            case SecretRefused():
                return self._not_stored(given.secret)
            case Settled() if given.kind == secrets.KIND and given.key.startswith("claim:"):
                self._claiming.discard(given.ref)
            case NotPublished():
                self._said.discard(("publish", given.ref, 0))
        return []

    def _image_ready(self, progress: _JobProgress, given: ImageReady) -> None:
        """Where it was brought for a seat of this node, what a training alone reads may be missing: it is asked for again."""
        posting = self._reader.get(records.posting_key(given.ref)) if self._reader is not None else None
        terms = posting.terms if isinstance(posting, Posting) else None
        if terms and (any(one.name not in given.sets for one in terms.data) or (terms.earlier and given.model is None)):
            progress.asked = False
            return
        progress.image, progress.sets, progress.model = given.image_id, given.sets, given.model
        progress.failures, progress.machines, progress.no_image = 0, 0, ""

    def notices(self) -> list[Notice]:
        found: list[Notice] = []
        for job, progress in sorted(self._progress_of.items()):
            told = (
                ("reveal.withheld", progress.withheld),
                ("reveal.unseen", progress.unseen),
                ("training.crowded", progress.crowded),
            )
            found += [Notice(topic, job, f"job {job.hex()[:12]}: {text}") for topic, text in told if text]
        return [*found, *self._images_missing(), *self._given_up()]

    def _given_up(self) -> list[Notice]:
        """One for all jobs that were given up though nothing was said against them."""
        lost = [(job, progress.gave_up) for job, progress in self._progress_of.items() if progress.by_machines]
        if not lost:
            return []
        job, why = lost[-1]
        count = f" (and {len(lost) - 1} others)" if len(lost) > 1 else ""
        return [Notice("training.broken", b"", f"Job {job.hex()[:12]}{count} is not trained here any more: {why}")]

    def _images_missing(self) -> list[Notice]:
        """One for all jobs: anybody may post any number of jobs whose image nobody can have."""
        missing = [(job, progress.no_image) for job, progress in self._progress_of.items() if progress.no_image]
        if not missing:
            return []
        job, why = missing[-1]
        count = f" (and those of {len(missing) - 1} other jobs)" if len(missing) > 1 else ""
        text = f"The image of job {job.hex()[:12]}{count} is not to be had here, so this node does not train for it: {why}. "
        return [Notice("image.missing", b"", f"{text}See learningchain runs")]

    def explain(self, reader: Reader, job: bytes, clock: int) -> str | None:
        """Why this node does not (any longer) train for a job, in words; None where it does or will."""
        offer = policy.read_offer(reader, job, self._me)
        if offer is None:
            return "there is no such job"
        progress = self._progress_of.get(job) or _JobProgress()
        unfit = policy.unfit(reader, self._me, clock)
        rests = None if progress.runs else policy.resting(self._config, clock, self._used)
        return (
            unfit or rests or progress.late or self._refusal(offer, progress, clock) or progress.gave_up or progress.crowded or None
        )

    def _refusal(self, offer: JobOffer, progress: _JobProgress, clock: int) -> str | None:
        taken = progress.taken
        return policy.explain(self._config, offer, clock=clock, me=self._me, attempts=len(taken)) or progress.settled or None

    # --- the chain -------------------------------------------------------------------------------------------------------------

    def _changed(self, given: Changed) -> None:
        self._reader = given.reader
        if given.anew:
            self._open.clear()
        for poster in given.under(_CONTRACTOR):
            self._open.bar(poster, policy.avoids(self._config, policy.past(given.reader, poster)))
        for job in given.under(_JOB):
            self._weigh(given.reader, job)

    def _weigh(self, reader: Reader, job: bytes) -> None:
        """Into the order, or out of it."""
        offer, progress = policy.read_offer(reader, job, self._me), self._progress_of.get(job) or _JobProgress()
        if offer is None or progress.gave_up or policy.unsuited(self._config, offer, clock=self.clock, me=self._me):
            self._open.drop(job)
            return
        self._open.add(job, offer.poster, policy.best_paying(offer.terms))
        self._open.bar(offer.poster, policy.avoids(self._config, offer.past))

    def _chain(self, given: Chain) -> list[Effect]:
        reader = self._reader = given.reader
        self.clock = given.clock
        for job in sorted(self._weigh_again):
            self._weigh(reader, job)
        self._weigh_again.clear()
        effects: list[Effect] = []
        followed = sorted({*self._progress_of, *(claim.ref for claim in self._claims.values())})
        for job in followed:
            take(effects, job, self._follow(reader, job, given.clock))
        for job in self._missing.look(given, [job for job in followed if reader.get(records.job_key(job)) is None]):
            take(effects, job, self._leave(job))
        take(effects, b"", lazily(self._start_runs, given))
        effects += [ReleaseImage(job) for job, progress in self._progress_of.items() if self._is_done_with(job, progress)]
        return effects

    def _is_done_with(self, job: bytes, progress: _JobProgress) -> bool:
        """True once, when no attempt is left or wanted: a job may stay open for a month, and its image as large as it likes."""
        over = progress.gave_up or progress.settled or len(progress.used) >= self._config.attempts
        if progress.let_go or progress.needed or not over or progress.runs or progress.best is not None or job in self._claiming:
            return False
        progress.let_go, progress.image, progress.asked = True, "", False
        return True

    def _follow(self, reader: Reader, job: bytes, clock: int) -> Iterator[Effect]:
        """What a job in which this node takes part asks for now."""
        offer, record = policy.read_offer(reader, job, self._me), reader.get(records.job_key(job))
        if offer is None or not isinstance(record, Job):
            return
        if (progress := self._progress_of.get(job)) is not None:
            progress.needed = False
        is_open = record.state == JobState.OPEN and clock < offer.terms.expiry
        if not is_open:
            yield from self._stop_runs(job, "the job takes no more claims")
        yield from self._claim_best(reader, offer, is_open)
        yield from self._drop_replaced(offer)
        if record.state in ENDED:
            yield from self._stop_runs(job, "the job has ended", every=True)
            yield from self._finish(reader, job)
            return
        if record.state in (JobState.OPEN, JobState.REVEAL):
            yield from self._evaluate_again(reader, offer, record, clock)
        for duty in duties.duties_in(reader, job, self._me, clock):
            yield from self._duty(reader, duty, offer)

    def _claim_best(self, reader: Reader, offer: JobOffer, is_open: bool) -> list[Effect]:
        progress = self._progress_of.get(offer.job)
        if progress is None or progress.best is None or offer.job in self._claiming:
            return []
        (measured, model), progress.best = progress.best, None
        loss = max(measured, offer.terms.floor)
        if not is_open or not policy.improves(offer.terms, offer.own, loss):
            progress.late = policy.no_better(offer.terms, loss) or ""
            return [DropFile(model.path)]
        reveal_ms = params_of(reader, offer.job).job_reveal
        progress.late = policy.too_late_to_claim(offer.terms, reveal_ms, self.clock, progress.took) or ""
        if progress.late:
            return [DropFile(model.path)]
        self._claiming.add(offer.job)
        return [self._claim(reader, offer, loss, model)]

    def _drop_replaced(self, offer: JobOffer) -> Iterator[Effect]:
        """Models of claims that do not stand and never will; one that is evaluated once more goes when that has ended."""
        if offer.job in self._claiming:
            return
        standing = offer.own.commitment if offer.own else b""
        for commitment in [key for key, claim in self._claims.items() if claim.ref == offer.job and key != standing]:
            again = [(run, running) for run, running in self._runs_of(offer.job) if running.claim == commitment]
            if again:
                yield from self._kill(again, "a better claim of this node stands")
            else:
                del self._claims[commitment]
                yield DropSecret(secrets.CLAIM, commitment)

    def _duty(self, reader: Reader, duty: Duty, offer: JobOffer) -> Iterator[Effect]:
        job, own = offer.job, offer.own
        claim = self._claims.get(own.commitment) if own is not None else None
        if own is None or claim is None:
            return  # made from another data folder: only that one can open it
        match duty:
            case DueReveal() if duty.must or self._config.reveal == "always":
                if self._is_checked(reader, offer, duty) and self._first("reveal", job, own.count):
                    yield from self._reveal(job, own.count, claim)
            case DueService() if self._first("publish", job, 0):
                yield from self._publish(job, claim)

    def _first(self, what: str, job: bytes, number: int) -> bool:
        """True once for each thing to be said."""
        key = (what, job, number)
        if key in self._said:
            return False
        self._said.add(key)
        return True

    def _leave(self, job: bytes) -> Iterator[Effect]:
        """A job that left the state while this node was off: what is held for it is the clean-up's."""
        yield from self._stop_runs(job, "the job is over", every=True)
        if not self._runs_of(job):
            yield from self._drop(job)

    def _finish(self, reader: Reader, job: bytes) -> list[Effect]:
        if self._runs_of(job):
            return []  # they are being killed
        return [*self._drop(job), cleanup.forget(reader, job, self._me, self._config)]

    def _drop(self, job: bytes) -> list[Effect]:
        progress = self._progress_of.pop(job, None)
        self._claims = {commitment: claim for commitment, claim in self._claims.items() if claim.ref != job}
        self._claiming.discard(job)
        self._said = {key for key in self._said if key[1] != job}
        # A better model than the claim that was under way when the job ended.
        return [DropFile(progress.best[1].path)] if progress is not None and progress.best is not None else []

    # --- claims ----------------------------------------------------------------------------------------------------------------

    def _claim(self, reader: Reader, offer: JobOffer, loss: int, model: Model) -> Submit:
        """Model, salt and commitment are on this disk before the claim leaves the node."""
        job, stake = offer.job, policy.wants_stake(self._config, reader, offer.terms, self._me)
        salt = self._known.rng(secrets.SALT)
        commitment = messages.claim_commitment(self._known.chain_id, job, self._me, model_id(model.cid), salt)
        secret = secrets.of_claim(commitment, job, loss, model, salt)
        op = messages.Claim(job, loss, commitment, stake)
        submit = self._making[commitment] = Submit(secrets.KIND, f"claim:{job.hex()}:{commitment.hex()}", job, op, secret)
        return submit

    def _not_stored(self, secret: Secret) -> list[Effect]:
        """The disk refused the claim: it is made as long as the job takes claims, and then given up."""
        submit = self._making.get(secret.key)
        job = self._reader.get(records.job_key(secret.ref)) if self._reader is not None else None
        if submit is not None and isinstance(job, Job) and job.state == JobState.OPEN and self.clock < job.deadline:
            return [submit]
        self._making.pop(secret.key, None)
        self._claiming.discard(secret.ref)
        return [DropFile(secret.path)] if secret.path is not None else []

    def _evaluate_again(self, reader: Reader, offer: JobOffer, record: Job, clock: int) -> Iterator[Effect]:
        """The standing claim's model once more, as late as there is time for: an evaluation that repeats measures what was claimed.

        It waits for no slot, as a duty with a deadline does not.
        """
        own, job = offer.own, offer.job
        claim = self._claims.get(own.commitment) if own is not None else None
        if own is None or own.model or claim is None or claim.path is None:
            return
        reveal_ms = params_of(reader, job).job_reveal
        start, last = policy.second_at(offer.terms, reveal_ms), offer.terms.expiry + reveal_ms
        # The block that began the reveals may have been later than the expiry.
        end = (record.deadline if record.state == JobState.REVEAL else last) - policy.reveal_margin(reveal_ms)
        progress = self._progress_of.setdefault(job, _JobProgress(poster=offer.poster))
        progress.needed = clock >= start - BRING_AHEAD_MS and own.commitment not in progress.second
        if not progress.image:
            if progress.needed and not progress.asked and clock >= progress.retry_at:
                progress.asked = True
                yield BringImage(job, runs.wanted_image(self._config, offer.terms), urgent=True, holder=offer.poster)
            return
        busy = any(running.claim for running in progress.runs.values()) or job in self._claiming
        if not busy and start <= clock < end and own.commitment not in progress.second and progress.second_failures < MAX_FAILURES:
            yield self._again(offer, progress, own.commitment, claim, (end - clock) / 1_000)

    def _again(self, offer: JobOffer, progress: _JobProgress, commitment: bytes, claim: Secret, left_s: float) -> StartRun:
        progress.starts += 1
        run = f"again-{offer.job.hex()[:32]}-{progress.starts}"
        posted, path = float(offer.terms.limits.eval_s), claim.path
        enough = policy.enough_for_second(offer.terms, progress.took) / 1_000
        progress.runs[run] = _Running(0, offer.terms, claim=commitment, full_time=left_s >= enough, since=self.clock)
        wall_s = max(1.0, min(posted, left_s))
        spec = runs.evaluate_spec(
            offer.terms, run=run, image_id=progress.image, model=path or Path(), wall_s=wall_s, sets=progress.sets
        )
        return StartRun(run, offer.job, spec, ("again", 0))

    def _is_checked(self, reader: Reader, offer: JobOffer, duty: DueReveal) -> bool:
        """Whether a claim is to be revealed now: it was evaluated a second time and stands that, or that cannot be done in time."""
        progress = self._progress_of.setdefault(offer.job, _JobProgress(poster=offer.poster))
        if duty.commitment in progress.second:
            second = progress.second[duty.commitment]
            why = policy.keeps_silent(offer.terms, duty.loss, second, must=duty.must)
            progress.withheld = why or ""
            return why is None
        window = params_of(reader, offer.job).job_reveal
        runs_now = any(running.claim == duty.commitment for running in progress.runs.values())
        last = duty.deadline - (policy.late_margin(window) if runs_now else policy.reveal_margin(window))
        if self.clock < last and progress.second_failures < MAX_FAILURES:
            return False
        why = progress.no_image or ("it failed on this machine" if progress.second_failures else "there was no time left for it")
        progress.unseen = f"the claim was revealed without a second evaluation of its model: {why}. See learningchain runs"
        return True

    def _evaluated_again(self, progress: _JobProgress, running: _Running, ended: RunEnded) -> None:
        outcome = ended.status.outcome
        if outcome is Outcome.MEASURED and isinstance(ended.result, Measurement):
            progress.second[running.claim] = ended.result.mean
        elif outcome is Outcome.TROUBLE or not running.full_time:
            progress.second_failures += 1
        else:
            progress.second[running.claim] = None

    def _reveal(self, job: bytes, number: int, secret: Secret) -> Iterator[Effect]:
        """Open the standing claim; `number` is its own on the ledger."""
        claim = secrets.claim_in(secret)
        op = messages.Reveal(job, number, claim.cid, claim.size, claim.salt)
        yield Submit(secrets.KIND, f"reveal:{job.hex()}", job, op, needs=secret.path)

    def _publish(self, job: bytes, secret: Secret) -> Iterator[Effect]:
        """Have the model of the standing claim where its committee gets it: it is under audit."""
        if secret.path is not None:
            yield PublishFile(job, cid_text(secrets.claim_in(secret).cid), secret.path, cleanup.OWN_PIN)

    # --- runs ------------------------------------------------------------------------------------------------------------------

    def _runs_of(self, job: bytes) -> list[tuple[str, _Running]]:
        progress = self._progress_of.get(job)
        return list(progress.runs.items()) if progress is not None else []

    def _stop_runs(self, job: bytes, reason: str, *, every: bool = False) -> Iterator[Effect]:
        """`every`: also the second evaluation of what was claimed."""
        return self._kill([(run, running) for run, running in self._runs_of(job) if every or not running.claim], reason)

    def _kill(self, runs_: list[tuple[str, _Running]], reason: str) -> Iterator[Effect]:
        for run, running in runs_:
            if not running.killed:
                running.killed = True
                yield Kill(run, reason)

    def _start_runs(self, given: Chain) -> Iterator[Effect]:
        reader, clock = given.reader, given.clock
        reason = policy.unfit(reader, self._me, clock)
        if reason is not None:
            for job in list(self._progress_of):
                yield from self._stop_runs(job, reason)
            return
        self._room = given.room
        if given.complete:
            yield from self._resume(reader, clock)
        self._used = _nobody if given.elsewhere else given.used
        if policy.resting(self._config, clock, self._used) is not None:
            return
        taken = sum(progress.training for progress in self._progress_of.values())
        slots = self._config.concurrent - taken - len(self._resumes)
        if given.busy:
            slots = min(slots, given.elsewhere)
        if not given.complete or (slots <= 0 and clock < self._look_again):
            return
        self._look_again = clock + AHEAD_MS
        for _, job in sorted(self._ready(clock)):
            said: list[Effect] = []
            take(said, job, self._attempts(reader, job, slots, clock))
            slots -= sum(isinstance(effect, StartRun) for effect in said)
            yield from said
        yield from self._fetch_ahead(reader, clock)

    def _resume(self, reader: Reader, clock: int) -> Iterator[Effect]:
        """Go on with trainings of an earlier start, before any other: they run already, whatever the settings say of new ones."""
        for job, number in sorted(self._resumes):
            offer, progress = policy.read_offer(reader, job, self._me), self._progress_of.setdefault(job, _JobProgress())
            closed = offer is None or offer.state != JobState.OPEN or policy.train_seconds(offer.terms, clock) is None
            if offer is None or closed or progress.failures or number in progress.taken:
                self._resumes.discard((job, number))
            elif progress.image:
                self._resumes.discard((job, number))
                yield self._train(offer, progress, clock, number)
            elif not progress.asked:
                progress.poster, progress.asked = offer.poster, True
                yield BringImage(job, runs.wanted_image(self._config, offer.terms), holder=offer.poster)

    def _attempts(self, reader: Reader, job: bytes, slots: int, clock: int) -> Iterator[Effect]:
        offer, progress = policy.read_offer(reader, job, self._me), self._progress_of[job]
        progress.crowded = ""
        while offer is not None and slots > 0 and self._refusal(offer, progress, clock) is None:
            share = MachineShare(offer.terms.limits.cpus_milli, offer.terms.limits.mem_mb)
            if self._room is not None and not self._room.holds(share):
                text = f"its training may use {share}, and beside the models that this node serves {self._room} are free"
                progress.crowded = f"{text}; it begins when there is room ([serve] mem_mb)"
                return
            devices = policy.devices_for(self._config, offer.terms, self._devices - self._devices_in_use())
            if devices is None:
                progress.crowded = (
                    f"its training needs {policy.devices_text(offer.terms)}: it begins when as many are free and work"
                )
                return
            yield self._train(offer, progress, clock, devices=devices)
            slots -= 1
            self._room = self._room and self._room.less(share)

    def _devices_in_use(self) -> set[str]:
        return {
            device for progress in self._progress_of.values() for running in progress.runs.values() for device in running.devices
        }

    def _ready(self, clock: int) -> list[tuple[tuple[int, tuple[int, ...], bytes], bytes]]:
        """Jobs whose image is here, each with its place in the order."""
        found = []
        for job, progress in self._progress_of.items():
            place = self._open.place(job)
            if place is not None and progress.image and clock >= progress.retry_at:
                found.append((place, job))
        return found

    def _fetch_ahead(self, reader: Reader, clock: int) -> list[Effect]:
        """Images of the jobs that come next: one more than runs at a time, and not all of one contractor."""
        ahead = Counter(progress.poster for job, progress in self._progress_of.items() if self._is_ahead(job, progress))
        room, share = self._config.concurrent + 1 - ahead.total(), max(1, self._config.concurrent)
        full = {poster for poster, count in ahead.items() if count >= share}
        effects: list[Effect] = []
        over: list[bytes] = []
        for job, poster in self._open.walk(full) if room > 0 else ():
            progress = self._progress_of.get(job)
            if progress is not None and (progress.asked or progress.image or clock < progress.retry_at):
                continue
            try:
                wanted = self._wanted(policy.read_offer(reader, job, self._me), progress or _JobProgress(), clock)
            except Exception as fault:  # a job at which this fails must not hide those behind it
                effects.append(RefFaulted(job, fault))
                wanted = None
            if wanted is None:
                over.append(job)
                if len(over) == MAX_WALK:
                    self._look_again = clock
                    break
                continue
            progress = self._progress_of.setdefault(job, _JobProgress())
            progress.poster, progress.asked = poster, True
            effects.append(wanted)
            ahead[poster] += 1
            if ahead[poster] >= share:
                full.add(poster)
            room -= 1
            if not room:
                break
        for job in over:
            self._open.drop(job)
        return effects

    def _wanted(self, offer: JobOffer | None, progress: _JobProgress, clock: int) -> BringImage | None:
        """The job's image, where this node would train for it now."""
        if offer is None or self._refusal(offer, progress, clock) is not None:
            return None
        return BringImage(offer.job, runs.wanted_image(self._config, offer.terms), holder=offer.poster)

    def _is_ahead(self, job: bytes, progress: _JobProgress) -> bool:
        """Its image is being fetched, or here and not used yet."""
        if not progress.image:
            return progress.asked
        taken = len(progress.taken)
        return not progress.runs and taken < self._config.attempts and not progress.settled and self._open.place(job) is not None

    def _train(
        self, offer: JobOffer, progress: _JobProgress, clock: int, attempt: int = 0, devices: tuple[str, ...] = ()
    ) -> StartRun:
        taken = progress.taken
        attempt = attempt or next(n for n in range(1, self._config.attempts + 1) if n not in taken)
        progress.starts += 1
        run = f"train-{offer.job.hex()[:32]}-{attempt}-{progress.starts}"
        progress.runs[run] = _Running(attempt, offer.terms, devices=devices)
        wall_s = policy.train_seconds(offer.terms, clock) or 1.0
        seed = policy.train_seed(self._me, offer.job, attempt)
        spec = runs.train_spec(
            offer.terms,
            run=run,
            image_id=progress.image,
            seed=seed,
            wall_s=wall_s,
            sets=progress.sets,
            model=progress.model,
            devices=devices,
        )
        return StartRun(run, offer.job, spec, ("train", attempt), Attempt(secrets.KIND, attempt, first=True), keep=True)

    def _check(self, job: bytes, progress: _JobProgress, trained: _Running, model: Model) -> StartRun:
        """Evaluate this node's own model before anything is claimed."""
        attempt, terms = trained.attempt, trained.terms
        progress.starts += 1
        run = f"check-{job.hex()[:32]}-{attempt}-{progress.starts}"
        progress.runs[run] = _Running(attempt, terms, model, since=self.clock)
        wall_s = float(terms.limits.eval_s)
        spec = runs.evaluate_spec(terms, run=run, image_id=progress.image, model=model.path, wall_s=wall_s, sets=progress.sets)
        return StartRun(run, job, spec, ("check", attempt), Attempt(secrets.KIND, attempt, first=False))

    def _ended(self, ended: RunEnded) -> list[Effect]:
        found = next(((job, progress) for job, progress in self._progress_of.items() if ended.run in progress.runs), None)
        if found is None:
            return _dropped(ended.model)
        job, progress = found
        running = progress.runs.pop(ended.run)
        if running.claim:
            if not running.killed:
                self._evaluated_again(progress, running, ended)
            return []
        if ended.status is RunStatus.ENGINE_ERROR:
            self._weigh_again.add(job)  # the attempt is not used up
            if ended.excused and progress.excused < MAX_EXCUSED:
                progress.excused, progress.retry_at = progress.excused + 1, self.clock + RETRY_MS
            else:
                self._failed(job, progress, ended.reason, lasting=False, machines=not ended.excused)
            return _dropped(running.model)
        if running.model is None:
            return self._trained(job, progress, running, ended)
        progress.used.add(running.attempt)
        measured = ended.result
        if ended.status is not RunStatus.OK or not isinstance(measured, Measurement):
            self._failed(job, progress, f"its own model did not pass the evaluation: {ended.reason}", lasting=False)
            return _dropped(running.model)
        progress.failures = progress.machines = 0
        progress.took = max(progress.took, self.clock - running.since, 1)
        if progress.best is not None and progress.best[0] <= measured.mean:
            return _dropped(running.model)
        second = progress.best
        progress.best = (measured.mean, running.model)
        return _dropped(second[1]) if second else []

    def _trained(self, job: bytes, progress: _JobProgress, running: _Running, ended: RunEnded) -> list[Effect]:
        if ended.status is RunStatus.OK and ended.model is not None and not running.killed:
            if ended.model.cid not in progress.made:
                progress.made.add(ended.model.cid)
                return [self._check(job, progress, running, ended.model)]
            # What does not depend on the seed comes out the same again: its loss is known, and so is that of every further attempt.
            progress.settled = "a training with another seed gave the very same model: further attempts would, too"
        progress.used.add(running.attempt)
        if ended.status not in (RunStatus.OK, RunStatus.CANCELLED):
            self._failed(job, progress, ended.reason, lasting=ended.status is RunStatus.UNSUPPORTED)
        return _dropped(ended.model)

    def _failed(self, job: bytes, progress: _JobProgress, reason: str, lasting: bool, *, machines: bool = False) -> None:
        """`machines`: by a machine or an engine of this node, which is no word about the posting."""
        progress.failures, progress.machines = progress.failures + 1, progress.machines + machines
        if lasting or progress.failures >= MAX_FAILURES:
            progress.gave_up = f"given up after {progress.failures} failures in a row: {reason}"
            progress.by_machines = progress.machines == progress.failures
            if progress.by_machines:
                progress.gave_up += f". {OWN_TROUBLE}"
            self._open.drop(job)
            if progress.poster and not progress.by_machines:
                self._open.blame(progress.poster)
        progress.retry_at = self.clock + RETRY_MS * 2 ** (progress.failures - 1)


def _dropped(model: Model | None) -> list[Effect]:
    return [DropFile(model.path)] if model is not None else []
