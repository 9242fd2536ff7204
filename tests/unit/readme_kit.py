"""The fenced blocks of the documents that people copy commands from."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
STARTS = [f"docs/start-{reader}.md" for reader in ("model", "machine", "data", "graph")]
"""Where each reader of README goes on; the first has the jobs."""
TYPED = {
    "make demo": "tests/processes/test_demo.py",
    "image check": "tests/processes/test_main_job.py",
    "job lock": "tests/processes/test_readme_torch.py",
    "join TOKEN": "tests/processes/test_readme.py",
    "fed join": "tests/processes/test_fed_typed.py",
    "prediction show": "tests/processes/test_readme_question.py",
    "import learningchain": "tests/processes/test_readme_question.py",
    "genesis install": "tests/processes/test_readme.py",
}
"""Which test types README's block that has these words."""
NOT_TYPED = {
    'make setup\nscripts/engine.sh start\nexport PATH="$PWD/.venv/bin:$PATH"\n': "whoever runs the tests has done it",
    "make test\n": "it runs the tests",
    "make package\npip install 'dist/learningchain-0.1.0-py3-none-any.whl[demo]'\nlearningchain --version\n": (
        "tests/processes/test_installed.py installs this wheel by pipx and by uv"
    ),
    "TOKEN": "stands for what invite printed",
    "alice.example:7400": "stands for an address of the reader's machine",
}
"""What README shows and no test types as it stands, and why: at most five."""
_BLOCK = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    language: str
    text: str


def blocks(name: str) -> list[Block]:
    """Blocks of a document in their order."""
    return [Block(*found) for found in _BLOCK.findall((ROOT / name).read_text())]


def readme(words: str) -> str:
    """The one block of README that has these words."""
    (found,) = [block.text for block in blocks("README.md") if words in block.text]
    return found


def commands(text: str) -> list[list[str]]:
    """The words of every `learningchain` command in a piece of shell, also within `$(…)`."""
    text = re.sub(r"\$\(\([^()]*\)\)", "0", text)  # what the shell reckons
    flat = re.sub(r"\s\d?>\s*\S+", "", re.sub(r"\\\n\s*", " ", text))
    inner = re.findall(r"\$\(\s*(learningchain [^()]*)\)", flat)
    outer = re.findall(r"^\s*(?:\w+\(\) \{ )?(learningchain [^\n;&>]*)", re.sub(r"\$\([^()]*\)", "0", flat), re.MULTILINE)
    return [shlex.split(words, comments=True)[1:] for words in [*inner, *outer]]
