"""The records of federated training (`protocol_spec/federation.md`, *Messages and state*): every field with its type and bounds."""

from __future__ import annotations

from tests.conformance.shapes import HIDDEN_SET, IMAGE, LIMITS, MEASUREMENT, OPENING
from tests.conformance.wire import (
    BLOCK_ID,
    BOOL,
    HASH,
    HEIGHT,
    ID,
    INT,
    POSITIVE,
    REF,
    SMALL,
    UINT,
    Inline,
    Record,
    binary,
    items,
    text,
)

_MEMBERS = ("min_members", "max_members", "min_sum")
TERMS = Inline(
    *(("image", IMAGE), ("arch", SMALL), ("params", text(0, 16_384)), ("limits", LIMITS), ("model", REF)),
    *(("size", UINT), ("dims", UINT), ("hidden", items(HIDDEN_SET, 0, 1)), ("schema", REF), ("bounty", UINT), ("fee", UINT)),
    *(("target", INT), *((name, UINT) for name in ("float_kind", "tol", "rounds", "round_ms", "pace_ms", "ends", *_MEMBERS))),
    *(("vetted", BOOL), ("secrecy", UINT), ("rule", UINT), ("split", UINT), ("reference", BOOL), ("clip", UINT)),
    *(("patience", UINT), ("admit_open", BOOL), ("outside", BOOL), ("dp_milli", UINT)),
)
BITMAP, BYTES = binary(0, 16), binary(0, 128)
PART = Inline(("mask", SMALL), ("digest", HASH))
MEASURE = Inline(("code", SMALL), ("measured", items(MEASUREMENT, 0, 1)))
OF, ATTEMPT = ("federation", HASH), ("attempt", UINT)
SCREEN = Record("ScreenUpdates", OF, ATTEMPT, ("codes", BYTES), ("points", BYTES), ("norm", UINT), ("digest", HASH), tag=173)
SUMMED = Record("SumUpdates", OF, ATTEMPT, ("model", REF), ("delta", REF), tag=174)
SUMMED_CELLS = Record("SumCells", OF, ATTEMPT, ("sums", REF), ("models", items(REF, 0, 52)), tag=183)
DIRECTION = Inline(("step", UINT), ("measured", items(MEASUREMENT, 0, 1)))
LIST = Inline(("code", SMALL), ("directions", items(DIRECTION, 0, 13)))
MESSAGES = (
    Record("OpenFederation", ("terms", TERMS), tag=160),
    Record("JoinFederation", OF, ("digest", HASH), ("n", UINT), tag=161),
    Record("AdmitMember", OF, ("member", ID), tag=162),
    Record("RemoveMember", OF, ("member", ID), tag=163),
    Record("LeaveFederation", OF, tag=164),
    Record("NewData", OF, ("digest", HASH), ("n", UINT), tag=165),
    Record("StartRound", OF, ("r", UINT), tag=166),
    Record("SealKey", OF, ("boxes", items(binary(80, 80), 0, 10)), tag=167),
    Record("ReadyKey", OF, ATTEMPT, ("key", HASH), tag=168),
    Record("CommitUpdate", OF, ATTEMPT, ("cid", REF), ("size", UINT), tag=169),
    Record("ReferUpdate", OF, ATTEMPT, ("cid", REF), tag=170),
    Record("HaveUpdates", OF, ATTEMPT, ("files", BITMAP), ("reference", BOOL), tag=171),
    Record("PinParts", OF, ATTEMPT, ("stage", SMALL), ("parts", items(PART, 0, 3)), tag=172),
    SCREEN,
    SUMMED,
    Record("CommitMeasure", OF, ("r", UINT), ("again", SMALL), ("commitment", HASH), tag=175),
    Record(
        "OpenMeasure",
        *(OF, ("r", UINT), ("again", SMALL), ("measure", MEASURE), ("opening", items(OPENING, 0, 1)), ("salt", HASH)),
        tag=176,
    ),
    Record("CloseFederation", OF, tag=177),
    Record("ServeFederation", ("on", BOOL), tag=178),
    Record("VaultModel", OF, ("cid", REF), tag=179),
    Record("SealParts", OF, ATTEMPT, ("stage", SMALL), ("seal", HASH), tag=180),
    Record("ServeCells", ("on", BOOL), tag=181),
    Record("PinSealed", OF, ATTEMPT, ("stage", SMALL), ("parts", items(PART, 0, 3)), ("salt", HASH), tag=182),
    SUMMED_CELLS,
    Record(
        "OpenSteps",
        *(OF, ("r", UINT), ("again", SMALL), ("measure", LIST), ("opening", items(OPENING, 0, 1)), ("salt", HASH)),
        tag=184,
    ),
)
PARAMS = Record(
    "FederationParams",
    *(
        (f"fed_{name}", POSITIVE)
        for name in ("base", "ready", "open", "pending", "keep", "least", "longest", "rate", "live", "dropped")
    ),
)

