"""What a node and its machines say to each other, and what both refuse to hear.

    machine -> node   JoinMachine | MachineHello, then Began, RunProgress, Printed, RunOver, MachinePing | Want | WantSet
                      | GiveOutput | AskNode
    node -> machine   Joined | Admitted, then Take, EndRun, ReleaseRun, DropImage, MachinePing | Sized | SetSized | OutputReceived
                      | NodeSays
                      and MachineRefused in place of each

Six kinds of connections, told apart by the machine's first frame, over TLS 1.3. `JoinMachine` comes once, without a certificate.
`MachineHello` opens the one that stays. `Want` asks for the image or an input of a run, whose bytes follow the answer; `WantSet`
for a data set of it, whose listing and files follow, one after the other (`set_cache`). `GiveOutput` offers an output of a run or
its checkpoint, whose bytes follow once the answer says that they may. `AskNode` is for whoever looks whether all is well. A frame
is its length (four bytes, big-endian), then one of the records in the canonical encoding. Whatever is longer, unknown or comes too
fast ends the connection. Nothing here is a protocol between members: both ends are one owner's, and of one version of the program.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Final

from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.errors import Malformed
from learningchain.chain.host.terms import MAX_REFERENCE

PROTOCOL: Final = 4
MAX_FRAME: Final = 1 << 20
PIECE: Final = 256 << 10
"""Bytes of an image or an output that are under way at a time."""
MAX_ARCHIVE: Final = 1 << 40
MAX_TEXT: Final = 400
MAX_TAIL: Final = 8_192
MAX_HELD: Final = 64
"""Runs that a machine may hold."""
MAX_INPUTS: Final = 8
PING_S: Final = 10.0
SILENT_S: Final = 30.0
"""A connection on which nothing is heard for so long is at its end."""
BURST: Final = 500
RATE: Final = 250.0
"""Frames that may come at once, and a second in the long run: more is a flood. `MAX_HELD` runs send three a second each."""
_HEAD: Final = 4

Run = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,79}\Z")]
Image = Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
File = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9._-]{0,31}\Z")]
Name = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\Z")]
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Tail = Annotated[str, Meta(max_length=MAX_TAIL)]
Size = Annotated[int, Meta(ge=0, le=MAX_ARCHIVE)]
Small = Annotated[int, Meta(ge=0, le=2**31)]
Step = Annotated[int, Meta(ge=0, le=2**53)]
Pem = Annotated[str, Meta(max_length=4_096)]
Version = Annotated[int, Meta(ge=0, le=2**16)]


class JoinMachine(Wire, frozen=True, tag=1):
    """The one-time secret of a token, and the public key (DER) that the machine wants a certificate for."""

    protocol: Version
    secret: Digest
    key: Annotated[bytes, Meta(max_length=256)]


class HeldRun(Wire, frozen=True):
    """A run that the machine holds, and the SHA-256 of its order."""

    run: Run
    order: Digest


class MachineHello(Wire, frozen=True, tag=2):
    """What the machine has, what it holds, and why it takes no run: empty where it takes some."""

    protocol: Version
    program: Annotated[str, Meta(max_length=64)]
    engine: Annotated[str, Meta(max_length=64)]
    arch: Annotated[str, Meta(max_length=32)]
    cpus_milli: Small
    mem_mb: Small
    trouble: Text
    runs: Annotated[list[HeldRun], Meta(max_length=MAX_HELD)]


class Want(Wire, frozen=True, tag=3):
    """An input of this run, by its name; empty: its image."""

    run: Run
    name: Annotated[str, Meta(pattern=r"\A([a-z][a-z0-9._-]{0,31})?\Z")]


class GiveOutput(Wire, frozen=True, tag=4):
    run: Run
    name: File
    size: Size


class Began(Wire, frozen=True, tag=5):
    run: Run


class RunProgress(Wire, frozen=True, tag=6):
    """`of` 0 and `loss` empty: not said. No number of this protocol is a float."""

    run: Run
    step: Step
    of: Step
    loss: Annotated[str, Meta(max_length=32)]


class Printed(Wire, frozen=True, tag=7):
    run: Run
    tail: Tail


class RunOver(Wire, frozen=True, tag=8):
    """How it ended, after its outputs were given. `exit_code` -1: none."""

    run: Run
    status: Annotated[str, Meta(max_length=32)]
    reason: Text
    exit_code: Annotated[int, Meta(ge=-1, le=2**31)]
    wall_ms: Annotated[int, Meta(ge=0, le=2**40)]
    tail: Tail


class MachinePing(Wire, frozen=True, tag=9):
    pass


class AskNode(Wire, frozen=True, tag=10):
    """Whether this machine would be let in."""

    protocol: Version


class WantSet(Wire, frozen=True, tag=11):
    """A data set of this run, by its digest."""

    run: Run
    digest: Digest


class Joined(Wire, frozen=True, tag=32):
    name: Name
    certificate: Pem
    authority: Pem


class MachineRefused(Wire, frozen=True, tag=33):
    text: Text


class Admitted(Wire, frozen=True, tag=34):
    name: Name


class InputFile(Wire, frozen=True):
    """A file that the job finds in /lc/in under this name."""

    name: File
    size: Size


class Take(Wire, frozen=True, tag=35):
    """`order`: `sandbox.spec.dump_run` of the run without the files that it is given: those are `inputs`. What its image may weigh,
    as `ImageLimits` has it; and how much of the order's time has passed, waiting for the machine. `reference`: of an image that the
    machine pulls from its registry; empty where the node has it."""

    run: Run
    order: Annotated[bytes, Meta(max_length=MAX_FRAME // 2)]
    archive_bytes: Size
    unpacked_bytes: Size
    files: Small
    layers: Small
    waited_ms: Small
    inputs: Annotated[list[InputFile], Meta(max_length=MAX_INPUTS)]
    reference: Annotated[str, Meta(max_length=MAX_REFERENCE)] = ""


class EndRun(Wire, frozen=True, tag=36):
    run: Run
    why: Text


class ReleaseRun(Wire, frozen=True, tag=37):
    """Nothing of this run is needed any more."""

    run: Run


class DropImage(Wire, frozen=True, tag=38):
    image: Image


class Sized(Wire, frozen=True, tag=39):
    size: Size


class OutputReceived(Wire, frozen=True, tag=40):
    pass


class NodeSays(Wire, frozen=True, tag=41):
    """It would. `program`: the node's version; `now`: its wall clock, ms."""

    program: Annotated[str, Meta(max_length=64)]
    now: Annotated[int, Meta(ge=0, le=2**53)]


