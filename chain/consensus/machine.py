"""Tendermint as a pure state machine: `handle(input)` changes the state and returns effects. No clock, network, disk or key.

After Buchman, Kwon, Milosevic, "The latest gossip on BFT consensus", arXiv:1807.04938, Algorithm 1; "line n" below is its line.
Only `chain/node` and tests drive this; a block is an opaque 32-byte id here.

The theory. A height is decided in rounds, each with one proposer. In a round a validator moves PROPOSE -> PREVOTE -> PRECOMMIT.
It prevotes for the proposal, or for nil when that is missing, invalid or contradicts its lock. More than two thirds of prevotes
for a block (a polka) lock it there and make it precommit; more than two thirds of precommits decide. A lock is left only for a
polka of a later round. Any two quorums share an honest validator, so no two blocks can both be decided; timeouts that grow with
the round bring everybody into one round, and a proposer that knows of a polka proposes its block again with the round of the
polka as proof (`pol_round`).

    step       event                                                     does                                    line
    WAIT       WakeUp, or any valid message of this height               start round 0                           10
    any        new round                                                 propose, or wait for the proposal       11-21
    PROPOSE    fresh proposal                                            prevote it if valid and not locked      22-27
    PROPOSE    proposal with pol_round and that polka                    prevote it if valid and lock is older   28-33
    PREVOTE    2/3 prevotes for anything                                 schedule the prevote timeout            34-35
    >= PREVOTE 2/3 prevotes for a valid block                            (PREVOTE: lock, precommit) valid value  36-43
    PREVOTE    2/3 prevotes for nil                                      precommit nil                           44-46
    any        2/3 precommits for anything                               schedule the precommit timeout          47-48
    any        2/3 precommits for a valid block                          decide                                  49-54
    any        1/3 of the validators in a later round                    start that round                        55-56
    PROPOSE    propose timeout                                           prevote nil                             57-60
    PREVOTE    prevote timeout                                           precommit nil                           61-64
    any        precommit timeout                                         start the next round                    65-67

Deviations from the paper
 1. Time: a fresh proposal's block must also be in time (CheckBlock with `fresh`); a re-proposal's only valid.
 2. Round 0 waits until there is something to decide (line 10).
 3. The proposer, too, times its proposal out (line 21): its block may fail to be built or to be signed.
 4. Lines 36 and 49 need the valid block, not the proposal message: the votes name it, one of their voters is honest, and a lost or
    doubled proposal must not keep a decision from anybody.
 5. Line 55 counts validators seen in that round *or a later one*, so each validator's highest round is enough to keep.
 6. Votes of past rounds are kept for a window of rounds; a proof of lock of any round is let in again (see `votes`).
 7. Messages get lost: everything of the round is sent again at an interval (see `resend`).
 8. A certificate (a quorum of precommits in one message) decides like line 49.
 9. A signature may never come (the last-signed guard keeps silence): the step is taken all the same.
10. A locked node prevotes nil on a fresh proposal of another block without waiting for its check (line 23 decides either way).
"""

from __future__ import annotations

from collections.abc import Iterable

from learningchain.chain.consensus import resend
from learningchain.chain.consensus.height import HeightState
from learningchain.chain.consensus.messages import (
    PROPOSAL,
    BlockBuilt,
    BlockChecked,
    Broadcast,
    BuildBlock,
    CertificateReceived,
    CheckBlock,
    Decide,
    Effect,
    Input,
    MessageSigned,
    Opinion,
    Persist,
    ProposalReceived,
    ReportEvidence,
    RoundState,
    Schedule,
    SendTo,
    Sign,
    SignProposal,
    SignVote,
    StartHeight,
    StateReceived,
    Step,
    Timeout,
    TimeoutFired,
    TimeoutKind,
    VoteReceived,
    WakeUp,
)
from learningchain.chain.consensus.recovery import restore
from learningchain.chain.consensus.validation import CheckCertificate, MessageValidator, Verify, ignore, verifier
from learningchain.chain.consensus.votes import VoteStatus
from learningchain.chain.consensus.wal import MAX_OWN, Polka, Record, SignIntent, decode_record
from learningchain.chain.errors import BrokenInvariant, Verdict
from learningchain.chain.params import Params
from learningchain.chain.types import (
    NIL,
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    Certificate,
    Evidence,
    Proposal,
    ProposalEvidence,
    Vote,
    VoteEvidence,
    check_certificate,
)


