"""Runs the checks in parts, each with its time, and ends at the first that fails.

check.py lint            lint, format and import rule
check.py types           the type check
check.py test [WORDS]    what every change must pass; ends at 35 minutes. WORDS go to pytest instead of the list of tests
check.py full            all of it, and everything that `test` samples; ends at 75 minutes
check.py rest MINUTES    parts of `full` that `test` has not: those first that the last change touches, then those that were left
                         out longest; ends in time and names what it left out
check.py list            the parts, their time on two cores and what brings them to the front

`make test`, `make test-full` and `.ci/run` call it, with a Docker Engine running. It needs nothing but Python's own library.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ".venv/bin/python"
PYTEST = (PYTHON, "-m", "pytest")
FULL = (*PYTEST, "--full", "-m", "full")
TEST_MINUTES = 35.0
FULL_MINUTES = 75.0
SECOND_LOOKS = 3
"""A machine that is busy elsewhere can be late once. What then passes alone is named at the end, as UNSTABLE: it wants a look."""
FAILED = ROOT / ".pytest_cache/v/cache/lastfailed"
END_S = 30.0
"""What a part that is out of time has to end by itself."""
CHANGE_HOURS = 4
"""The last change: commits made within this time before the newest one."""
APART = ("tests/sandbox", "tests/soak", "tests/processes/test_demo.py")
"""Containers under exact limits, the demo and the soak want the machine for themselves."""
HOSTILE = "tests/sandbox/hostile"
"""Its limits are far from exact, and each process of the tests has an engine of its own."""
MEMORY = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "learningchain" / "parts.json"
"""How often in turn each part was left out, where the machine keeps that."""


@dataclass(frozen=True)
class Part:
    """`minutes`: what it takes on two cores. `touches`: beginnings of paths; a change there brings it to the front."""

    name: str
    command: tuple[str, ...]
    minutes: float
    touches: tuple[str, ...] = ()
    root: bool = False
    """It needs root's networks, so the command `ip`."""
    server: bool = False
    """Some of its tests start a PostgreSQL server."""
    again: bool = False
    """Its tests run real programs against real time: where `SECOND_LOOKS` of them or fewer fail, those are run once more, alone."""


def without(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"--ignore={path}" for path in paths)


LINT = (
    Part("lint", (".venv/bin/ruff", "check", "--quiet", "."), 0.1),
    Part("format", (".venv/bin/ruff", "format", "--check", "--quiet", "."), 0.1),
    Part("import rule", (".venv/bin/lint-imports",), 0.2),
)
TYPES = (Part("types", (".venv/bin/mypy",), 0.7),)
TESTS = (
    Part("tests of the code", (*PYTEST, "-n", "2", *without(APART), "--ignore=tests/processes", "tests"), 9.5, server=True),
    Part(
        "tests with real nodes",
        (*PYTEST, "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", *without(APART), "tests/processes"),
        8.5,
        root=True,
        again=True,
    ),
    Part("hostile images", (*PYTEST, "-n", "2", HOSTILE), 2.0),
    Part(
        "tests with real containers",
        (*PYTEST, "-n", "2", "--dist", "loadfile", *without((HOSTILE,)), "tests/sandbox"),
        4.0,
        root=True,
        again=True,
    ),
    Part("the demo and the soak", (*PYTEST, "tests/processes/test_demo.py", "tests/soak"), 4.5, root=True, again=True),
)
STORE = (
    "tests/unit/storage_backends.py",
    "tests/unit/test_storage_archive.py",
    "tests/unit/test_storage_blockstore.py",
    "tests/unit/test_storage_buckets.py",
    "tests/unit/test_storage_copying.py",
    "tests/unit/test_storage_pruning.py",
    "tests/unit/test_storage_server.py",
    "tests/unit/test_storage_snapshot.py",
    "tests/unit/test_storage_state_diffs.py",
)
"""Of each, what runs on both databases."""
CORE = ("chain/", "tests/sim/", "protocol_spec/")
REST = (
    Part("every attack with every other", (*FULL, "-n", "2", "tests/sim/test_attacks.py"), 0.5, ("chain/", "tests/sim/")),
    Part("400 seeds of the graph", (PYTHON, "-m", "tests.sim", "--seeds", "0..400", "--jobs", "2"), 1.4, CORE),
    Part(
        "100 seeds of the market", (*FULL, "-n", "2", "tests/sim/test_market.py"), 2.0, ("client/work/", "client/contracts/", *CORE)
    ),
    Part("every mutant", (*FULL, "-n", "2", "tests/sim/test_mutants.py"), 3.0, CORE),
    Part(
        "60 seeds of predictions",
        (*FULL, "-n", "2", "tests/sim/test_asking.py"),
        0.5,
        ("chain/contracts/prediction/", "tests/predictions/", *CORE),
    ),
    Part(
        "every case of two rounds of twins",
        (PYTHON, "-m", "tests.twins", "--rounds", "2", "--jobs", "2"),
        1.0,
        ("chain/consensus/",),
    ),
    Part(
        "hostile images under gVisor, and every archive",
        (*FULL, "-n", "2", "tests/sandbox/hostile"),
        5.5,
        ("sandbox/", "tests/sandbox/", "scripts/engine.sh"),
    ),
    Part(
        "the block store on PostgreSQL",
        (*FULL, "-n", "2", *STORE),
        2.0,
        ("chain/storage/", "tests/postgres.py", "tests/unit/storage_backends.py"),
        server=True,
    ),
    Part(
        "what is left of the real nodes",
        (*FULL, "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", *without(APART), "tests/processes"),
        10.0,
        ("client/", "p2p/", "chain/storage/", "chain/node/", "tests/processes/"),
        root=True,
        server=True,
        again=True,
    ),
    Part(
        "federations under an older numpy and with every attacker, every example",
        (
            *FULL,
            "tests/sandbox/test_examples.py",
            "tests/unit/test_federation_attacks.py",
            "tests/unit/test_federation_numpy.py",
        ),
        1.0,
        ("client/contracts/federation/", "examples/", "tests/federation_attacks/"),
    ),
    Part(
        "the dashboard in a real browser",
        (*FULL, "tests/browser"),
        4.0,
        ("client/dashboard/", "client/api/", "client/contracts/", "tests/browser/"),
        again=True,
    ),
    Part(
        "the HTTP API under a fuzzer of its document",
        (*FULL, "tests/apifuzz"),
        1.5,
        ("client/api/", "client/contracts/", "tests/apifuzz/", "protocol_spec/openapi.json"),
        again=True,
    ),
    Part(
        "clients and a validator that nobody here wrote",
        (*FULL, "-n", "2", "tests/clients", "tests/packages"),
        1.0,
        ("client/api/", "client/contracts/", "tests/clients/", "scripts/packages/", "tests/packages/", "requirements/"),
    ),
    Part(
        "the node's image, and a graph of six containers",
        (*FULL, "tests/packaging"),
        4.0,
        ("packaging/", "scripts/image.sh", "scripts/compose.sh", "tests/packaging/", "requirements/"),
        again=True,
    ),
    Part(
        "soak of two minutes",
        (PYTHON, "-m", "tests.soak", "--minutes", "2", "--seed", "1"),
        3.5,
        ("chain/storage/", "chain/node/", "client/driver.py", "tests/soak/"),
        root=True,
    ),
    Part(
        "every decoder under a fuzzer",
        ("tests/fuzz/run.sh", "", "1"),
        2.4,
        ("chain/codec.py", "chain/types.py", "chain/losses.py", "chain/node/messages.py", "p2p/", "sandbox/", "tests/fuzz/"),
    ),
)
"""Together with `TESTS` they are all of it: here only what is marked `full`, and what has a program of its own."""


