"""What members draw who invite, let in, revoke, go and come back: many tokens are used twice, by others, late, or badly signed.
And what validators decide on members meanwhile."""

from __future__ import annotations

import random
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.governance import (
    Action,
    Admit,
    ParamValue,
    Propose,
    Remove,
    SetParameters,
    SetVerifier,
    VoteProposal,
    proposals,
)
from learningchain.chain.contracts.membership import (
    Invite,
    Join,
    Leave,
    RevokeInvite,
    SetBoxKey,
    SetTraining,
    invitation_id,
    join_digest,
)
from learningchain.chain.crypto import SigningKey
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from tests.unit.job_kit import sha

NEWCOMERS = 6
OFTEN = 0.03


class Comings:
    """`rng` is its own, so that nothing else of a seed changes with it."""

    def __init__(self, seed: int, chain_id: bytes) -> None:
        self.rng, self._chain_id = random.Random(seed * 17 + 3), chain_id
        self.newcomers = [SigningKey(sha("newcomer", seed, n)) for n in range(NEWCOMERS)]
        self.tokens: list[tuple[bytes, SigningKey]] = []
        """Of each invitation that somebody sent: by whom, and its key."""
        self._seed = seed

    def drawn(self, sender: bytes, clock: int, leavers: list[SigningKey]) -> Any | None:
        """A message of this member, or nothing. `leavers`: keys of members that may have gone and come back."""
        r = self.rng
        eager = sender[0] % 4 == 0
        if r.random() > (3 * OFTEN if eager else OFTEN):
            return None
        kind = r.choice(["invite", "invite", "join", "join", "join", "join", "revoke", "box"])
        if eager and r.random() < 0.7:
            kind = "invite"
        if kind == "invite" or not self.tokens:
            key = SigningKey(sha("token", self._seed, len(self.tokens) if r.random() < 0.9 else 0))
            self.tokens.append((sender, key))
            return Invite(key.public, clock + r.choice([0, 400, 3_000, 20_000]), r.choice([0, 0, 40, 10**15]))
        if kind == "box":
            training = SetTraining(1 + clock % 3, clock // 3 % 40)  # without a draw: nothing else of a seed changes with it
            return r.choice([SetBoxKey(bytes(32)), r.choice([SetBoxKey(sha("box", 0)), SetBoxKey(sha("box", 1)), training])])
        inviter, token = r.choice(self.tokens[-6:])
        if kind == "revoke":
            return RevokeInvite(invitation_id(token.public))
        return self._joining(inviter, token, r.choice([*self.newcomers, *leavers]))

    def _joining(self, inviter: bytes, token: SigningKey, who: SigningKey) -> Join:
        r = self.rng
        digest = join_digest(self._chain_id if r.random() < 0.95 else bytes(32), token.public, who.public)
        made = Join(inviter, token.public, who.public, who.sign(digest), token.sign(digest))
        return replace(made, token=who.sign(digest)) if r.random() < 0.05 else made

    def leaving(self, chance: float = 0.004) -> Leave | None:
        return Leave() if self.rng.random() < chance else None


class Decisions:
    """Proposals and votes of honest validators on who is in, who verifies, and the spans of invitations."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed * 23 + 1)
        self.left = 6
        """Proposals to come."""

    def word(self, state: State, own: bytes, about: list[bytes], newcomers: list[SigningKey]) -> Propose | VoteProposal | None:
        """What this validator says now. `about`: members and outsiders on whom something can be decided."""
        r, found = self.rng, proposals(state)
        open_ = [(ref, record) for ref, record in found if own not in (*record.yes, *record.no)]
        if open_ and r.random() < 0.3:
            return VoteProposal(r.choice(open_)[0], r.random() < 0.9)
        if found or not self.left or r.random() > 0.01:
            return None
        self.left -= 1
        return Propose(self._action(about, newcomers), chain_record(state).clock + r.choice((1, 2_000, 8_000)))

    def _action(self, about: list[bytes], newcomers: list[SigningKey]) -> Action:
        r = self.rng
        kind = r.choice(("flag", "flag", "admit", "remove", "spans"))
        if kind == "flag":
            return SetVerifier(r.choice(about), r.random() < 0.8)
        if kind == "admit":
            return Admit(r.choice(newcomers).public)
        if kind == "remove":
            return Remove(r.choice(about))
        return SetParameters(2, [ParamValue("invite_rest", r.choice((59_999, 60_000, 90_000)))])
