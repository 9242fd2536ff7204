"""A request on the terminal: what came of it, and its way there, a line for each step."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from learningchain.client.cli.callbacks import event_words
from learningchain.client.cli.common import Output, cell, clean, facts, listing, one_line, short
from learningchain.client.cli.paper import Console, Text
from learningchain.client.sdk.types import ApiError, NotFoundError, UnreachableError

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import PredictionView, ValueView
    from learningchain.client.sdk.client import Client

APPEAL_ROUND = 3
FAILED, WEAK = 4, 5
"""Exit codes of a request that failed, and of one of whose values fewer agree than were asked for."""
SHOWN_ROWS = 64
"""Rows that a terminal shows; --json has all of them."""
ANSWERS = 8
"""Values in the first line of what is shown."""
WATCH_S = 30.0
RETRIES = 10
_COLORS = {"AGREED": "green", "FINAL": "green", "WEAK": "yellow", "FAILED": "red"}
MEANING = {
    "AGREED": "enough servers agree; for a while who asked may appeal, then anybody",
    "WEAK": "a value has fewer servers behind it than were asked for; for a while who asked may appeal, then anybody",
    "TOO_FEW": "too few of those who were drawn answered",
    "NO_AGREEMENT": "the answers differ too much",
    "BAD_INPUT": "the model does not take these rows: learningchain model show says what a row has, where the model has a schema",
    "NO_DATA": "the servers could not fetch the rows: was the node that asked connected?",
    "BAD_KEY": "the key does not open the rows",
    "MODEL_FAULT": "the model cannot answer: its owner has to mend it",
    "TOO_HEAVY": "it took more memory or time than the model's terms allow: ask for fewer rows at once",
    "NO_KEYS": "the requester gave no keys to those who were drawn",
    "CANCELLED": "its requester took it back",
    "EXPIRED": "its wait was over before servers were free: a higher tip comes first",
    "EVICTED": "the queue was full, and others offered more",
    "NO_SERVERS": "too few servers were awake when it was its turn",
    "MODEL_RETIRED": "the model was retired",
    "GIVEN_BACK": "it was given back",
}
"""What an outcome says to people."""


def exit_code(view: PredictionView) -> int:
    """0 where it is agreed; 4 failed; 5 weak; 3 where it is not answered yet."""
    if view["outcome"] == "AGREED":
        return 0
    return WEAK if view["outcome"] == "WEAK" else FAILED if view["outcome"] else 3


def state_text(view: Any) -> Text:
    return cell(view["state"], _COLORS.get(view["state"], "cyan"))


async def class_names(node: Client, view: PredictionView) -> Sequence[str]:
    """What the model's schema calls its classes; nothing where it names none, or cannot be had now."""
    from learningchain.client.contracts.prediction.http.model_schema import BadSchema
    from learningchain.client.contracts.prediction.objects import schema_of

    if not view["values"]:
        return ()
    try:
        model = await node.model(view["model"])
        schema = await schema_of(node, model) if model["classes"] else None
    except (ApiError, BadSchema):
        return ()
    return (schema.classes if schema is not None else None) or ()


def class_text(number: int, names: Sequence[str]) -> str:
    return one_line(names[number]) if number < len(names) else f"class {number}"


def answer_line(view: PredictionView, names: Sequence[str] = ()) -> str:
    """What a request came to, in the line that people look for first. `names`: of the model's classes."""
    if not view["outcome"]:
        return f"no answer yet   ({view['state']}, {view['locked']} locked)"
    if not view["values"]:
        return f"no answer   ({view['outcome']}, cost {view['cost']})"
    plain = view.get("plain")
    if view["private"] and plain is None:
        said = ["blinded: this node has not the key"]
    elif plain is not None:
        said = [_plain(value, None, names) for value in plain["values"]]
    else:
        said = [_plain(_appealed(value), None, names) for value in view["values"]]
    more = f" and {len(said) - ANSWERS} more" if len(said) > ANSWERS else ""
    asked = f", asked for {view['agree_asked']}" if view["outcome"] == "WEAK" else ""
    return f"{'; '.join(said[:ANSWERS])}{more}   ({view['agree']} of {view['asked']} agree{asked}, cost {view['cost']})"


def _appealed(value: ValueView) -> dict[str, Any] | None:
    """A value as it stands after an appeal; None where too few agree on one."""
    if value["new_score"] is not None:
        return {"class": value["new_class"], "score": value["new_score"]}
    return None if value["score"] is None else {"class": value["class"], "score": value["score"]}


