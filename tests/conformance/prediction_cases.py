"""The vectors of `prediction.json`: each formula of predictions by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.conformance import prediction_rules as p
from tests.conformance.keys import tagged

Case = dict[str, Any]
Run = Callable[[Case], None]


class Disagrees(Exception):
    """This implementation does not agree with a vector."""


def _is(found: object, told: object, what: str) -> None:
    if found != told:
        raise Disagrees(f"{what}: {found!r} is not {told!r}")


def _int(value: Any) -> int:
    return int(value["int"]) if isinstance(value, dict) else int(value)


def _amounts(case: Case) -> None:
    """LC-PRE-1"""
    n, rows, price, w, tip = (_int(case[name]) for name in ("N", "R", "p", "w", "T"))
    kept = p.kept(case["row"], rows, case["inline"])
    found = {
        "Tmin": p.least_tip(w, n, rows),
        "F": kept,
        "b": p.burned(tip, price, rows, kept),
        "X": p.locked(tip, price, rows, kept),
        "s": tip // n,
        "q": p.least_agreeing(n),
        "R3": p.appeal_rows(rows),
        "u": p.appeal_fee(case["fee"], w, rows),
        "PEN": p.fine(_int(case["stake"]), tip // n, w, rows),
        "least_stake": p.least_stake(_int(case["pred_stake"]), w),
    }
    _is(found, {name: _int(value) for name, value in case["found"].items()}, "the amounts")


def _seats(case: Case) -> None:
    _is(p.seats(case["N"], case["m"], case["pool"]), case["c"], "the seats")


def _windows(case: Case) -> None:
    """LC-PRE-3"""
    start, each, rows, size, model = (case[name] for name in ("start_s", "row_ms", "R", "size", "model_size"))
    _is(p.answer_window(case["pred_a0"], start, each, rows, size), case["W_A"], "W_A")
    third = p.answer_window(case["vote_base"], start, each, p.appeal_rows(rows), size + model)
    _is(third, case["W_A3"], "W_A3")


def _place(case: Case) -> None:
    _is(p.place(_int(case["posted"]), _int(case["T"]), _int(case["Tmin"])), _int(case["v"]), "the place")


def _subsidy(case: Case) -> None:
    given = (_int(case[name]) for name in ("pred_sub", "b", "N", "pred_epoch_sub", "minted"))
    _is(p.subsidy(*given), _int(case["subsidy"]), "the subsidy")


def _room(case: Case) -> None:
    """LC-PRE-20"""
    c, pool, slots, opened, pinned = (case[name] for name in ("c", "pool", "slots", "open", "pinned"))
    _is(p.has_room(c, pool, slots, opened, pinned, case["stakes"], case["w"]), case["room"], "whether there is room")


def _draw(case: Case) -> None:
    """LC-PRE-21"""
    ids = [bytes.fromhex(one) for one in case["ids"]]
    found = p.drawn(bytes.fromhex(case["beacon"]), bytes.fromhex(case["request"]), case["r"], ids, case["seats"])
    _is([one.hex() for one in found], case["drawn"], "the seats")


def _answers(told: list[Any]) -> list[p.Answer]:
    return [p.Answer(code, classes, [_int(one) for one in scores], _int(check)) for code, classes, scores, check in told]


def _tally(case: Case) -> None:
    """LC-PRE-26 to LC-PRE-29, 33"""
    votes = _answers(case["votes"])
    found = p.tally(votes, case["c"], case["q"], case["m"], case["rows"], _int(case["tol"]))
    _is(found.outcome, case["outcome"], "the outcome")
    values = [None if row is None else [row.cls, row.score, row.support] for row in found.rows]
    told = [None if row is None else [row[0], _int(row[1]), row[2]] for row in case["values"]]
    _is(values, told, "the values")
    _is(found.payees, case["payees"], "the payees")
    _is(found.agree, case["agree"], "how many agree")
    _is(found.said, case["said"], "who said the code")
    _is(p.knows_better(votes, found, case["c"]), case["fined"], "who is fined")


def _verdict(case: Case) -> None:
    """LC-PRE-38 to LC-PRE-42"""
    votes, tol = _answers(case["votes"]), _int(case["tol"])
    old = [None if one is None else (one[0], _int(one[1])) for one in case["old"]]
    before = [None if one is None else p.Row(one[0], _int(one[1]), one[2]) for one in case["old"]]
    tally = p.tally(votes, case["c"], 2, 1, len(old), tol)
    first = p.First(range(len(old)), before, _answers(case["first"]))
    found = p.verdict(tally, votes, case["c"], first, tol)
    changed = [] if found.by_code else found.changed
    _is([found.outcome, found.side, changed, found.by_code], case["verdict"], "the verdict")
    if found.outcome != p.OVERTURNED:
        _is([case["slashes"], case["deposit"]], [False, False], "whether anybody is slashed")
    else:
        repeated = sum(p.repeats(vote, old, found.changed, tol) for vote in votes)
        slashes = p.slashes(case["c"], len(found.side), repeated)
        _is(slashes, case["slashes"], "whether anybody is slashed")
        _is(slashes and p.deposit_answers(case["drawn"], case["wrong"]), case["deposit"], "whether the owner is, too")


def _slashing(case: Case) -> None:
    """LC-PRE-42"""
    lost = p.slashed([_int(one) for one in case["stakes"]], _int(case["deposit"]))
    _is(lost, [_int(one) for one in case["lost"]], "what is lost")
    shared = p.shared_pot(sum(lost), _int(case["u"]), case["side"], _int(case["s"]), case["same"])
    _is(list(shared), [_int(one) for one in case["shared"]], "who gets it")


def _decision(case: Case) -> None:
    """LC-PRE-44"""
    told = case["policy"]
    policy = p.Policy(told["below"], _int(told["threshold"]), told["rates"], told["least"], told["most"])
    policy = policy._replace(rates=[[_int(begins), ppm] for begins, ppm in policy.rates])
    value = None if case["value"] is None else _int(case["value"])
    found = p.decide(policy, value, case["support"], case["c"], case["private"], case["asked"], _int(case["tol"]))
    _is(list(found), case["decision"], "the decision")


def _share(case: Case) -> None:
    """LC-PRE-14"""
    parts, carried = p.split(_int(case["held"]), _int(case["carried"]), case["weights"])
    _is(parts, [_int(one) for one in case["parts"]], "the parts")
    _is(carried, _int(case["carried_next"]), "what is carried")


def _commitment(case: Case) -> None:
    """The ids and the commitment of an answer."""
    given = {name: bytes.fromhex(value) for name, value in case.items() if name in ("tx", "chain_id", "request", "server", "salt")}
    if case["what"] == "answer":
        parts = (given["chain_id"], given["request"], bytes([case["r"]]), given["server"], given["salt"])
        found = tagged("lc/answer", *parts, bytes.fromhex(case["answer"]))
    else:
        found = tagged(f"lc/{case['what']}", given["tx"], bytes([case["op"]]))
    _is(found.hex(), case["found"], case["what"])


def _blinding(case: Case) -> None:
    """LC-PRE-47"""
    key, request = bytes.fromhex(case["key"]), bytes.fromhex(case["request"])
    plain, told = _answers([case["plain"]])[0], _answers([case["blinded"]])[0]
    _is(p.blinded(key, request, case["classes"], case["rows"], plain), told, "what is blinded")


def _input(case: Case) -> None:
    """LC-PRE-56"""
    found = p.given_to_a_program(bytes.fromhex(case["input"]), case["R"], case["rows"])
    _is("BAD_INPUT" if found is None else found.hex(), case["given"], "what a program is given")


GROUPS: dict[str, Run] = {
    "amounts": _amounts,
    "seats": _seats,
    "windows": _windows,
    "places": _place,
    "subsidies": _subsidy,
    "rooms": _room,
    "draws": _draw,
    "tallies": _tally,
    "verdicts": _verdict,
    "slashings": _slashing,
    "decisions": _decision,
    "shares": _share,
    "commitments": _commitment,
    "blindings": _blinding,
    "inputs": _input,
}


def formulas(vector: dict[str, list[Case]]) -> Iterator[tuple[str, Callable[[], None]]]:
    for group, run in GROUPS.items():
        for number, case in enumerate(vector[group]):
            yield f"{group} {number}", partial(run, case)
