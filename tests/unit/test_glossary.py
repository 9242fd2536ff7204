"""Every place that the glossary names exists, and no term stands in it twice."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| ([^|]+) \| [^|]+ \|[^|]*\| ((?:`[^`]+`(?:, )?)+) \|$",
    (ROOT / "docs/glossary.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)
PLACES = sorted({place for _, cell in ROWS for place in re.findall(r"`([^`]+)`", cell)})


def test_no_term_stands_twice() -> None:
    terms = [term for term, _ in ROWS]
    assert len(terms) > 40
    assert len(terms) == len(set(terms))


@pytest.mark.parametrize("place", PLACES)
def test_a_place_exists(place: str) -> None:
    module, _, name = place.partition(":")
    if module.endswith(".toml"):
        assert (ROOT / module).is_file()
        return
    found = importlib.import_module(module)
    assert not name or hasattr(found, name)