def show_request(console: Console, view: PredictionView, names: Sequence[str]) -> None:
    """Everything about a request that people ask for, the answer first. `names`: of the model's classes."""
    console.print(Text(clean(answer_line(view, names)), style="bold"), soft_wrap=True)
    outcome = view["outcome"] or ""
    rows: list[tuple[str, Any]] = [
        ("state", state_text(view)),
        ("", cell(MEANING.get(outcome), "dim") if outcome else None),
        ("model", view["model"]),
        ("requester", view["requester"]),
        ("place in the queue", view["place"]),
        ("seats", _seats_line(view)),
        ("answers", ", ".join(f"{count} {code}" for code, count in view["votes"].items()) or None),
        ("", _unfit_line(view)),
        ("agree", None if view["agree"] is None else f"{view['agree']} of {view['asked']}, asked for {view['agree_asked']}"),
        ("values", None if not view["values"] else f"{view['valued']} of {view['rows']} rows"),
        ("cost", _cost_line(view)),
        ("policy", view["policy"]),
        ("appeal", _appeal_line(view)),
        *_callback_rows(view),
    ]
    console.print(facts(f"Request {view['id']}", [row for row in rows if row[1] is not None]))
    if view["values"]:
        if view.get("plain") is None:
            console.print(values_table(view, names))
        if len(view["values"]) > SHOWN_ROWS:
            console.print(f"{len(view['values']) - SHOWN_ROWS} rows more: --json shows all of them.")
        for line in _plain_lines(view, names):
            console.print(Text(line), soft_wrap=True)


def _callback_rows(view: PredictionView) -> list[tuple[str, Any]]:
    """How far its callback is."""
    found = view.get("callback")
    if found is None:
        return []
    events = [f"{event['event']} {event_words(event)}" for event in found["events"]] or ["nothing has happened yet"]
    return [("callback", clean(found["url"])), *(("", clean(event)) for event in events)]


def _plain_lines(view: PredictionView, names: Sequence[str]) -> list[str]:
    """Of a private request of this node."""
    found = view.get("plain")
    if found is None:
        return ["The request is private: its values above are blinded, and this node has not its key."] if view["private"] else []
    decisions = found["decisions"] or [None] * len(found["values"])
    rows = enumerate(zip(found["values"][:SHOWN_ROWS], decisions, strict=False))
    return ["Values, in plain, for this node has the key:", *(f"  row {row}: {_plain(*both, names)}" for row, both in rows)]


def _plain(value: Any, decision: Any, names: Sequence[str]) -> str:
    label = "" if value is None or value["class"] is None else f"{class_text(value['class'], names)}, "
    said = "no value" if value is None else f"{label}{value['score']}"
    rate = f" at {decision['rate_ppm'] / 10_000:g} %" if decision is not None and decision["decision"] == "accept" else ""
    return said if decision is None else f"{said}: {decision['decision']}{rate}"


def _cost_line(view: PredictionView) -> str:
    if view["cost"] is None:
        return f"{view['locked']} locked; known when it is answered"
    return view["cost"]


def _seats_line(view: PredictionView) -> str | None:
    if not view["seats"]:
        return None
    done = sum(seat["opened"] for seat in view["seats"])
    sealed = sum(seat["committed"] for seat in view["seats"])
    return f"{len(view['seats'])} drawn, {sealed} sealed an answer, {done} opened it"


def _unfit_line(view: PredictionView) -> str | None:
    """Rows that have a value, and of which a server says that they do not fit: it may be right."""
    named = Counter(seat["unfit"] for seat in view["seats"] if seat.get("unfit") is not None and seat["round"] != APPEAL_ROUND)
    if not view["values"] or not named:
        return None
    return ", ".join(f"row {row} does not fit: say {count}" for row, count in sorted(named.items()))


def _appeal_line(view: PredictionView) -> str | None:
    appeal = view["appeal"]
    if appeal is None:
        return None
    verdict = appeal["verdict"] or "not decided yet"
    return f"by {short(appeal['appellant'])}: {verdict}, {appeal['judges']} judges"


