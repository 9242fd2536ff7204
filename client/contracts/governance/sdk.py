"""Calls about proposals, votes and parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from learningchain.client.sdk.calls import SdkPart, call
from learningchain.client.sdk.node import NodeCalls

if TYPE_CHECKING:
    from learningchain.client.contracts.governance.http.schema import ParameterView, ProposalView
    from learningchain.client.schema.bodies import TxAnswer


class GovernanceCalls(NodeCalls):
    @call
    async def proposals(self) -> list[ProposalView]:
        """Open proposals, the one that expires first first, with what the node's identity said and may say."""
        return await self.api.all_rows("/v1/proposals")

    @call
    async def parameters(self) -> list[ParameterView]:
        """The network's parameters in force, each with the bounds of a change."""
        return await self.api.rows("/v1/parameters")

    @call
    async def propose(
        self, action: str, details: dict[str, Any], *, expires_s: float = 7 * 24 * 3_600, wait: float = 0
    ) -> TxAnswer:
        """Ask the validators, as `POST /v1/proposals` takes it: `propose("add-validator", {"account": "lc1..."})`."""
        return await self.api.submit("/v1/proposals", {"action": action, "expires_s": expires_s, **details}, wait)

    @call
    async def vote(self, proposal: str, *, yes: bool, wait: float = 0) -> TxAnswer:
        """A validator's word on a proposal; a later one replaces it."""
        return await self.api.submit("/v1/votes", {"proposal": proposal, "yes": yes}, wait)

    @call
    async def withdraw(self, proposal: str, *, wait: float = 0) -> TxAnswer:
        """Take a proposal back that this node made."""
        return await self.api.submit("/v1/withdrawals", {"proposal": proposal}, wait)


PART = SdkPart(GovernanceCalls)