# --- the state ------------------------------------------------------------------------------------------------------------------

SEAT = Inline(
    *(("account", ID), ("box_key", BLOCK_ID), ("box", binary(0, 80)), ("silent", SMALL), ("commitment", BLOCK_ID)),
    *(("opened", items(MEASURE, 0, 1)), ("holds", BOOL)),
)
CELL = Inline(("number", SMALL), ("members", BITMAP))
ENTRY = Inline(("account", ID), ("index", SMALL), ("vetted", BOOL))
STATE = {
    b"f/": Record("LiveFederation", ("number", UINT)),
    b"ft/": Record("FederationTotals", ("opened", UINT), ("ended", UINT), ("left", UINT)),
    b"fl/": Record("FederationsOf", ("live", UINT)),
    b"fn/": Record("NumberedFederation", OF),
    b"fp/": Record("FederationPosting", ("sponsor", ID), ("root", ID), ("number", UINT), ("opened", UINT), ("terms", TERMS)),
    b"fb/": Record(
        "FederationRecord",
        *(("state", SMALL), ("deadline", UINT), ("draw_height", HEIGHT)),
        *((name, UINT) for name in ("r", "starts", "clip", "indexes")),
        *(("base", REF), ("model", REF), ("initial", INT), ("best", INT), ("best_model", REF), ("best_r", UINT)),
        *(("paid", UINT), ("streak", SMALL), ("last", BITMAP), ("again", SMALL), ("panel", items(SEAT, 0, 5))),
        *(("panel_beacon", BLOCK_ID), ("probe", BLOCK_ID), ("pair", items(ID, 0, 2)), ("kept", UINT), ("end", SMALL)),
        *(("ended", UINT), ("left", UINT), ("named", BITMAP)),
    ),
    b"fm/": Record(
        "FederationMember",
        *(("state", SMALL), ("digest", HASH), ("n", UINT), ("since", UINT), ("index", SMALL), ("bad", SMALL)),
        *((name, UINT) for name in ("benched_until", "points", "paid", "data_r", "vault_r")),
        ("vault", REF),
    ),
    b"fs/": Record("PanelSat", ("since", UINT)),
    b"fe/": Record("ExcludedAggregator", ("start", UINT)),
    b"fc/": Record("AcceptedSets", ("base", REF), ("sets", items(BITMAP, 0, 420))),
    b"fr/": Record(
        "RoundRecord",
        *(ATTEMPT, ("base", REF), ("model", REF), ("delta", REF), ("clip", UINT), ("by", items(ID, 0, 3))),
        *(("accepted", BITMAP), ("invalid", BOOL), ("loss", INT), ("pot", UINT), ("outcome", SMALL), ("settled", UINT)),
    ),
    b"fa/": Record(
        "AttemptRecord",
        *(("number", UINT), ("beacon", BLOCK_ID), ("seats", items(ID, 0, 3)), ("tried", items(ID, 0, 9)), ("windows", SMALL)),
        *(("ready", SMALL), ("files", SMALL), ("committed", BITMAP), ("reference", REF)),
        *(("deciding", items(ID, 0, 3)), ("shared", BITMAP), ("with_reference", BOOL), ("rows", BLOCK_ID), ("codes", BYTES)),
        *(("points", BYTES), ("norm", UINT), ("accepted", BITMAP)),
    ),
    b"fo/": Record("AttemptRoster", ("members", items(ENTRY, 0, 128))),
    b"fg/": Record(
        "AggregatorSeat",
        *(("key", BLOCK_ID), ("said_have", BOOL), ("have", BITMAP), ("have_reference", BOOL), ("rows", items(PART, 0, 3))),
        *(("sums", items(PART, 0, 3)), ("screen", items(SCREEN, 0, 1)), ("sum", items(SUMMED, 0, 1))),
    ),
    b"fu/": Record("UpdateFile", ("account", ID), ("index", SMALL), ("cid", REF)),
    b"fx/": Record("FederationServer", ("since", UINT), ("unready", UINT)),
    b"fy/": Record("CellServer", ("since", UINT)),
    b"fh/": Record(
        "CellRecord",
        *(("numbered", SMALL), ("cells", items(CELL, 0, 10))),
        ("members", items(Inline(("index", SMALL), ("attempts", UINT), ("gained", UINT)), 0, 128)),
        *(("lacked", items(ID, 0, 64)), ("inside", items(CELL, 0, 10)), ("models", items(REF, 0, 52))),
        *(("found", items(Inline(("step", UINT), ("loss", items(INT, 0, 1))), 0, 13)), ("chosen", SMALL)),
        ("opened", items(Inline(("account", ID), ("measure", LIST)), 0, 5)),
    ),
    b"fi/": Record("CellSeat", ("seals", items(HASH, 0, 2)), ("sum", items(SUMMED_CELLS, 0, 1))),
}