def code_of(part: Part, deadline: float, clock: Callable[[], float] = time.monotonic) -> int | None:
    """Its exit code, or None where `deadline` ended it. Whatever it started ends with it."""
    with subprocess.Popen(part.command, cwd=ROOT, start_new_session=True) as process:
        try:
            return process.wait(max(0.0, deadline - clock()))
        except subprocess.TimeoutExpired:
            end(process)
            return None
        except BaseException:
            end(process)
            raise


def second_look(part: Part) -> Part | None:
    """What failed in it, as a part of its own; None where it is no such part, or too much failed."""
    try:
        failed = sorted(json.loads(FAILED.read_text())) if part.again else []
    except (OSError, ValueError):
        return None
    if not 0 < len(failed) <= SECOND_LOOKS or not all("::" in test for test in failed):
        return None
    program = FULL if "--full" in part.command else PYTEST
    return Part(", ".join(failed), (*program, *failed), 0.0, root=part.root)


def end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(END_S)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def prepare(part: Part) -> None:
    """Only root can make the networks that are cut in two; for anybody else those tests are skipped, with that reason."""
    if part.root and os.geteuid() == 0:
        subprocess.run(
            ["bash", "-c", '. scripts/lib.sh; command -v ip >/dev/null || apt_install "the command ip" iproute2'],
            cwd=ROOT,
            check=True,
        )
    if part.server:
        subprocess.run(["scripts/postgresql.sh"], cwd=ROOT, check=False)  # it says why, and the tests that are left out do


def took(seconds: float) -> str:
    return f"{int(seconds // 60)} min {int(seconds % 60):02} s"


