"""Federations as objects: `node.federations` opens, finds and joins them. One says what joining means, is watched and waited for,
and gives its best model."""

from __future__ import annotations

import asyncio
import builtins
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from learningchain.client.contracts.federation.consent import check_open, check_own, own_data
from learningchain.client.contracts.federation.references import find_federation
from learningchain.client.contracts.federation.web.phrases import agreement
from learningchain.client.sdk.bar import ProgressBar
from learningchain.client.sdk.calls import Blocking, call, stream
from learningchain.client.sdk.objects import NodeObject, ObjectsPart
from learningchain.client.sdk.types import UnavailableError
from learningchain.client.sdk.values import Credits, Span, credits_text, loss_text, moment, own_name, seconds

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import FederationRoundView, JoiningView
    from learningchain.client.schema.bodies import EventView, OwnDataView
    from learningchain.client.sdk.client import Client

POLL_S: Final = 1.0
"""How often a federation that is waited for is asked about."""
SENT_S: Final = 60.0
"""How long what is sent may take to stand in a block."""
ENDED: Final = "END"
MOST_ROUNDS: Final = 1_000


@dataclass(frozen=True)
class Joining:
    """What joining a federation means for this node: what leaves it each round, who reads that, what it could earn. A notebook
    shows it as the command does. `raw` is the whole document of the API."""

    federation: str
    page: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    raw: Any

    def __str__(self) -> str:
        lines = [f"{name:22}{line}" for name, line in self.page]
        return "\n".join([*lines, *(f"Mind: {text}" for text in self.warnings)])

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(line)}</td></tr>" for name, line in self.page)
        minds = "".join(f"<p>Mind: {escape(text)}</p>" for text in self.warnings)
        return f"<table><caption>Joining federation {escape(self.federation[:12])}</caption>{cells}</table>{minds}"


@dataclass(frozen=True)
class FederationRound:
    """A round that was summed. `loss` is None until the panel measured it; `outcome` PROGRESS, NO_PROGRESS or REVERTED then."""

    round: int
    loss: float | None
    outcome: str | None
    pot: Decimal
    accepted: int
    raw: Any


@dataclass(frozen=True)
class FederationEvent:
    """Something that happened to a federation: `topic` says what, such as fed.joined, fed.settled or fed.ended."""

    topic: str
    time: datetime | None
    height: int
    round: int | None
    data: Mapping[str, Any]


