"""The chapter on nodes and the code name the same messages, statements and bounds; every kind of message has its verdicts."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from chain.ledger import snapshot as parts
from chain.ledger import transition
from chain.node import bodies, candidates, mempool, messages, node, relay, service, snapshot, space, sync
from chain.node.events import LATE_MS, TICK_MS
from client.config import SyncConfig

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


BOUNDS = [
    (1, messages.MAX_BATCH),
    (1, relay.BATCH_BYTES),
    (3, relay.MAX_ANSWER),
    (7, node.STATE_EVERY),
    (12, messages.MAX_SYNC_BLOCKS),
    (13, messages.MAX_SYNC_BYTES),
    (13, messages.MAX_SYNC_ANSWER),
    (15, mempool.MAX_PER_LANE),
    (19, mempool.MAX_EXPIRED),
    (60, transition.MAX_REFUSED),
    (61, space.MIN_CHARGE),
    (61, space.GAP_SHARE),
    (61, space.LIMITS[space.LOCAL] // space.MIN_CHARGE),
    *((61, limit) for limit in space.LIMITS),
    (62, space.GAP_BURST),
    (63, mempool.LEFT_HEIGHTS),
    (63, mempool.MAX_LEFT),
    (17, node.REMIND_TICKS * TICK_MS // 1_000),
    (17, messages.MAX_BATCH),
    (18, relay.GRACE),
    (18, relay.MAX_ANNOUNCED),
    (18, relay.MAX_OF_PEER),
    (20, TICK_MS),
    (20, LATE_MS),
    (21, candidates.MAX_CANDIDATES),
    (21, bodies.MAX_WANTED),
    (22, sync.PATIENCE),
    (22, sync.DEADLINE // 1_000),
    (24, sync.SHUN // 1_000),
    (37, messages.MAX_HANDOVERS),
    (38, messages.MAX_PAGES),
    (39, messages.MAX_PAGES_BYTES),
    (39, messages.MAX_SYNC_ANSWER),
    (39, parts.MAX_PAGE),
    (40, SyncConfig().snapshot_after),
    (40, snapshot.MAX_SOURCES),
    (40, snapshot.AGAIN),
    (40, snapshot.PATIENCE),
    (40, snapshot.REST),
    (40, sync.DEADLINE),
    (24, sync.MAX_SHUN // 1_000),
    (50, service.MAX_OPEN),
    (50, service.MAX_READS),
    *((50, number) for number in (*service.READS.rate, service.READS.room, *service.ALL_READS)),
    *((51, number) for what in (service.POOL, service.BODIES) for number in (*what.rate, what.room)),
    (51, service.HEIGHTS.rate.per_s),
]


@pytest.mark.parametrize(("number", "bound"), BOUNDS)
def test_bounds_are_the_spec_s(number: int, bound: int) -> None:
    assert re.search(rf"(?<!\d){bound}(?!\d)", statement(number).split("**", 2)[2])


def test_status_goes_out_every_second() -> None:
    assert node.STATUS_TICKS * TICK_MS == 1_000
    assert "every second" in statement(8)
