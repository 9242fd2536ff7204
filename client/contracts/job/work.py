"""The job contract's part of a node's work: worker, verifier and contractor, said in the effects that every contract has. Pure.

    common input --> `Worker`, `Verifier`, `Contractor` in the terms of jobs --> common effects, secrets and messages

Salts are drawn here, and the outbox has each in the database before the message that seals something with it leaves the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chain.codec import encode
from chain.contracts.job import messages, records
from chain.contracts.job.messages import PostJob
from chain.contracts.job.records import ENDED, Job, JobState, Posting
from chain.contracts.job.rules import VoteCode
from chain.contracts.job.views import cid_text
from chain.contracts.membership import JudgeCase
from chain.host import Reader
from chain.host.terms import model_id
from client.config import WorkConfig
from client.contracts.job import events as e
from client.contracts.job import policy, runs, secrets, verifier, worker
from client.contracts.job.contractor import Contractor
from client.contracts.job.ledger_status import LEDGER_STATUSES
from client.contracts.job.secrets import VoteSecret
from client.work.events import (
    Attempt,
    BringImage,
    Chain,
    Changed,
    ContentMissing,
    ContentReady,
    Decrypt,
    DropFile,
    DropSecret,
    Effect,
    EndScope,
    FetchContent,
    Forget,
    ImageFailed,
    ImageReady,
    Input,
    Kept,
    NotPublished,
    PublishFile,
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
from client.work.machine import Machine, Recalled, Slice, Watch
from sandbox import RunSpec

KIND = "job"
SALT = 32
DAY_MS = 24 * 3_600_000
HIDDEN = "hidden"
"""The tag of decrypted hidden data; candidates' models have their number."""
_LIVE, _JOB, _CONTRACTOR = records.live_key(b""), records.job_key(b""), records.contractor_key(b"")


def _terms(reader: Reader, job: bytes) -> PostJob | None:
    posting = reader.get(records.posting_key(job))
    return posting.terms if isinstance(posting, Posting) else None


def moved_in(given: Changed) -> e.JobsChanged:
    """The jobs and the contractors among the keys."""
    return e.JobsChanged(given.reader, given.under(_JOB), given.under(_CONTRACTOR), given.anew)


def _forget(reader: Reader, job: bytes, me: bytes, config: WorkConfig) -> Forget:
    """A job that ended is owed nothing more, but its winner's model to its buyer."""
    own, record = policy.own_claim(reader, job, me), reader.get(records.job_key(job))
    index = reader.get(records.claimant_key(job, me))
    won = isinstance(record, Job) and record.winner and index is not None and index.index == record.winner[0]
    keep = ((cid_text(own.model), config.serve_won_days * DAY_MS),) if won and own is not None and own.model else ()
    return Forget(job, keep)


class _JobMachine(Machine):
    """What the parts share: an effect of theirs that cannot be said takes no other with it."""

    def __init__(self, known: Recalled) -> None:
        self._known, self._me, self._config = known, known.me, known.config
        self._reader: Reader | None = None
        """The committed state, since the first look at it."""

    def _said(self, effects: Iterable[Any]) -> list[Effect]:
        found: list[Effect] = []
        for effect in effects:
            take(found, getattr(effect, "job", b""), lazily(self._in_common, effect))
        return found

    def _in_common(self, effect: Any) -> Iterable[Effect]:
        """An effect of a part, as every contract says it. What is common already stays."""
        return [effect]

    def _bring(self, effect: e.FetchImage) -> BringImage | ImageFailed:
        terms = _terms(self._read(), effect.job)
        if terms is None:
            return ImageFailed(effect.job, "there is no such job", lasting=True)
        return BringImage(effect.job, runs.wanted_image(self._config, terms), effect.urgent)

    def _spec(self, job: bytes, make: Any, start: Any) -> RunSpec | str:
        terms = _terms(self._read(), job)
        try:
            return make(terms, start) if terms is not None else "there is no such job"
        except ValueError as problem:
            return f"the posting cannot be run: {problem}"

    def _read(self) -> Reader:
        if self._reader is None:
            raise RuntimeError("the machine was asked before it saw the state")
        return self._reader


