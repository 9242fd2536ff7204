"""What a node signs, written down over all its lives, and whether an honest key would have signed that."""

from __future__ import annotations

from pathlib import Path

from tests.processes.harness import NodeProcess


def journalled(node: NodeProcess) -> Path:
    """Let `node` write down every signature, over all its lives from the next start on; the file."""
    path = node.data.with_suffix(".signed")
    node.program = [*node.program[:-2], "-m", "tests.processes.broken_node", "journal", str(path)]
    return path


def contradictions(journal: Path) -> list[str]:
    """Lines that an honest key never signs: something else in a place it signed already, or a new place below one it signed.

    A line that a kill cut off does not count: its signature never left.
    """
    signed: dict[tuple[int, int, int], str] = {}
    highest = (0, 0, 0)
    found = []
    lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
    for line in (line for line in lines if line.endswith("\n")):
        kind, height, round_, digest = line.split()
        place = (int(height), int(round_), int(kind))
        if signed.get(place, digest) != digest or (place not in signed and place < highest):
            found.append(line.strip())
        signed.setdefault(place, digest)
        highest = max(highest, place)
    return found
