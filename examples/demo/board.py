"""What the demo knows at one moment: `examples.demo.watch` fills it from the nodes' APIs, `examples.demo.show` draws it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from learningchain.examples.demo.plan import Part

Json = dict[str, Any]


@dataclass
class Step:
    """One step of the set-up. `total` 0: it has no measure."""

    title: str
    done: float = 0
    total: float = 1
    since: float = field(default_factory=time.monotonic)
    took: float | None = None

    @property
    def over(self) -> bool:
        return self.took is not None


@dataclass
class NodeLine:
    """A node as it was last seen. `sandbox`: None while its self-test goes on."""

    part: Part
    address: str
    height: int = 0
    peers: int = 0
    validator: bool = False
    working: bool = False
    sandbox: bool | None = None
    note: str = ""
    runs: dict[str, Json] = field(default_factory=dict)
    """By run id, each as last seen: a node forgets old runs, the demo counts them all."""

    @property
    def needs_sandbox(self) -> bool:
        return self.part.validator

    def current(self) -> list[Json]:
        return [run for run in self.runs.values() if run.get("ended") is None]


@dataclass
class Board:
    say: Callable[[str, str], None]
    """Tell one line of news, in a style."""
    names: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    nodes: dict[str, NodeLine] = field(default_factory=dict)
    title: str = "Setting up"
    job_id: str = ""
    job: Json | None = None
    clock: int = 0
    clock_at: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def name(self, identity: Any) -> str:
        """Who an address belongs to."""
        return self.names.get(str(identity), str(identity))

    def step(self, title: str, total: float = 1) -> Step:
        step = Step(title, 0, total)
        self.steps.append(step)
        return step

    def finish(self, step: Step) -> None:
        step.done, step.took = step.total, time.monotonic() - step.since
        self.say(f"{step.title}: done in {step.took:.1f} s", "green")

    def left_s(self) -> float | None:
        """Seconds until the job's present deadline, counted on from the last reading of the chain clock."""
        deadline = self.job.get("deadline") if self.job else None
        return None if deadline is None else (deadline - self.clock) / 1_000 - (time.monotonic() - self.clock_at)

    def runs_of(self, job: str) -> list[tuple[str, Json]]:
        """(node, run) of one job, in the order of their starts."""
        found = [(name, run) for name, line in self.nodes.items() for run in line.runs.values() if run.get("job") == job]
        return sorted(found, key=lambda pair: (pair[1].get("started") or 0, pair[0]))