class WorkerMachine(_JobMachine):
    """Trains, claims, reveals, serves."""

    name = "worker"

    def __init__(self, known: Recalled) -> None:
        super().__init__(known)
        claims = [secret for secret in known.secrets if secret.kind == secrets.CLAIM]
        self._claims = {secret.key: (secret, secrets.claim_in(secret)) for secret in claims}
        self._making: dict[bytes, Submit] = {}
        """By commitment: claims that the disk has not taken yet."""
        memory = worker.WorkerMemory(
            attempts={job: set(used) for job, used in known.attempts.get(KIND, {}).items()},
            claims={secret.key: secret.ref for secret in claims},
            claiming={ref for kind, key, ref in known.pending if kind == KIND and key.startswith("claim:")},
        )
        self.worker = worker.Worker(self._me, self._config, memory)

    def handle(self, given: Input) -> list[Effect]:
        match given:
            case Chain():
                self._reader = given.reader
                return self._said(self.worker.handle(given))
            case Changed():
                self._reader = given.reader
                return self._said(self.worker.handle(moved_in(given)))
            case SecretStored():
                return self._stored(given.secret)
            case SecretRefused():
                return self._not_stored(given.secret)
            case Settled() if given.kind == KIND and given.key.startswith("claim:"):
                return self._said(self.worker.handle(e.ClaimSettled(given.ref)))
            case NotPublished():
                return self._said(self.worker.handle(e.PublishFailed(given.ref)))
            case ImageReady() | ImageFailed() | RunEnded():
                return self._said(self.worker.handle(given))
        return []

    def _in_common(self, effect: e.JobEffect) -> Iterator[Effect]:
        match effect:
            case e.FetchImage():
                brought = self._bring(effect)
                if isinstance(brought, ImageFailed):
                    yield from self.handle(brought)
                else:
                    yield brought
            case e.StartTrain():
                attempt, shown = Attempt(KIND, effect.attempt, first=True), ("train", effect.attempt)
                spec = self._spec(effect.job, runs.train_spec, effect)
                yield StartRun(effect.run, effect.job, spec, shown, attempt, keep=True)
            case e.StartSelfCheck():
                attempt, shown = Attempt(KIND, effect.attempt, first=False), ("check", effect.attempt)
                yield StartRun(effect.run, effect.job, self._spec(effect.job, runs.evaluate_spec, effect), shown, attempt)
            case e.SubmitClaim():
                yield self._claim(effect)
            case e.RevealClaim():
                yield from self._reveal(effect)
            case e.Publish():
                yield from self._publish(effect)
            case e.DropModel():
                yield from self._drop(effect)
            case e.Cleanup():
                self._claims = {key: kept for key, kept in self._claims.items() if kept[0].ref != effect.job}
                yield _forget(self._read(), effect.job, self._me, self._config)
            case _:
                yield effect  # type: ignore[misc]

    # --- claims ----------------------------------------------------------------------------------------------------------------

    def _claim(self, effect: e.SubmitClaim) -> Submit:
        job, salt, digest = effect.job, self._known.rng(SALT), model_id(effect.model.cid)
        commitment = messages.claim_commitment(self._known.chain_id, job, self._me, digest, salt)
        secret = secrets.of_claim(commitment, job, effect.loss, effect.model, salt)
        op = messages.Claim(job, effect.loss, commitment)
        submit = Submit(KIND, f"claim:{job.hex()}:{commitment.hex()}", job, op, secret)
        self._making[commitment] = submit
        return submit

    def _stored(self, secret: Secret) -> list[Effect]:
        self._making.pop(secret.key, None)
        self._claims[secret.key] = (secret, secrets.claim_in(secret))
        return self._said(self.worker.handle(e.ClaimStored(secret.ref, secret.key)))

    def _not_stored(self, secret: Secret) -> list[Effect]:
        """The disk refused the claim: it is made as long as the job takes claims, and then given up."""
        submit = self._making.get(secret.key)
        job = self._read().get(records.job_key(secret.ref))
        if submit is not None and isinstance(job, Job) and job.state == JobState.OPEN and self.worker.clock < job.deadline:
            return [submit]
        self._making.pop(secret.key, None)
        dropped = [DropFile(secret.path)] if secret.path is not None else []
        return [*dropped, *self._said(self.worker.handle(e.ClaimSettled(secret.ref)))]

    def _reveal(self, effect: e.RevealClaim) -> Iterator[Effect]:
        secret, claim = self._claims[effect.commitment]
        op = messages.Reveal(effect.job, effect.claim, claim.cid, claim.size, claim.salt)
        yield Submit(KIND, f"reveal:{effect.job.hex()}", effect.job, op, needs=secret.path)

    def _publish(self, effect: e.Publish) -> Iterator[Effect]:
        secret, claim = self._claims[effect.commitment]
        if secret.path is not None:
            yield PublishFile(effect.job, cid_text(claim.cid), secret.path)

    def _drop(self, effect: e.DropModel) -> Iterator[Effect]:
        if effect.model is not None:
            yield DropFile(effect.model.path)
        else:
            self._claims.pop(effect.commitment, None)
            yield DropSecret(secrets.CLAIM, effect.commitment)