def timeout_ms(params: Params, kind: TimeoutKind, round_: int) -> int:
    """LC-CON-6, 9: how long a timeout of a round is, in milliseconds."""
    base = params.timeout_vote if kind in (TimeoutKind.PREVOTE, TimeoutKind.PRECOMMIT) else params.timeout_propose
    growth = 0 if kind is TimeoutKind.RESEND else params.timeout_step * round_
    return min(base + growth, params.timeout_max)


class Consensus:
    """One node's machine. `own_id` None, or an id outside the validator set, makes an observer: it follows and never signs.

    `verify` and `check` replace the checks of signatures and certificates (for simulators); hostile input never raises.
    """

    def __init__(
        self,
        chain_id: bytes,
        own_id: bytes | None,
        params: Params,
        *,
        verify: Verify | None = None,
        check: CheckCertificate | None = None,
    ) -> None:
        self.own_id = own_id
        self.params = params
        self.last_certificate: Certificate | None = None
        """Of the last height decided here, to answer peers that are still at it."""
        self._validator = MessageValidator(
            verify or verifier(chain_id), check or (lambda c, vs: check_certificate(chain_id, c, vs))
        )
        self._state: HeightState | None = None
        self._effects: list[Effect] = []
        self._turn = 0

    # --- what others may look at ----------------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """The height being decided; -1 before the first StartHeight."""
        return self._state.height if self._state else -1

    @property
    def round(self) -> int:
        return self._state.round if self._state else 0

    @property
    def step(self) -> Step:
        return self._state.step if self._state else Step.WAIT

    @property
    def awaited(self) -> Certificate | None:
        """A decision that waits for its block. If that block is found invalid, an invariant is broken: the node must halt."""
        s = self._state
        return s.certificate if s is not None and s.step is not Step.DECIDED else None

    @property
    def votes_held(self) -> int:
        return self._state.votes.size if self._state else 0

    def proposer(self, round_: int) -> bytes:
        """Id of the proposer of a round of this height."""
        s = self._started()
        return s.validators[s.proposer(round_)].id

    def round_state(self) -> RoundState:
        return self._started().round_state()

    def classify(self, message: Vote | Proposal | Certificate) -> Opinion:
        """The verdict that gossip acts on. Changes nothing; `handle` after it does not verify again."""
        return self._validator.classify(self._state, message) if self._state else ignore("not started")

    def _started(self) -> HeightState:
        if self._state is None:
            raise BrokenInvariant("the consensus machine was used before its first StartHeight")
        return self._state

    # --- inputs ---------------------------------------------------------------------------------------------------------------

    def handle(self, event: Input) -> list[Effect]:
        """Take one input; returns the effects to run, in order."""
        if isinstance(event, StartHeight):
            self._start_height(event)
        elif self._state is not None:
            self._dispatch(self._state, event)
        if self._state is not None:
            self._apply_rules(self._state)
        effects, self._effects = self._effects, []
        return effects

    def _dispatch(self, s: HeightState, event: Input) -> None:
        match event:
            case VoteReceived(vote, peer):
                self._on_vote(s, vote, peer)
            case MessageSigned(message):
                self._on_signed(s, message)
            case ProposalReceived(proposal, timely):
                self._on_proposal(s, proposal, timely)
            case BlockChecked(height, block_id, valid) if height == s.height:
                s.checks.answer(block_id, valid)
            case BlockBuilt(height, round_, block_id) if height == s.height:
                self._on_built(s, round_, block_id)
            case TimeoutFired(timeout) if timeout.height == s.height:
                self._on_timeout(s, timeout)
            case WakeUp(height) if height == s.height:
                self._wake(s)
            case CertificateReceived(cert):
                self._on_certificate(s, cert)
            case StateReceived(state, peer):
                self._effects += [SendTo(peer, m) for m in resend.answer(s, self.last_certificate, state)]

    def _start_height(self, event: StartHeight) -> None:
        if event.height <= self.height:
            raise BrokenInvariant(f"height {event.height} was started after height {self.height}: a lock would be forgotten")
        s = self._state = HeightState.start(event.height, event.validators, self.own_id)
        self._turn = 0
        for message in self._validator.take_kept(s):
            self._receive(s, message)

    def _receive(self, s: HeightState, message: Vote | Proposal) -> None:
        if isinstance(message, Vote):
            self._on_vote(s, message, b"")
        else:
            self._on_proposal(s, message, True)

    def _on_proposal(self, s: HeightState, proposal: Proposal, timely: bool) -> None:
        if self._validator.classify(s, proposal).verdict is not Verdict.ACCEPT:
            return
        if proposal.height > s.height:
            self._validator.keep_for_next(s, proposal)
            return
        held = s.proposals.get(proposal.round)
        if held is not None:
            self._accuse(s, s.index_of[proposal.proposer], ProposalEvidence(held, proposal))
            return
        s.note_proposal(proposal)
        if not timely and proposal.pol_round == NO_ROUND:
            s.checks.note_fresh(proposal.block_id, proposal.round, False)
        self._wake(s)

    def _on_vote(self, s: HeightState, vote: Vote, peer: bytes) -> None:
        last = self.last_certificate
        if peer and last is not None and last.height == vote.height < s.height and vote.round > last.round:
            self._effects.append(SendTo(peer, last))
            return
        if self._validator.classify(s, vote).verdict is not Verdict.ACCEPT:
            return
        if vote.height > s.height:
            self._validator.keep_for_next(s, vote)
            return
        index = s.index_of[vote.validator]
        if s.votes.standing(vote, index) is VoteStatus.CONFLICT:
            first = s.votes.held(vote.type, vote.round, index)
            if first is not None:
                self._accuse(s, index, VoteEvidence(first, vote))
            if vote.block_id not in s.wanted():
                return
        s.votes.add(vote, index)
        self._wake(s)

    def _accuse(self, s: HeightState, index: int, evidence: Evidence) -> None:
        if index not in s.accused:
            s.accused.add(index)
            self._effects.append(ReportEvidence(evidence))

    def _on_certificate(self, s: HeightState, cert: Certificate) -> None:
        if self._validator.classify(s, cert).verdict is Verdict.ACCEPT:
            s.note_certificate(cert)

    def _on_built(self, s: HeightState, round_: int, block_id: bytes) -> None:
        """Line 18, second half: the node's own block is valid and in time."""
        if round_ == s.round and s.step is Step.PROPOSE and s.proposer(round_) == s.own and (PROPOSAL, round_) not in s.asked:
            s.checks.note_fresh(block_id, round_, True)
            self._sign_proposal(s, NO_ROUND, block_id)

    def _on_signed(self, s: HeightState, message: Vote | Proposal) -> None:
        """Only what was asked for: late signatures of past heights are nobody's business any more."""
        kind = message.type if isinstance(message, Vote) else PROPOSAL
        request = s.asked.get((kind, message.round)) if message.height == s.height else None
        if request is None or request.block_id != message.block_id or (kind, message.round) in s.signed:
            return
        s.signed[kind, message.round] = message
        s.unlogged = [*s.unlogged, message][-MAX_OWN:]
        self._effects.append(Broadcast(message))
        if isinstance(message, Proposal) and message.pol_round != NO_ROUND:
            self._effects += [Broadcast(vote) for vote in resend.proof(s)]
        self._validator.trust(message)
        self._receive(s, message)

    def _on_timeout(self, s: HeightState, timeout: Timeout) -> None:
        if s.step in (Step.WAIT, Step.DECIDED):
            return
        if timeout.kind is TimeoutKind.RESEND:
            self._resend(s)
        elif timeout.round != s.round:
            return
        elif timeout.kind is TimeoutKind.PROPOSE and s.step is Step.PROPOSE:  # line 57
            self._prevote(s, NIL)
        elif timeout.kind is TimeoutKind.PREVOTE and s.step is Step.PREVOTE:  # line 61
            self._precommit(s, NIL)
        elif timeout.kind is TimeoutKind.PRECOMMIT:  # line 65
            self._start_round(s, s.round + 1)

    # --- rounds ---------------------------------------------------------------------------------------------------------------

    def _wake(self, s: HeightState) -> None:
        """Line 10."""
        if s.step is Step.WAIT:
            self._start_round(s, 0)
            self._schedule(s, TimeoutKind.RESEND)

    def _start_round(self, s: HeightState, round_: int) -> None:
        """Lines 11 to 21."""
        s.enter(round_)
        if s.proposer(round_) == s.own:
            if s.valid_id != NIL:
                self._sign_proposal(s, s.valid_round, s.valid_id)
            else:
                self._effects.append(BuildBlock(s.height, round_))
        self._schedule(s, TimeoutKind.PROPOSE)

    def _schedule(self, s: HeightState, kind: TimeoutKind) -> None:
        self._effects.append(Schedule(Timeout(kind, s.height, s.round, timeout_ms(self.params, kind, s.round))))

    def _schedule_once(self, s: HeightState, kind: TimeoutKind) -> bool:
        if kind in s.timed:
            return False
        s.timed.add(kind)
        self._schedule(s, kind)
        return True

    def _resend(self, s: HeightState) -> None:
        messages, self._turn = resend.again(s, self._turn)
        self._effects += [Broadcast(message) for message in messages]
        self._schedule(s, TimeoutKind.RESEND)

    # --- signing --------------------------------------------------------------------------------------------------------------

    def _sign_proposal(self, s: HeightState, pol_round: int, block_id: bytes) -> None:
        self._effects.append(Persist(SignIntent(s.height, s.round, PROPOSAL, pol_round, block_id, *s.take_unlogged())))
        request = SignProposal(s.height, s.round, pol_round, block_id)
        s.asked[PROPOSAL, s.round] = request
        self._effects.append(Sign(request))

    def _sign_vote(self, s: HeightState, type_: int, block_id: bytes, *, logged: bool = False) -> None:
        """Ask for a vote of this round, once; `logged` when a record already announces it."""
        if s.own is None or (type_, s.round) in s.asked:
            return
        if not logged:
            self._effects.append(Persist(SignIntent(s.height, s.round, type_, NO_ROUND, block_id, *s.take_unlogged())))
        request = SignVote(type_, s.height, s.round, block_id)
        s.asked[type_, s.round] = request
        self._effects.append(Sign(request))

    def _prevote(self, s: HeightState, block_id: bytes) -> None:
        s.step = Step.PREVOTE
        self._sign_vote(s, PREVOTE, block_id)

    def _precommit(self, s: HeightState, block_id: bytes, *, logged: bool = False) -> None:
        s.step = Step.PRECOMMIT
        self._sign_vote(s, PRECOMMIT, block_id, logged=logged)

    def _check(self, s: HeightState, block_id: bytes, *, fresh: bool) -> None:
        if s.checks.ask(block_id, s.round, fresh):
            self._effects.append(CheckBlock(s.height, s.round, block_id, fresh))

    # --- the rules ------------------------------------------------------------------------------------------------------------

    def _apply_rules(self, s: HeightState) -> None:
        """Until none fires. Each firing moves (round, step) on or schedules a timeout that was not, so this ends."""
        while s.step is not Step.DECIDED and (
            self._decide(s)
            or self._skip_round(s)
            or self._prevote_fresh(s)
            or self._prevote_proven(s)
            or self._lock(s)
            or self._precommit_nil(s)
            or self._time_prevotes(s)
            or self._time_precommits(s)
        ):
            pass

    def _prevote_fresh(self, s: HeightState) -> bool:
        """Lines 22 to 27."""
        p = s.proposal
        if s.step is not Step.PROPOSE or p is None or p.pol_round != NO_ROUND:
            return False
        if s.locked_round != NO_ROUND and s.locked_id != p.block_id:
            self._prevote(s, NIL)
            return True
        good = s.checks.freshness(p.block_id, s.round)
        if good is None:
            self._check(s, p.block_id, fresh=True)
            return False
        self._prevote(s, p.block_id if good else NIL)
        return True

    def _prevote_proven(self, s: HeightState) -> bool:
        """Lines 28 to 33."""
        p = s.proposal
        if s.step is not Step.PROPOSE or p is None or p.pol_round == NO_ROUND:
            return False
        if s.votes.tally(PREVOTE, p.pol_round).majority != p.block_id:
            return False
        if s.locked_round > p.pol_round and s.locked_id != p.block_id:
            self._prevote(s, NIL)
            return True
        good = s.checks.validity(p.block_id)
        if good is None:
            self._check(s, p.block_id, fresh=False)
            return False
        self._prevote(s, p.block_id if good else NIL)
        return True

    def _time_prevotes(self, s: HeightState) -> bool:
        """Lines 34 and 35."""
        if s.step is not Step.PREVOTE or not s.votes.tally(PREVOTE, s.round).complete:
            return False
        return self._schedule_once(s, TimeoutKind.PREVOTE)

    def _lock(self, s: HeightState) -> bool:
        """Lines 36 to 43."""
        block_id = s.votes.tally(PREVOTE, s.round).majority
        if not block_id or s.valid_round == s.round or s.step < Step.PREVOTE:
            return False
        good = s.checks.validity(block_id)
        if good is None:
            self._check(s, block_id, fresh=False)
        if not good:
            return False
        locks = s.step is Step.PREVOTE
        s.valid_round, s.valid_id = s.round, block_id
        if locks:
            s.locked_round, s.locked_id = s.round, block_id
        s.keep_proofs()
        if s.own is not None:
            self._effects.append(Persist(Polka(s.height, s.round, block_id, locks, resend.proof(s), *s.take_unlogged())))
        if locks:
            self._precommit(s, block_id, logged=True)
        return True

    def _precommit_nil(self, s: HeightState) -> bool:
        """Lines 44 to 46."""
        if s.step is not Step.PREVOTE or s.votes.tally(PREVOTE, s.round).majority != NIL:
            return False
        self._precommit(s, NIL)
        return True

    def _time_precommits(self, s: HeightState) -> bool:
        """Lines 47 and 48."""
        if not s.votes.tally(PRECOMMIT, s.round).complete:
            return False
        return self._schedule_once(s, TimeoutKind.PRECOMMIT)

    def _decide(self, s: HeightState) -> bool:
        """Lines 49 to 54; the driver answers with StartHeight."""
        if s.certificate is None and s.votes.committed is not None:
            s.note_certificate(s.collect(*s.votes.committed))
        cert = s.certificate
        if cert is None:
            return False
        good = s.checks.validity(cert.block_id)
        if good is None:
            self._check(s, cert.block_id, fresh=False)
        if not good:
            return False
        s.step = Step.DECIDED
        self.last_certificate = cert
        self._effects.append(Decide(s.height, cert.block_id, cert))
        return True

    def _skip_round(self, s: HeightState) -> bool:
        """Lines 55 and 56."""
        round_ = s.votes.skip_to()
        if round_ is None:
            return False
        self._start_round(s, round_)
        return True

    # --- after a crash --------------------------------------------------------------------------------------------------------

    def replay(self, records: Iterable[Record | bytes]) -> list[Effect]:
        """Rebuild the height's state from the write-ahead log: after its StartHeight, before any other input.

        Records of other heights are skipped. Returns the effects to run: signatures are asked for again (the guard answers with
        the same bytes) and messages sent again. Raises `Malformed` for damaged records.
        """
        s = self._started()
        if s.step is not Step.WAIT:
            raise BrokenInvariant(f"the log of height {s.height} was replayed after the height began")
        for item in records:
            record = decode_record(item) if isinstance(item, bytes) else item
            if record.height == s.height:
                restore(s, record)
        if s.step is not Step.WAIT:
            self._resume(s)
            self._apply_rules(s)
        effects, self._effects = self._effects, []
        return effects

    def _resume(self, s: HeightState) -> None:
        self._effects += [Sign(s.asked[key]) for key in sorted(s.asked, key=lambda k: (k[1], k[0])) if key not in s.signed]
        if s.step is Step.PROPOSE:
            self._schedule(s, TimeoutKind.PROPOSE)
        self._resend(s)
