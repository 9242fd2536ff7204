"""Reads what a container prints, as it prints it: counts it, keeps the end of it, finds progress lines. No I/O."""

from __future__ import annotations

from sandbox.results import parse_progress
from sandbox.spec import PROGRESS_LINE_CAP, Progress

TAIL_CAP = 8192
_FRAME_HEADER = 8
_STDOUT = 1


class OutputReader:
    """Takes the engine's multiplexed stream apart (frames of stream number, length, bytes).

    `total` counts the job's bytes. Memory stays bounded: one unfinished line and the tail.
    """

    def __init__(self) -> None:
        self.total = 0
        self._header = bytearray()
        self._frame_left = 0
        self._frame_stream = 0
        self._tail = bytearray()
        self._line = bytearray()

    def feed(self, data: bytes) -> Progress | None:
        """Takes in bytes from the engine; returns the newest progress among them."""
        newest: Progress | None = None
        view = memoryview(data)
        while view:
            if not self._frame_left:
                need = _FRAME_HEADER - len(self._header)
                self._header += view[:need]
                view = view[need:]
                if len(self._header) == _FRAME_HEADER:
                    self._frame_stream = self._header[0]
                    self._frame_left = int.from_bytes(self._header[4:8], "big")
                    self._header.clear()
                continue
            piece = bytes(view[: self._frame_left])
            view = view[len(piece) :]
            self._frame_left -= len(piece)
            newest = self._take(piece) or newest
        return newest

    def _take(self, piece: bytes) -> Progress | None:
        self.total += len(piece)
        self._tail += piece[-TAIL_CAP:]
        del self._tail[:-TAIL_CAP]
        if self._frame_stream != _STDOUT:
            return None
        newest: Progress | None = None
        *whole, rest = piece.split(b"\n")
        for part in whole:
            # A line that grew too long has its beginning kept, so that it cannot pass for a progress line.
            line = bytes(self._line) + part[: PROGRESS_LINE_CAP + 1]
            self._line.clear()
            newest = parse_progress(line.rstrip(b"\r")) or newest
        self._line += rest[: PROGRESS_LINE_CAP + 1 - len(self._line)] if len(self._line) <= PROGRESS_LINE_CAP else b""
        return newest

    def tail(self) -> str:
        """The end of the output, safe to print on a terminal."""
        text = self._tail.decode("utf-8", "replace")
        return "".join(char if char == "\n" or char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
