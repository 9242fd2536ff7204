"""Tests that wavered without a fault of the code's: they decide nothing, run in the second tier, and are mended soon.

Each line of quarantine.txt: `FILE::NAME | YYYY-MM-DD | why, and what will be done`. NAME without brackets is a test with all its
cases. `python -m tests.quarantined` (part of `make lint`) refuses a list that is too long, too old, or names what is not there.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_name("quarantine.txt")
MOST = 20
DAYS = 21


@dataclass(frozen=True)
class Line:
    test: str
    since: datetime.date
    why: str

    def holds(self, nodeid: str) -> bool:
        return nodeid == self.test or nodeid.startswith(f"{self.test}[")


def read(text: str) -> list[Line]:
    """Raises ValueError, naming the line, for one that is not of this form."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            test, since, why = (word.strip() for word in line.split("|", 2))
            found.append(Line(test, datetime.date.fromisoformat(since), why))
        except ValueError:
            raise ValueError(f"line {number} is not `FILE::NAME | YYYY-MM-DD | why`: {line!r}") from None
    return found


def faults(lines: list[Line], today: datetime.date, root: Path = ROOT) -> list[str]:
    said = [f"{len(lines)} tests, {MOST} at most: mend one before you add one"] if len(lines) > MOST else []
    for line in lines:
        path, _, name = line.test.partition("::")
        name = name.partition("[")[0].rpartition("::")[2]
        if (age := (today - line.since).days) > DAYS:
            said.append(f"{line.test}: here for {age} days, {DAYS} at most: mend it or take it away")
        if not line.why:
            said.append(f"{line.test}: no reason")
        if not (root / path).is_file() or f"def {name}(" not in (root / path).read_text(encoding="utf-8"):
            said.append(f"{line.test}: there is no such test")
    return said


def day_of_commit() -> datetime.date:
    """The newest commit's: two checks of one commit say the same, whenever they run. Today where git does not answer."""
    try:
        said = subprocess.run(["git", "log", "-1", "--format=%cs"], cwd=ROOT, capture_output=True, text=True, check=True)
        return datetime.date.fromisoformat(said.stdout.strip())
    except (OSError, ValueError, subprocess.CalledProcessError):
        return datetime.date.today()


def main() -> int:
    try:
        said = faults(read(LIST.read_text(encoding="utf-8")), day_of_commit())
    except ValueError as fault:
        said = [str(fault)]
    for line in said:
        print(f"tests/quarantine.txt: {line}", file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
