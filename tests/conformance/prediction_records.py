"""The records of predictions (`protocol_spec/predictions.md`, *Messages and state*): every field with its type and bounds."""

from __future__ import annotations

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
    Nothing,
    Record,
    binary,
    integer,
    items,
    text,
)

IMAGE = Inline(("kind", SMALL), ("reference", text(0, 512)), ("cid", REF), ("image_id", BLOCK_ID), ("size", UINT))
PROGRAM = Inline(
    *(("image", IMAGE), ("arch", SMALL), ("params", text(0, 16_384)), ("model", REF)),
    *((name, UINT) for name in ("size", "cpus_milli", "mem_mb", "tmp_mb", "threads")),
)
NONE_OR_ONE = items(HASH, 0, 1)
ANSWER_CODE = integer(1, 7, "1 or 2 or 3 or 4 or 5 or 6 or 7")
SCORE = integer(-(10**18), 10**18, "-10^18..10^18")
ANSWER = Inline(
    *(("code", ANSWER_CODE), ("classes", items(integer(0, 65_535), 0, 256)), ("scores", items(SCORE, 0, 256))),
    ("check", integer(-(2**63 - 1), 2**63 - 1, "-(2^63-1)..2^63-1")),
)
_NUMBERS = ("kind", "classes", "tol", "royalty", "floor", "slots", "max_rows", "input_cap", "row_ms", "start_s")
REGISTER_MODEL = Record(
    "RegisterModel",
    *(("name", text(0, 128)), ("source", NONE_OR_ONE), ("previous", NONE_OR_ONE), ("program", items(PROGRAM, 0, 1))),
    *((name, UINT) for name in _NUMBERS),
    *((name, REF) for name in ("schema", "sample", "sample_answers")),
    *(("origin", Nothing(HASH)), ("shares", items(Inline(("account", ID), ("weight", UINT)), 0, 128))),
    tag=128,
)
REQUEST = Record(
    "RequestPrediction",
    *(("model", HASH), ("cid", REF), ("size", UINT), ("inline", binary(0, 4_096))),
    *((name, UINT) for name in ("rows", "answers", "agree", "tip", "max_charge", "wait")),
    *(("key_hash", NONE_OR_ONE), ("policy", NONE_OR_ONE)),
    tag=133,
)
RATE = Inline(("start", INT), ("ppm", UINT))
REGISTER_POLICY = Record(
    "RegisterPolicy",
    *(("model", HASH), ("below", BOOL), ("threshold", INT), ("rates", items(RATE, 0, 64)), ("least", UINT), ("most", UINT)),
    tag=140,
)
MESSAGES = (
    REGISTER_MODEL,
    Record(
        "SetPrice",
        ("model", HASH),
        *((name, UINT) for name in ("expected_royalty", "expected_floor", "royalty", "floor")),
        tag=129,
    ),
    Record("RetireModel", ("model", HASH), tag=130),
    Record("ServeModel", ("model", HASH), ("amount", UINT), tag=131),
    Record("UnserveModel", ("model", HASH), tag=132),
    REQUEST,
    Record("AddTip", ("request", HASH), ("amount", UINT), tag=134),
    Record("CancelRequest", ("request", HASH), tag=135),
    Record("GiveKeys", ("request", HASH), ("round", SMALL), ("boxes", items(binary(80, 80), 0, 63)), tag=136),
    Record("CommitAnswer", ("request", HASH), ("round", SMALL), ("commitment", HASH), tag=137),
    Record("OpenAnswer", ("request", HASH), ("round", SMALL), ("answer", ANSWER), ("salt", HASH), tag=138),
    Record("AppealAnswer", ("request", HASH), ("rows", items(UINT, 0, 256)), tag=139),
    REGISTER_POLICY,
)
_PARAMS = (
    "sub",
    "epoch",
    "epoch_sub",
    "stake",
    "deposit",
    "fee",
    "a0",
    "open",
    "keys",
    "appeal",
    "vote_base",
    "open_votes",
    "keep",
)
_COUNTS = ("servers", "models", "waiting", "waiting_own", "row")
PARAMS = Record(
    "PredictionParams",
    *((f"pred_{name}", UINT if name in ("sub", "epoch_sub", "row") else POSITIVE) for name in (*_PARAMS, *_COUNTS)),
)

# --- the state ------------------------------------------------------------------------------------------------------------------

