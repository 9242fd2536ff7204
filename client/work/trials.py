"""A node tries what it is to serve, before it says on the ledger that it does: two runs of a sample, in containers like those that
would answer, and `tries.judge` compares. One trial at a time; of those that wait, the holder whose turn is longest ago goes first
(a token of the API, or the node's owner). A holder has few places, and the owner's are beside those of all tokens: nobody's
models keep another's from being tried.

    begin --> waiting --> fetching (image, files) --> running (1 of 2, 2 of 2) --> passed, or failed: `why` says what is wrong

Every step has an end: the engine gets ready within `READY_S` or not, a transfer is given up after `fetch_ms`, a run after the
start and the time that `prepare` gives it. What a trial brought here stays for `KEPT_S` after it passed: the machine that
serves the model then finds it, and does not fetch it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec
import structlog

from learningchain.client.config import WorkConfig
from learningchain.client.node.block_figures import Figure
from learningchain.client.work.events import (
    BringImage,
    ContentReady,
    FetchContent,
    ImageReady,
    Input,
    LateInputs,
    RunEnded,
    StartRun,
    WantedImage,
)
from learningchain.client.work.transfers import fetch_ms
from learningchain.client.work.tries import RUNS, Trial, TriedRun, judge
from learningchain.client.work.warm_pool import cost_mb
from learningchain.sandbox import ParsedAnswer, RunSpec, RunStatus

log = structlog.get_logger(__name__)

PIN: Final = "try"
READY_S: Final = 120.0
KEPT_S: Final = 600.0
"""How long it counts what a trial came to."""
MOST: Final = 64
"""Trials of which it is remembered what they came to."""
MOST_WAITING: Final = 8
"""Trials that wait or run, of all tokens; and as many of the node's owner."""
MOST_OF_ONE: Final = 2
"""Of one token."""
MOST_HOLDERS: Final = 512
"""Whose last turn is remembered; more than there are tokens."""
OWNER: Final = ""
"""The holder that is no token."""

State = Literal["waiting", "fetching", "running", "passed", "failed"]
UNDER_WAY: Final[tuple[State, ...]] = ("waiting", "fetching", "running")


class TrialImpossible(Exception):
    """It cannot be tried here. The text says why."""


class TrialsBusy(TrialImpossible):
    """All places are taken. `own`: by the holder's own trials."""

    def __init__(self, text: str, *, own: bool) -> None:
        super().__init__(text)
        self.own = own


@dataclass(frozen=True)
class PreparedTrial:
    """`owner`: the answers that its owner registered, where it did; `tol` in units of 1e-9."""

    spec: RunSpec
    late: LateInputs
    tol: int
    owner: ParsedAnswer | None = None


@dataclass(frozen=True)
class WantedTrial:
    """`files`: name, CID and most bytes of what is fetched; `prepare(run, image_id, paths)` is called in a thread and raises
    `TrialImpossible` and OSError. `phase`: how people see its runs."""

    ref: bytes
    phase: str
    image: Callable[[WorkConfig], WantedImage]
    files: tuple[tuple[str, str, int], ...]
    prepare: Callable[[str, str, Mapping[str, Path]], PreparedTrial]


@dataclass
class TrialState:
    """`holder`: who asked for it first. `runs`: their ids, as `learningchain runs` has them. `told`: somebody was told how it
    ended."""

    ref: bytes
    holder: str = OWNER
    state: State = "waiting"
    step: str = "waits for another trial to end"
    why: str = ""
    runs: list[str] = field(default_factory=list)
    since: int = 0
    ended_s: float | None = None
    told: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    """It may begin."""

    def show(self) -> dict[str, Any]:
        return {"state": self.state, "step": self.step, "why": self.why, "runs": list(self.runs), "since": self.since}