class FederationObject(NodeObject):
    """A federation as the node told of it last; `refresh` asks again. `raw` has everything that the API says."""

    @property
    def id(self) -> str:
        return str(self.raw["id"])

    @property
    def name(self) -> str | None:
        """What it was called when it was opened from this machine; None where it has no name here."""
        return self._own_name()

    @property
    def number(self) -> int:
        return int(self.raw["number"])

    @property
    def sponsor(self) -> str:
        return str(self.raw["sponsor"])

    @property
    def state(self) -> str:
        """IDLE, DRAW, KEY, READY, TRAIN, HAVE, ROWS, SCREEN, SUM, MEASURE or OPEN; END when it is over."""
        return str(self.raw["state"])

    @property
    def end(self) -> str | None:
        """Why it is over, such as REACHED, ROUNDS or EXPIRED; None while it lives."""
        end: str | None = self.raw["end"]
        return end

    @property
    def is_over(self) -> bool:
        return self.state == ENDED

    @property
    def round(self) -> int:
        return int(self.raw["round"])

    @property
    def rounds(self) -> int:
        """How many rounds it may have."""
        return int(self.raw["rounds"])

    @property
    def bounty(self) -> Decimal:
        return Decimal(self.raw["bounty"])

    @property
    def paid(self) -> Decimal:
        return Decimal(self.raw["paid"])

    @property
    def target(self) -> float:
        return float(self.raw["target"])

    @property
    def initial(self) -> float | None:
        """The measured loss of the model that it began with."""
        return None if self.raw["initial"] is None else float(self.raw["initial"])

    @property
    def loss(self) -> float | None:
        """The lowest that was measured; None until one was."""
        return None if self.raw["best"] is None else float(self.raw["best"])

    @property
    def members(self) -> int:
        return int(self.raw["joined"])

    @property
    def secrecy(self) -> str:
        """sum: only sums of members' updates can be read. open: aggregators read each update."""
        return str(self.raw["secrecy"])

    @property
    def opened(self) -> datetime | None:
        return moment(self.raw["opened"])

    @property
    def ends(self) -> datetime | None:
        """When no further round starts."""
        return moment(self.raw["ends"])

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"id": self.id[:12], "name": self.name, "state": self.end or self.state}
        facts |= {"round": f"{self.round} of {self.rounds}", "loss": self.loss}
        facts |= {"target": self.target, "bounty": self.bounty, "paid": self.paid, "members": self.members}
        return facts | {"secrecy": self.secrecy, "ends": self.ends and f"{self.ends:%Y-%m-%d %H:%M:%S} UTC"}

    @call
    async def refresh(self) -> None:
        """Ask the node how the federation stands now."""
        self.raw = await self._node.federation(self.id)

    @call
    async def joining(self, data: str | None = None, *, vault: bool = True) -> Joining:
        """What joining means for this node, with own data where they are named. Nothing is sent."""
        own = None if data is None else await own_data(self._node, data)
        return _page(await self._node.joining(self.id), own, vault)

    @call
    async def join(
        self,
        data: str,
        *,
        examples: int | None = None,
        min_vetted: int | None = None,
        vault: bool = True,
        again: bool = False,
    ) -> None:
        """Join with own data of the node (learningchain data add), which trains on them by itself from then on. They never
        leave it. Read `joining(data)` first: calling this is the consent that the command asks for.

        examples: how many there are, where pay is split by samples. min_vetted: train only where so many other members carry the
        verifier flag. vault: two members keep the sealed local model. again: with data that were used in another federation of a
        small model, too.
        Raises UsageError, and RejectedError with the rule where the ledger refuses it; nothing is sent then.
        """
        await _join(self._node, self.id, data, examples, min_vetted, vault=vault, again=again)
        self.raw = await self._node.federation(self.id)

    @call
    async def preview(self, data: str) -> Mapping[str, Any]:
        """Train once on own data of the node, and send nothing: its state, reason, and the loss of the present model."""
        return await self._node.preview_local(self.id, (await own_data(self._node, data))["name"])

    @call
    async def leave(self) -> None:
        """Leave from the next start on; what was earned stays."""
        await self._node.leave_federation(self.id, wait=SENT_S)

    @call
    async def admit(self, member: str) -> None:
        """Let in who waits; for the sponsor. member: an address."""
        await self._node.admit_member(self.id, member, wait=SENT_S)

    @call
    async def close(self) -> None:
        """End it between two rounds; for the sponsor. What is unpaid comes back."""
        await self._node.close_federation(self.id, wait=SENT_S)
        self.raw = await self._node.federation(self.id)

    @call
    async def history(self) -> list[FederationRound]:
        """Its rounds so far, the first one first."""
        return [_round(one) for one in reversed(await self._node.federation_rounds(self.id, limit=MOST_ROUNDS))]

    @stream
    async def watch(self) -> AsyncIterator[FederationEvent]:
        """What happened to it and happens from now on, oldest first, until it has ended."""
        async for event in self._node.watch_federation(self.id):
            yield _event(event)

    @call
    async def wait(self, *, progress: bool = False, timeout: Span | None = None) -> None:
        """Wait until it is over: `end` says why.

        progress: show how far it is, in a terminal or a notebook.
        timeout: such as "30m"; the federation goes on when it has passed. Raises UnavailableError then.
        """
        until = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        bar = ProgressBar(f"federation {self.id[:12]}", on=progress)
        try:
            while True:
                self.raw = await self._node.federation(self.id)
                bar.show(*_how_far(self))
                if self.is_over:
                    return
                if until is not None and time.monotonic() >= until:
                    why = f"Federation {self.id} is {self.state} still. Wait for it again, it goes on"
                    raise UnavailableError(why, name="NOT_OVER")
                await asyncio.sleep(POLL_S)
        finally:
            bar.close()

    @call
    async def model(self, *, round: int | None = None) -> bytes:
        """The best model, or that of a round (0: the initial one): a safetensors file, checked against the ledger.

        Raises NotFoundError where there is none.
        """
        with tempfile.TemporaryDirectory(prefix="learningchain-") as folder:
            found = await self._node.fetch_federation_model(self.id, Path(folder) / "model", round=round)
            return await asyncio.to_thread(found.path.read_bytes)

    @call
    async def save_model(self, path: str | Path, *, round: int | None = None, overwrite: bool = False) -> Path:
        """Write the best model, or that of a round, into a file, or into a folder as model-<federation>, and return where it is."""
        return (await self._node.fetch_federation_model(self.id, Path(path), round=round, overwrite=overwrite)).path


