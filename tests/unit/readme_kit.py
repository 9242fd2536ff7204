"""The fenced blocks of the documents that people copy commands from."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
STARTS = [f"docs/start-{reader}.md" for reader in ("model", "machine", "data", "graph")]
"""Where each reader of README goes on; the first has the jobs."""
_BLOCK = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    language: str
    text: str


def blocks(name: str) -> list[Block]:
    """Blocks of a document in their order."""
    return [Block(*found) for found in _BLOCK.findall((ROOT / name).read_text())]


def commands(text: str) -> list[list[str]]:
    """The words of every `learningchain` command in a piece of shell, also within `$(…)`."""
    text = re.sub(r"\$\(\([^()]*\)\)", "0", text)  # what the shell reckons
    flat = re.sub(r"\s\d?>\s*\S+", "", re.sub(r"\\\n\s*", " ", text))
    inner = re.findall(r"\$\(\s*(learningchain [^()]*)\)", flat)
    outer = re.findall(r"^\s*(?:\w+\(\) \{ )?(learningchain [^\n;&>]*)", re.sub(r"\$\([^()]*\)", "0", flat), re.MULTILINE)
    return [shlex.split(words, comments=True)[1:] for words in [*inner, *outer]]
