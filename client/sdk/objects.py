"""What every object of a node has, such as a job: what is known of it as attributes, what can be done with it as calls.

Its calls are written once, as coroutines on the `Client` of the node. One class has them awaited, one has them block:

    class JobObject(NodeObject):
        @call
        async def refresh(self) -> None: ...

    class AsyncJob(JobObject): ...
    class Job(Blocking, JobObject): ...

A coroutine of such a class awaits the client's calls alone, never a call of an object: that would block in the loop it runs on.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from learningchain.client.contracts import PartKind
from learningchain.client.sdk.calls import Calls

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client, SyncClient


@dataclass(frozen=True)
class NodeLink:
    """The way to a node. `loop` runs in a thread of its own where calls block, and is None where they are awaited."""

    client: Client
    loop: asyncio.AbstractEventLoop | None = None
    folder: Path | None = None
    """The node's data folder, where this program can have it: own names are kept there."""

    @classmethod
    def of(cls, client: SyncClient, folder: Path | None = None) -> NodeLink:
        """For objects whose calls block: they run on the same loop."""
        return cls(client._awaited, client._loop, folder)


class NodeObject(Calls):
    """`raw` is the document of the API that the attributes are read from, as the node told it last."""

    def __init__(self, link: NodeLink, raw: Mapping[str, Any] | None = None) -> None:
        super().__init__(link.client.api)
        self._link, self._node = link, link.client
        self._awaited: Any = self  # for `Blocking`: its coroutines run on this very object
        self._loop: Any = link.loop
        self.raw: Mapping[str, Any] = raw or {}

    def _own_name(self) -> str | None:
        """What the node's owner calls it; None where it has no name, or the node's folder is elsewhere."""
        from learningchain.client.keys.names import NamesError, load

        try:
            return None if self._link.folder is None else load(self._link.folder).of(self.raw["id"])
        except NamesError:  # what holds no names takes nothing else away
            return None

    def _call_it(self, ref: str, name: str | None) -> None:
        """Keep an own name, where there is one and the node's folder is known. What was posted stays so where it cannot be kept."""
        from learningchain.client.keys.names import NamesError, label

        if name is not None and self._link.folder is not None:
            try:
                label(self._link.folder, ref, name)
            except NamesError as e:
                warnings.warn(str(e), stacklevel=3)

    def _facts(self) -> dict[str, Any]:
        """What is shown of it to people, the first two in one line."""
        return {}

    def __repr__(self) -> str:
        said = [f"{name}={value!s}" for name, value in self._facts().items() if value is not None]
        return f"<{type(self).__name__} {' '.join(said)}>"

    def _repr_html_(self) -> str:
        """For notebooks. Names and texts of others are shown, and are never markup."""
        rows = [(name, value) for name, value in self._facts().items() if value is not None]
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in rows)
        return f"<table><caption>{type(self).__name__.removeprefix('Async')}</caption>{cells}</table>"


class ObjectsPart(NamedTuple):
    """What a node as an object has of one contract of this program."""

    awaited: type[NodeObject]
    blocking: type[NodeObject]


OBJECTS: Final = PartKind("objects", ObjectsPart)
