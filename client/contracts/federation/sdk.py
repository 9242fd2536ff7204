"""Calls about federations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from learningchain.client.sdk.calls import SdkPart, call, stream
from learningchain.client.sdk.http import MAX_PAGE, Progress, given, path_id
from learningchain.client.sdk.node import NodeCalls
from learningchain.client.sdk.types import Fetched, Json, NotFoundError

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import (
        DemandKept,
        DeployRequest,
        FederationAttempts,
        FederationDeployed,
        FederationJoined,
        FederationMeasurements,
        FederationMemberView,
        FederationPosted,
        FederationQuote,
        FederationRecovering,
        FederationRequest,
        FederationRoundView,
        FederationServing,
        FederationSummary,
        FederationView,
        JoiningView,
        LookedAfter,
        OwnPartView,
        PreviewView,
        RoundPayView,
        RoundStarted,
        VaultKept,
    )
    from learningchain.client.schema.bodies import DataRemoved, EventView, OwnDataView, TxAnswer

POLL_S = 1.0
"""How often a federation that is watched is asked about."""
LAST = ("fed.ended", "fed.gone")
MAX_BACKLOG = 10_000
HOLD_S = 30.0
"""How much longer than others a call may take that waits for a run."""


class FederationCalls(NodeCalls):
    # --- reading ----------------------------------------------------------------------------------------------------------------

    @call
    async def federations(
        self,
        *,
        live: bool = False,
        sponsor: str | None = None,
        member: str | None = None,
        beginning: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[FederationSummary]:
        """Federations, the newest first; go on with `before` = the last one's `number`."""
        flag = "true" if live else None
        return await self.api.rows(
            "/v1/federations", live=flag, sponsor=sponsor, member=member, id=beginning, before=before, limit=limit
        )

    @call
    async def federation(self, federation: str) -> FederationView:
        """Everything about a federation."""
        return cast("FederationView", await self.api.get(_path(federation)))

    @call
    async def federation_members(self, federation: str) -> list[FederationMemberView]:
        """Who is a member, was one, or waits to be one; 256 at most."""
        return await self.api.rows(_path(federation, "members"))

    @call
    async def federation_rounds(self, federation: str, *, before: int | None = None, limit: int = 50) -> list[FederationRoundView]:
        """Rounds that were summed, the newest first; go on with `before` = the last one's `round`."""
        return await self.api.rows(_path(federation, "rounds"), before=before, limit=limit)

    @call
    async def federation_round(self, federation: str, round: int, *, before: int | None = None) -> RoundPayView:
        """What one round paid to whom, by which measurement, and why not. Where the answer has a `before`, a round of long ago was
        not reached yet: go on with it."""
        return cast("RoundPayView", await self.api.get(_path(federation, f"rounds/{round:d}"), before=before))

    @call
    async def federation_attempts(self, federation: str, *, before: int | None = None, limit: int = 20) -> FederationAttempts:
        """What the aggregators said of every file, the newest attempt first, 50 at most; go on with the answer's `before`."""
        return cast("FederationAttempts", await self.api.get(_path(federation, "attempts"), before=before, limit=limit))

    @call
    async def federation_measurements(
        self, federation: str, *, before: int | None = None, limit: int = 20
    ) -> FederationMeasurements:
        """What the panel measured, the newest first, 50 at most; go on with the answer's `before`."""
        return cast("FederationMeasurements", await self.api.get(_path(federation, "measurements"), before=before, limit=limit))

    @call
    async def federation_events(self, federation: str, *, before: int | None = None, limit: int = 50) -> list[EventView]:
        """What happened to a federation, newest first, with block and time; go on with `before` = the last one's `cursor`."""
        return await self.api.rows(_path(federation, "events"), before=before, limit=limit)

    @stream
    async def watch_federation(
        self, federation: str, *, after: int = -1, poll_s: float = POLL_S, backlog: int = MAX_BACKLOG
    ) -> AsyncIterator[EventView]:
        """What happens to a federation, oldest first, from the event behind the cursor `after` on (-1: the first), until it ended:
        attempts, codes of files, measurements, pay. Asks the node every `poll_s` seconds. Of what happened already it tells the
        newest `backlog` events, in whole pages."""
        import asyncio

        while True:
            new: list[EventView] = []
            before: int | None = None
            while page := await self.api.rows(_path(federation, "events"), before=before, limit=MAX_PAGE):
                later = [event for event in page if event["cursor"] > after]
                new += later
                if len(later) < MAX_PAGE or len(new) >= backlog:
                    break
                before = later[-1]["cursor"]
            for event in reversed(new):
                after = event["cursor"]
                yield cast("EventView", event)
                if event["topic"] in LAST:
                    return
            await asyncio.sleep(poll_s)

    @call
    async def joining(self, federation: str) -> JoiningView:
        """What joining means for this node: what leaves it, who reads that, what it could earn. Nothing is sent."""
        return cast("JoiningView", await self.api.get(_path(federation, "joining")))

    @call
    async def fetch_federation_model(
        self,
        federation: str,
        dest: Path,
        *,
        round: int | None = None,
        overwrite: bool = False,
        on_progress: Progress | None = None,
    ) -> Fetched:
        """The best model, or that of a round (0: the initial one), checked against the CID in the ledger. A folder as `dest` gets
        `model-<federation>`."""
        found = cast("FederationView", await self.api.get(_path(federation)))
        size = found["terms"]["model"]["size"]
        cid = await self._model_of(found, round)
        target = dest / f"model-{federation[:16]}" if dest.is_dir() else dest
        query: Json = {} if round is None else {"round": round}
        return await self.api.download(_path(federation, "model"), query, cid, target, size, overwrite, on_progress)

    async def _model_of(self, found: FederationView, round: int | None) -> str:
        if round == 0:
            return str(found["terms"]["model"]["cid"])
        if round is None:
            if found["best_model"] is None:
                raise NotFoundError(
                    f"Federation {found['id']} has no measured model yet (learningchain fed watch {found['id'][:12]})"
                )
            return str(found["best_model"]["cid"])
        rows = await self.api.rows(_path(found["id"], "rounds"), before=round + 1, limit=1)
        if not rows or rows[0]["round"] != round:
            raise NotFoundError(
                f"Round {round} of federation {found['id']} was not summed (learningchain fed rounds {found['id'][:12]})"
            )
        return str(rows[0]["model"])

    # --- a sponsor's ------------------------------------------------------------------------------------------------------------

    @call
    async def open_federation(self, federation: FederationRequest | Json, *, wait: float = 0) -> FederationPosted:
        """Open a federation as the node's account; `federation` in the answer is its id."""
        return cast("FederationPosted", await self.api.submit("/v1/federations", _sent(federation), wait))

    @call
    async def quote_federation(self, federation: FederationRequest | Json) -> FederationQuote:
        """What it would lock, who could serve it, and why the ledger would refuse it. Nothing is sent."""
        return cast("FederationQuote", await self.api.call("POST", "/v1/federations/quote", body=_sent(federation)))

    @call
    async def look_after_federation(
        self, federation: str, *, auto: bool = True, reference: str | None = None, hidden_key: str | None = None
    ) -> LookedAfter:
        """Have the node do by itself what a sponsor does: start rounds (`auto`), train the reference on own data, open the hidden
        test file to the panel."""
        body: Json = {"auto": auto} | _given(reference=reference, hidden_key=hidden_key)
        return cast("LookedAfter", await self.api.call("POST", _path(federation, "look-after"), body=body))

    @call
    async def start_round(self, federation: str, *, round: int | None = None, wait: float = 0) -> RoundStarted:
        """Start the next round of a federation of the node's account; 0 measures the initial model."""
        body: Json = {} if round is None else {"round": round}
        return cast("RoundStarted", await self.api.submit(_path(federation, "start"), body, wait))

    @call
    async def close_federation(self, federation: str, *, wait: float = 0) -> TxAnswer:
        """End a federation of the node's account between two rounds: what is unpaid comes back."""
        return await self.api.submit(_path(federation, "close"), None, wait)

    @call
    async def admit_member(self, federation: str, member: str, *, wait: float = 0) -> TxAnswer:
        """Let in who waits."""
        return await self.api.submit(_path(federation, "admit"), {"member": member}, wait)

    @call
    async def remove_member(self, federation: str, member: str, *, wait: float = 0) -> TxAnswer:
        """Remove a member from the next start on; what it earned stays its own."""
        return await self.api.submit(_path(federation, "remove"), {"member": member}, wait)

    @call
    async def deploy_federation(self, federation: str, model: DeployRequest | Json, *, wait: float = 0) -> FederationDeployed:
        """Offer the best model of a federation that has ended as the node's account; the royalty is shared by what owners were
        paid. `model` in the answer is its id. Schema, sample and answers to it are uploaded before (`upload`)."""
        body = model if isinstance(model, dict) else given(model)
        return cast("FederationDeployed", await self.api.submit(_path(federation, "deploy"), body, wait))

    # --- a data owner's, a verifier's -------------------------------------------------------------------------------------------

    @call
    async def join_federation(
        self,
        federation: str,
        data: str | None = None,
        *,
        digest: str | None = None,
        n: int = 0,
        min_vetted: int | None = None,
        vault: bool = True,
        again: bool = False,
        wait: float = 0,
    ) -> FederationJoined:
        """Join with own data of the node, which trains on them by itself from then on; or with the `digest` of data that something
        else trains on. It is published under a salt. `n`: examples, where pay goes by samples. `min_vetted`: the node trains only
        where so many other members carry the verifier flag. `vault`: two members keep its local model, sealed, after each fifth
        round. `again`: with data that were used in another federation of a small model, too."""
        body = _joined(data, digest, n, min_vetted) | {"vault": vault, "again": again}
        return cast("FederationJoined", await self.api.submit(_path(federation, "join"), body, wait))

    @call
    async def change_data(
        self, federation: str, data: str | None = None, *, digest: str | None = None, n: int = 0, wait: float = 0
    ) -> FederationJoined:
        """Train on other data from now on; once a round."""
        return cast("FederationJoined", await self.api.submit(_path(federation, "data"), _joined(data, digest, n, None), wait))

    @call
    async def demand_vetted(self, federation: str, min_vetted: int) -> DemandKept:
        """Have the node train, from the next start on, only where so many other members carry the verifier flag."""
        return cast("DemandKept", await self.api.call("POST", _path(federation, "demand"), body={"min_vetted": min_vetted}))

    @call
    async def keep_vault(self, federation: str, on: bool = True, *, holders: Sequence[str] = ()) -> VaultKept:
        """Keep a vault from now on, or no more. `holders`: four or five vetted members, any three of whom can open it for this
        account should its own secret be lost."""
        body = {"on": on, "holders": list(holders)}
        return cast("VaultKept", await self.api.call("POST", _path(federation, "vault"), body=body))

    @call
    async def recover_federation(
        self, federation: str, data: str | None = None, *, n: int = 0, min_vetted: int | None = None
    ) -> FederationRecovering:
        """Take the place of a node of this account that was lost: train again on own data, and open its vault. How far that is says
        `own_part`. `data` is left out where the federation has ended."""
        body = {"n": n} | _given(data=data, min_vetted=min_vetted)
        return cast("FederationRecovering", await self.api.call("POST", _path(federation, "recover"), body=body))

    @call
    async def preview_local(self, federation: str, data: str, *, timeout_s: float = 7_200.0) -> PreviewView:
        """Train once on own data of the node. Nothing is sent, and what it leaves is deleted. After `timeout_s` seconds its `state`
        may still be "running"."""
        import asyncio

        loop = asyncio.get_running_loop()
        until, path = loop.time() + timeout_s, _path(federation, "preview")
        found = cast("PreviewView", await self.api.call("POST", path, body={"data": data}, extra_s=HOLD_S))
        while found["state"] == "running" and loop.time() < until:
            found = cast("PreviewView", await self.api.call("POST", path, body={"number": found["number"]}, extra_s=HOLD_S))
        return found

    @call
    async def own_part(self, federation: str) -> OwnPartView:
        """The node's own part: its updates, what left it, losses on its own data."""
        return cast("OwnPartView", await self.api.get(_path(federation, "own")))

    @call
    async def own_data(self) -> list[OwnDataView]:
        """The owner's own data on the node's engine."""
        return await self.api.rows("/v1/data")

    @call
    async def remove_data(self, name: str) -> DataRemoved:
        """Remove own data from the node's engine; the folder that they came from stays."""
        return cast("DataRemoved", await self.api.call("DELETE", f"/v1/data/{path_id(name)}"))

    @call
    async def leave_federation(self, federation: str, *, wait: float = 0) -> TxAnswer:
        """Leave from the next start on; what was earned stays."""
        return await self.api.submit(_path(federation, "leave"), None, wait)

    @call
    async def federation_serving(self) -> FederationServing:
        """Whether this node may be drawn as aggregator and for panels."""
        return cast("FederationServing", await self.api.get("/v1/federations/serving"))

    @call
    async def serve_federations(self, on: bool, *, wait: float = 0) -> TxAnswer:
        """Let this node be drawn as aggregator and for panels, or no more; with the setting federation.serve it says so itself."""
        return await self.api.submit("/v1/federations/serving", {"on": on}, wait)


def _path(federation: str, part: str = "") -> str:
    return f"/v1/federations/{path_id(federation)}" + (f"/{part}" if part else "")


def _sent(federation: FederationRequest | Json) -> Json:
    return federation if isinstance(federation, dict) else given(federation)


def _joined(data: str | None, digest: str | None, n: int, min_vetted: int | None) -> Json:
    return {"n": n} | _given(data=data, digest=digest, min_vetted=min_vetted)


def _given(**fields: Any) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


PART = SdkPart(FederationCalls)
