"""How what stands in blocks becomes rows: by the parts `callbacks` of the contracts' slices.

A block is looked through for the references that somebody waits for: a look at a set for each event, whatever strangers do. The
state is looked at for one reference at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from learningchain.chain.host import Reader
from learningchain.chain.types import LogEvent
from learningchain.client import contracts
from learningchain.client.callbacks.database import MAX_BODY, NewRow
from learningchain.client.contracts import PartKind
from learningchain.client.schema.render import render_event

log: Any = structlog.get_logger("callbacks")

Json = dict[str, Any]
TEST: Final = "test"
_NONE: Final[Mapping[bytes, bytes]] = {}


class CallbackLeaving(NamedTuple):
    """What is told of references that leave the state."""

    knows: Callable[[Reader, bytes], bool]
    """(reader, reference) -> whether it stands there."""
    left: Callable[[Reader, Sequence[str], int | None, int], str]
    """(reader, names so far, known, clock) -> one of `last`, for a reference that stands nowhere that this node can look, and can
    come no more. `known`: when it stood on the ledger, or its message left; None: it may never have been. Milliseconds of the
    chain's clock, but `known` of the wall clock."""


class CallbackPart(NamedTuple):
    """What callbacks tell of one contract: see `client.callbacks`."""

    names: frozenset[str]
    """What may happen, as callbacks call it: letters."""
    last: frozenset[str]
    """The names after which nothing comes."""
    named: Callable[[str, Json], str | None]
    """(topic, what the event noted) -> the name of an event of the ledger; None where it is not told."""
    happened: Callable[[Reader, bytes], list[str]]
    """(reader, reference) -> the names of what has happened, in order, from the state alone."""
    data: Callable[[Reader, bytes, str, Json | None], Json]
    """(reader, reference, name, what the event noted or None) -> what is said with it."""
    secret_of: Callable[[Reader, bytes], tuple[str, bytes] | None] = lambda _, __: None
    """(reader, reference) -> kind and key, among what the node's work keeps, of what makes plain what is told, if any."""
    opened: Callable[[Reader, bytes, Json, bytes], Json] = lambda _, __, data, ___: data
    """(reader, reference, data, secret) -> the data as the node's own user sees them."""
    leaving: CallbackLeaving | None = None
    """Where references leave the state, also unseen by a node that has not all blocks."""


CALLBACKS: Final = PartKind("callbacks", CallbackPart)


def find_sources() -> dict[str, CallbackPart]:
    """By the slices' names. Raises RuntimeError where a name cannot stand in a webhook-id."""
    found = contracts.parts(CALLBACKS)
    for slice_, part in found.items():
        for name in part.names:
            if not name.isalpha() or not name.isascii() or name == TEST:
                raise RuntimeError(f"The callbacks of {slice_} have an event {name!r}. Its name is letters, and not {TEST!r}")
    return found


def body_of(source: str, name: str, chain_id: bytes, ref: bytes, height: int, time: int, data: Json) -> bytes:
    """What is posted. `time`: the block's, in milliseconds; `height` 0 where it is not known any more."""
    at = datetime.fromtimestamp(time / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"type": f"{source}.{name}", "timestamp": at, "network": chain_id.hex(), "ref": ref.hex(), "height": height or None}
    body = msgspec.json.encode(head | {"data": data})
    if len(body) > MAX_BODY:
        body = msgspec.json.encode(head | {"data": {}, "left_out": f"data of {len(body)} bytes: ask the node"})
    return body


class CallbackEvents:
    """What is new for the references that somebody waits for. `waiting`: source by reference."""

    def __init__(self, chain_id: bytes, sources: Mapping[str, CallbackPart]) -> None:
        self._chain_id, self._sources = chain_id, sources
        self.waiting: dict[bytes, str] = {}

    def waited(self, events: Iterable[Any]) -> list[LogEvent]:
        """Those of something that somebody waits for."""
        return [event for event in events if isinstance(event, LogEvent) and event.ref in self.waiting]

    def secret_of(self, reader: Reader, ref: bytes) -> tuple[str, bytes] | None:
        """What the node keeps that makes plain what is told of a reference: kind and key."""
        part = self._sources.get(self.waiting.get(ref, ""))
        return part.secret_of(reader, ref) if part else None

    def of_block(
        self, reader: Reader, height: int, time: int, events: Iterable[Any], secrets: Mapping[bytes, bytes] = _NONE
    ) -> list[NewRow]:
        """Rows for what a block noted, in its order. `reader`: the state after it, or a later one. `secrets`: by reference."""
        rows = []
        for event in self.waited(events):
            source = self.waiting[event.ref]
            noted = render_event(event)["data"]
            name = self._sources[source].named(event.topic, noted)
            if name is not None:
                data = self._data(source, reader, event.ref, name, noted, secrets)
                rows.append(self._row(source, event.ref, name, height, time, data))
        return rows

    def of_state(self, reader: Reader, ref: bytes, time: int, secrets: Mapping[bytes, bytes] = _NONE) -> list[NewRow]:
        """Rows for all that has happened to a reference, without its blocks."""
        source = self.waiting.get(ref)
        if source is None:
            return []
        names = self._sources[source].happened(reader, ref)
        return [self._row(source, ref, name, 0, time, self._data(source, reader, ref, name, None, secrets)) for name in names]

    def knows(self, reader: Reader, ref: bytes) -> bool | None:
        """Whether a reference stands in the state; None where its contract does not say."""
        part = self._sources.get(self.waiting.get(ref, ""))
        return part.leaving.knows(reader, ref) if part and part.leaving else None

    def lost(self, reader: Reader, ref: bytes, told: Sequence[str], known_ms: int | None, clock_ms: int) -> list[NewRow]:
        """The last row for a reference of which nothing is to be had any more."""
        source = self.waiting.get(ref, "")
        part = self._sources.get(source)
        if part is None or part.leaving is None:
            return []
        name = part.leaving.left(reader, told, known_ms, clock_ms)
        return [
            self._row(
                source, ref, name, 0, clock_ms, self._data(source, reader, ref, name, {"outcome": None}, _NONE) | {"left": True}
            )
        ]

    def _row(self, source: str, ref: bytes, name: str, height: int, time: int, data: Json) -> NewRow:
        return NewRow(ref, name, body_of(source, name, self._chain_id, ref, height, time, data), name in self._sources[source].last)

    def _data(self, source: str, reader: Reader, ref: bytes, name: str, noted: Json | None, secrets: Mapping[bytes, bytes]) -> Json:
        """What happened is told though a slice fails to say more of it."""
        part = self._sources[source]
        try:
            data = part.data(reader, ref, name, noted)
            return part.opened(reader, ref, data, secrets[ref]) if ref in secrets else data
        except Exception:
            log.exception("what a callback says could not be made", ref=ref.hex(), about=name)
            return {}
