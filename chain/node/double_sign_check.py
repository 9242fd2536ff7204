"""After a start: does this node still know all that it signed? Until it can tell, its signatures wait. Pure. LC-NODE-30, 31.

The last-signed guard keeps a node from contradicting what the guard knows. But a guard can be older than the chain: the data folder
was put back from a backup, or the keystore alone came through. What the key signed since then is on the others' disks only.

    start        --> ON PROBATION: what the consensus wants signed is held back
    ON PROBATION --> for STABLE_TICKS a quorum was heard, and the heights that it reported are decided here:
                     the guard knows of every signature that was seen --> signs
                     the operator says that the guard was lost, or a message of its own came back that the guard does not know
                                                                      --> first abstains, for good, from the heights that it
                                                                          may have signed

Waiting costs no progress: without a quorum in reach nothing is decided anyway. Where validators are not connected with each
other directly, FALLBACK_MS ends it for a guard that is not known to be old. One that is waits for the quorum, however long that
takes: a single peer could tell it a height of long ago, and get a second signature for every place after that. Only the operator's
word up to where the key signed (`--signed-up-to`) does instead.

Lemma: nothing was signed above the highest reported height + ABSTAIN_MARGIN. Let M be the last height that the former life decided.
1. It signed nothing above M + 1.
2. A quorum precommitted M. Whoever did so honestly had decided M - 1.
3. A quorum was heard now. It shares an honest validator with the quorum of step 2.
4. That validator had decided M - 1, so it reported M - 1 or more. Two above that is M + 1 or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import RoundState, SignProposal, SignVote
from learningchain.chain.host import K_HISTORY, BeaconCommitment, History
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.node.events import VOTES, Abstain, Effect, Gossip, Scope, SignRequest
from learningchain.chain.node.messages import StateMessage
from learningchain.chain.node.sync import Sync
from learningchain.chain.types import PRECOMMIT, Certificate, Header, Proposal, Validator, Vote, quorum

Place = tuple[int, int, int]
"""Height, round, and 0 for a proposal, 1 a prevote, 2 a precommit: the order in which an honest key signs."""
UNKNOWN: Place = (-1, 0, 0)
STABLE_TICKS = 2
"""Ticks for which all must be well: own votes that the others still hold have come back by then."""
FALLBACK_MS = 3_000
"""Milliseconds after which any peer's word is enough for a guard that is not known to be old."""
ABSTAIN_MARGIN = 2
MAX_HELD = 8
"""Signatures that wait; the oldest of more never come."""


class DoubleSignCheck:
    """`signed`: nothing above it was signed as far as the guard knows; UNKNOWN: it is known that something was forgotten.

    None: the node trusts its guard from the start.
    """

    def __init__(self, own_id: bytes, signed: Place | None, state: State | None = None, base: Certificate | None = None) -> None:
        self._own_id, self._signed = own_id, signed or (0, 0, 0)
        self.on_probation = signed is not None
        self._guard_is_old = signed == UNKNOWN
        self._heard: set[bytes] = set()
        self._held: list[SignVote | SignProposal] = []
        self._since: int | None = None
        self._target: int | None = None
        self._stable_ticks = 0
        self._wanted = self._got = 0
        """Of the other validators: how many have to be heard, and were."""
        if state is not None and self.on_probation:
            self._began(state, base)

    # --- what is learned ------------------------------------------------------------------------------------------------------

    def heard(self, peer: bytes, here: bool = True) -> None:
        """A connected peer told its height, or has gone."""
        if self.on_probation:
            (self._heard.add if here else self._heard.discard)(peer)

    def saw(self, message: Vote | Proposal) -> None:
        """A message with a good signature came from a peer."""
        if self.on_probation and isinstance(message, Vote) and message.validator == self._own_id:
            self._found((message.height, message.round, message.type))
        elif self.on_probation and isinstance(message, Proposal) and message.proposer == self._own_id:
            self._found((message.height, message.round, 0))

    def _began(self, state: State, certificate: Certificate | None) -> None:
        """What this key did as far as the state tells: its last block, and, where it begins from a snapshot, whether it signed that
        one's certificate. The blocks before a snapshot are not seen."""
        proposed, record = state.get(b"gb/" + self._own_id), chain_record(state)
        if isinstance(proposed, BeaconCommitment):
            self._found((proposed.height, 0, 0))
        if certificate is not None and certificate.height == record.height:
            history = state.get(K_HISTORY)
            sets = [s.members for s in history.sets if s.since <= record.height] if isinstance(history, History) else []
            if sets and any(sets[-1][index].id == self._own_id for index in certificate.signers if index < len(sets[-1])):
                self._found((certificate.height, certificate.round, PRECOMMIT))

    def decided(self, header: Header, certificate: Certificate, validators: Sequence[Validator]) -> None:
        """`validators` is the set that signed the certificate."""
        if not self.on_probation:
            return
        if header.proposer == self._own_id:
            self._found((header.height, header.round, 0))
        if any(validators[index].id == self._own_id for index in certificate.signers):
            self._found((certificate.height, certificate.round, PRECOMMIT))

    @property
    def lacks(self) -> tuple[int, int] | None:
        """Where a guard that is known to be old waits for validators: how many it has to hear, and how many it heard."""
        return (self._wanted, self._got) if self.on_probation and self._guard_is_old and self._got < self._wanted else None

    def _found(self, place: Place) -> None:
        self._guard_is_old = self._guard_is_old or place > self._signed

    # --- what follows ---------------------------------------------------------------------------------------------------------

    def sign(self, request: SignVote | SignProposal) -> list[Effect]:
        if not self.on_probation:
            return [SignRequest(request)]
        self._held = [*self._held, request][-MAX_HELD:]
        return []

    def tick(
        self, now: int, height: int, sync: Sync, validators: Sequence[Validator], state: Callable[[], RoundState]
    ) -> list[Effect]:
        """Look whether all is well; `height` is decided here. What may be signed then is let go.

        Until then peers are told the round state: their answers bring back own votes that the guard may not know.
        """
        if not self.on_probation:
            return []
        self._since = now if self._since is None else self._since
        others = {v.id for v in validators} - {self._own_id}
        self._wanted, self._got = quorum(len(validators)) - 1, len(self._heard & others)
        heard = self._got >= self._wanted
        patient = self._guard_is_old or now < self._since + FALLBACK_MS
        enough = heard or (self._heard and not patient)
        # Where a quorum was heard its words are enough, and no other member can keep this node silent, or have it abstain for ever.
        ahead = sync.trusted_height(now, others if heard else None)
        # What was told when a quorum had been heard must be here, and looked at; a running graph is further by then. What was told
        # and did not prove true counts no more.
        self._target = min(ahead, self._target if self._target is not None else ahead) if enough else None
        self._stable_ticks = self._stable_ticks + 1 if self._target is not None and height >= self._target else 0
        if self._stable_ticks <= STABLE_TICKS:
            return [Gossip(encode(StateMessage(state())), VOTES, Scope.CONSENSUS)]
        self.on_probation = False
        held, self._held = self._held, []
        out: list[Effect] = []
        until = height
        if self._guard_is_old:
            # Where a quorum is everybody, abstaining would end the chain: there what is decided has to do.
            spare = quorum(len(validators)) < len(validators)
            until = max(height, ahead) + ABSTAIN_MARGIN if spare else height
            out.append(Abstain(until))
        return out + [SignRequest(request) for request in held if request.height > until]
