"""The chapter on nodes and the code name the same messages and statements; every kind of message has its verdicts."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from learningchain.chain.node import messages

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocol_spec" / "node.md").read_text(encoding="utf-8")
CODE = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "chain" / "node").glob("*.py")))
KINDS = {kind.__struct_config__.tag: kind for kind in messages.Message.__args__}  # type: ignore[attr-defined]


def statement(number: int) -> str:
    start = SPEC.index(f"**LC-NODE-{number}**")
    ends = [at for at in (SPEC.find("\n- **", start), SPEC.find("\n## ", start), len(SPEC)) if at > 0]
    return SPEC[start : min(ends)].replace(",", "")


def test_every_statement_is_named_by_the_code_and_no_code_names_a_missing_one() -> None:
    stated = set(re.findall(r"\*\*LC-NODE-(\d+)\*\*", SPEC))
    named = {n for group in re.findall(r"LC-NODE-(\d+(?:, \d+)*)", CODE) for n in group.split(", ")}
    assert stated == named


def test_messages_and_their_fields_are_the_spec_s() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (.*) \|$", SPEC, re.MULTILINE)
    stated = {int(tag): (name, fields.split(", ") if fields else []) for tag, name, fields in rows}
    assert stated == {tag: (kind.__name__, [f.name for f in msgspec.structs.fields(kind)]) for tag, kind in KINDS.items()}


@pytest.mark.parametrize("tag", sorted(KINDS))
def test_every_kind_of_message_has_its_verdicts(tag: int) -> None:
    text = statement(tag)
    assert f"`{KINDS[tag].__name__}`" in text
    assert f"LC-NODE-{tag}" in (KINDS[tag].__doc__ or "")
    assert "[ACCEPT]" in text
    assert "[REJECT]" in text or "[IGNORE]" in text or "Never rejected" in text or "always" in text or tag == 12
