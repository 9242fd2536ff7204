"""Parts of records that several chapters share: images, limits, hidden files, measurements and their openings."""

from __future__ import annotations

from tests.conformance.wire import BLOCK_ID, HASH, REF, SMALL, UINT, Inline, Record, integer, items, text

LOSS = integer(-(10**18), 10**18, "-10^18..10^18")
IMAGE = Inline(("kind", SMALL), ("reference", text(0, 512)), ("cid", REF), ("image_id", BLOCK_ID), ("size", UINT))
LIMITS = Inline(*((name, UINT) for name in ("cpus_milli", "mem_mb", "train_s", "eval_s", "model_cap", "tmp_mb", "threads")))
HIDDEN_SET = Inline(("cid", REF), ("plain_hash", HASH), ("key_hash", HASH), ("size", UINT))
TOTAL = integer(-(2**63 - 1), 2**63 - 1, "-(2^63-1)..2^63-1")
MEASUREMENT = Record("Measurement", ("root", HASH), ("total", TOTAL), ("count", integer(1, 2**20)))
LOSS_NODE = Record("LossNode", ("hash", HASH), ("total", TOTAL), ("greatest", LOSS))
OPENING = Record(
    "Opening",
    ("greatest", items(integer(0, 2**20 - 1), 0, 8)),
    ("leaves", items(LOSS, 1, 48)),
    ("siblings", items(LOSS_NODE, 0, 240)),
)
