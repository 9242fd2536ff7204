"""The worker: trains for bounties, claims what it measured, reveals, serves its model to the committee. Pure: inputs to effects.

Which jobs there are is told by `Changed`; those that the policy accepts are kept in a `FairQueue`, best-paying first. A look
takes what it needs from the front: it costs the same with ten postings as with a hundred thousand. A contractor whose jobs came to
nothing here comes after the others, and one contractor alone never has every image that is being fetched.

    input                      when                                   effect
    Chain, OPEN                image unknown                          BringImage
    Chain, OPEN                image ready, a slot free, not busy     StartRun: train (attempt n, its own seed)
    RunEnded train OK          still OPEN                             StartRun: the job's own evaluation, a probe of ours
    RunEnded check OK          better than this job's best so far     kept; the other model is dropped
    Chain, OPEN                the best improves on the own claim     Submit Claim with the measured loss, never the trained one
    SecretRefused              still OPEN                             the same Submit again; else the model is dropped
    Chain, expiry or not OPEN  runs under way                         Kill
    Chain, REVEAL              own claim stands                       Submit Reveal (must-claims; the others by policy)
    Chain, COMMIT or COUNT     own model under audit                  PublishFile: nobody gets a model that is not under audit
    Chain                      given up, or all attempts made         ReleaseImage
    Chain, ended               anything kept for the job              Forget

Salts are drawn here, and the outbox has each in the database before the message that seals something with it leaves the node.
Claims stand on the ledger and models, salts and attempts on this disk: a worker that starts again goes on from both.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from chain.contracts.job import duties, messages, records
from chain.contracts.job.duties import DueReveal, DueService, Duty
from chain.contracts.job.messages import PostJob
from chain.contracts.job.records import ENDED, Job, JobState
from chain.contracts.job.views import cid_text
from chain.host import Reader
from chain.host.terms import model_id
from client.contracts.job import cleanup, policy, runs, secrets
from client.contracts.job.policy import JobOffer
from client.work.events import (
    Attempt,
    BringImage,
    Chain,
    Changed,
    DropFile,
    DropSecret,
    Effect,
    ImageFailed,
    ImageReady,
    Input,
    Kill,
    Model,
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
from client.work.machine import Machine, Recalled
from client.work.order import FairQueue
from sandbox import EvaluationResult, RunStatus

_JOB, _CONTRACTOR = records.job_key(b""), records.contractor_key(b"")
MAX_WALK = 64
"""Jobs whose time turned out to be over that one look leaves behind; the next look goes on after them."""
MAX_FAILURES = 3
"""Failures in a row after which a job is given up."""
RETRY_MS = 10_000
"""How long the chain clock runs before an image or an engine that failed is tried again; doubles with each failure."""
AHEAD_MS = 2_000
"""While every slot is taken, jobs to fetch images for are looked at only this often."""


@dataclass
class _Running:
    attempt: int
    terms: PostJob
    model: Model | None = None
    """Set during a self-check."""
    killed: bool = False


@dataclass
class _JobProgress:
    """One job that this node works on."""

    poster: bytes = b""
    used: set[int] = field(default_factory=set)
    image: str = ""
    asked: bool = False
    failures: int = 0
    retry_at: int = 0
    gave_up: str = ""
    best: tuple[int, Model] | None = None
    """(measured loss, model) that is not claimed yet."""
    runs: dict[str, _Running] = field(default_factory=dict)
    starts: int = 0
    let_go: bool = False


class Worker(Machine):
    """The machine of one node."""

    name = "worker"

    def __init__(self, known: Recalled) -> None:
        self._known, self._me, self._config = known, known.me, known.config
        self._reader: Reader | None = None
        """The committed state, since the first look at it."""
        used = known.attempts.get(secrets.KIND, {})
        self._progress_of: dict[bytes, _JobProgress] = {job: _JobProgress(used=set(numbers)) for job, numbers in used.items()}
        self._claims = {secret.key: secret for secret in known.secrets if secret.kind == secrets.CLAIM}
        """By commitment: every claim whose model and salt are on this disk."""
        self._claiming = {ref for kind, key, ref in known.pending if kind == secrets.KIND and key.startswith("claim:")}
        """Jobs with a claim on its way."""
        self._making: dict[bytes, Submit] = {}
        """By commitment: claims that the disk has not taken yet."""
        self._said: set[tuple[str, bytes, int]] = set()
        self.clock = self._look_again = 0
        self._open = FairQueue()
        """Jobs that take claims and that this node may work on."""
        self._weigh_again: set[bytes] = set()

    def handle(self, given: Input) -> list[Effect]:
        """Starts and claims happen with `Chain`, which follows every other input but `Changed`."""
        match given:
            case Chain():
                return self._chain(given)
            case Changed():
                self._changed(given)
            case ImageReady() if (progress := self._progress_of.get(given.ref)) is not None:
                progress.image, progress.failures = given.image_id, 0
            case ImageFailed() if (progress := self._progress_of.get(given.ref)) is not None:
                progress.asked = False
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

    def explain(self, reader: Reader, job: bytes, clock: int) -> str | None:
        """Why this node does not (any longer) train for a job, in words; None where it does or will."""
        offer = policy.read_offer(reader, job, self._me)
        if offer is None:
            return "there is no such job"
        progress = self._progress_of.get(job) or _JobProgress()
        return policy.unfit(reader, self._me, clock) or self._refusal(offer, progress, clock) or progress.gave_up or None

    def _refusal(self, offer: JobOffer, progress: _JobProgress, clock: int) -> str | None:
        taken = progress.used | {run.attempt for run in progress.runs.values()}
        return policy.explain(self._config, offer, clock=clock, me=self._me, attempts=len(taken))

    # --- the chain -------------------------------------------------------------------------------------------------------------

    def _changed(self, given: Changed) -> None:
        self._reader = given.reader
        if given.anew:
            self._open.clear()
        for poster in given.under(_CONTRACTOR):
            self._open.bar(poster, policy.avoids(self._config, *policy.past(given.reader, poster)))
        for job in given.under(_JOB):
            self._weigh(given.reader, job)

    def _weigh(self, reader: Reader, job: bytes) -> None:
        """Into the order, or out of it."""
        offer, progress = policy.read_offer(reader, job, self._me), self._progress_of.get(job) or _JobProgress()
        if offer is None or progress.gave_up or policy.unsuited(self._config, offer, clock=self.clock, me=self._me):
            self._open.drop(job)
            return
        self._open.add(job, offer.poster, policy.best_paying(offer.terms))
        self._open.bar(offer.poster, policy.avoids(self._config, offer.paid, offer.refunded))

    def _chain(self, given: Chain) -> list[Effect]:
        reader = self._reader = given.reader
        self.clock = given.clock
        for job in sorted(self._weigh_again):
            self._weigh(reader, job)
        self._weigh_again.clear()
        effects: list[Effect] = []
        for job in sorted({*self._progress_of, *(claim.ref for claim in self._claims.values())}):
            take(effects, job, self._follow(reader, job, given.clock))
        take(effects, b"", lazily(self._start_runs, given))
        effects += [ReleaseImage(job) for job, progress in self._progress_of.items() if self._is_done_with(job, progress)]
        return effects

    def _is_done_with(self, job: bytes, progress: _JobProgress) -> bool:
        """True once, when no attempt is left or wanted: a job may stay open for a month, and its image as large as it likes."""
        over = progress.gave_up or len(progress.used) >= self._config.attempts
        if progress.let_go or not over or progress.runs or progress.best is not None or job in self._claiming:
            return False
        progress.let_go, progress.image, progress.asked = True, "", False
        return True

    def _follow(self, reader: Reader, job: bytes, clock: int) -> Iterator[Effect]:
        """What a job in which this node takes part asks for now."""
        offer, record = policy.read_offer(reader, job, self._me), reader.get(records.job_key(job))
        if offer is None or not isinstance(record, Job):
            return
        is_open = record.state == JobState.OPEN and clock < offer.terms.expiry
        if not is_open:
            yield from self._stop_runs(job, "the job takes no more claims")
        yield from self._claim_best(offer, is_open)
        yield from self._drop_replaced(offer)
        if record.state in ENDED:
            yield from self._finish(reader, job)
            return
        for duty in duties.duties_in(reader, job, self._me, clock):
            yield from self._duty(job, duty, offer)

    def _claim_best(self, offer: JobOffer, is_open: bool) -> list[Effect]:
        progress = self._progress_of.get(offer.job)
        if progress is None or progress.best is None or offer.job in self._claiming:
            return []
        (measured, model), progress.best = progress.best, None
        loss = max(measured, offer.terms.floor)
        if not is_open or not policy.improves(offer.terms, offer.own, loss):
            return [DropFile(model.path)]
        self._claiming.add(offer.job)
        return [self._claim(offer.job, loss, model)]

    def _drop_replaced(self, offer: JobOffer) -> list[Effect]:
        """Models of claims that do not stand and never will."""
        if offer.job in self._claiming:
            return []
        standing = offer.own.commitment if offer.own else b""
        gone = [key for key, claim in self._claims.items() if claim.ref == offer.job and key != standing]
        for commitment in gone:
            del self._claims[commitment]
        return [DropSecret(secrets.CLAIM, commitment) for commitment in gone]

    def _duty(self, job: bytes, duty: Duty, offer: JobOffer) -> Iterator[Effect]:
        own = offer.own
        claim = self._claims.get(own.commitment) if own is not None else None
        if own is None or claim is None:
            return  # made from another data folder: only that one can open it
        match duty:
            case DueReveal() if (duty.must or self._config.reveal == "always") and self._first("reveal", job, own.count):
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

    def _finish(self, reader: Reader, job: bytes) -> list[Effect]:
        progress = self._progress_of.get(job)
        if progress is not None and progress.runs:
            return []  # its runs are being killed
        self._progress_of.pop(job, None)
        self._claims = {commitment: claim for commitment, claim in self._claims.items() if claim.ref != job}
        self._claiming.discard(job)
        self._said = {key for key in self._said if key[1] != job}
        # A better model than the claim that was under way when the job ended.
        late = [DropFile(progress.best[1].path)] if progress is not None and progress.best is not None else []
        return [*late, cleanup.forget(reader, job, self._me, self._config)]

    # --- claims ----------------------------------------------------------------------------------------------------------------

    def _claim(self, job: bytes, loss: int, model: Model) -> Submit:
        """Model, salt and commitment are on this disk before the claim leaves the node."""
        salt = self._known.rng(secrets.SALT)
        commitment = messages.claim_commitment(self._known.chain_id, job, self._me, model_id(model.cid), salt)
        secret = secrets.of_claim(commitment, job, loss, model, salt)
        op = messages.Claim(job, loss, commitment)
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

    def _reveal(self, job: bytes, number: int, secret: Secret) -> Iterator[Effect]:
        """Open the standing claim; `number` is its own on the ledger."""
        claim = secrets.claim_in(secret)
        op = messages.Reveal(job, number, claim.cid, claim.size, claim.salt)
        yield Submit(secrets.KIND, f"reveal:{job.hex()}", job, op, needs=secret.path)

    def _publish(self, job: bytes, secret: Secret) -> Iterator[Effect]:
        """Serve the model of the standing claim: it is under audit."""
        if secret.path is not None:
            yield PublishFile(job, cid_text(secrets.claim_in(secret).cid), secret.path, cleanup.PUBLISHED)

    # --- runs ------------------------------------------------------------------------------------------------------------------

    def _stop_runs(self, job: bytes, reason: str) -> list[Effect]:
        progress = self._progress_of.get(job)
        killed: list[Effect] = []
        for run, running in (progress or _JobProgress()).runs.items():
            if not running.killed:
                running.killed = True
                killed.append(Kill(run, reason))
        return killed

    def _start_runs(self, given: Chain) -> Iterator[Effect]:
        reader, clock = given.reader, given.clock
        reason = policy.unfit(reader, self._me, clock)
        if reason is not None:
            for job in list(self._progress_of):
                yield from self._stop_runs(job, reason)
            return
        slots = self._config.concurrent - sum(len(progress.runs) for progress in self._progress_of.values())
        if not given.complete or (slots <= 0 and clock < self._look_again):
            return
        self._look_again = clock + AHEAD_MS
        for _, job in sorted(self._ready(clock)):
            said: list[Effect] = []
            take(said, job, self._attempts(reader, job, 0 if given.busy else slots, clock))
            slots -= sum(isinstance(effect, StartRun) for effect in said)
            yield from said
        yield from self._fetch_ahead(reader, clock)

    def _attempts(self, reader: Reader, job: bytes, slots: int, clock: int) -> Iterator[Effect]:
        offer, progress = policy.read_offer(reader, job, self._me), self._progress_of[job]
        while offer is not None and slots > 0 and self._refusal(offer, progress, clock) is None:
            yield self._train(offer, progress, clock)
            slots -= 1

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
        return BringImage(offer.job, runs.wanted_image(self._config, offer.terms))

    def _is_ahead(self, job: bytes, progress: _JobProgress) -> bool:
        """Its image is being fetched, or here and not used yet."""
        if not progress.image:
            return progress.asked
        taken = len(progress.used | {run.attempt for run in progress.runs.values()})
        return not progress.runs and taken < self._config.attempts and self._open.place(job) is not None

    def _train(self, offer: JobOffer, progress: _JobProgress, clock: int) -> StartRun:
        taken = progress.used | {run.attempt for run in progress.runs.values()}
        attempt = next(n for n in range(1, self._config.attempts + 1) if n not in taken)
        progress.starts += 1
        run = f"train-{offer.job.hex()[:32]}-{attempt}-{progress.starts}"
        progress.runs[run] = _Running(attempt, offer.terms)
        wall_s = policy.train_seconds(self._config, offer.terms, clock) or 1.0
        seed = policy.train_seed(self._me, offer.job, attempt)
        spec = runs.train_spec(offer.terms, run=run, image_id=progress.image, seed=seed, wall_s=wall_s)
        return StartRun(run, offer.job, spec, ("train", attempt), Attempt(secrets.KIND, attempt, first=True), keep=True)

    def _check(self, job: bytes, progress: _JobProgress, trained: _Running, model: Model) -> StartRun:
        """Evaluate this node's own model, with a probe of its choice, before anything is claimed."""
        attempt, terms = trained.attempt, trained.terms
        progress.starts += 1
        run = f"check-{job.hex()[:32]}-{attempt}-{progress.starts}"
        progress.runs[run] = _Running(attempt, terms, model)
        spec = runs.evaluate_spec(
            terms,
            run=run,
            image_id=progress.image,
            model=model.path,
            seed=int.from_bytes(job[:8], "big"),
            probe=int.from_bytes(hashlib.sha256(b"lc/self-check" + model.cid).digest()[:4], "big") >> 1,
            wall_s=float(terms.limits.eval_s),
        )
        return StartRun(run, job, spec, ("check", attempt), Attempt(secrets.KIND, attempt, first=False))

    def _ended(self, ended: RunEnded) -> list[Effect]:
        found = next(((job, progress) for job, progress in self._progress_of.items() if ended.run in progress.runs), None)
        if found is None:
            return _dropped(ended.model)
        job, progress = found
        running = progress.runs.pop(ended.run)
        if ended.status is RunStatus.ENGINE_ERROR:
            self._weigh_again.add(job)  # the attempt is not used up
            self._failed(job, progress, ended.reason, lasting=False)
            return _dropped(running.model)
        if running.model is None:
            return self._trained(job, progress, running, ended)
        progress.used.add(running.attempt)
        measured = ended.result
        if ended.status is not RunStatus.OK or not isinstance(measured, EvaluationResult):
            self._failed(job, progress, f"its own model did not pass the evaluation: {ended.reason}", lasting=False)
            return _dropped(running.model)
        progress.failures = 0
        if progress.best is not None and progress.best[0] <= measured.loss:
            return _dropped(running.model)
        second = progress.best
        progress.best = (measured.loss, running.model)
        return _dropped(second[1]) if second else []

    def _trained(self, job: bytes, progress: _JobProgress, running: _Running, ended: RunEnded) -> list[Effect]:
        if ended.status is RunStatus.OK and ended.model is not None and not running.killed:
            return [self._check(job, progress, running, ended.model)]
        progress.used.add(running.attempt)
        if ended.status not in (RunStatus.OK, RunStatus.CANCELLED):
            self._failed(job, progress, ended.reason, lasting=ended.status is RunStatus.UNSUPPORTED)
        return _dropped(ended.model)

    def _failed(self, job: bytes, progress: _JobProgress, reason: str, lasting: bool) -> None:
        progress.failures += 1
        if lasting or progress.failures >= MAX_FAILURES:
            progress.gave_up = f"given up after {progress.failures} failures in a row: {reason}"
            self._open.drop(job)
            if progress.poster:
                self._open.blame(progress.poster)
        progress.retry_at = self.clock + RETRY_MS * 2 ** (progress.failures - 1)


def _dropped(model: Model | None) -> list[Effect]:
    return [DropFile(model.path)] if model is not None else []
