"""What the consensus tests share: validators with cheap signatures, short constructors, effects as short texts.

Signatures are hashes here, so that thousands of runs stay fast; `test_consensus_validation` uses real ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from learningchain.chain.codec import encode
from learningchain.chain.consensus.machine import Consensus
from learningchain.chain.consensus.messages import (
    PROPOSAL,
    BlockBuilt,
    BlockChecked,
    Broadcast,
    BuildBlock,
    CheckBlock,
    Decide,
    Effect,
    Input,
    MessageSigned,
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
    Step,
    Timeout,
    TimeoutFired,
    TimeoutKind,
    VoteReceived,
    WakeUp,
)
from learningchain.chain.consensus.wal import SignIntent
from learningchain.chain.errors import Malformed
from learningchain.chain.params import Params
from learningchain.chain.types import NIL, PRECOMMIT, PREVOTE, Certificate, Proposal, Validator, Vote, quorum

CHAIN = b"\7" * 32
PARAMS = Params()
HEIGHT = 4
"""Of four validators, validator r proposes in round r of this height."""


def ident(index: int) -> bytes:
    return index.to_bytes(20, "big")


def validators(n: int) -> list[Validator]:
    return [Validator(ident(i), b"\2" + bytes([i]) * 32) for i in range(n)]


def block(name: str | None) -> bytes:
    return hashlib.sha256(name.encode()).digest() if name else NIL


def seal(signer: bytes, content: list[object]) -> bytes:
    digest = hashlib.sha256(signer + encode(content)).digest()
    return digest + digest


def make_vote(type_: int, height: int, round_: int, block_id: bytes, signer: bytes) -> Vote:
    return Vote(type_, height, round_, block_id, signer, seal(signer, [type_, height, round_, block_id]))


def make_proposal(height: int, round_: int, pol_round: int, block_id: bytes, signer: bytes) -> Proposal:
    return Proposal(height, round_, pol_round, block_id, signer, seal(signer, [0, height, round_, pol_round, block_id]))


def verify(message: Vote | Proposal, validator: Validator) -> bool:
    if isinstance(message, Vote):
        return message == make_vote(message.type, message.height, message.round, message.block_id, validator.id)
    return message == make_proposal(message.height, message.round, message.pol_round, message.block_id, validator.id)


def check_certificate(cert: Certificate, members: list[Validator]) -> None:
    if sorted(set(cert.signers)) != cert.signers or cert.signers[-1] >= len(members) or len(cert.signers) < quorum(len(members)):
        raise Malformed("signers")
    for index, signature in zip(cert.signers, cert.signatures, strict=True):
        if make_vote(PRECOMMIT, cert.height, cert.round, cert.block_id, members[index].id).signature != signature:
            raise Malformed("signature")


def machine(me: int | None, params: Params = PARAMS) -> Consensus:
    return Consensus(CHAIN, None if me is None else ident(me), params, verify=verify, check=check_certificate)


def sign(request: SignVote | SignProposal, me: int) -> MessageSigned:
    """What the guard answers."""
    if isinstance(request, SignVote):
        return MessageSigned(make_vote(request.type, request.height, request.round, request.block_id, ident(me)))
    return MessageSigned(make_proposal(request.height, request.round, request.pol_round, request.block_id, ident(me)))


# --- inputs, with blocks named by letters -------------------------------------------------------------------------------------


def start(n: int = 4, height: int = HEIGHT) -> StartHeight:
    return StartHeight(height, validators(n), 0, "test")


def proposal(round_: int, name: str, pol: int = -1, *, n: int = 4, by: int | None = None, height: int = HEIGHT) -> ProposalReceived:
    return ProposalReceived(make_proposal(height, round_, pol, block(name), ident((height + round_) % n if by is None else by)))


def prevote(by: int, round_: int, name: str | None, *, height: int = HEIGHT) -> VoteReceived:
    return VoteReceived(make_vote(PREVOTE, height, round_, block(name), ident(by)))


def precommit(by: int, round_: int, name: str | None, *, height: int = HEIGHT) -> VoteReceived:
    return VoteReceived(make_vote(PRECOMMIT, height, round_, block(name), ident(by)))


def prevotes(by: Iterable[int], round_: int, name: str | None) -> list[Input]:
    return [prevote(i, round_, name) for i in by]


def precommits(by: Iterable[int], round_: int, name: str | None) -> list[Input]:
    return [precommit(i, round_, name) for i in by]


def certificate(by: Iterable[int], round_: int, name: str, height: int = HEIGHT) -> Certificate:
    signers = sorted(by)
    votes = [make_vote(PRECOMMIT, height, round_, block(name), ident(i)) for i in signers]
    return Certificate(height, round_, block(name), signers, [v.signature for v in votes])


def good(name: str) -> BlockChecked:
    return BlockChecked(HEIGHT, block(name), True)


def bad(name: str) -> BlockChecked:
    return BlockChecked(HEIGHT, block(name), False)


def built(round_: int, name: str) -> BlockBuilt:
    return BlockBuilt(HEIGHT, round_, block(name))


def timeout(kind: TimeoutKind, round_: int, height: int = HEIGHT) -> TimeoutFired:
    return TimeoutFired(Timeout(kind, height, round_, 0))


def drive(consensus: Consensus, inputs: Iterable[Input], me: int | None, *, guard: bool = True) -> list[Effect]:
    """Handle the inputs, answering each Sign as the guard would; returns all effects in order."""
    effects: list[Effect] = []
    queue = list(inputs)
    while queue:
        out = consensus.handle(queue.pop(0))
        effects += out
        if guard and me is not None:
            queue[:0] = [sign(e.request, me) for e in out if isinstance(e, Sign)]
    return effects


# --- effects as text ----------------------------------------------------------------------------------------------------------

_NAMES = {block(letter): letter for letter in "ABCDEFXYZ"} | {NIL: "nil"}
_KINDS = {PROPOSAL: "proposal", PREVOTE: "prevote", PRECOMMIT: "precommit"}


def show_message(m: Vote | Proposal | Certificate | RoundState) -> str:
    if isinstance(m, Vote):
        return f"{_KINDS[m.type]} {_NAMES[m.block_id]}@{m.round} of {int.from_bytes(m.validator, 'big')}"
    if isinstance(m, Proposal):
        return f"proposal {_NAMES[m.block_id]}@{m.round} pol {m.pol_round}"
    if isinstance(m, Certificate):
        return f"certificate {_NAMES[m.block_id]}@{m.round} by {m.signers}"
    return f"state @{m.round} {m.step}"


def show(effect: Effect) -> str:
    """One effect as text: 'sign prevote A@0'."""
    match effect:
        case Persist(SignIntent() as r):
            return f"log {_KINDS[r.kind]} {_NAMES[r.block_id]}@{r.round}"
        case Persist(r):
            return f"log {'lock' if r.locks else 'valid'} {_NAMES[r.block_id]}@{r.round}"  # type: ignore[union-attr]
        case Sign(SignVote() as q):
            return f"sign {_KINDS[q.type]} {_NAMES[q.block_id]}@{q.round}"
        case Sign(SignProposal() as q):
            return f"sign proposal {_NAMES[q.block_id]}@{q.round} pol {q.pol_round}"
        case Broadcast(m):
            return "send " + show_message(m)
        case SendTo(peer, m):
            return f"to {peer.decode()} {show_message(m)}"
        case Schedule(t):
            return f"time {t.kind.name.lower()}@{t.round} {t.ms}"
        case BuildBlock(_, round_):
            return f"build @{round_}"
        case CheckBlock(_, round_, block_id, fresh):
            return f"check {_NAMES[block_id]}@{round_}{' fresh' if fresh else ''}"
        case Decide(height, block_id, cert):
            return f"decide {_NAMES[block_id]} at {height} by {cert.signers}"
        case ReportEvidence(e):
            return f"accuse {type(e).__name__}"
    raise TypeError(effect)


def state_of(consensus: Consensus) -> str:
    s = consensus.round_state()
    lock = f"{_NAMES[s.locked_id]}@{s.locked_round}" if s.locked_round >= 0 else "-"
    valid = f"{_NAMES[s.valid_id]}@{s.valid_round}" if s.valid_round >= 0 else "-"
    return f"{Step(s.step).name}@{s.round} {lock} {valid}"


# --- situations: validator 3 of four at HEIGHT, where validator r proposes in round r

ME = 3
T_PROPOSE, T_PREVOTE, T_PRECOMMIT, T_RESEND = TimeoutKind
WAKE = WakeUp(HEIGHT)
NO_PROPOSAL_0 = [WAKE, timeout(T_PROPOSE, 0)]
LOCKED_A_AT_0: list[Input] = [proposal(0, "A"), good("A"), *prevotes([0, 1], 0, "A")]
"""Everybody prevoted A in round 0: locked on it, precommitted it."""
ROUND_1_AFTER_LOCK = [*LOCKED_A_AT_0, *precommits([0, 1], 0, None), timeout(T_PRECOMMIT, 0)]
ROUND_1_UNLOCKED = [*NO_PROPOSAL_0, *prevotes([0, 1], 0, None), *precommits([0, 1], 0, None), timeout(T_PRECOMMIT, 0)]
