"""Runs the checks in parts, to the end, and says everything that failed. scripts/parts.py has the parts.

check.py lint            lint, format, import rule and the list of quarantined tests
check.py types           the type check
check.py test            what decides about a change, in an hour at most
check.py only WORDS...   lint and types, then pytest with WORDS
check.py full            everything else, in 75 minutes at most; its report is looked at
check.py list            the parts, and their time on two quiet cores

Exit 0: all passed. Exit 1: something failed, or was not reached in time. What each part printed is kept in .run/checks.
It needs nothing but Python's own library.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from parts import GATE, LINT, PYTEST, SECOND, TYPES, Part

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = Path(".run/checks")
GATE_MINUTES = 60.0
"""Twice what it took on a machine at a third of the usual speed: a slow machine says nothing about a change."""
FULL_MINUTES = 75.0
END_S = 20.0
"""What a part that is out of time has to end by itself, so that it can still say what it found."""
SECOND_LOOKS = 8
"""Where more files of real nodes and containers fail, it was the change."""
SLOW = "4"
"""Every wait of a real node that ends with its event may be this much longer here; see tests/conftest.py."""
POLL_S = 0.2


@dataclass
class Failure:
    """`test`: FILE::NAME, or the name of a part that ended badly without telling of a test."""

    test: str
    part: Part
    seconds: float
    said: str

    @property
    def file(self) -> str:
        return self.test.partition("::")[0]


@dataclass
class Outcome:
    """What a part did. `code` None: its time was over."""

    part: Part
    code: int | None
    seconds: float
    passed: int = 0
    skipped: int = 0
    green: set[str] = field(default_factory=set)
    """FILE::NAME of those that passed."""
    failures: list[Failure] = field(default_factory=list)


def output_of(part: Part) -> Path:
    return OUTPUT / f"{re.sub('[^a-z0-9]+', '-', part.name.lower()).strip('-')[:60]}.log"


def run(part: Part, deadline: float) -> list[Outcome]:
    """Run it, and what goes beside it, until they end or `deadline` (of `time.monotonic`). Whatever they started ends with them."""
    with ExitStack() as stack:
        begun = [stack.enter_context(Running(one)) for one in (part, *part.beside)]
        return [one.finish(deadline) for one in begun]


class Running:
    """A part from its start to its end."""

    def __init__(self, part: Part) -> None:
        self._part, self._log = part, output_of(part)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._results = self._log.with_suffix(".xml")
        self._results.unlink(missing_ok=True)
        told = (f"--junitxml={self._results}", "-o", "junit_family=xunit1") if part.tests else ()
        self._began = time.monotonic()
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                (*part.command, *told), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)
        self._process.wait()

    def finish(self, deadline: float) -> Outcome:
        code = follow(self._process, self._log, deadline)
        end(self._process)
        return outcome(self._part, code, time.monotonic() - self._began, self._results)


def follow(process: subprocess.Popen[bytes], log: Path, deadline: float) -> int | None:
    """Show what it writes until it ends: its exit code, or None where `deadline` came first."""
    with log.open("rb") as written:
        while True:
            late = time.monotonic() > deadline
            if late:
                end(process)
            code = process.poll()
            sys.stdout.write(written.read().decode("utf-8", "replace"))
            sys.stdout.flush()
            if late or code is not None:
                return None if late else code
            time.sleep(POLL_S)


def end(process: subprocess.Popen[bytes]) -> None:
    """It and all of its session: pytest tells what it found when it is interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def outcome(part: Part, code: int | None, seconds: float, results: Path) -> Outcome:
    found = Outcome(part, code, seconds)
    if part.tests:
        read_results(found, results)
    if code is None:
        found.failures.append(Failure(part.name, part, seconds, "its time was over"))
    elif code and not (code in (1, 2) and found.failures):
        found.failures.append(Failure(part.name, part, seconds, f"exit {code}"))
    return found


