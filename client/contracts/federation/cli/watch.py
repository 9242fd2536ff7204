"""`fed watch`: a federation live, from now or its begin to its end.

Events say what happened; the ledger's record says where it stands. For each attempt it is told whether this node's own update was
used, and if not which rule refused it; for each measurement the loss, in a curve. The live view also shows what this node fetches
for it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console, Group
from rich.live import Live

from learningchain.chain.types import format_loss
from learningchain.client.cli.common import HERE, Common, Output, cell, clean, facts, named, when
from learningchain.client.cli.files import coming_for, coming_table
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Text
from learningchain.client.contracts.federation.cli.reading import FedText
from learningchain.client.contracts.federation.cli.words import meaning, state_text
from learningchain.client.contracts.federation.directions import names_of
from learningchain.client.contracts.federation.references import find_federation
from learningchain.client.contracts.federation.web.phrases import CODES, ENDS, OUTCOMES, VOIDS
from learningchain.client.sdk.http import COMING_S
from learningchain.client.sdk.types import ApiError, UnreachableError

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import FederationRoundView, FederationView
    from learningchain.client.schema.bodies import EventView, TransferView
    from learningchain.client.sdk.client import Client

RETRIES = 10
REST_S = 0.5
"""The record is read at most this often."""
FIRST, ENDED, MOST_ROUNDS = "fed.opened", "fed.ended", 1_000
WIDTH, HEIGHT = 60, 10
"""Of the curve, in characters."""
KEPT_LINES = 12
"""What happened lately, below the curve."""


def watch(
    federation: FedText,
    /,
    *,
    verbose: Annotated[
        bool, Parameter(negative="", show_default=False, help="Also each step of aggregators and panel, and other members' files.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Follow a federation until it has ended. With --json one line for each event."""

    async def follow(node: Client) -> int:
        ref = await find_federation(node, federation)
        common.goes_on("The federation goes on without you", f"fed watch {ref[:12]}")
        story = Story((await node.status())["id"], verbose=verbose)
        view = (
            FedJsonView(common.out)
            if common.json
            else FedLiveView(story)
            if sys.stdout.isatty()
            else FedLineView(common.out, story)
        )
        with view, transfers_in(node, ref, story) if isinstance(view, FedLiveView) else nullcontext():
            async for event in _events(node, ref):
                if story.target is None and event["topic"] != FIRST:
                    story.remember(await node.federation(ref), await node.federation_rounds(ref, limit=MOST_ROUNDS))
                now = story.take(event)
                if now.wants_record and (story.is_time() or event["topic"] == ENDED):
                    with suppress(ApiError):
                        story.record = await node.federation(ref)
                view.update(event, now.line)
        return 0

    return common.ask(follow)


async def _events(node: Client, ref: str) -> Any:
    """From the first to the last, also over a node that goes away for a while. Raises `UnreachableError` when it stays away."""
    after, failures = -1, 0
    while True:
        try:
            async for event in node.watch_federation(ref, after=after):
                after, failures = event["cursor"], 0
                yield event
            return
        except UnreachableError:
            failures += 1
            if failures > RETRIES:
                raise
            await asyncio.sleep(min(0.2 * 2**failures, 5.0))


@contextmanager
def transfers_in(node: Client, ref: str, story: Story) -> Iterator[None]:
    """Keep in the story what this node fetches for the federation. A node that is away for a while is asked again."""

    async def look() -> None:
        while True:
            with suppress(UnreachableError):
                story.coming = await coming_for(node, ref)
            await asyncio.sleep(COMING_S)

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()


# --- what is told ---------------------------------------------------------------------------------------------------------------


class ToldEvent:
    """One event in words. `line` None: nothing for people; `wants_record`: the federation's record may say something new."""

    def __init__(self, line: str | None, wants_record: bool) -> None:
        self.line, self.wants_record = line, wants_record


