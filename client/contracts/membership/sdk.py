"""Calls about accounts, and a validator's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from learningchain.client.sdk.calls import SdkPart, call
from learningchain.client.sdk.http import path_id
from learningchain.client.sdk.node import NodeCalls

if TYPE_CHECKING:
    from learningchain.client.contracts.membership.http.schema import (
        BoxKeyAnswer,
        BoxKeyView,
        InvitationView,
        InviteAnswer,
        MemberAccount,
        OpenCase,
    )
    from learningchain.client.schema.bodies import TxAnswer


class MembershipCalls(NodeCalls):
    @call
    async def account(self, account: str | None = None) -> MemberAccount:
        """Standing and credits of an account, the node's own without one."""
        if account is None:
            account = (await self.status())["id"]
        return cast("MemberAccount", await self.api.get(f"/v1/accounts/{path_id(account)}"))

    @call
    async def balance(self, account: str | None = None) -> str:
        """Free credits, as decimal text."""
        return (await self.account(account))["balance"]

    @call
    async def accounts(self, *, after: str | None = None, limit: int = 1_000) -> list[MemberAccount]:
        return await self.api.rows("/v1/accounts", after=after, limit=limit)

    @call
    async def cases(self) -> list[OpenCase]:
        """Open cases, the one that ends first first, with what the node's identity said and may say."""
        return await self.api.all_rows("/v1/cases")

    @call
    async def judge(self, account: str, *, confirm: bool, wait: float = 0) -> TxAnswer:
        """A validator's word on a suspension: confirm the ban, or lift it."""
        return await self.api.submit("/v1/judgements", {"account": account, "confirm": confirm}, wait)

    @call
    async def invite(
        self, *, credits: str = "0", lasts_s: float = 86_400, addresses: Sequence[str] = (), wait: float = 0
    ) -> InviteAnswer:
        """Invite one machine. The answer's `token` is all that it needs, and is shown this once: hand it over like a password."""
        body = {"credits": credits, "lasts_ms": int(lasts_s * 1_000), "addresses": list(addresses)}
        return cast("InviteAnswer", await self.api.submit("/v1/invitations", body, wait))

    @call
    async def invitations(self) -> list[InvitationView]:
        """The node's own, oldest first."""
        return await self.api.rows("/v1/invitations")

    @call
    async def revoke_invitation(self, invitation: str, *, wait: float = 0) -> TxAnswer:
        """Take an open invitation back, by its id; its credits return."""
        return await self.api.submit("/v1/revocations", {"invitation": invitation}, wait)

    @call
    async def leave(self, *, wait: float = 0) -> TxAnswer:
        """The node's identity is no member any more. It keeps its credits; what it has at stake runs to its end."""
        return await self.api.submit("/v1/leave", {}, wait)

    @call
    async def box_key(self) -> BoxKeyView:
        """The key under which others seal what the node alone reads, and the private ones that lie there."""
        return cast("BoxKeyView", await self.api.get("/v1/box-key"))

    @call
    async def renew_box_key(self, *, wait: float = 0) -> BoxKeyAnswer:
        """Replace it. What is under way to the one before can be read still."""
        return cast("BoxKeyAnswer", await self.api.submit("/v1/box-key", {}, wait))

    @call
    async def release(self, contract: str, ref: str, *, give_back: bool, wait: float = 0) -> TxAnswer:
        """A validator's word on what the status shows as parked: let it run again, or end it and return what it holds."""
        return await self.api.submit("/v1/releases", {"contract": contract, "ref": ref, "give_back": give_back}, wait)


PART = SdkPart(MembershipCalls)