class VerifierMachine(_JobMachine):
    """Evaluates, votes, judges."""

    name = "verifier"

    def __init__(self, known: Recalled) -> None:
        super().__init__(known)
        votes = [secret for secret in known.secrets if secret.kind == secrets.VOTE]
        self._votes = {secrets.seat_in(secret): secrets.vote_in(secret) for secret in votes}
        self._making: dict[e.Seat, VoteSecret] = {}
        self._seats: dict[str, e.Seat] = {}
        """Seats for which something is fetched, by their scope."""
        false = {
            (claimant, seat[0])
            for seat, vote in self._votes.items()
            for claimant, ballot in zip(vote.claimants, vote.ballots, strict=True)
            if ballot.code == VoteCode.FALSE
        }
        memory = verifier.VerifierMemory({seat: vote.commitment for seat, vote in self._votes.items()}, false)
        self.verifier = verifier.Verifier(self._me, self._config, memory)

    @property
    def busy(self) -> bool:
        return self.verifier.busy

    def gives_up(self, ref: bytes) -> bool:
        return self.verifier.gives_up(ref)

    def handle(self, given: Input) -> list[Effect]:
        match given:
            case Chain():
                self._reader = given.reader
                said = self._said(self.verifier.handle(given))
                self._votes = {seat: vote for seat, vote in self._votes.items() if self.verifier.remembers(seat)}
                return said
            case Changed():
                self._reader = given.reader
                return self._said(self.verifier.handle(moved_in(given)))
            case SecretStored():
                self._stored(given.secret)
            case SecretRefused():
                self._making.pop(secrets.seat_in(given.secret), None)
                self.verifier.not_stored(secrets.seat_in(given.secret))
            case ContentReady() | ContentMissing() if (seat := self._seats.get(given.scope)) is not None:
                return self._said(self.verifier.handle(_came(seat, given)))
            case ImageReady() | ImageFailed() | RunEnded():
                return self._said(self.verifier.handle(given))
        return []

    def _in_common(self, effect: e.JobEffect) -> Iterator[Effect]:
        match effect:
            case e.FetchImage():
                brought = self._bring(effect)
                if isinstance(brought, ImageFailed):
                    yield from self.handle(brought)
                else:
                    yield brought
            case e.FetchModel():
                tag, job = str(effect.index), effect.seat[0]
                yield FetchContent(self._scope(effect.seat), tag, job, effect.cid, effect.max_size, effect.until)
            case e.OpenHidden():
                scope = self._scope(effect.seat)
                yield Decrypt(scope, HIDDEN, effect.cid, effect.size, effect.plain_hash, effect.key, effect.until)
            case e.StartEvaluate():
                phase = "verify" if effect.eval_file is None else "hidden"
                job = effect.seat[0]
                yield StartRun(effect.run, job, self._spec(job, runs.evaluate_spec, effect), (phase, effect.index))
            case e.CommitBallots():
                yield self._commit(effect)
            case e.OpenBallots():
                yield from self._open(effect)
            case e.SeatDone():
                self._seats.pop(_scope_of(effect.seat), None)
                yield EndScope(_scope_of(effect.seat))
            case e.Judge():
                key = f"judge:{effect.account.hex()}:{effect.job.hex()}"
                yield Submit(KIND, key, effect.job, JudgeCase(effect.account, True))
            case _:
                yield effect  # type: ignore[misc]

    def _scope(self, seat: e.Seat) -> str:
        self._seats[_scope_of(seat)] = seat
        return _scope_of(seat)

    # --- ballots ---------------------------------------------------------------------------------------------------------------

    def _commit(self, effect: e.CommitBallots) -> Submit:
        """The ballots that count are the given ones, or those that were stored for this seat before."""
        (job, audit, round_), salt = effect.seat, self._known.rng(SALT)
        ballots = list(effect.ballots)
        sealed = messages.vote_commitment(self._known.chain_id, job, audit, round_, self._me, ballots, salt)
        vote = self._making[effect.seat] = VoteSecret(sealed, salt, ballots, list(effect.claimants))
        op = messages.CommitVote(job, audit, round_, sealed)
        return Submit(KIND, f"commit:{job.hex()}:{audit}:{round_}", job, op, secrets.of_vote(effect.seat, vote))

    def _stored(self, secret: Secret) -> None:
        seat = secrets.seat_in(secret)
        made = self._making.pop(seat, None)
        vote = made if made is not None and encode(made) == secret.blob else secrets.vote_in(secret)
        self._votes[seat] = vote
        self.verifier.stored(seat, vote.commitment, tuple(vote.ballots), tuple(vote.claimants))

    def _open(self, effect: e.OpenBallots) -> Iterator[Effect]:
        job, audit, round_ = effect.seat
        vote = self._votes[effect.seat]
        if vote.commitment != effect.commitment:
            raise LookupError("the ballots of a seat are not in this node's work book")
        op = messages.OpenVote(job, audit, round_, vote.ballots, vote.salt)
        yield Submit(KIND, f"open:{job.hex()}:{audit}:{round_}", job, op)