_WORDS = {
    "fed.opened": "{sponsor} opens the federation: bounty {bounty}, target {target}, at most {rounds} rounds",
    "fed.asked": "{member} asks to join",
    "fed.joined": "{member} is a member",
    "fed.left": "{member} leaves, from the next start on",
    "fed.removed": "{member} is removed, from the next start on",
    "fed.lapsed": "{member} waited too long to be admitted",
    "fed.forgotten": "{member}, who left, gave its index to another one",
    "fed.started": "round {r} is started (start {attempt})",
    "fed.unstarted": "nobody could be drawn for the panel",
    "fed.sealed": "the sponsor opened the test file to the panel",
    "fed.benched": "{member} is out up to start {until}: three updates in a row were refused",
    "fed.excluded": "{aggregator} is drawn only where others are too few: it contradicted itself or others",
    "fed.cell": "cell {cell} is drawn: {members}; it is summed whole or not at all, and nobody is added to it",
    "fed.missed": "{member} missed attempt {attempt}: three of sixteen cost it its place",
    "fed.gone.cell": "{member} has no place in a cell any more",
    "fed.cell.over": "cell {cell} is over: fewer of it are left, or count, than a sum needs; they wait for a new one",
    "fed.again": "the measurement of round {r} came to nothing and is repeated",
    "fed.gone": "its records left the state",
}
_STEPS = {
    "fed.drawn": "aggregators are drawn: {seats}",
    "fed.train": "members train, attempt {attempt}",
    "fed.file": "{member} committed its update",
    "fed.collect": "{files} updates are there",
    "fed.ready": "{aggregator} is ready",
    "fed.have": "{aggregator} has {files} updates",
    "fed.sealed.parts": "{aggregator} sealed what it is to show",
    "fed.cells.summed": "{cells} cells are added up in round {r}",
    "fed.said": "{aggregator} has judged or added up",
    "fed.silent": "{aggregator} was silent",
    "fed.differs": "{aggregator} said something else than the others",
    "fed.measure": "the panel measures round {r}",
    "fed.vote": "{seat} measured {loss} ({code})",
    "fed.unopened": "{seat} did not show its measurement",
    "fed.data": "{member} trains on other data from now on",
    "fed.vault": "{member} keeps its local model with others",
}
"""What an event says to people, the second ones where all is asked for; those with words of their own are in `Story`."""
RECORDED = frozenset(
    ("fed.opened", "fed.idle", "fed.measured", "fed.settled", "fed.ended", "fed.joined", "fed.left", "fed.screened")
)


class Story:
    """What is known of a federation from its events: losses by round, and what became of the own updates."""

    def __init__(self, own: str, *, verbose: bool) -> None:
        self._own, self._verbose = own, verbose
        self._by_round: dict[int, float] = {}
        self._read_at = float("-inf")
        self._cells = 1
        self.target: float | None = None
        self.used = self.refused = 0
        self.record: FederationView | None = None
        self.coming: list[TransferView] = []
        """What this node fetches for it now."""

    @property
    def losses(self) -> list[tuple[int, float]]:
        return sorted(self._by_round.items())

    def remember(self, one: FederationView, rounds: Sequence[FederationRoundView]) -> None:
        """What happened before the first event that is told."""
        self.target, self.record = float(one["target"]), one
        if one["initial"] is not None:
            self._by_round[0] = float(one["initial"])
        self._by_round |= {row["round"]: float(row["loss"]) for row in rounds if row["loss"] is not None}

    def is_time(self) -> bool:
        """Whether to read the record again: a long history is gone through without asking at each of its events."""
        now = time.monotonic()
        if now < self._read_at + REST_S:
            return False
        self._read_at = now
        return True

    def take(self, event: EventView) -> ToldEvent:
        topic, data = event["topic"], event["data"]
        if topic == "fed.opened":
            self.target = float(data["target"])
        if topic == "fed.measured" and not data["invalid"]:
            self._by_round[data["r"]] = float(data["loss"])
        if topic == "fed.cells.summed":
            self._cells = data["cells"]
        line = self._line(topic, data)
        return ToldEvent(line, topic in RECORDED)

    def _line(self, topic: str, data: dict[str, Any]) -> str | None:
        match topic:
            case "fed.code":
                return self._file(data)
            case "fed.void":
                return f"round {data['r']}, attempt {data['attempt']} came to nothing, {data['why']}: {VOIDS.get(data['why'], '')}"
            case "fed.screened":
                return f"round {data['r']}: {data['used']} updates fit, {data['accepted']} are added up"
            case "fed.measured":
                what = "the panel finds no model in it" if data["invalid"] else f"measured loss {data['loss']}"
                return f"{'the initial model' if data['r'] == 0 else 'round ' + str(data['r'])}: {what}"
            case "fed.directions":
                return f"round {data['r']} reached {self._directions(data['found'])}"
            case "fed.settled":
                said = OUTCOMES.get(data["outcome"], data["outcome"])
                return f"round {data['r']}: {said}" + (f", {data['pot']} to its members" if data["pot"] != "0" else "")
            case "fed.ended":
                return f"it is over, {data['why']}: {ENDS.get(data['why'], '')}; {data['paid']} were paid"
        words = _WORDS.get(topic) or (_STEPS.get(topic) if self._verbose else None)
        if words is None:
            return None
        said = {name: ", ".join(map(str, one)) if isinstance(one, list) else one for name, one in data.items()}
        try:
            return words.format_map(said)
        except KeyError:
            return topic.replace(".", " ")

    def _directions(self, found: Sequence[int]) -> str:
        """Of each a step and a loss. Which cells were summed `fed show` says."""
        steps, losses = found[::2], found[1::2]
        names = names_of(len(steps), ["a cell"] * self._cells)
        told = zip(names, steps, losses, strict=True)
        return ", ".join(f"{name} {format_loss(loss) if step else 'no model'}" for name, step, loss in told)

    def _file(self, data: dict[str, Any]) -> str | None:
        said = CODES.get(data["code"], data["code"])
        if data["code"] == "USED" and not data["accepted"]:
            said = "fits, but is not added: too few new ones beside it"
        if data["member"] == self._own:
            self.used += bool(data["accepted"])
            self.refused += not data["accepted"]
            return f"your update of round {data['r']}: {said}"
        return f"update of {data['member']}, round {data['r']}: {said}" if self._verbose else None