def read_results(found: Outcome, results: Path) -> None:
    """Add what pytest told of each test, where it told something."""
    try:
        cases = ET.parse(results).iter("testcase")  # our own pytest wrote it
    except (OSError, ET.ParseError):
        return
    failed: dict[str, Failure] = {}
    for case in cases:
        test = f"{case.get('file', '?')}::{case.get('name', '?')}"
        bad = next((child for child in case if child.tag in ("failure", "error")), None)
        if bad is not None:
            said = (bad.get("message") or bad.text or "").strip().partition("\n")[0][:160]
            failed.setdefault(test, Failure(test, found.part, float(case.get("time", 0)), said))
        elif any(child.tag == "skipped" for child in case):
            found.skipped += 1
        else:
            found.passed += 1
            found.green.add(test)
    found.failures += failed.values()


class Run:
    """Parts in turn, all of them, until `minutes` are over."""

    def __init__(self, minutes: float) -> None:
        self.began = time.monotonic()
        self.deadline = self.began + minutes * 60
        self.outcomes: list[Outcome] = []
        self.unsteady: list[Failure] = []

    def all(self, parts: Iterable[Part]) -> int:
        for part in parts:
            say(f"== {part.name}")
            if time.monotonic() < self.deadline:
                self.outcomes += run(part, self.deadline)
            else:
                self.outcomes.append(Outcome(part, None, 0.0, failures=[Failure(part.name, part, 0.0, "not reached in time")]))
        self.look_again()
        return self.tell()

    def look_again(self) -> None:
        """Once more, and alone: the files of real nodes and containers that failed. What is left out then has not passed."""
        failed = [failure for found in self.outcomes if found.part.again for failure in found.failures if "::" in failure.test]
        files = Counter(failure.file for failure in failed)
        if len(files) > SECOND_LOOKS:
            return
        for file in files:
            those = [failure for failure in failed if failure.file == file]
            tier = ("--full",) if any("--full" in failure.part.command for failure in those) else ()
            again = Part(f"again, alone {file}", (*PYTEST, *tier, file), 0.0)
            say(f"== {again.name}")
            [found] = run(again, self.deadline)
            if found.code == 0:
                self.unsteady += [failure for failure in those if failure.test in found.green]
        for found in self.outcomes:
            steady = [failure for failure in found.failures if failure not in self.unsteady]
            found.passed += len(found.failures) - len(steady)
            found.failures = steady

    def tell(self) -> int:
        say("== time of each part")
        for found in self.outcomes:
            say(f"   {took(found.seconds):>13}  {found.part.name}")
        say(f"   {took(time.monotonic() - self.began):>13}  together")
        for failure in self.unsteady:
            say(f"unsteady: {failure.test} (first time: {failure.said}; {output_of(failure.part)})")
        failures = [failure for found in self.outcomes for failure in found.failures]
        for failure in failures:
            say(f"FAILED {failure.test} ({failure.seconds:.1f} s, {failure.part.name}; {failure.said}; {output_of(failure.part)})")
        passed, skipped = sum(found.passed for found in self.outcomes), sum(found.skipped for found in self.outcomes)
        say(f"{passed} passed, {len(failures)} failed, {skipped} skipped")
        return 1 if failures else 0


def took(seconds: float) -> str:
    return f"{int(seconds // 60)} min {int(seconds % 60):02} s"


def say(text: str) -> None:
    print(text, flush=True)


def show() -> int:
    for title, parts in (("make test", GATE), ("make test-full", SECOND)):
        say(f"{title}: {sum(part.minutes for part in parts):.0f} minutes")
        for part in parts:
            say(f"  {part.minutes:5.1f}  {', beside it: '.join(one.name for one in (part, *part.beside))}")
    return 0


def main(words: list[str]) -> int:
    os.chdir(ROOT)
    # What Python and pytest compile of the tests stays: they would do it for every worker of every part.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    match words:
        case ["lint"]:
            return Run(GATE_MINUTES).all(LINT)
        case ["types"]:
            return Run(GATE_MINUTES).all(TYPES)
        case ["test"]:
            os.environ.setdefault("LC_SLOW", SLOW)
            return Run(GATE_MINUTES).all(GATE)
        case ["only", first, *given]:
            return Run(GATE_MINUTES).all((*LINT, *TYPES, Part("tests", (*PYTEST, first, *given), 0.0)))
        case ["full"]:
            os.environ.setdefault("LC_SLOW", SLOW)
            return Run(FULL_MINUTES).all(SECOND)
        case ["list"]:
            return show()
    print(f"usage: {__doc__}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    # SIGTERM ends the part that runs as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
