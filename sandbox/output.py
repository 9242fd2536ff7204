"""Reads what a container prints, as it prints it: counts it, keeps the end of it, finds progress lines. No I/O."""

from __future__ import annotations

from learningchain.sandbox.progress import DONE_LINE, PROGRESS_LINE_CAP, READY_LINE, Progress, parse_progress

STDOUT = 1
TAIL_CAP = 8192


class OutputReader:
    """`total` counts the job's bytes. Memory stays bounded: one unfinished line and the tail."""

    def __init__(self) -> None:
        self.total = 0
        self.ready = False
        """Whether the job has said that it waits for its late inputs."""
        self.done = False
        """Whether it has said that its outputs are written."""
        self._tail = bytearray()
        self._line = bytearray()

    def take(self, stream: int, piece: bytes) -> Progress | None:
        """Takes in bytes of one stream (1: standard output); returns the newest progress among them."""
        self.total += len(piece)
        self._tail += piece[-TAIL_CAP:]
        del self._tail[:-TAIL_CAP]
        if stream != STDOUT:
            return None
        newest: Progress | None = None
        *whole, rest = piece.split(b"\n")
        for part in whole:
            # A line that grew too long has its beginning kept, so that it cannot pass for a progress line.
            line = bytes(self._line) + part[: PROGRESS_LINE_CAP + 1]
            self._line.clear()
            line = line.rstrip(b"\r")
            newest = parse_progress(line) or newest
            self.ready = self.ready or line == READY_LINE
            self.done = self.done or line == DONE_LINE
        self._line += rest[: PROGRESS_LINE_CAP + 1 - len(self._line)] if len(self._line) <= PROGRESS_LINE_CAP else b""
        return newest

    def tail(self) -> str:
        """The end of the output, safe to print on a terminal. Another thread than the one that takes output in may ask."""
        text = bytes(self._tail)[-TAIL_CAP:].decode("utf-8", "replace")
        return "".join(char if char == "\n" or char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