class AsyncFederation(FederationObject):
    __doc__ = FederationObject.__doc__


class Federation(Blocking, FederationObject):
    __doc__ = FederationObject.__doc__


F = TypeVar("F", AsyncFederation, Federation)


class FederationsCalls(NodeObject, Generic[F]):
    """The network's federations."""

    _one: type[F]

    @call
    async def get(self, federation: str) -> F:
        """A federation by its id, by the first characters of it, or "latest": the newest that this node opened or joined."""
        return self._one(self._link, await self._node.federation(await find_federation(self._node, federation)))

    @call
    async def join(
        self,
        federation: str,
        data: str,
        *,
        examples: int | None = None,
        min_vetted: int | None = None,
        vault: bool = True,
        again: bool = False,
    ) -> F:
        """Join a federation with own data of the node, as `Federation.join` does. "latest" is the newest one that lives."""
        ref = await find_federation(self._node, federation, to_join=True)
        await _join(self._node, ref, data, examples, min_vetted, vault=vault, again=again)
        return self._one(self._link, await self._node.federation(ref))

    @stream
    async def watch(self, federation: str = "latest") -> AsyncIterator[FederationEvent]:
        """What happened to a federation and happens from now on, oldest first, until it has ended."""
        async for event in self._node.watch_federation(await find_federation(self._node, federation)):
            yield _event(event)

    @call
    async def open(
        self,
        image: Any,
        model: str | Path,
        *,
        bounty: Credits,
        target: float | str,
        rounds: int,
        ends: Span,
        name: str | None = None,
        round_time: Span = "10m",
        pace: Span = "1d",
        schema: str | Path | None = None,
        hidden: str | Path | None = None,
        reference: str | None = None,
        auto: bool = True,
        params: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        fee: Credits | None = None,
        admit: Literal["approve", "open"] = "approve",
        secrecy: Literal["sum", "open"] | None = None,
        rule: Literal["mean", "krum", "trimmed", "median"] = "mean",
        split: Literal["equal", "samples", "aligned", "half"] | None = None,
        min_members: int = 3,
        max_members: int = 20,
        min_sum: int | None = None,
        vetted: bool = True,
        dp: float = 0.0,
        more: Mapping[str, Any] | None = None,
    ) -> F:
        """Open a federation as the node's account: owners train one model, each on own data, for parts of the bounty.

        image: an archive, a folder or module to build it of, or name@sha256:... of a registry. model: the safetensors file to begin
        from. bounty: credits, paid as the measured loss falls towards the target. rounds: at most. ends, round_time, pace: "30m",
        seconds, or a timedelta. schema: a JSON file that members' tables are held against. hidden: test data, encrypted here; the
        node keeps the key. reference: own data of the node, on which it trains a reference. auto: the node starts rounds by itself.
        name: a name of one's own, kept in the node's data folder where that is on this machine.
        The others, and those in `more` (clip, patience, tol, float_kind, outside, arch), are as `fed open --help` has them.
        Raises UsageError, and RejectedError with the rule where the ledger would refuse it; nothing is sent then.
        """
        from learningchain.client.contracts.federation.offer import (
            check_hidden,
            check_noise,
            check_schema,
            content_name,
            encrypted,
            initial_model,
            said_of_rules,
            said_of_secrecy,
            taken,
            too_few,
        )
        from learningchain.client.sdk.images import is_built, prepare, smallest

        called = own_name(name)
        began, table = Path(model).expanduser(), None if schema is None else Path(schema).expanduser()
        test = None if hidden is None else Path(hidden).expanduser()
        first = await asyncio.to_thread(initial_model, began)
        check_noise(dp, first["dims"], min_members)
        if test is not None:
            check_hidden(test)
        built = is_built(image)
        body: dict[str, Any] = {"bounty": credits_text(bounty, "bounty"), "target": loss_text(target), "rounds": rounds}
        body |= {"ends_in_s": seconds(ends, "ends"), "round_s": seconds(round_time, "round_time"), "pace_s": seconds(pace, "pace")}
        body |= {"admit": admit, "rule": rule, "reference": reference is not None, "vetted": vetted, "min_members": min_members}
        body |= {"max_members": max_members, "dp_milli": round(dp * 1_000)} | dict(more or {})
        chosen: dict[str, Any] = {"split": split, "secrecy": secrecy, "min_sum": min_sum, "params": params, "limits": limits}
        chosen["fee"] = None if fee is None else credits_text(fee, "fee")
        body |= {name: given for name, given in chosen.items() if given is not None}
        duties: dict[str, Any] = {"auto": auto} | ({} if reference is None else {"reference": reference})
        await self._node.status()  # a node that is away is told before a long build
        body["model"] = first | {"cid": await asyncio.to_thread(content_name, began)}
        if table is not None:
            check_schema(table)
            body["schema"] = content_name(table)
        if built:  # which may take minutes
            taken(await self._node.quote_federation(smallest() | body | {"look_after": duties}))
        with tempfile.TemporaryDirectory(prefix="learningchain-") as scratch:
            named, archive = await asyncio.to_thread(prepare, image, Path(scratch))
            body = named | body
            sealed = None if hidden is None else Path(scratch) / "sealed"
            if test is not None and sealed is not None:
                body["hidden"], duties["hidden_key"] = await asyncio.to_thread(encrypted, test, sealed)
            quote = await self._node.quote_federation(body | {"look_after": duties})
            taken(quote)
            told = said_of_secrecy(first["dims"], secrecy, quote, test, "secrecy='open'")
            minds: list[str] = said_of_rules(
                first["dims"], quote, min_members, reference=reference is not None, krum=rule == "krum"
            )
            for said in (told, *minds, too_few(quote)):
                if said:
                    warnings.warn(said, stacklevel=2)
            for path in (archive, began, table, sealed):
                if path is not None:
                    await self._node.upload(path)
        done = await self._node.open_federation(body | {"look_after": duties}, wait=SENT_S)
        self._call_it(done["federation"], called)
        return self._one(self._link, await self._node.federation(done["federation"]))

    @call
    async def list(self, *, live: bool = False, limit: int = 50) -> builtins.list[F]:
        """The newest federations, the newest first. live: only those that are not over."""
        return [self._one(self._link, found) for found in await self._node.federations(live=live, limit=limit)]