class SetSized(Wire, frozen=True, tag=42):
    """Bytes of the listing, which follow, and of all files, which follow it."""

    listing: Size
    size: Size


FromMachine = (
    JoinMachine | MachineHello | Want | WantSet | GiveOutput | Began | RunProgress | Printed | RunOver | MachinePing | AskNode
)
_Orders = Admitted | Take | EndRun | ReleaseRun | DropImage | MachinePing
FromNode = Joined | MachineRefused | _Orders | Sized | SetSized | OutputReceived | NodeSays


class FrameReader:
    """Reads frames, and bytes between them. Raises `Malformed` for what is no frame, for a flood, and where nothing is heard for
    `SILENT_S`; ConnectionError at the end of the connection."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._allowed, self._at = float(BURST), time.monotonic()

    async def of_machine(self) -> FromMachine:
        found: FromMachine = decode(FromMachine, await self._read(), MAX_FRAME)  # type: ignore[arg-type]
        return found

    async def of_node(self) -> FromNode:
        found: FromNode = decode(FromNode, await self._read(), MAX_FRAME)  # type: ignore[arg-type]
        return found

    async def _read(self) -> bytes:
        head = await self.exactly(_HEAD)
        size = int.from_bytes(head, "big")
        if not 0 < size <= MAX_FRAME:
            raise Malformed(f"a frame of {size} bytes, 1 to {MAX_FRAME} are allowed")
        self._count()
        return await self.exactly(size)

    def _count(self) -> None:
        now = time.monotonic()
        self._allowed = min(float(BURST), self._allowed + (now - self._at) * RATE) - 1
        self._at = now
        if self._allowed < 0:
            raise Malformed(f"more than {RATE:g} frames a second")

    async def exactly(self, size: int) -> bytes:
        try:
            async with asyncio.timeout(SILENT_S):
                return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError:
            raise ConnectionError("the other side closed the connection") from None
        except TimeoutError:
            raise Malformed(f"nothing was heard for {SILENT_S:g} s") from None


def framed(message: Wire) -> bytes:
    raw = encode(message)
    if len(raw) > MAX_FRAME:
        raise ValueError(f"a frame of {len(raw)} bytes, at most {MAX_FRAME} are allowed")
    return len(raw).to_bytes(_HEAD, "big") + raw


async def drained(writer: asyncio.StreamWriter) -> None:
    """What was written is on its way. Raises ConnectionError where the other side takes nothing for `SILENT_S`."""
    try:
        async with asyncio.timeout(SILENT_S):
            await writer.drain()
    except TimeoutError:
        raise ConnectionError(f"the other side took nothing for {SILENT_S:g} s") from None


def shown(text: str, most: int = MAX_TEXT) -> str:
    """The other side's text for people: no line, no control character, bounded."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:most])
