"""A connection to a container's standard streams, by the Engine's attach call.

Output arrives as frames of stream number, length and bytes; `Demux` takes them apart, without I/O.
"""

from __future__ import annotations

import contextlib
import select
import socket
from typing import Any

from learningchain.sandbox.docker.engine import CALL_TIMEOUT_S, Engine
from learningchain.sandbox.errors import EngineError
from learningchain.sandbox.output import STDOUT, OutputReader
from learningchain.sandbox.progress import Progress

_FRAME_HEADER = 8
_READ = 1 << 18
_TAIL = 400


class Demux:
    """Gives the stream number and the bytes of each piece of output. Keeps one unfinished frame header, nothing else."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._left = 0
        self._stream = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        view = memoryview(data)
        while view:
            if not self._left:
                need = _FRAME_HEADER - len(self._header)
                self._header += view[:need]
                view = view[need:]
                if len(self._header) == _FRAME_HEADER:
                    self._stream = self._header[0]
                    self._left = int.from_bytes(self._header[4:8], "big")
                    self._header.clear()
                continue
            piece = bytes(view[: self._left])
            view = view[len(piece) :]
            self._left -= len(piece)
            found.append((self._stream, piece))
        return found


class FramedOutput(OutputReader):
    """What a container prints, as the engine frames it."""

    def __init__(self) -> None:
        super().__init__()
        self._demux = Demux()

    def feed(self, data: bytes) -> Progress | None:
        """Takes in bytes from the engine; returns the newest progress among them."""
        newest: Progress | None = None
        for stream, piece in self._demux.feed(data):
            newest = self.take(stream, piece) or newest
        return newest


class Attached:
    """The streams of one container, from before its start until `close`. Whoever uses it from several threads takes turns."""

    def __init__(self, engine: Engine, name: str, *, stdin: bool = False, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Raises EngineError."""
        params = {"stdin": int(stdin), "stdout": 1, "stderr": 1, "stream": 1}

        def attach(api: Any) -> Any:
            return api.attach_socket(name, params=params)

        # The wrapper owns the connection and must live as long; it refuses to go on after a time-out, the socket below does not.
        self._wrapper = engine.call("attaching to a container", attach)
        self._socket = getattr(self._wrapper, "_sock", self._wrapper)
        self._socket.settimeout(timeout_s)

    def receive(self) -> bytes | None:
        """What the engine sent; empty at the end of the output, None where nothing came in time."""
        try:
            return bytes(self._socket.recv(_READ))
        except TimeoutError:
            return None
        except OSError:
            return b""

    def receive_now(self) -> bytes | None:
        """The same without any waiting."""
        try:
            return bytes(self._socket.recv(_READ)) if select.select([self._socket], [], [], 0)[0] else None
        except (OSError, ValueError):  # ValueError: it is closed
            return b""

    def send(self, data: bytes) -> None:
        """Raises OSError."""
        self._socket.sendall(data)

    def close(self) -> None:
        """Ends the connection for good; closing the socket alone would leave it open while the wrapper refers to it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        # Before the streams that it reads from: since Python 3.13 one that finds them closed complains on the standard error.
        response = getattr(self._wrapper, "_response", None)
        if response is not None:
            response.close()
        self._socket.close()
        self._wrapper.close()


class Dialogue:
    """Lines and bytes back and forth with a program of ours in a container. Raises EngineError where it falls silent."""

    def __init__(self, attached: Attached, what: str) -> None:
        self._attached = attached
        self._what = what
        self._demux = Demux()
        self._waiting = bytearray()
        self._complaints = b""

    def send(self, data: bytes) -> None:
        try:
            self._attached.send(data)
        except OSError as problem:
            raise EngineError(self._what, f"it takes nothing ({problem})") from problem

    def line(self, cap: int) -> str:
        """The next line without its end."""
        while (end := self._waiting.find(b"\n")) < 0 and len(self._waiting) <= cap:
            self._more()
        if not 0 <= end <= cap:
            raise EngineError(self._what, f"a line of more than {cap} bytes")
        text = self._waiting[:end].decode("ascii", "replace")
        del self._waiting[: end + 1]
        return "".join(char if char.isprintable() else "?" for char in text)

    def some(self, most: int) -> bytes:
        """At least one and at most `most` of the bytes that come next."""
        if not self._waiting:
            self._more()
        piece = bytes(self._waiting[:most])
        del self._waiting[:most]
        return piece

    def close(self) -> None:
        self._attached.close()

    def _more(self) -> None:
        before = len(self._waiting)
        while len(self._waiting) == before:
            data = self._attached.receive()
            if not data:
                why = "it does not answer" if data is None else "it has ended"
                raise EngineError(self._what, f"{why} {self._complaints.decode('utf-8', 'replace')}".strip())
            for stream, piece in self._demux.feed(data):
                if stream == STDOUT:
                    self._waiting += piece
                else:
                    self._complaints = (self._complaints + piece)[-_TAIL:]
