"""What signs for a node: its own key behind its own guard, here, or a signer elsewhere (`client.signer.remote.RemoteSigner`).

The driver asks for votes and proposals and is told what was signed; it is never told of what may not be signed. The ledger asks for
signatures of transactions. Everything for the loop's thread alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from learningchain.chain.consensus.messages import SignProposal, SignVote
from learningchain.chain.crypto import SigningKey
from learningchain.chain.storage.guard import Guard, Kind
from learningchain.chain.types import Proposal, Vote, proposal_digest, tx_digest, vote_digest
from learningchain.client.keys.statements import Speaker, statement_digest

Wanted = SignVote | SignProposal
SignedByUs = Vote | Proposal


class SignerUnavailable(Exception):
    """The signer that holds this node's key is out of reach, or refuses: nothing was signed. The text says why."""


class Signer(Protocol):
    def serve(self, done: Callable[[SignedByUs], None]) -> None:
        """`done` gets every vote and proposal that was signed."""
        ...

    def sign(self, request: Wanted) -> None:
        """The guard has the last word: silence where a signature could contradict an earlier one. May raise `StorageError`."""
        ...

    def abstain(self, until: int) -> None:
        """Never sign anything up to this height from now on."""
        ...

    async def transaction(self, body: bytes) -> bytes:
        """The signature (64 bytes) of a transaction's body. Raises `SignerUnavailable`."""
        ...

    async def statement(self, domain: str, body: bytes) -> bytes:
        """The signature of a statement (`client.keys.statements`). Raises `SignerUnavailable`, `Malformed`."""
        ...

    def failing(self) -> list[dict[str, Any]]:
        """What the node's status says of it, as `client.schema.bodies.FailingView`: nothing where all is well."""
        ...


class LocalSigner:
    """A key and a guard in this process. `sign` answers before it returns."""

    def __init__(self, key: SigningKey, guard: Guard, chain_id: bytes, own_id: bytes) -> None:
        self.key, self.guard = key, guard
        self._votes = True
        self._chain_id, self._own_id = chain_id, own_id
        self._done: Callable[[SignedByUs], None] = lambda message: None

    def use_key(self, key: SigningKey, *, votes: bool) -> None:
        """From the next height on, whose set has it. Without `votes` the set names a key that is not here: nothing is signed."""
        self.key, self._votes = key, votes

    def serve(self, done: Callable[[SignedByUs], None]) -> None:
        self._done = done

    def sign(self, request: Wanted) -> None:
        if not self._votes:
            return
        r, chain, own = request, self._chain_id, self._own_id
        if isinstance(r, SignVote):
            digest = vote_digest(chain, r.type, r.height, r.round, r.block_id)
            signature = self.guard.sign(Kind(r.type), r.height, r.round, digest, self.key.sign)
            if signature is not None:
                self._done(Vote(r.type, r.height, r.round, r.block_id, own, signature))
        else:
            digest = proposal_digest(chain, r.height, r.round, r.pol_round, r.block_id)
            signature = self.guard.sign(Kind.PROPOSAL, r.height, r.round, digest, self.key.sign)
            if signature is not None:
                self._done(Proposal(r.height, r.round, r.pol_round, r.block_id, own, signature))

    def abstain(self, until: int) -> None:
        self.guard.abstain(until)

    async def transaction(self, body: bytes) -> bytes:
        return self.key.sign(tx_digest(self._chain_id, body))

    async def statement(self, domain: str, body: bytes) -> bytes:
        return self.key.sign(statement_digest(domain, body, Speaker(self._chain_id, self._own_id, self.key.public)))

    def failing(self) -> list[dict[str, Any]]:
        return []
