#!/usr/local/bin/python3
"""The job of the backend suite: behaves as `params.mode` says. The same program runs in a container and, over `Host`, in the
process of an engine's double, so that the two can be compared."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

GOOD = "0.25\n0.5\n"


class Host(Protocol):
    """What a job has around it."""

    inside: Path
    outside: Path

    def say(self, data: bytes) -> None: ...

    def line(self) -> bytes:
        """The next line of standard input; empty at its end."""
        ...

    def hang(self) -> None:
        """Waits for something that never happens, without a sound."""
        ...


class Container:
    inside, outside = Path("/lc/in"), Path("/lc/out")

    def say(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def line(self) -> bytes:
        return sys.stdin.buffer.readline()

    def hang(self) -> None:
        while True:
            time.sleep(3600)


def good(host: Host) -> int:
    for step in (1, 2, 3):
        host.say(b'LC {"step":%d,"of":3}\n' % step)
    (host.outside / "model").write_bytes(b"weights")
    (host.outside / "losses").write_text(GOOD)
    return 0


def echo(host: Host) -> int:
    """Prints what lies in its inputs."""
    files = sorted(path for path in host.inside.rglob("*") if path.is_file())
    host.say(json.dumps({path.relative_to(host.inside).as_posix(): path.read_text() for path in files}).encode() + b"\n")
    return good(host)


def forever(host: Host) -> int:
    host.say(b'LC {"step":1}\n')
    host.hang()
    return 1


def flood(host: Host) -> int:
    for _ in range(64):
        host.say(b"x" * 4095 + b"\n")
    host.hang()
    return 1


def no_result(host: Host) -> int:
    return 0


def not_a_number(host: Host) -> int:
    (host.outside / "losses").write_text("0.25\nnan\n")
    return 0


def no_lines(host: Host) -> int:
    (host.outside / "losses").write_text("0.25")
    return 0


def large(host: Host) -> int:
    good(host)
    (host.outside / "model").write_bytes(bytes(70_000))
    return 0


def empty(host: Host) -> int:
    good(host)
    (host.outside / "model").write_bytes(b"")
    return 0


def link(host: Host) -> int:
    good(host)
    (host.outside / "model").unlink()
    (host.outside / "model").symlink_to(host.inside / "job.json")
    return 0


def answer(host: Host) -> int:
    """Of a phase that only the tests have: the sum of the numbers in all its inputs."""
    names = [path for path in host.inside.rglob("*") if path.is_file() and path.name != "job.json"]
    (host.outside / "answer").write_text(str(sum(int(path.read_text()) for path in names)))
    (host.outside / "trace").write_text(" ".join(sorted(path.relative_to(host.inside).as_posix() for path in names)))
    return 0


def long_answer(host: Host) -> int:
    answer(host)
    (host.outside / "answer").write_text("1" * 101)
    return 0


def no_number(host: Host) -> int:
    answer(host)
    (host.outside / "answer").write_text("x")
    return 0


def warm(host: Host) -> int:
    """Waits for its late input."""
    before = sorted(path.name for path in host.inside.iterdir())
    host.say(b'LC {"ready":1}\n')
    if host.line() != b"go\n":
        return 0
    host.say(f"before {before}\n".encode())
    return answer(host)


def leaves(host: Host) -> int:
    """Is ready, and waits for nothing."""
    host.say(b'LC {"ready":1}\n')
    return 0


def predicts(host: Host) -> int:
    """A model that adds: the score of a row is its number and the model's. Never ends by itself."""
    model = int((host.inside / "model").read_text())
    host.say(b'LC {"ready":1}\n')
    if host.line() != b"go\n":
        return 0
    asked = json.loads((host.inside / "request.json").read_text())
    rows = (host.inside / "input").read_text().split()
    if "?" in rows:
        (host.outside / "answer").write_text(f"unfit {rows.index('?')}\n")
        host.say(b'LC {"done":1}\n')
        host.hang()
    scores = [int(row) + model for row in rows]
    if len(scores) != asked["rows"]:
        return 66
    lines = [f"{score % 3} {score}.5" for score in scores]
    (host.outside / "answer").write_text("\n".join([*lines, f"check {sum(scores)}", ""]))
    host.say(b'LC {"done":1}\n')
    host.hang()
    return 1


def warm_forever(host: Host) -> int:
    host.say(b'LC {"ready":1}\n')
    host.hang()
    return 1


MODES: dict[str, Callable[[Host], int]] = {
    function.__name__: function
    for function in (
        *(good, echo, forever, flood, no_result, not_a_number, no_lines, large, empty, link),
        *(answer, long_answer, no_number, warm, leaves, predicts, warm_forever),
    )
}


def main(host: Host) -> int:
    mode = json.loads((host.inside / "job.json").read_text())["params"]["mode"]
    return int(mode.removeprefix("exit")) if mode.startswith("exit") else MODES[mode](host)


if __name__ == "__main__":
    sys.exit(main(Container()))
