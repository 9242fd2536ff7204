"""Declares what this node's machine takes as a verifier, by itself, and again when that changes. Pure.

    what the settings allow of what the engine's machine has --> Capacity --> SetCapacity, where the ledger has another one

A node with the flag that declared nothing is not drawn. One that is not to verify (`work.verify` off) declares the least, if it
declared anything, so that it is not drawn and has nothing to abstain from.
"""

from __future__ import annotations

from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership import Member, SetCapacity, member_key
from learningchain.chain.crypto import sha256
from learningchain.chain.host import Reader
from learningchain.chain.host.terms import LIMITS, MAX_IMAGE_BYTES, Arch, Capacity
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.membership.http.cases import clock_text
from learningchain.client.work.events import Chain, Effect, EngineReady, Input, Notice, Submit
from learningchain.client.work.machine import Machine, Recalled

KIND = "membership"
_MIB = 2**20
START_MS = 120_000
"""So long, by the chain clock, a start may take that proves the sandbox and declares: no reason to warn anybody."""


class Capacities(Machine):
    name = "capacity"

    def __init__(self, known: Recalled) -> None:
        self._me, self._config = known.me, known.config
        self._engine: EngineReady | None = None
        self._said: set[tuple[int, Capacity]] = set()
        """What was sent, with the time of the declaration that it replaces."""
        self._notices: list[Notice] = []
        self._begun: int | None = None
        """The chain clock when this was first asked for."""

    def reconfigure(self, config: WorkConfig) -> None:
        self._config = config

    def handle(self, given: Input) -> list[Effect]:
        match given:
            case EngineReady():
                self._engine = given
            case Chain():
                return self._look(given.reader, given.clock)
        return []

    def notices(self) -> list[Notice]:
        return self._notices

    def _look(self, reader: Reader, clock: int) -> list[Effect]:
        member = reader.get(member_key(self._me))
        self._notices = []
        if not isinstance(member, Member) or not member.verifier:
            return []
        declared = member.capacity[0] if member.capacity else None
        wanted = self._wanted(declared)
        self._note(member, wanted, clock)
        if wanted is None or wanted == declared or (member.capacity_since, wanted) in self._said:
            return []
        self._said.add((member.capacity_since, wanted))
        # The outbox takes a key once: the same capacity may be declared again after another one.
        key = f"capacity:{member.capacity_since}:{sha256(encode(wanted)).hex()[:16]}"
        return [Submit(KIND, key, b"", SetCapacity(wanted))]

    def _wanted(self, declared: Capacity | None) -> Capacity | None:
        """What is to stand on the ledger; None: what stands there stays."""
        if not self._config.verify:
            return least(declared.arch) if declared is not None else None
        if self._engine is None or self._engine.arch is None:
            return None
        return offered(self._config, self._engine, self._engine.arch)

    def _note(self, member: Member, wanted: Capacity | None, clock: int) -> None:
        if clock < member.rests_until:
            text = f"This node's verifier flag rests until {clock_text(member.rests_until)}: too many of its last duties were bad. "
            self._notices.append(Notice("verifier.rests", self._me, f"{text}Until then it is not drawn; see the log for why"))
        self._begun = clock if self._begun is None else self._begun
        starting = clock < self._begun + START_MS and (self._engine is None or wanted is not None)
        if member.capacity or not self._config.verify or starting:
            return
        if self._engine is None:
            why = "its container engine is not ready. See readyz and the log"
        elif self._engine.arch is None:
            why = "jobs know no processor of its kind"
        else:
            why = "the declaration is on its way" if wanted is not None else "nothing is known of its machine"
        text = f"This node has the verifier flag and has declared no capacity, so it is never drawn and earns no fees: {why}"
        self._notices.append(Notice("capacity.none", self._me, text))


def offered(config: WorkConfig, engine: EngineReady, arch: Arch) -> Capacity:
    """What the settings allow of what the engine's machine has, within what anybody may declare."""
    cpus = min(1_000 * config.max_cpus, engine.cpus_milli) if config.max_cpus else engine.cpus_milli
    return Capacity(
        arch=arch,
        cpus_milli=_within("cpus_milli", cpus),
        mem_mb=_within("mem_mb", min(config.max_mem_mb, engine.mem_mb)),
        image=min(config.max_image_mb * _MIB, MAX_IMAGE_BYTES),
        model_cap=_within("model_cap", config.max_model_mb * _MIB),
        eval_s=_within("eval_s", config.max_eval_s),
    )


def least(arch: int) -> Capacity:
    """The least that may be declared: no job that is worth posting asks for so little."""
    low = {name: LIMITS[name][0] for name in ("cpus_milli", "mem_mb", "model_cap", "eval_s")}
    return Capacity(arch=arch, image=1, **low)


def _within(name: str, value: int) -> int:
    low, high = LIMITS[name]
    return max(low, min(value, high))
