"""`make fuzz TARGET=name SECONDS=60`: one decoder under atheris, guided by coverage. Without TARGET: all, one after the other.

The corpus starts with the examples and grows in `.run/fuzz/NAME`; it is kept for the next time. An input that breaks the decoder
is written beside it and ends the run with exit 1: put it into `tests/fuzz/found/NAME/`, where every test run tries it again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

with atheris.instrument_imports(include=["learningchain"]):
    from tests.fuzz import examples
    from tests.fuzz.targets import Target, attempt, load

    TARGETS = load()

ROOT = Path(__file__).resolve().parents[2]
ONE_INPUT_S = 10
"""An input that takes longer is a finding."""
MEMORY_MB = 2_048


def fuzz(name: str, target: Target, seconds: int) -> None:
    """Does not return: libFuzzer ends the process."""
    folder = ROOT / ".run" / "fuzz" / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for data in [*examples.of(name), *(path.read_bytes() for path in examples.found(name))]:
        (corpus / hashlib.sha256(data).hexdigest()[:40]).write_bytes(data)
    options = {
        "max_total_time": seconds,
        "max_len": target.max_bytes,
        "timeout": ONE_INPUT_S,
        "rss_limit_mb": MEMORY_MB,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    atheris.Setup([name, *(f"-{key}={value}" for key, value in options.items()), str(corpus)], lambda data: _one(target, data))
    atheris.Fuzz()


def _one(target: Target, data: bytes) -> None:
    attempt(target, data)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; none means all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time")
    given = parser.parse_args()
    unknown = [name for name in given.targets if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {unknown[0]!r}; targets: {', '.join(TARGETS)}")
    if len(given.targets) == 1:
        fuzz(given.targets[0], TARGETS[given.targets[0]], given.seconds)
    names = given.targets or list(TARGETS)
    broken = _all(names, given.seconds, given.jobs)
    print(f"{len(names)} targets; broken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


def _all(names: list[str], seconds: int, jobs: int) -> list[str]:
    """`jobs` at a time, each in a process of its own; those that broke."""
    waiting, running, broken = list(reversed(names)), dict[int, str](), list[str]()
    while waiting or running:
        while waiting and len(running) < jobs:
            name = waiting.pop()
            running[_begun(name, seconds)] = name
        child, status = os.wait()
        name = running.pop(child)
        if _told(name, os.waitstatus_to_exitcode(status)):
            broken.append(name)
    return broken


def _log_of(name: str) -> Path:
    return ROOT / ".run" / "fuzz" / name / "log"


def _begun(name: str, seconds: int) -> int:
    """The process that tries one target, forked since importing with instruments takes long."""
    log = _log_of(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child == 0:
        with log.open("wb") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        fuzz(name, TARGETS[name], seconds)
    return child


def _told(name: str, code: int) -> int:
    """Its exit code, after its last lines were shown."""
    lines = _log_of(name).read_text(errors="replace").splitlines()
    wanted = lines[-40:] if code else [line for line in lines if "number_of_executed_units" in line]
    print(f"{name}: exit {code}", *wanted, sep="\n  ", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