def values_table(view: PredictionView, names: Sequence[str] = ()) -> Any:
    """Values row by row, with the decision where a policy makes one. `names`: of the model's classes."""
    decided = {one["row"]: one for one in view["decisions"]}
    classes = any(value["class"] is not None for value in view["values"])
    changed = any(value["new_score"] is not None for value in view["values"])
    columns = ["row", *(["class"] if classes else []), "score", "support"]
    columns += [*(["after the appeal"] if changed else []), *(["decision", "rate"] if decided else [])]
    rows: list[list[Any]] = []
    for value in view["values"][:SHOWN_ROWS]:
        label = None if value["class"] is None else class_text(value["class"], names)
        line: list[Any] = [value["row"], *([label] if classes else []), value["score"], value["support"]]
        if changed:
            new = value["new_score"]
            line.append(None if new is None else f"{class_text(value['new_class'] or 0, names)} {new}" if classes else new)
        if (one := decided.get(value["row"])) is not None:
            line += [one["decision"] + (" (borderline)" if one["borderline"] else ""), f"{one['rate_ppm'] / 10_000:g} %"]
        rows.append(line)
    return listing(columns, rows, {"row", "score", "support", "rate"})


# --- following ------------------------------------------------------------------------------------------------------------------


class RequestFollower:
    """Says each step of a request as a line on standard error, or as a line that moves on a terminal."""

    def __init__(self, out: Output) -> None:
        self._out, self._last = out, ""
        self._status: Any = None

    def __enter__(self) -> RequestFollower:
        if not self._out.as_json and self._out.notes.is_terminal:
            self._status = self._out.notes.status("on its way")
            self._status.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._status is not None:
            self._status.__exit__(*error)

    async def follow(
        self, node: Client, request: str, within_s: float, *, final: bool, sent: bool = False
    ) -> PredictionView | None:
        """The request when it is answered, or with `final` over; as it is when the time has passed; None where it never came.
        Raises NotFoundError where it was seen and is known no more: it left in blocks that the node has not."""
        import asyncio

        until, failures = time.monotonic() + within_s, 0
        view: PredictionView | None = None
        while True:
            left = until - time.monotonic()
            try:
                changed = view is not None
                view = await node.prediction(request, wait=max(0.0, min(WATCH_S, left)), final=final, changed=changed)
                failures = 0
            except NotFoundError as e:
                if view is not None:
                    raise left_unseen(request, view, e) from None
                await self._gone(node, e, sent)
            except UnreachableError:
                failures += 1
                if failures > RETRIES:
                    raise
                await asyncio.sleep(min(0.2 * 2**failures, 5.0))
            if view is not None:
                self._say(step(view))
                if view["state"] in ("FAILED", "FINAL") or (not final and view["outcome"]):
                    return view
            if left <= 0:
                return view

    @staticmethod
    async def _gone(node: Client, told: NotFoundError, sent: bool) -> None:
        """Raises what the node told, where its blocks do not begin with the first: a request may have left before, and waiting
        brings it no more. One that was `sent` just now may still come."""
        if not sent and (await node.status()).get("first_block", 1) > 1:
            raise told

    def _say(self, text: str) -> None:
        if text == self._last:
            return
        self._last = text
        if self._status is not None:
            self._status.update(text)
        else:
            self._out.note(text)


def left_unseen(request: str, last: PredictionView, told: NotFoundError) -> NotFoundError:
    """Of a request that was there and is not, on a node that has not the blocks in which it ended."""
    seen = f"It was {last['outcome'] or last['state']} when it was seen last"
    ended = "and no appeal can change it any more" if last["outcome"] else "and an answer would stand in the state for pred_keep"
    where = "in blocks that this node has not (it took a snapshot), so how it ended is not known here; an archive node tells"
    return NotFoundError(f"Request {request} left the state {where}. {seen}, {ended}", name=told.name)


def step(view: PredictionView) -> str:
    """Where a request stands, in a few words."""
    drawn, sealed = len(view["seats"]), sum(seat["committed"] for seat in view["seats"])
    opened = sum(seat["opened"] for seat in view["seats"])
    match view["state"]:
        case "WAITING":
            return f"waits: place {view['place']} of {view['queue']}"
        case "KEYS":
            return f"{drawn} servers are drawn and wait for the key"
        case "ANSWER":
            return f"{sealed} of {drawn} servers sealed their answers"
        case "REDRAW":
            return "somebody was silent: others are drawn"
        case "OPEN":
            return f"{opened} of {drawn} servers opened their answers"
        case "APPEAL":
            return "appealed: judges are drawn"
        case "FAILED":
            return f"failed: {view['outcome']}"
        case state:
            agree = f", {view['agree']} agree" if view["agree"] is not None else ""
            return f"{state}{agree}"
