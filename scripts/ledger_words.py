"""Looks through `chain/` for names of routes and commands, and fails where there is one.

    python scripts/ledger_words.py [FOLDER]      each line that names one

A rule of the ledger is the same for whoever asks it, by HTTP, in a terminal or from Python: what people are told of a refusal, and
what they type next, is in `texts.py` of the contract's room in `client/contracts`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

NAMES: Final = re.compile(r"\b(?:GET|POST|PUT|PATCH|DELETE) /|/v1/|\blearningchain [a-z-]+")
KINDS: Final = ('"learningchain receipt"',)
"""What looks like a command and is the name of a file's format."""


def named(folder: Path) -> list[str]:
    """FILE:LINE and what it names, of every line of Python below the folder."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            for kind in KINDS:
                line = line.replace(kind, "")
            found += [f"{path}:{number}: {match[0]}" for match in NAMES.finditer(line)]
    return found


def main(folder: Path) -> int:
    found = named(folder)
    for line in found:
        print(line, file=sys.stderr)
    if found:
        print("chain/ names no route and no command: say it in client/contracts/<contract>/texts.py", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "chain")))