def _scope_of(seat: e.Seat) -> str:
    return f"{seat[0].hex()}-{seat[1]}-{seat[2]}"


def _came(seat: e.Seat, given: ContentReady | ContentMissing) -> e.JobInput:
    match given:
        case ContentReady(tag="hidden"):
            return e.HiddenReady(seat, given.path, bad=False)
        case ContentReady():
            return e.ModelReady(seat, int(given.tag), given.path)
        case ContentMissing(tag="hidden"):
            return e.HiddenReady(seat, None, given.bad, given.reason)
        case ContentMissing():
            return e.ModelMissing(seat, int(given.tag), given.local, given.reason)


class ContractorMachine(_JobMachine):
    """Opens the hidden data of this node's own jobs."""

    name = "contractor"

    def __init__(self, known: Recalled) -> None:
        super().__init__(known)
        self._keys = {secret.key: secret.blob for secret in known.secrets if secret.kind == secrets.KEY}
        self._contractor = Contractor(self._me)

    def handle(self, given: Input) -> list[Effect]:
        match given:
            case Changed():
                self._contractor.moved(moved_in(given))
            case Chain():
                return self._said(self._contractor.duties(given.reader, set(self._keys)))
            case Kept() if given.secret.kind == secrets.KEY:
                self._keys[given.secret.key] = given.secret.blob
        return []

    def _in_common(self, effect: e.JobEffect) -> Iterator[Effect]:
        if isinstance(effect, e.RevealHiddenKey):
            op = messages.RevealKey(effect.job, self._keys.pop(effect.key_hash))
            yield Submit(KIND, f"key:{effect.job.hex()}", effect.job, op)


class CleanUp(_JobMachine):
    """Forgets jobs that ended and of which this node still holds something, whether or not another part knows them."""

    name = "clean-up"

    def handle(self, given: Input) -> list[Effect]:
        if not isinstance(given, Chain):
            return []
        found: list[Effect] = []
        for job in sorted(given.held):
            record = given.reader.get(records.job_key(job))
            if isinstance(record, Job) and record.state in ENDED:
                take(found, job, lazily(lambda job: [_forget(given.reader, job, self._me, self._config)], job))
        return found


def _machines(known: Recalled) -> Sequence[Machine]:
    """In the order in which they are asked: whether a committee waits for this node decides what may be trained."""
    return VerifierMachine(known), WorkerMachine(known), ContractorMachine(known), CleanUp(known)


def _images(reader: Reader) -> Iterator[tuple[bytes, str]]:
    for key in list(reader.keys(_LIVE)):  # type: ignore[attr-defined]
        job = key[len(_LIVE) :]
        terms = _terms(reader, job)
        if terms is not None and terms.image.image_id:
            yield job, f"sha256:{terms.image.image_id.hex()}"


WORK = Slice("job", _machines, LEDGER_STATUSES, Watch((_JOB, _CONTRACTOR), _LIVE, _JOB), _images)