class Run:
    """Parts in turn until `minutes` are over."""

    def __init__(self, minutes: float) -> None:
        self.began = time.monotonic()
        self.deadline = self.began + minutes * 60
        self.minutes = minutes
        self.times: list[tuple[str, float]] = []
        self.unstable: list[str] = []

    def part(self, part: Part) -> int | None:
        say(f"== {part.name}")
        began = time.monotonic()
        prepare(part)
        if part.again:
            FAILED.unlink(missing_ok=True)
        code = code_of(part, self.deadline)
        if code == 1 and (failed := second_look(part)) is not None:
            code = self._alone(failed)
        self.times.append((part.name, time.monotonic() - began))
        return code

    def _alone(self, failed: Part) -> int | None:
        complain(f"== once more, alone: {failed.name}")
        code = code_of(failed, self.deadline)
        if code == 0:
            self.unstable.append(failed.name)
        return code

    def all(self, parts: Iterable[Part]) -> int:
        """Every part or a failure: 0, the code of the first that failed, or 124 where the time was over."""
        for part in parts:
            code = self.part(part)
            if code is None:
                complain(f"== FAILED: {part.name} (the {self.minutes:.0f} minutes of this run are over)")
            elif code:
                complain(f"== FAILED: {part.name} (exit {code}; the command was: {' '.join(part.command)})")
            if code != 0:
                self.tell()
                return 124 if code is None else code
        self.tell()
        return 0

    def tell(self) -> None:
        say("== time of each part")
        for name, seconds in [*self.times, ("together", time.monotonic() - self.began)]:
            say(f"   {took(seconds):>13}  {name}")
        for name in self.unstable:
            complain(f"== UNSTABLE: failed among others and passed alone: {name}")


def say(text: str) -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- parts of the rest ----------------------------------------------------------------------------------------------------------


def changed() -> list[str]:
    """Paths that the last change touches, as far as git knows; none where it does not answer."""
    try:
        newest = int(git("log", "-1", "--format=%ct"))
        return git("log", "--format=", "--name-only", f"--since={newest - CHANGE_HOURS * 3_600}").split()
    except (subprocess.CalledProcessError, OSError, ValueError):
        return []


def turn_of() -> int:
    """Another number for every commit; 0 where git does not answer."""
    try:
        return int(git("rev-list", "--count", "HEAD"))
    except (subprocess.CalledProcessError, OSError, ValueError):
        return 0


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def recall(path: Path) -> dict[str, int]:
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in kept.items() if isinstance(k, str) and isinstance(v, int)} if isinstance(kept, dict) else {}


def keep(path: Path, missed: dict[str, int]) -> None:
    """A machine that keeps nothing loses only the order of the next run."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(missed, indent=1, sort_keys=True))
    except OSError as fault:
        complain(f"what was left out could not be noted for the next run: {fault}")


def ordered(parts: tuple[Part, ...], paths: list[str], missed: dict[str, int], turn: int) -> list[Part]:
    """Those that were left out three times running, then what the change touches, then what was left out longest.

    Among equals a different one is the first at each `turn`.
    """
    turned = [*parts[turn % len(parts) :], *parts[: turn % len(parts)]]

    def rank(part: Part) -> tuple[bool, bool, int]:
        left_out = missed.get(part.name, 0)
        touched = bool(part.touches) and any(path.startswith(part.touches) for path in paths)
        return left_out < 3, not touched, -left_out

    return sorted(turned, key=rank)


def left_minutes(run: Run) -> float:
    return (run.deadline - time.monotonic()) / 60


def rest(minutes: float, parts: tuple[Part, ...] = REST, memory: Path | None = None) -> int:
    memory = memory or MEMORY
    missed = recall(memory)
    run, left_out, passed = Run(minutes), list[str](), 0
    for part in ordered(parts, changed(), missed, turn_of()):
        code = run.part(part) if part.minutes <= left_minutes(run) else None
        if code is None:
            left_out.append(part.name)
            missed[part.name] = missed.get(part.name, 0) + 1
        elif code:
            complain(f"== FAILED: {part.name} (exit {code}; the command was: {' '.join(part.command)})")
            run.tell()
            return code
        else:
            passed += 1
            missed[part.name] = 0
    keep(memory, missed)
    run.tell()
    for name in left_out:
        say(f"== left out, no time: {name} ({missed[name]} in turn)")
    say(f"parts: {passed} passed, 0 failed, {len(left_out)} skipped")
    return 0


def show() -> int:
    for title, parts in (("test", (*LINT, *TYPES, *TESTS)), ("rest", REST)):
        say(f"{title}: {sum(p.minutes for p in parts):.0f} minutes")
        for part in parts:
            say(f"  {part.minutes:5.1f}  {part.name}{'  <- ' + ' '.join(part.touches) if part.touches else ''}")
    return 0


def main(words: list[str]) -> int:
    os.chdir(ROOT)
    match words:
        case ["lint"]:
            return Run(TEST_MINUTES).all(LINT)
        case ["types"]:
            return Run(TEST_MINUTES).all(TYPES)
        case ["test"]:
            return Run(TEST_MINUTES).all((*LINT, *TYPES, *TESTS))
        case ["test", *given]:
            return Run(TEST_MINUTES).all((*LINT, *TYPES, Part("tests", (*PYTEST, *given), 0.0)))
        case ["full"]:
            return Run(FULL_MINUTES).all((*LINT, *TYPES, *TESTS, *REST))
        case ["rest", minutes] if minutes.replace(".", "", 1).isdigit():
            return rest(float(minutes))
        case ["list"]:
            return show()
    complain(f"usage: {__doc__}")
    return 2


if __name__ == "__main__":
    # SIGTERM ends the part that runs as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