ROW = integer(0, 255)
ENTRY = Inline(("root", ID), ("bad", BOOL))
SERVED = Inline(("root", ID), ("bad", BOOL), ("wrong", BOOL))
LEFT = Inline(("account", ID), ("since", UINT), ("silent", UINT), ("record", items(SERVED, 0, 32)))
ROUND = Inline(("round", SMALL), ("beacon", HASH), ("pool", UINT), ("started", UINT), ("seats", items(ID, 0, 63)))
VALUE = Inline(("label", UINT), ("score", INT), ("support", SMALL))
CHANGED = Inline(("row", ROW), ("label", UINT), ("score", INT), ("support", SMALL))
DECISION = Inline(("decision", SMALL), ("rate", UINT), ("borderline", BOOL))
SEAT_RESULT = Inline(("account", ID), ("round", SMALL), ("code", SMALL), ("paid", UINT))
_STANDING = (
    *("royalty", "floor", "coming_royalty", "coming_floor", "coming_at", "pump", "open_seats", "unfinal_seats", "positions"),
    *("waiting", "running", "kept", "carried"),
)
_ASKED = ("number", "position", "posted")
ENDED_REQUEST = Record("EndedRequest", ("request", HASH), ("at", UINT))
STATE = {
    b"pm/": Record(
        "ModelRecord",
        *(("owner", ID), ("number", UINT), ("registered", UINT), ("program", PROGRAM), ("terms", REGISTER_MODEL)),
    ),
    b"ps/": Record("ModelStanding", ("state", SMALL), *((name, UINT) for name in _STANDING), ("tallies", items(ENTRY, 0, 10))),
    b"pg/": Record("ModelServers", ("servers", items(ID, 0, 256))),
    b"pk/": Record(
        "ServerRecord",
        *(("since", UINT), ("awake", BOOL), ("out", BOOL), ("leaving", BOOL), ("unfinal", UINT), ("silent", UINT)),
        ("record", items(SERVED, 0, 32)),
    ),
    b"pl/": Record("LeftServers", ("servers", items(LEFT, 0, 64))),
    b"po/": Record("OwnedModel", ("number", UINT)),
    b"px/": Record("OwnerRecord", ("live", UINT)),
    b"ph/": Record("NamedModel", ("model", HASH)),
    b"pj/": Record("ServedModel", ("since", UINT)),
    b"pq/": Record("Queued", ("request", HASH), ("until", UINT), ("young_since", HEIGHT)),
    b"pr/": Record(
        "RequestTerms",
        *(("requester", ID), ("root", ID), *((name, UINT) for name in _ASKED)),
        *((name, UINT) for name in ("royalty", "floor", "row", "ordinal", "asked")),
        ("terms", REQUEST),
    ),
    b"pb/": Record(
        "RequestRecord",
        *(("state", SMALL), ("round", SMALL), ("deadline", UINT), ("draw_height", HEIGHT), ("tip", UINT), ("rank", UINT)),
        *(("young_since", HEIGHT), ("evictor", BOOL), ("wanted", SMALL), ("rounds", items(ROUND, 0, 3))),
        *(("committed", SMALL), ("before", SMALL), ("opened", SMALL), ("outcome", SMALL), ("answered", UINT)),
        *(("appellant", binary(0, 20)), ("named", items(ROW, 0, 8)), ("rows", items(ROW, 0, 16)), ("appeal", SMALL)),
        ("ended", UINT),
    ),
    b"pa/": Record(
        "PredictionSeat",
        *(("box_key", BLOCK_ID), ("box", binary(0, 80)), ("commitment", BLOCK_ID), ("place", SMALL)),
        *(("answer", items(ANSWER, 0, 1)), ("paid", UINT)),
    ),
    b"pv/": Record(
        "PredictionResult",
        *(("outcome", SMALL), ("agree", SMALL), ("values", items(VALUE, 0, 256)), ("changed", items(CHANGED, 0, 16))),
        *(("appealed", SMALL), ("decisions", items(DECISION, 0, 256)), ("seats", items(SEAT_RESULT, 0, 93))),
    ),
    b"pi/": Record("AskedContent", ("asked", UINT), ("kept", UINT)),
    b"pu/": Record("AskedBy", ("kept", UINT)),
    b"pw/": Record("WaitingOf", ("waiting", UINT)),
    b"pn/": Record("NumberedRequest", ("request", HASH)),
    b"pf/": ENDED_REQUEST,
    b"pd/": ENDED_REQUEST,
    b"pp/": Record(
        "PolicyRecord",
        *(("owner", ID), ("number", UINT), ("registered", UINT), ("live", UINT), ("due", UINT), ("terms", REGISTER_POLICY)),
    ),
    b"pe/": Record("SubsidyEpoch", ("number", UINT), ("minted", UINT)),
    b"pt/": Record(
        "PredictionTotals",
        *((name, UINT) for name in ("models", "requests", "policies", "ended", "left", "unseated", "unseated_left")),
    ),
    b"pz/": Record("LiveReference", ("kind", SMALL), ("number", UINT)),
    b"py/": Record("OpenRequest", ("number", UINT)),
}