class TrialGround(Protocol):
    """What a trial needs of the node's work."""

    @property
    def config(self) -> WorkConfig: ...

    def clock(self) -> int:
        """Of the chain, milliseconds."""
        ...

    async def ready(self, within_s: float) -> str:
        """Empty when the sandbox is ready; else, after so many seconds, why it is not."""
        ...

    async def image(self, wanted: BringImage) -> Input: ...

    async def content(self, wanted: FetchContent) -> Input: ...

    async def run(self, start: StartRun) -> RunEnded: ...

    def log_of(self, run: str) -> str:
        """The last words of a run that has ended."""
        ...

    async def let_go(self, ref: bytes) -> None:
        """The trial's own pins end."""
        ...


class Trials:
    """`now_s`: seconds of a clock that never goes back; `now_ms`: of the wall clock; `spawn`: a task that ends with the node."""

    def __init__(
        self,
        ground: TrialGround,
        *,
        spawn: Callable[[Any], Any],
        now_s: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._ground, self._spawn, self._now_s, self._now_ms = ground, spawn, now_s, now_ms
        self._known: dict[bytes, TrialState] = {}
        self._waiting: list[TrialState] = []
        """In the order in which they came."""
        self._running: TrialState | None = None
        self._turns: dict[str, int] = {}
        """Of each holder, the number of its last turn."""
        self._started = 0

    @property
    def refs(self) -> set[bytes]:
        """What is here for a trial, and nobody's to throw away yet."""
        return {ref for ref, one in self._known.items() if one.state != "failed" and self._counts(one)}

    def find(self, ref: bytes) -> TrialState | None:
        """The last trial of it."""
        return self._known.get(ref)

    def figure(self) -> Figure:
        """Those under way."""
        states = [one.state for one in self._known.values()]
        return Figure("lc_trials", "Trials of models under way", ("state",), {(one,): states.count(one) for one in UNDER_WAY})

    def begin(self, wanted: WantedTrial, holder: str = OWNER) -> TrialState:
        """A new one, or the one that is under way, has passed lately, or came to an end that nobody was told of. `holder`: the
        token that asks. Raises `TrialsBusy`."""
        found = self._known.get(wanted.ref)
        if found is not None and self._counts(found) and not (found.state == "failed" and found.told):
            return found
        self._places(holder)
        self._known.pop(wanted.ref, None)
        ended = [ref for ref, one in self._known.items() if one.ended_s is not None]
        for old in ended[: max(0, len(self._known) + 1 - MOST)]:
            del self._known[old]
        state = self._known[wanted.ref] = TrialState(wanted.ref, holder, since=self._now_ms())
        self._waiting.append(state)
        self._next()
        self._spawn(self._follow(wanted, state))
        return state

    def _places(self, holder: str) -> None:
        """Raises `TrialsBusy` where none is left for the holder."""
        open_ = [one.holder for one in self._known.values() if one.ended_s is None]
        if holder == OWNER:
            if open_.count(OWNER) >= MOST_WAITING:
                raise TrialsBusy(f"{MOST_WAITING} trials wait already on this node. Try again when they have ended", own=False)
            return
        if open_.count(holder) >= MOST_OF_ONE:
            why = f"{MOST_OF_ONE} trials of this token wait or run already, the most that one token may have on this node"
            raise TrialsBusy(f"{why}. Ask again when one has ended", own=True)
        if len(open_) - open_.count(OWNER) >= MOST_WAITING:
            raise TrialsBusy(f"{MOST_WAITING} trials wait already on this node. Try again when they have ended", own=False)

    def _next(self) -> None:
        """Who goes on, where nothing runs: of the holders that wait the one whose turn is longest ago, and its oldest."""
        if self._running is not None or not self._waiting:
            return
        found = min(self._waiting, key=lambda one: self._turns.get(one.holder, 0))
        self._waiting.remove(found)
        last = max(self._turns.values(), default=0) + 1
        self._turns.pop(found.holder, None)
        self._turns[found.holder] = last
        if len(self._turns) > MOST_HOLDERS:
            del self._turns[next(iter(self._turns))]
        self._running = found
        found.turn.set()

    def _over(self, state: TrialState) -> None:
        if state in self._waiting:
            self._waiting.remove(state)
        if self._running is state:
            self._running = None
        self._next()

    def _counts(self, one: TrialState) -> bool:
        return one.ended_s is None or self._now_s() < one.ended_s + KEPT_S

    async def _follow(self, wanted: WantedTrial, state: TrialState) -> None:
        why = "this node is stopping"
        try:
            await state.turn.wait()
            why = (await self._tried(wanted, state)).why
        except TrialImpossible as problem:
            why = str(problem)
        except Exception as problem:
            log.error("a trial ended by a fault", ref=wanted.ref.hex(), exc_info=problem)
            why = f"{type(problem).__name__}: {problem}"
        finally:
            state.why, state.ended_s = why, self._now_s()
            state.state, state.step = ("failed", "is over") if why else ("passed", f"{RUNS} runs of its sample agree")
            state.over.set()
            self._over(state)
        await self._ground.let_go(wanted.ref)

    async def _tried(self, wanted: WantedTrial, state: TrialState) -> Trial:
        state.state, state.step = "fetching", "waits for the sandbox of this node"
        if why := await self._ground.ready(READY_S):
            raise TrialImpossible(f"no container can be run on this machine: {why}")
        image, paths = await self._brought(wanted, state)
        self._started += 1
        run = f"try-{wanted.ref.hex()[:16]}-{self._started}"
        prepared = await asyncio.to_thread(_fitting, wanted, run, image, paths, self._ground.config.serve.mem_mb)
        state.state = "running"
        tried: list[TriedRun] = []
        while len(tried) < RUNS and (not tried or tried[-1].answer is not None):
            state.step = f"run {len(tried) + 1} of {RUNS} of its sample"
            tried.append(await self._run(wanted, prepared, state, len(tried) + 1))
        return judge(tuple(tried), prepared.owner, prepared.tol)

    async def _brought(self, wanted: WantedTrial, state: TrialState) -> tuple[str, dict[str, Path]]:
        """The image's id on the engine, and the files."""
        state.step = "fetches the image"
        brought = await self._ground.image(BringImage(wanted.ref, wanted.image(self._ground.config), urgent=True))
        if not isinstance(brought, ImageReady):
            raise TrialImpossible(f"its image is not to be had: {getattr(brought, 'reason', '')}")
        paths: dict[str, Path] = {}
        for name, cid, size in wanted.files:
            state.step = f"fetches the {name}"
            until = self._ground.clock() + fetch_ms(size)
            found = await self._ground.content(FetchContent("try", name, wanted.ref, cid, size, until, pin=PIN))
            if not isinstance(found, ContentReady):
                raise TrialImpossible(f"its {name} is not to be had: {getattr(found, 'reason', '')}")
            paths[name] = found.path
        return brought.image_id, paths

    async def _run(self, wanted: WantedTrial, prepared: PreparedTrial, state: TrialState, number: int) -> TriedRun:
        name = f"{prepared.spec.run_id}-{number}"
        state.runs.append(name)
        began = self._now_s()
        spec = msgspec.structs.replace(prepared.spec, run_id=name)
        ended = await self._ground.run(StartRun(name, wanted.ref, spec, (wanted.phase, number), late=prepared.late))
        answer = ended.result if ended.status is RunStatus.OK and isinstance(ended.result, ParsedAnswer) else None
        last = self._ground.log_of(name).strip().splitlines()[-1:]
        said = f". Its last words: {last[0][:200]}" if last and answer is None else ""
        return TriedRun(
            outcome=ended.status.answer,
            reason=ended.reason + said,
            answer=answer,
            ready_s=0.0,
            answer_s=self._now_s() - began,
            log_tail="",
        )


def _fitting(wanted: WantedTrial, run: str, image: str, paths: Mapping[str, Path], most_mb: int) -> PreparedTrial:
    """What is no larger than what the node has for served models: it would not be served, and would take the memory of those that
    are. Raises as `prepare` does."""
    prepared = wanted.prepare(run, image, paths)
    if (cost := cost_mb(prepared.spec)) > most_mb:
        raise TrialImpossible(
            f"a container of it may use {cost} MiB, and serve.mem_mb is {most_mb}: raise that, or do not serve it"
        )
    return prepared