class AsyncFederations(FederationsCalls[AsyncFederation]):
    __doc__ = FederationsCalls.__doc__
    _one = AsyncFederation


class Federations(Blocking, FederationsCalls[Federation]):
    """The network's federations. `node.federations["3fa9c1"]` is the one whose id begins so."""

    _one = Federation

    def __getitem__(self, federation: str) -> Federation:
        return self.get(federation)


class AsyncNodeFederations(NodeObject):
    """What an awaited node has of federations."""

    @property
    def federations(self) -> AsyncFederations:
        """Open federations, find and join them."""
        return AsyncFederations(self._link)


class NodeFederations(Blocking, NodeObject):
    """What a blocking node has of federations."""

    @property
    def federations(self) -> Federations:
        """Open federations, find and join them."""
        return Federations(self._link)


PART: Final = ObjectsPart(AsyncNodeFederations, NodeFederations)
"""What a node has of this contract, awaited and blocking."""


async def _join(
    node: Client, ref: str, data: str, examples: int | None, min_vetted: int | None, *, vault: bool, again: bool
) -> None:
    found, own = await node.joining(ref), await own_data(node, data)
    check_own(found, own, examples)
    check_open(found)
    await node.join_federation(ref, data, n=examples or 0, min_vetted=min_vetted, vault=vault, again=again, wait=SENT_S)


def _page(found: JoiningView, own: OwnDataView | None, vault: bool) -> Joining:
    page = tuple(
        (name if at == 0 else "", line) for name, lines in agreement(found, own, vault=vault) for at, line in enumerate(lines)
    )
    return Joining(found["federation"], page, tuple(found["warnings"]), found)


def _round(one: FederationRoundView) -> FederationRound:
    loss = None if one["loss"] is None else float(one["loss"])
    return FederationRound(one["round"], loss, one["outcome"], Decimal(one["pot"]), len(one["accepted"]), one)


def _event(event: EventView) -> FederationEvent:
    data = event["data"]
    return FederationEvent(event["topic"], moment(event["time"]), event["height"], data.get("r"), data)


def _how_far(one: FederationObject) -> tuple[float, str]:
    """From 0 to 1, and in words: the way from the initial loss to the target, or that of the rounds, whichever is further."""
    loss = "" if one.loss is None else f", loss {one.loss:.6g}"
    text = f"{one.end or one.state}, round {one.round} of {one.rounds}{loss}"
    if one.is_over:
        return 1.0, text
    done = (one.round - 1) / max(1, one.rounds)
    if one.initial is not None and one.loss is not None and one.initial > one.target:
        done = max(done, (one.initial - one.loss) / (one.initial - one.target))
    return max(0.0, min(0.99, done)), text
