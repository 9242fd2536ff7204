"""The vectors of `job.json`: each formula by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.conformance import data_sets
from tests.conformance import judging as j
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


def _ints(values: list[Any]) -> list[int]:
    return [_int(value) for value in values]


def _hex(values: list[str]) -> list[bytes]:
    return [bytes.fromhex(value) for value in values]


def _tolerance(case: Case) -> None:
    kind, posted, loss = case["kind"], _int(case["posted"]), _int(case["loss"])
    _is(j.base(kind, loss), _int(case["base"]), "base")
    _is(j.tol(kind, posted, loss), _int(case["tol"]), "tol")
    _is(j.bound(kind, loss), _int(case["bound"]), "bound")


def _spread(case: Case) -> None:
    compared, scale = _ints(case["compared"]), j.Scale(case["kind"], case["posted"], case["claim"])
    _is(j.lower_median(compared), _int(case["median"]), "the median")
    _is(scale.t(compared), _int(case["t"]), "t")
    _is(scale.agreeing(compared), case["agreeing"], "how many agree")


def _windows(case: Case) -> None:
    """LC-JOB-1, 4, 14"""
    e = case["eval_s"] * (2 if case["hidden"] else 1)
    k, bounty, cap = case["finalists"], case["bounty"], case["model_cap"]

    def vote(b: int) -> int:
        return int(case["vote_base"] + 2 * e * 1000 * b + j.cd(cap * b, 1000) + j.cd(case["published"], 10_000))

    def count(columns: int, c: int) -> int:
        return int(case["open_votes"] * columns * max(1, j.cd(c, 16)))

    columns = 2 if case["hidden"] else 1
    found = {
        "e": e,
        "W_V": vote(case["batch"]),
        "W_C": count(columns * case["batch"], case["seats"]),
        "least_fee": j.least_fee(e * case["cpus_milli"], columns, cap, case["rate"], case["published"]),
        "F": case["fee"] * (j.C + j.SECOND) * k,
        "G": k * (bounty // 10),
        "D": bounty if case["hidden"] else 0,
        "stake": bounty // 10,
        "latest_end": case["expiry"] + case["reveal"] + case["key"] + 2 * k * (vote(1) + count(columns, j.SECOND)),
    }
    _is(found, case["found"], "times and amounts")


def _commitment(case: Case) -> None:
    """LC-JOB-16"""
    if case["what"] == "job":
        found = tagged("lc/job", bytes.fromhex(case["tx"]), bytes([case["op"]]))
    elif case["what"] == "claim":
        found = tagged("lc/claim", *_hex([case[n] for n in ("chain_id", "job", "claimant", "model", "salt")]))
    else:
        chain_id, job, voter, salt, ballots = _hex([case[n] for n in ("chain_id", "job", "voter", "salt", "ballots")])
        found = tagged("lc/ballots", chain_id, job, bytes([case["audit"], case["round"]]), voter, salt, ballots)
    _is(found.hex(), case["found"], "the hash")


def _order(case: Case) -> None:
    found = j.place(case["height"], bytes.fromhex(case["beacon"]), bytes.fromhex(case["tx"]), case["op"])
    _is(found.hex(), case["place"], "the place")


def _rank(case: Case) -> None:
    beacon = bytes.fromhex(case["beacon"])
    places = [j.place(c["height"], beacon, bytes.fromhex(c["tx"]), c["op"]) for c in case["claims"]]
    order = sorted(range(len(places)), key=places.__getitem__)
    _is(order, case["order"], "the order")
    ranked = j.rank([case["claims"][n]["loss"] for n in order], lambda loss: j.tol(case["kind"], case["posted"], loss))
    _is([order[at] for at in ranked], case["rank"], "the rank")


def _ticket_of(case: Case) -> Callable[[bytes], bytes]:
    beacon, job = bytes.fromhex(case["beacon"]), bytes.fromhex(case["job"])
    return lambda who: j.ticket(beacon, job, case["audit"], case["round"], who)


def _committee(case: Case) -> None:
    able, among, marked = (_hex(case[name]) for name in ("able", "finalists", "marked"))
    found = j.draw(able, among, bytes.fromhex(case["candidate"]), set(marked), case["round"], _ticket_of(case))
    _is([who.hex() for who in found.seats], case["seats"], "the seats")
    _is(sorted(who.hex() for who in found.neutral), case["neutral"], "the neutral ones")
    _is(found.pool, case["pool"], "|P|")


def _column(told: Any) -> j.Column | None:
    return None if told is None else j.Column(_int(told["measured"]), told["n"], [int(one) for one in told["shown"].split()])


def _votes(case: Case) -> list[j.Vote]:
    return [
        j.Vote(bytes.fromhex(v["voter"]), v["neutral"], v["code"], _column(v["public"]), _column(v["hidden"]), v["badkey"])
        for v in case["votes"]
    ]


def _scale(case: Case) -> j.Scale:
    return j.Scale(case["kind"], case["posted"], case["claim"])


def _verdict(case: Case) -> None:
    votes, c, hidden = _votes(case), case["c"], case["hidden"]
    last = j.is_last(case["round"], c, case["pool"], len(votes))
    _is(last, case["last"], "whether it is the last")
    _is(tuple(j.decide(votes, c, last, _scale(case), hidden)), (case["verdict"], case["line"]), "verdict and line")
    _is(j.bad_key(votes, c, last), case["bad_key"], "the key")
    loss = j.hidden_loss(j.counted(votes), c, _scale(case)) if hidden else None
    _is(loss, None if case["hidden_loss"] is None else _int(case["hidden_loss"]), "the hidden loss")


def _merits(case: Case) -> None:
    seen = j.merits(_votes(case), case["verdict"], _scale(case), case["hidden"])
    fair = j.repeatable(seen)
    _is(fair, case["repeatable"], "whether it is repeatable")
    for merit, told in zip(seen, case["found"], strict=True):
        found = {
            "paid": merit.paid,
            "leaves_off": merit.leaves_off,
            "hidden_off": merit.hidden_off,
            "opposed": merit.opposed,
            "strike": merit.strike(case["line"]) if fair else "",
            "bad_draw": merit.bad_draw(case["line"], fair),
            "marks": merit.marks(case["line"]),
            "lost": merit.off or (not merit.winning and merit.vote.code != j.ABSTAIN),
        }
        _is(found, told, merit.vote.voter.hex())


def _items(told: list[list[Any]]) -> list[list[Any]]:
    return [[bytes.fromhex(origin), *rest] for origin, *rest in told]


def _draws(case: Case) -> None:
    found, rests = j.with_draw(_items(case["record"]), _items([case["entry"]])[0])
    _is((found, rests), (_items(case["found"]), case["rests"]), "the record")


def _strikes(case: Case) -> None:
    found = j.with_strike(_items(case["record"]), bytes.fromhex(case["origin"]), case["now"], case["life"])
    _is(found, _items(case["found"]), "the strikes")
    _is(j.live(found, case["now"]), case["live"], "how many live")
    _is(j.live(found, case["now"]) < 3, case["stands"], "whether it stands")


GROUPS: dict[str, Run] = {
    "tolerances": _tolerance,
    "spreads": _spread,
    "quorums": lambda c: _is(j.quorum(c["c"]), c["quorum"], "Q"),
    "windows": _windows,
    "delays": lambda c: _is(j.delay(c["validators"]), c["d"], "d"),
    "commitments": _commitment,
    "orders": _order,
    "ranks": _rank,
    "finalists": lambda c: _is(j.finalists(c["full"], c["K"]), c["finalists"], "the finalists"),
    "tickets": lambda c: _is(_ticket_of(c)(bytes.fromhex(c["id"])).hex(), c["ticket"], "the ticket"),
    "committees": _committee,
    "verdicts": _verdict,
    "keys": lambda c: _is(j.bad_key(_votes(c), c["c"], c["last"]), c["bad_key"], "the key"),
    "merits": _merits,
    "draws": _draws,
    "strikes": _strikes,
    "marks": lambda c: _is(j.is_marked(c["votes"], c["now"], c["life"]), c["marked"], "the mark"),
    "manifests": lambda c: _is(data_sets.read(bytes.fromhex(c["manifest"])), tuple(c["found"]) if c["found"] else None, "the set"),
    "capacities": lambda c: _is(j.covers(c["offered"], c["needed"]), c["covers"], "whether it covers"),
}


def formulas(vector: dict[str, list[Case]]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every case of the file, by name. Raises ValueError for a group that nothing checks."""
    if set(vector) != set(GROUPS):
        raise ValueError(f"groups of the file: {set(vector) ^ set(GROUPS)}")
    for group, cases in vector.items():
        for number, case in enumerate(cases):
            yield f"{group} {number}", partial(GROUPS[group], case)
