"""Calls about accounts, and a validator's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from client.api.schema import TxAnswer
from client.sdk_calls import call
from client.sdk_http import path_id
from client.sdk_node import NodeCalls

if TYPE_CHECKING:
    from client.api.accounts import AccountView


class MembershipCalls(NodeCalls):
    @call
    async def account(self, account: str | None = None) -> AccountView:
        """Standing and credits of an account, the node's own without one."""
        if account is None:
            account = (await self.status())["id"]
        return cast("AccountView", await self.api.get(f"/v1/accounts/{path_id(account)}"))

    @call
    async def balance(self, account: str | None = None) -> str:
        """Free credits, as decimal text."""
        return (await self.account(account))["balance"]

    @call
    async def accounts(self, *, after: str | None = None, limit: int = 1_000) -> list[AccountView]:
        return await self.api.rows("/v1/accounts", after=after, limit=limit)

    @call
    async def judge(self, account: str, *, confirm: bool, wait: float = 0) -> TxAnswer:
        """A validator's word on a suspension: confirm the ban, or lift it."""
        return await self.api.submit("/v1/judgements", {"account": account, "confirm": confirm}, wait)

    @call
    async def release(self, contract: str, ref: str, *, give_back: bool, wait: float = 0) -> TxAnswer:
        """A validator's word on what the status shows as parked: let it run again, or end it and return what it holds."""
        return await self.api.submit("/v1/releases", {"contract": contract, "ref": ref, "give_back": give_back}, wait)


CALLS = MembershipCalls
