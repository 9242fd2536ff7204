"""The verifier: evaluates the candidates of its committees, commits its ballots, opens them, and judges. Pure: inputs to effects.

Which jobs moved is told by `Changed`: of each the state says whether this node sits in its committee, so that a seat is found
however many other jobs there are. A seat is (job, audit, round). For each seat that the beacon gave this node:

    input                        when                                        effect
    Chain, REVEAL, KEY, DRAW     this node may be drawn                      BringImage, ahead of the audit
    Chain, COMMIT                a new seat                                  BringImage, FetchContent for each candidate, Decrypt
    ImageReady, ContentReady     one at a time on a machine, deadlines first StartRun
    RunEnded                     losses measured                             KeepSecret: they are on this disk before they count
    SecretStored                 for a candidate                             its ballot (`ballots`), or the hidden data's run
    ContentMissing, RunEnded     no losses                                   its ballot
    Chain                        a ballot for each, or no time left          Submit CommitVote (stored on this disk before)
    SecretStored                 own ballots say FALSE                       KeepSecret: a measurement that decides on cases
    Chain, COUNT                 own commitment stands                       OpenLosses: a column with the ballots, then the others
    LossesOpened                                                             Submit OpenVote, a column each
    Chain                        the round is over                           Kill, EndScope, DropSecret
    Chain, case open             own measurements say so, a validator        Submit JudgeCase (`judging`)

What was measured, and a ballot, is never made anew once it is stored: a verifier that starts again goes on with the same losses,
commits and opens the same ballots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import duties, messages, records, store
from learningchain.chain.contracts.job.duties import DueBallots, DueOpening
from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.contracts.job.records import Job, JobState, Posting
from learningchain.chain.contracts.job.records import Seat as SeatRecord
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.host import Reader
from learningchain.chain.host.terms import Use
from learningchain.chain.losses import Opening, draw_probe
from learningchain.chain.types import cid_text
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles import policy, runs, secrets
from learningchain.client.contracts.job.roles.ballots import RETRY_MS, CandidateProgress, SeatProgress, columns_of, found_false
from learningchain.client.contracts.job.roles.cleanup import SEAT_PIN
from learningchain.client.contracts.job.roles.judging import CaseJudge
from learningchain.client.contracts.job.roles.secrets import ColumnId, FalseClaim, KeptColumn, Seat, VoteSecret
from learningchain.client.work.events import (
    BringImage,
    Chain,
    Changed,
    ContentMissing,
    ContentReady,
    Decrypt,
    DropLosses,
    DropSecret,
    Effect,
    EndScope,
    FetchContent,
    ImageFailed,
    ImageReady,
    Input,
    KeepSecret,
    Kill,
    LossesOpened,
    Notice,
    OpenLosses,
    RunEnded,
    Secret,
    SecretRefused,
    SecretStored,
    StartRun,
    Submit,
    lazily,
    take,
)
from learningchain.client.work.machine import Machine, Recalled
from learningchain.client.work.order import FairQueue
from learningchain.client.work.transfers import SLOWEST
from learningchain.sandbox import DataSet

_JOB = records.job_key(b"")
HIDDEN = "hidden"
"""The tag of decrypted hidden data; candidates' models have their number."""
MAX_MARGIN_MS = 15_000
"""Time kept free before the deadline, to have the commitment in a block: a tenth of the window, at most this."""
MIN_MARGIN_MS = 2_000
"""But so much where a third of the window has it: a quiet graph makes no blocks, and the clock is looked at once a second."""
MAX_AHEAD, MAX_AHEAD_OF_ONE = 16, 4
"""Images that are fetched before a committee is drawn, in all and of one contractor's jobs. A seat always gets its image."""
LARGE_MS = 60_000
"""An image that may be on its way for longer than this is fetched before its job closes, as the windows are for evaluations."""
SLACK = 1.5
"""A verifier grants more wall clock than was posted: machines differ, and the window allows twice."""
SLACK_S = 5.0


