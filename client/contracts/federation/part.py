"""A machine of federated training as the node's driver sees it: its runs get an image and a place, its messages the channel. Pure.

    LocalRun, EvaluateRun, EvaluateAll --> BringImage --ImageReady--> StartRun --RunEnded--> the machine
    Kept, wishes of a user --> the machine, and DropSecret once its book has them

What a machine says comes out in its order; a run waits for its image, a training also for room on the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from learningchain.chain.contracts.federation.messages import FederationTerms
from learningchain.chain.contracts.federation.records import FederationState
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.federation.roles.looking import FederationLook, look
from learningchain.client.contracts.federation.roles.runs import evaluate_spec, evaluates_spec, local_spec, run_name, wanted_image
from learningchain.client.contracts.federation.steps import ONE_OF, EvaluateAll, EvaluateRun, FedMachine, LocalRun, NodeSelf
from learningchain.client.contracts.federation.wishes import WISH, Wish, wish_in
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import (
    BringImage,
    Chain,
    Computed,
    ComputeFailed,
    ContentMissing,
    ContentReady,
    DropFile,
    DropSecret,
    Effect,
    EndScope,
    ImageFailed,
    ImageReady,
    Input,
    KeepBook,
    Kept,
    Kill,
    LossesOpened,
    Notice,
    OpenLosses,
    PeerSaid,
    ReleaseImage,
    RunEnded,
    Secret,
    SecretStored,
    Settled,
    StartRun,
    one_of_run,
)
from learningchain.client.work.machine import Machine, Recalled
from learningchain.client.work.slots import MachineShare
from learningchain.sandbox import RunStatus

AGAIN_MS = 5_000
"""Chain clock after which an image that was not to be had is asked for again."""


def node_self(known: Recalled, keys: OwnBoxKeys) -> NodeSelf:
    return NodeSelf(known.me, known.chain_id, known.rng, known.sign, keys.privates, known.derive)


@dataclass
class _Run:
    """A run that a machine wants, until it has ended. `begun`: it was handed to the sandbox."""

    wanted: LocalRun | EvaluateRun
    image: str = ""
    again_at: int = 0
    begun: bool = False

    @property
    def name(self) -> str:
        return run_name(self.wanted.run)

    @property
    def terms(self) -> FederationTerms:
        return self.wanted.terms

    @property
    def share(self) -> MachineShare:
        return MachineShare(self.terms.limits.cpus_milli, self.terms.limits.mem_mb)


class FedPart(Machine):
    """`files`: the paths that a book names; those that it names no more are deleted."""

    prompt = True
    wishes = ""
    """The kind of the wishes that are for it."""

    def __init__(
        self,
        machine: FedMachine,
        known: Recalled,
        keys: OwnBoxKeys,
        files: Callable[[Any], set[Any]] = lambda _: set(),
    ) -> None:
        self.name, self.machine = machine.name, machine
        self._config, self._keys, self._files = known.config, keys, files
        self._runs: dict[str, _Run] = {}
        """By the sandbox's names."""
        self._wishes = [one for one in known.secrets if one.kind == WISH + self.wishes] if self.wishes else []
        self._named = files(machine.book)
        self._troubles: dict[bytes, str] = {}
        """Images that are not to be had, by federation."""
        self._images = set(self.engaged())
        """Federations whose image this machine had brought, perhaps before a restart, and has not released since."""

    @property
    def busy(self) -> bool:
        return bool(self._runs)

    def gives_up(self, ref: bytes) -> bool:
        return all(run.wanted.ref != ref for run in self._runs.values())

    def notices(self) -> list[Notice]:
        text = "the image of federation {} is not to be had: {}"
        return [
            *self.machine.notices(),
            *(Notice("fed.image", ref, text.format(ref.hex()[:12], why)) for ref, why in sorted(self._troubles.items())),
        ]

    def reconfigure(self, config: WorkConfig) -> None:
        self._config = config

    def handle(self, given: Input) -> list[Effect]:
        return list(self._handle(given))

    def _handle(self, given: Input) -> Iterator[Effect]:
        waiting, self._wishes = self._wishes, []
        for secret in waiting:
            yield from self._take(secret)
        match given:
            case Kept(secret) | SecretStored(secret):
                self._keys.learn(secret)
                if self.wishes and secret.kind == WISH + self.wishes:
                    yield from self._take(secret)
            case ImageReady():
                self._troubles.pop(given.ref, None)
                yield from self._begin(given)
            case ImageFailed():
                yield from self._without(given)
            case RunEnded() if given.run in self._runs:
                wanted = self._runs.pop(given.run).wanted
                yield from self.ended(wanted, given)
                yield from self._say(replace(given, run=wanted.run))
            case Chain():
                yield from self._say(given)
                yield from self._go_on(given)
                yield from self._release_images(given)
            case ContentReady() | ContentMissing() | LossesOpened() | Settled() | Computed() | ComputeFailed() | PeerSaid():
                yield from self._say(given)

    def ended(self, wanted: LocalRun | EvaluateRun, ended: RunEnded) -> Iterator[Effect]:
        """A run of this machine is over."""
        yield from ()

    # --- wishes ------------------------------------------------------------------------------------------------------------------

    def _take(self, secret: Secret) -> Iterator[Effect]:
        """Dropped behind the book that has it."""
        yield from self.wished(wish_in(secret))
        yield DropSecret(secret.kind, secret.key)

    def wished(self, wish: Wish) -> Iterator[Effect]:
        yield from ()

    # --- images ------------------------------------------------------------------------------------------------------------------

    def engaged(self) -> Iterable[bytes]:
        """Federations of its book."""
        return ()

    def needs_image(self, at: FederationLook, clock: int) -> bool:
        """Whether a run of this machine may come."""
        return at.state != FederationState.END

    def _release_images(self, given: Chain) -> Iterator[ReleaseImage]:
        """Gigabytes of the engine's disk, which would stay until the federation leaves the state; and what was said of an image
        that nobody waits for any more."""
        for ref in sorted(self._images):
            at = look(given.reader, ref)
            if at is None and given.recent:
                self._images.discard(ref)  # what is held for it goes with it (`FedCleanUp`)
            elif at is not None and self.gives_up(ref) and not self.needs_image(at, given.clock):
                self._images.discard(ref)
                yield ReleaseImage(ref)
        self._troubles = {ref: why for ref, why in self._troubles.items() if ref in self._images}

    # --- what the machine says ---------------------------------------------------------------------------------------------------

    def _say(self, given: Any) -> Iterator[Effect]:
        for effect in self.machine.handle(given):
            yield from self.carry(effect)

    def carry(self, effect: Any) -> Iterator[Effect]:
        match effect:
            case LocalRun() | EvaluateRun():
                run = _Run(effect)
                self._runs[run.name] = run
                yield self._bring(run)
            case OpenLosses():
                whole, _, place = effect.run.partition(ONE_OF)
                yield replace(effect, run=one_of_run(run_name(whole), int(place)) if place else run_name(whole))
            case EndScope():
                yield from self._end(effect)
                yield effect
            case KeepBook():
                yield effect
                named = self._files(self.machine.book)
                for path in sorted(self._named - named):
                    yield DropFile(path)
                self._named = named
            case _:
                yield effect

    def _end(self, effect: EndScope) -> Iterator[Effect]:
        """Runs of a scope that is over."""
        for name, run in list(self._runs.items()):
            if run.wanted.run.startswith(f"{effect.scope}:"):
                del self._runs[name]
                self._troubles.pop(run.wanted.ref, None)
                if run.begun:
                    yield Kill(name, "what it was for is over")

    # --- runs --------------------------------------------------------------------------------------------------------------------

    def _bring(self, run: _Run) -> BringImage:
        self._images.add(run.wanted.ref)
        hidden = isinstance(run.wanted, EvaluateRun) and run.wanted.hidden is not None
        return BringImage(
            run.wanted.ref, wanted_image(self._config, run.terms, hidden=hidden), urgent=True, holder=run.wanted.sponsor
        )

    def _begin(self, ready: ImageReady) -> Iterator[Effect]:
        for run in list(self._runs.values()):
            if run.wanted.ref == ready.ref and not run.begun:
                run.image = ready.image_id
                if isinstance(run.wanted, EvaluateRun):
                    yield self._start(run)

    def _without(self, failed: ImageFailed) -> Iterator[Effect]:
        """For good: the runs end unstarted. For now: asked again a little later."""
        for run in [one for one in self._runs.values() if one.wanted.ref == failed.ref and not one.begun]:
            self._troubles[failed.ref] = failed.reason
            if failed.lasting:
                del self._runs[run.name]
                yield from self._say(RunEnded(run.wanted.run, RunStatus.NOT_STARTED, failed.reason))
            else:
                run.again_at = -1

    def _go_on(self, given: Chain) -> Iterator[Effect]:
        room = given.room
        for run in list(self._runs.values()):
            if run.begun:
                continue
            if run.image:
                if room is None or room.holds(run.share):
                    yield self._start(run)
                    room = None if room is None else room.less(run.share)
            elif run.again_at < 0:
                run.again_at = given.clock + AGAIN_MS
            elif 0 < run.again_at <= given.clock:
                run.again_at = 0
                yield self._bring(run)

    def _start(self, run: _Run) -> StartRun:
        run.begun = True
        wanted, name, image = run.wanted, run.name, run.image
        if isinstance(wanted, EvaluateAll):
            spec = evaluates_spec(wanted.terms, run=name, image_id=image, models=wanted.model, hidden=wanted.hidden)
            return StartRun(name, wanted.ref, spec, ("evaluates", 1), keep=True)
        if isinstance(wanted, EvaluateRun):
            spec = evaluate_spec(wanted.terms, run=name, image_id=image, model=wanted.model, hidden=wanted.hidden)
            return StartRun(name, wanted.ref, spec, ("evaluate", 1), keep=True)
        local, fitting = wanted, self.wishes == "member"
        return StartRun(
            name,
            local.ref,
            lambda owned: local_spec(
                local.terms,
                run=name,
                image_id=image,
                base=local.base,
                data=local.data,
                seed=local.seed,
                owned=owned,
                fitting=fitting,
                published=(local.ref, local.published) if local.published else None,
                allowed=self._config.federation.images,
            ),
            ("local", 1),
            keep=True,
        )
