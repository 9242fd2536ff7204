"""Runs that a role wants: each waits for the federation's image, and a training also for room on the machine. Pure.

local, evaluate --> BringImage --ImageReady--> StartRun --RunEnded--> over
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from learningchain.client.config import WorkConfig
from learningchain.client.contracts.federation.roles.looking import FederationLook, look
from learningchain.client.contracts.federation.roles.runs import evaluate_spec, local_spec, run_name, wanted_image
from learningchain.client.work.events import (
    BringImage,
    Chain,
    ImageFailed,
    ImageReady,
    Kill,
    Notice,
    ReleaseImage,
    StartRun,
)
from learningchain.client.work.slots import MachineShare

AGAIN_MS = 5_000
"""Chain clock after which an image that was not to be had is asked for again."""


_Start = Callable[[str], StartRun]


@dataclass
class _Awaited:
    """A run until it has ended. `start` takes the image; `share` of a training; `begun`: it was handed to the sandbox."""

    run: str
    bring: BringImage
    start: _Start
    share: MachineShare | None = None
    image: str = ""
    again_at: int = 0
    begun: bool = False


class AwaitedRuns:
    """A run has a name that its role knows again, and begins with its scope; the sandbox calls it `run_name` of that. `fitting`:
    trainings only on data that were held against the posted schema; `images`: federations whose image an earlier start had."""

    def __init__(self, config: WorkConfig, *, fitting: bool = False) -> None:
        self.config, self._fitting = config, fitting
        self._runs: dict[str, _Awaited] = {}
        """By the sandbox's names."""
        self._troubles: dict[bytes, str] = {}
        """Images that are not to be had, by federation."""
        self.images: set[bytes] = set()
        """Federations whose image was brought, perhaps before a restart, and has not been released since."""

    def __bool__(self) -> bool:
        return bool(self._runs)

    def wants(self, federation: bytes) -> bool:
        return any(one.bring.ref == federation for one in self._runs.values())

    def notices(self) -> list[Notice]:
        text = "the image of federation {} is not to be had: {}"
        return [Notice("fed.image", ref, text.format(ref.hex()[:12], why)) for ref, why in sorted(self._troubles.items())]

    # --- what is wanted ----------------------------------------------------------------------------------------------------------

    def local(self, run: str, at: FederationLook, base: Path, data: str, seed: int, published: bytes = b"") -> BringImage:
        """`local` on own data; RunEnded has the model that it left. `seed` is the same for all of an attempt. `published`: what the
        ledger has of the data (LC-FILE-48), which they have to be; empty: they are nobody's word."""
        name, terms = run_name(run), at.terms

        def start(image: str) -> StartRun:
            return StartRun(
                name,
                at.id,
                lambda owned: local_spec(
                    terms,
                    run=name,
                    image_id=image,
                    base=base,
                    data=data,
                    seed=seed,
                    owned=owned,
                    fitting=self._fitting,
                    published=(at.id, published) if published else None,
                    allowed=self.config.federation.images,
                ),
                ("local", 1),
                keep=True,
            )

        return self._await(run, at, start, MachineShare(terms.limits.cpus_milli, terms.limits.mem_mb))

    def evaluate(self, run: str, at: FederationLook, model: Path, hidden: Path | None, *, several: bool = False) -> BringImage:
        """A measurement. `several`: the file has models one behind the other, each of which is measured (`one_of_run`)."""
        name, phase = run_name(run), "evaluates" if several else "evaluate"

        def start(image: str) -> StartRun:
            spec = evaluate_spec(at.terms, run=name, image_id=image, model=model, hidden=hidden, several=several)
            return StartRun(name, at.id, spec, (phase, 1), keep=True)

        return self._await(run, at, start, hidden=hidden is not None)

    def _await(
        self, run: str, at: FederationLook, start: _Start, share: MachineShare | None = None, *, hidden: bool = False
    ) -> BringImage:
        """The sponsor has the image first of all."""
        bring = BringImage(at.id, wanted_image(self.config, at.terms, hidden=hidden), urgent=True, holder=at.posting.sponsor)
        self._runs[run_name(run)] = _Awaited(run, bring, start, share)
        self.images.add(at.id)
        return bring

    # --- what came ---------------------------------------------------------------------------------------------------------------

    def begin(self, ready: ImageReady) -> Iterator[StartRun]:
        self._troubles.pop(ready.ref, None)
        for one in self._runs.values():
            if one.bring.ref == ready.ref and not one.begun:
                one.image = ready.image_id
                if one.share is None:
                    yield self._start(one)

    def failed(self, failed: ImageFailed) -> list[str]:
        """Runs that end unstarted, as it failed for good. For now: it is asked for again a little later."""
        waiting = {name: one for name, one in self._runs.items() if one.bring.ref == failed.ref and not one.begun}
        if waiting:
            self._troubles[failed.ref] = failed.reason
        for name, one in waiting.items():
            one.again_at = -1
            if failed.lasting:
                del self._runs[name]
        return [one.run for one in waiting.values()] if failed.lasting else []

    def over(self, name: str) -> str | None:
        """The name that the role gave to a run that has ended; None of one that it does not wait for."""
        one = self._runs.pop(name, None)
        return one.run if one is not None else None

    def end(self, scope: str) -> Iterator[Kill]:
        """Runs of a scope that is over."""
        for name, one in list(self._runs.items()):
            if one.run.startswith(f"{scope}:"):
                del self._runs[name]
                self._troubles.pop(one.bring.ref, None)
                if one.begun:
                    yield Kill(name, "what it was for is over")

    def go_on(self, given: Chain) -> Iterator[StartRun | BringImage]:
        room = given.room
        for one in self._runs.values():
            if one.begun:
                continue
            if one.image and one.share is not None:
                if room is None or room.holds(one.share):
                    yield self._start(one)
                    room = None if room is None else room.less(one.share)
            elif one.again_at < 0:
                one.again_at = given.clock + AGAIN_MS
            elif 0 < one.again_at <= given.clock:
                one.again_at = 0
                yield one.bring

    def release(self, given: Chain, needs: Callable[[FederationLook], bool]) -> Iterator[ReleaseImage]:
        """Gigabytes of the engine's disk, which would stay until the federation leaves the state; and what was said of an image
        that nobody waits for any more."""
        for ref in sorted(self.images):
            at = look(given.reader, ref)
            if at is None and given.recent:
                self.images.discard(ref)  # what is held for it goes with it (`FedCleanUp`)
            elif at is not None and not self.wants(ref) and not needs(at):
                self.images.discard(ref)
                yield ReleaseImage(ref)
        self._troubles = {ref: why for ref, why in self._troubles.items() if ref in self.images}

    @staticmethod
    def _start(one: _Awaited) -> StartRun:
        one.begun = True
        return one.start(one.image)