class Verifier(Machine):
    """The machine of one node."""

    name = "verifier"

    def __init__(self, known: Recalled) -> None:
        self._known, self._me, self._config = known, known.me, known.config
        stored = [secret for secret in known.secrets if secret.kind == secrets.VOTE]
        self._votes = {secrets.seat_in(secret): secrets.vote_in(secret) for secret in stored}
        """The ballots of this node that are on its disk and may still have to be opened."""
        self._making: dict[Seat, VoteSecret] = {}
        """Ballots that the disk has not taken yet."""
        self._columns = dict(secrets.column_in(secret) for secret in known.secrets if secret.kind == secrets.COLUMN)
        """What this node measured for seats that are not over, each with a file of its losses on this disk."""
        self._opening: dict[tuple[str, str], tuple[Seat, int, ColumnId, bool]] = {}
        """By scope and tag, openings that are being made: seat, candidate, column, and whether it carries the ballots."""
        found = [secrets.false_in(secret) for secret in known.secrets if secret.kind == secrets.FALSE]
        self._judge = CaseJudge(self._me, self._config.judge, found)
        self._reader: Reader | None = None
        self._cannot: dict[Seat, str] = {}
        """Why votes cannot be opened: the operator is told."""
        self._duties: dict[Seat, SeatProgress] = {}
        self._images: dict[bytes, str] = {}
        self._sets: dict[bytes, Mapping[str, DataSet]] = {}
        self._asked: dict[bytes, int] = {}
        """Jobs whose image was asked for; the value is the chain clock before which it is not asked for again."""
        self._hurried: set[bytes] = set()
        """Jobs among them whose image a seat needs."""
        self._no_image: dict[bytes, str] = {}
        """Why the image of a job is not here, on whose committee this node sits."""
        self._said: set[tuple[str, Seat]] = set()
        self._clock = 0
        self._started = 0
        self._at_once = 1
        """Evaluations that may go on."""
        self._sitting: set[bytes] = set()
        """Jobs under audit in whose committee this node sits."""
        self._soon = FairQueue()
        """Jobs whose committee is drawn next, the nearest deadline first."""
        self._later: dict[bytes, int] = {}
        """Open jobs with claims and large images: when these are to be fetched, that they are here when the committee is drawn."""

    @property
    def busy(self) -> bool:
        """An evaluation for a committee waits or runs: no training should start now."""
        return bool(self._duties)

    def reconfigure(self, config: WorkConfig) -> None:
        self._config = config
        self._judge.policy = config.judge

    def handle(self, given: Input) -> list[Effect]:
        """Runs and commits start with `Chain`, which follows every other input but `Changed`."""
        match given:
            case Chain():
                self._at_once = given.evaluators
                return self._chain(given.reader, given.clock)
            case Changed():
                self._changed(given)
            case ImageReady():
                self._images[given.ref], self._sets[given.ref] = given.image_id, given.sets
                self._no_image.pop(given.ref, None)
            case ImageFailed():
                self._image_failed(given)
            case ContentReady() | ContentMissing() if (duty := self._duty_of(given.scope)) is not None:
                _came(duty, given)
            case RunEnded():
                return self._ended(given)
            case SecretStored():
                return self._stored(given.secret)
            case SecretRefused():
                return self._refused(given.secret)
            case LossesOpened():
                return self._opened(given)
        return []

    def notices(self) -> list[Notice]:
        missing = "this node sits on the committee of job {} and cannot have its image, without which it abstains: {}"
        return [
            *(Notice("vote.unopened", seat[0], text) for seat, text in sorted(self._cannot.items())),
            *(Notice("vote.no-image", job, missing.format(job.hex()[:12], why)) for job, why in sorted(self._no_image.items())),
        ]

    def gives_up(self, job: bytes) -> bool:
        """Whether no seat, and none that may come soon, needs the job's image."""
        return job not in self._sitting and job not in self._soon and job not in self._asked

    def image_goes(self, job: bytes) -> None:
        self._images.pop(job, None)
        self._sets.pop(job, None)

    # --- the chain -------------------------------------------------------------------------------------------------------------

    def _changed(self, given: Changed) -> None:
        jobs = given.under(_JOB)
        if given.anew:
            self._soon.clear()
            self._later.clear()
        # A seat that is being worked on stays while the other jobs are told anew.
        for job in [*self._sitting, *jobs] if given.anew else jobs:
            self._place(given.reader, job)

    def _place(self, reader: Reader, job: bytes) -> None:
        """Where a job stands for this node: under audit with a seat of its own, soon to be, or neither."""
        record, posting = reader.get(records.job_key(job)), reader.get(records.posting_key(job))
        self._sitting.discard(job)
        self._soon.drop(job)
        self._later.pop(job, None)
        if not isinstance(record, Job) or not isinstance(posting, Posting):
            return
        if record.state in (JobState.COMMIT, JobState.COUNT):
            if reader.get(records.seat_key(job, record.audit, record.round, self._me)) is not None:
                self._sitting.add(job)
        elif posting.poster == self._me or policy.too_large(self._config, posting.terms) or not self._covers(reader, posting.terms):
            return
        elif record.state in (JobState.REVEAL, JobState.KEY, JobState.DRAW):
            self._soon.add(job, posting.poster, (record.deadline,))
        elif record.state == JobState.OPEN and record.claimants and (ahead := _arrives_ms(posting.terms)) > LARGE_MS:
            self._later[job] = posting.terms.expiry - ahead

    def _covers(self, reader: Reader, terms: PostJob) -> bool:
        """What this node declared is enough for the job: else it is not drawn."""
        member, needed = reader.get(member_key(self._me)), messages.needed_capacity(terms)
        return isinstance(member, Member) and member.verifier and any(own.covers(needed) for own in member.capacity)

    def _chain(self, reader: Reader, clock: int) -> list[Effect]:
        self._clock, self._reader = clock, reader
        self._no_image = {job: why for job, why in self._no_image.items() if job in self._sitting}
        effects: list[Effect] = []
        current: set[Seat] = set()
        for job in sorted(self._sitting):
            if not take(effects, job, self._audit(reader, job, clock, current)):
                current |= {seat for seat in self._duties if seat[0] == job}  # what is under way there goes on
        take(effects, b"", lazily(self._fetch_ahead, reader))
        take(effects, b"", lazily(self._leave, current))
        for duty in sorted(self._duties.values(), key=lambda d: (d.deadline, d.seat)):
            take(effects, duty.job, lazily(self._advance, reader, duty, clock))
        take(effects, b"", lazily(self._drop_columns, reader))
        self._forget(reader)
        take(effects, b"", self._judge.look(reader, clock))
        return effects

    def _fetch_ahead(self, reader: Reader) -> list[Effect]:
        """Images before the audit starts, of jobs on whose committee this node may sit."""
        for job in [job for job, at in self._later.items() if at <= self._clock]:
            posting = reader.get(records.posting_key(job))
            if isinstance(posting, Posting):
                self._soon.add(job, posting.poster, (posting.terms.expiry,))
            del self._later[job]
        member = reader.get(member_key(self._me))
        if not self._config.verify or not isinstance(member, Member) or not member.verifier:
            return []
        effects: list[Effect] = []
        ahead = Counter(self._soon.owner(job) for job in self._images.keys() | self._asked.keys() if job in self._soon)
        full = {poster for poster, count in ahead.items() if count >= MAX_AHEAD_OF_ONE and poster is not None}
        # What was asked for is in `ahead` already, and comes up again where it has to be asked for once more.
        for job, poster in self._soon.walk(full) if ahead.total() < MAX_AHEAD else ():
            if job in self._images or job in self._asked:
                continue
            effects += self._want_image(reader, job)
            ahead[poster] += 1
            if ahead[poster] >= MAX_AHEAD_OF_ONE:
                full.add(poster)
            if ahead.total() >= MAX_AHEAD:
                break
        for job in sorted(self._asked):
            if job in self._soon:
                effects += self._want_image(reader, job)
        return effects

    def _want_image(self, reader: Reader, job: bytes, *, urgent: bool = False) -> list[Effect]:
        """Asks for an image; once more at once where it was asked for ahead and a seat needs it by now."""
        more = urgent and job not in self._hurried
        if job in self._images or (self._clock < self._asked.get(job, 0) and not more):
            return []
        posting = reader.get(records.posting_key(job))
        if not isinstance(posting, Posting):
            self._image_failed(ImageFailed(job, "there is no such job", lasting=True))
            return []
        self._asked[job] = 2**63
        if urgent:
            self._hurried.add(job)
        return [BringImage(job, runs.wanted_image(self._config, posting.terms, Use.EVALUATE), urgent, posting.poster)]

    def _audit(self, reader: Reader, job: bytes, clock: int, current: set[Seat]) -> Iterator[Effect]:
        for duty in duties.duties_in(reader, job, self._me, clock):
            match duty:
                case DueBallots() if (seat := (job, duty.audit, duty.round)) not in self._votes:
                    current.add(seat)
                    if seat not in self._duties:
                        yield from self._sit(reader, seat, duty)
                case DueOpening() if (vote := self._votes.get(seat := (job, duty.audit, duty.round))) is not None:
                    if vote.commitment == duty.commitment:
                        yield from self._open(reader, seat, vote)

    def _first(self, what: str, seat: Seat) -> bool:
        key = (what, seat)
        if key in self._said:
            return False
        self._said.add(key)
        return True

    def _sit(self, reader: Reader, seat: Seat, asked: DueBallots) -> list[Effect]:
        """A new seat: fetch everything at once, evaluate one after the other."""
        posting = reader.get(records.posting_key(seat[0]))
        if not isinstance(posting, Posting):
            return []
        terms, count = posting.terms, len(asked.candidates)
        started = store.read_round(reader, *seat).started
        window = asked.deadline - started
        margin = max(min(MAX_MARGIN_MS, window // 10), min(MIN_MARGIN_MS, window // 3))
        duty = SeatProgress(
            seat=seat,
            terms=terms,
            deadline=asked.deadline,
            commit_by=asked.deadline - margin,
            hidden=asked.hidden is not None,
            candidates=[CandidateProgress(known.claimant, known.loss) for known in asked.candidates],
        )
        self._duties[seat] = duty
        self._recall(duty)
        if not self._config.verify or policy.too_large(self._config, terms):
            duty.abstain()
            return []
        # A model that comes later leaves no time for its evaluation.
        until = max(duty.commit_by - 2_000 * messages.evaluation_s(terms) * count, started + window // 4)
        effects = self._want_image(reader, seat[0], urgent=True)
        scope = _scope_of(seat)
        for index, known in enumerate(asked.candidates):
            cid, who = cid_text(known.model), known.claimant
            effects.append(FetchContent(scope, str(index), seat[0], cid, known.size, until, pin=SEAT_PIN, holder=who))
        if asked.hidden is not None:
            sealed, who = asked.hidden, posting.poster
            effects.append(Decrypt(scope, HIDDEN, cid_text(sealed.cid), sealed.size, sealed.plain_hash, asked.key, until, who))
        return effects

    def _recall(self, duty: SeatProgress) -> None:
        """What was measured before a restart is not measured again."""
        for candidate in duty.candidates:
            for hidden in (False, True):
                if (kept := self._columns.get(ColumnId(duty.seat, candidate.claimant, hidden))) is not None:
                    duty.stored(candidate, kept.measurement, hidden=hidden)

    def _leave(self, current: set[Seat]) -> list[Effect]:
        """Rounds that ended, and ballots that are stored by now."""
        effects: list[Effect] = []
        for seat in [seat for seat in self._duties if seat not in current]:
            for candidate in self._duties.pop(seat).candidates:
                if candidate.run:
                    effects.append(Kill(candidate.run, "the round is over"))
            effects.append(EndScope(_scope_of(seat)))
        return effects

    def _drop_columns(self, reader: Reader) -> Iterator[Effect]:
        """Losses are kept until their seat has opened, or its round is over."""
        for column in sorted(self._columns):
            if column.seat not in self._duties and not self._may_open(reader, column.seat):
                kept = self._columns.pop(column)
                yield DropSecret(secrets.COLUMN, secrets.column_key(column))
                yield DropLosses(column.seat[0], kept.run)

    def _may_open(self, reader: Reader, seat: Seat) -> bool:
        job, audit, round_ = seat
        record, own = reader.get(records.job_key(job)), reader.get(records.seat_key(*seat, self._me))
        if not isinstance(record, Job) or record.state not in (JobState.COMMIT, JobState.COUNT):
            return False
        return (record.audit, record.round) == (audit, round_) and isinstance(own, SeatRecord) and not own.complete

    def _forget(self, reader: Reader) -> None:
        """Nothing is kept about jobs that ended, but what a judgement may still need. Only what is kept is looked at."""
        kept = {
            *(seat[0] for seat in self._cannot),
            *self._images,
            *self._asked,
            *(seat[0] for seat in self._votes),
            *(seat[0] for _, seat in self._said),
        }
        live = {job for job in kept if reader.get(records.live_key(job)) is not None}
        if len(live) == len(kept):
            return
        self._images = {job: image for job, image in self._images.items() if job in live}
        self._sets = {job: sets for job, sets in self._sets.items() if job in self._images}
        self._asked = {job: at for job, at in self._asked.items() if job in live}
        self._hurried &= live
        self._said = {(what, seat) for what, seat in self._said if seat[0] in live}
        self._votes = {seat: vote for seat, vote in self._votes.items() if seat[0] in live}
        self._cannot = {seat: why for seat, why in self._cannot.items() if seat[0] in live}

    # --- a duty ----------------------------------------------------------------------------------------------------------------

    def _advance(self, reader: Reader, duty: SeatProgress, clock: int) -> list[Effect]:
        effects: list[Effect] = []
        if clock >= duty.commit_by:
            effects += self._give_up(duty)
        if all(candidate.ballot is not None for candidate in duty.candidates):
            return effects + self._commit(duty)
        image = self._images.get(duty.job)
        if image is None:
            return effects + self._want_image(reader, duty.job, urgent=True)
        if sum(bool(c.run) for d in self._duties.values() for c in d.candidates) >= self._at_once:
            return effects
        for index, candidate in enumerate(duty.candidates):
            if candidate.path is None or candidate.ballot is not None or candidate.is_under_way or clock < candidate.retry_at:
                continue
            if candidate.public is not None and duty.eval_file is None:
                continue  # decrypting
            return effects + self._evaluate(duty, index, candidate, image, clock)
        return effects

    def _evaluate(self, duty: SeatProgress, index: int, candidate: CandidateProgress, image: str, clock: int) -> list[Effect]:
        self._started += 1
        what = "verify" if candidate.public is None else "hidden"
        run = f"{what}-{duty.job.hex()[:32]}-{duty.seat[1]}-{duty.seat[2]}-{index}-{self._started}"
        left, posted = (duty.commit_by - clock) / 1_000, duty.terms.limits.eval_s
        spec = runs.evaluate_spec(
            duty.terms,
            run=run,
            image_id=image,
            model=candidate.path or Path(),
            wall_s=max(1.0, min(posted * SLACK + SLACK_S, left)),
            hidden=duty.eval_file if what == "hidden" else None,
            sets=self._sets.get(duty.job, {}),
        )
        candidate.run, candidate.full_time = run, left >= posted
        return [StartRun(run, duty.job, spec, (what, index), keep=True)]

    def _give_up(self, duty: SeatProgress) -> list[Effect]:
        """No time is left: what was not had is NOMODEL, what was not measured an abstention."""
        effects: list[Effect] = []
        for candidate in duty.candidates:
            if candidate.run:
                effects.append(Kill(candidate.run, "no time is left before the vote"))
                candidate.run = ""
            duty.decide(candidate, BallotCode.NOMODEL if candidate.path is None else BallotCode.ABSTAIN)
        return effects

    # --- ballots ---------------------------------------------------------------------------------------------------------------

    def _commit(self, duty: SeatProgress) -> list[Effect]:
        """The ballots that count are these, or those that were stored for this seat before."""
        if not self._first("commit", duty.seat):
            return []
        (job, audit, round_), ballots, salt = duty.seat, duty.ballots(), self._known.rng(secrets.SALT)
        sealed = messages.vote_commitment(self._known.chain_id, job, audit, round_, self._me, ballots, salt)
        vote = self._making[duty.seat] = VoteSecret(sealed, salt, ballots, duty.claimants)
        op = messages.CommitVote(job, audit, round_, sealed)
        return [Submit(secrets.KIND, f"commit:{job.hex()}:{audit}:{round_}", job, op, secrets.of_vote(duty.seat, vote))]

    def _stored(self, secret: Secret) -> list[Effect]:
        match secret.kind:
            case secrets.COLUMN:
                self._column_stored(*secrets.column_in(secret))
            case secrets.VOTE:
                return self._vote_stored(secret)
            case secrets.FALSE:
                return [DropSecret(secrets.FALSE, key) for key in self._judge.found_false(secrets.false_in(secret))]
        return []

    def _column_stored(self, column: ColumnId, kept: KeptColumn) -> None:
        self._columns[column] = kept
        for candidate in self._storing(column):
            self._duties[column.seat].stored(candidate, kept.measurement, hidden=column.hidden)

    def _storing(self, column: ColumnId) -> list[CandidateProgress]:
        duty = self._duties.get(column.seat)
        return [c for c in duty.candidates if c.storing == column] if duty is not None else []

    def _vote_stored(self, secret: Secret) -> list[Effect]:
        """The ballots of a seat are on this disk: from now on they are this node's vote."""
        seat = secrets.seat_in(secret)
        made = self._making.pop(seat, None)
        vote = self._votes[seat] = made if made is not None and encode(made) == secret.blob else secrets.vote_in(secret)
        origin = self._origin(seat[0])
        false = sorted(found_false(vote.claimants, vote.ballots)) if origin is not None else ()
        return [KeepSecret(secrets.of_false(FalseClaim(who, seat[0], origin or b"", self._clock))) for who in false]

    def _origin(self, job: bytes) -> bytes | None:
        """The root of the job's contractor."""
        posting = self._reader.get(records.posting_key(job)) if self._reader is not None else None
        if self._reader is None or not isinstance(posting, Posting):
            return None
        member = self._reader.get(member_key(posting.poster))
        return member.root if isinstance(member, Member) else posting.poster

    def _refused(self, secret: Secret) -> list[Effect]:
        """The disk refused: the same is offered again, as long as anybody needs it."""
        match secret.kind:
            case secrets.COLUMN:
                column, kept = secrets.column_in(secret)
                needed = self._storing(column)
                return [KeepSecret(secret)] if needed else [DropLosses(secret.ref, kept.run)]
            case secrets.VOTE:
                seat = secrets.seat_in(secret)
                self._making.pop(seat, None)
                self._said.discard(("commit", seat))
            case secrets.FALSE:
                return [KeepSecret(secret)]
        return []

    # --- openings --------------------------------------------------------------------------------------------------------------

    def _open(self, reader: Reader, seat: Seat, vote: VoteSecret) -> Iterator[Effect]:
        """One column a message. The first one carries the ballots; the others follow when it stands on the ledger."""
        own, round_ = reader.get(records.seat_key(*seat, self._me)), store.read_round(reader, *seat)
        if not isinstance(own, SeatRecord) or not round_.probe:
            return
        measured = list(columns_of(vote.claimants, vote.ballots, seat))
        if not measured and self._first("open", seat):
            yield self._open_vote(seat, vote, 0, None, [])
        shown = {(column.candidate, column.hidden) for column in own.shown}
        left = [(index, column) for index, column in measured if (index, column.hidden) not in shown]
        for index, column in left if own.ballots else left[:1]:
            tag = f"{index}-{column.hidden:d}"
            if self._first(f"open {tag}", seat):
                yield from self._make_opening(round_.probe, index, column, tag, first=not own.ballots)

    def _make_opening(self, beacon: bytes, index: int, column: ColumnId, tag: str, *, first: bool) -> Iterator[Effect]:
        kept = self._columns.get(column)
        if kept is None:
            self._cannot_open(column.seat, "the losses that it measured are not on this disk any more")
            return
        scope = _opening_scope_of(column.seat)
        self._opening[scope, tag] = (column.seat, index, column, first)
        probe = draw_probe(beacon, *column.seat, kept.measurement.count)
        yield OpenLosses(scope, tag, column.seat[0], kept.run, kept.measurement, probe)

    def _opened(self, given: LossesOpened) -> list[Effect]:
        asked = self._opening.pop((given.scope, given.tag), None)
        if asked is None:
            return []
        seat, index, column, first = asked
        vote = self._votes.get(seat)
        if given.opening is None or vote is None:
            self._cannot_open(seat, given.reason)
            return []
        return [self._open_vote(seat, vote if first else None, index, column, [given.opening])]

    def _open_vote(
        self, seat: Seat, vote: VoteSecret | None, index: int, column: ColumnId | None, opening: list[Opening]
    ) -> Submit:
        job, audit, round_ = seat
        hidden = column is not None and column.hidden
        ballots, salt = (vote.ballots, vote.salt) if vote is not None else ([], b"")
        op = messages.OpenVote(job, audit, round_, ballots, salt, index, hidden, opening)
        return Submit(secrets.KIND, f"open:{job.hex()}:{audit}:{round_}:{index}:{hidden:d}", job, op)

    def _cannot_open(self, seat: Seat, why: str) -> None:
        text = f"this node's vote on job {seat[0].hex()[:12]} cannot be opened, which costs a strike: {why}"
        self._cannot[seat] = f"{text}. Check the disk of the data folder"

    # --- what runs and files came to -------------------------------------------------------------------------------------------

    def _duty_of(self, scope: str) -> SeatProgress | None:
        return next((duty for seat, duty in self._duties.items() if _scope_of(seat) == scope), None)

    def _image_failed(self, failed: ImageFailed) -> None:
        self._asked[failed.ref] = self._clock + RETRY_MS
        if failed.ref in self._sitting:
            self._no_image[failed.ref] = failed.reason
        if failed.lasting:
            for duty in self._duties.values():
                if duty.job == failed.ref:
                    duty.abstain()

    def _ended(self, ended: RunEnded) -> list[Effect]:
        """What was measured counts once it is stored; nobody needs that of a round that is over."""
        for duty in self._duties.values():
            for candidate in duty.candidates:
                if candidate.run == ended.run:
                    kept = duty.ended(candidate, ended, self._clock)
                    if kept is not None and candidate.storing is not None:
                        return [KeepSecret(secrets.of_column(candidate.storing, kept))]
        return []


def _came(duty: SeatProgress, given: ContentReady | ContentMissing) -> None:
    """A file of the seat is here, or will not be."""
    if given.tag == HIDDEN:
        path, bad = (given.path, False) if isinstance(given, ContentReady) else (None, given.bad)
        duty.opened(path, bad=bad)
        return
    candidate = duty.candidates[int(given.tag)]
    if isinstance(given, ContentReady):
        candidate.path = given.path
    else:
        duty.decide(candidate, BallotCode.ABSTAIN if given.local else BallotCode.NOMODEL)


def _arrives_ms(terms: PostJob) -> int:
    """How long what an evaluation needs may be on its way."""
    return 1_000 * messages.needed_capacity(terms).image // SLOWEST


def _scope_of(seat: Seat) -> str:
    return f"{seat[0].hex()}-{seat[1]}-{seat[2]}"


def _opening_scope_of(seat: Seat) -> str:
    """Openings outlive the duty, whose scope ends with the commitment."""
    return f"{_scope_of(seat)}-open"