# --- views ----------------------------------------------------------------------------------------------------------------------


class WatchView:
    def __enter__(self) -> WatchView:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, event: EventView, line: str | None) -> None:
        raise NotImplementedError


class FedJsonView(WatchView):
    def __init__(self, out: Output) -> None:
        self._out = out

    def update(self, event: EventView, line: str | None) -> None:
        self._out.line(event)


class FedLineView(WatchView):
    """For pipes and logs: a line for each thing that happened, with the time of its block; the curve at the end."""

    def __init__(self, out: Output, story: Story) -> None:
        self._out, self._story = out, story

    def __exit__(self, *_: object) -> None:
        for row in curve(self._story.losses, self._story.target):
            self._out.console.print(row, soft_wrap=True)

    def update(self, event: EventView, line: str | None) -> None:
        if line is not None:
            self._out.console.print(f"{when(event['time'])}  {named(clean(line))}", soft_wrap=True)


class FedLiveView(WatchView):
    def __init__(self, story: Story) -> None:
        self._story, self._lines = story, list[str]()
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._render, transient=True)

    def __enter__(self) -> FedLiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._console.print(self._render())

    def update(self, event: EventView, line: str | None) -> None:
        if line is not None:
            self._lines = [*self._lines, f"{when(event['time'])}  {named(clean(line))}"][-KEPT_LINES:]
        self._live.refresh()

    def _render(self) -> Group:
        return Group(*display(self._story), *(Text(line) for line in self._lines))


def display(story: Story) -> list[Any]:
    """Where it stands, what is being fetched for it, and the curve."""
    parts: list[Any] = []
    if (one := story.record) is not None:
        rows: list[tuple[str, Any]] = [
            ("state", state_text(one)),
            ("", meaning(one)),
            ("round", f"{one['round']} of {one['rounds']}"),
            ("loss", f"{one['best'] or 'not measured'}, target {one['target']}"),
            ("paid", f"{one['paid']} of {one['bounty']}"),
        ]
        if story.used or story.refused:
            rows.append(("your updates", f"{story.used} used, {story.refused} not"))
        parts.append(facts(f"Federation {one['id']}", rows))
    if story.coming:
        parts += [coming_table(story.coming), Text()]
    return [*parts, *(cell(row, "cyan") for row in curve(story.losses, story.target)), Text()]


def curve(losses: list[tuple[int, float]], target: float | None) -> list[str]:
    """Losses by round as rows of text, the highest on top, with the target as a dashed line; the last `WIDTH` of them. Nothing for
    fewer than two."""
    shown = losses[-WIDTH:]
    if len(shown) < 2:
        return []
    values = [value for _, value in shown]
    lines = [*values, target] if target is not None else values
    low, high = min(lines), max(lines)
    step = (high - low) / (HEIGHT - 1) or 1.0

    def row_of(value: float) -> int:
        return HEIGHT - 1 - round((value - low) / step)

    dashed = row_of(target) if target is not None else -1
    rows = []
    for row in range(HEIGHT):
        marks = "".join("●" if row_of(value) == row else "╌" if row == dashed else " " for value in values)
        rows.append(f"{high - row * step:>12.6g} ┤{marks}" + (" target" if row == dashed else ""))
    return [*rows, f"{'round':>12} └{shown[0][0]}{str(shown[-1][0]).rjust(max(1, len(shown) - len(str(shown[0][0]))))}"]
