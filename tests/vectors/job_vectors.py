"""Vectors of the job contract's formulas, and of what an account carries on: what a handler computes, by itself.

Whole jobs, with their records and events, stand in the vectors of executions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.job.messages import Ballot
from learningchain.chain.host.terms import Capacity
from learningchain.chain.losses import MAX_LOSS, Measurement
from learningchain.chain.types import quorum
from learningchain.chain.verification import committee, merits, ranking, scale, standing, votes, windows
from learningchain.chain.verification.merits import Merit
from learningchain.chain.verification.ranking import RankedClaim
from learningchain.chain.verification.scale import FloatKind
from learningchain.chain.verification.votes import BallotCode, Column, Judgement, OpenedVote, Scale
from learningchain.client.data.published import read_manifest
from tests.vectors.kit import shown

BEACON, JOB = hashlib.sha256(b"vector beacon").digest(), hashlib.sha256(b"vector job").digest()
LIFE = 2_592_000_000
KINDS = (FloatKind.F64, FloatKind.F32)


def job() -> dict[str, Any]:
    return {
        "tolerances": [_tolerance(kind, posted, loss) for kind in KINDS for posted in _POSTED for loss in _LOSSES],
        "spreads": [_spread(*given) for given in _spreads()],
        "quorums": [{"rule": "LC-JOB-3", "c": c, "quorum": quorum(c)} for c in (*range(1, 17), 63, 64)],
        "windows": [_windows(*given) for given in _WINDOWS],
        "delays": [{"rule": "LC-JOB-4", "validators": n, "d": windows.draw_delay(n)} for n in (1, 2, 3, 4, 6, 7, 10, 100, 128)],
        "commitments": list(_commitments()),
        "manifests": [{"rule": "LC-JOB-60", "manifest": raw.hex(), "found": _set_of(raw)} for raw in _manifests()],
        "orders": [_order(height, n, op) for height, n, op in ((1, 0, 0), (1, 1, 0), (2**48, 0, 99), (255, 7, 1))],
        "ranks": [_rank(seed) for seed in range(24)],
        "finalists": [_finalists(seed) for seed in range(24)],
        "tickets": [_ticket(n, j, r) for n, j, r in ((0, 0, 1), (0, 0, 2), (1, 7, 1))],
        "committees": [_committee(*given) for given in _committees()],
        "verdicts": [*(_verdict(seed) for seed in range(120)), *(_given(*row) for row in _ROWS)],
        "keys": [_key(*given) for given in _KEYS],
        "merits": [*(_merits(seed) for seed in range(40)), _far_secret(2), _far_secret(3)],
        "draws": [_draws(seed) for seed in range(24)],
        "strikes": [_strikes(seed) for seed in range(16)],
        "marks": [_marked(*given) for given in _marks()],
        "capacities": [_covers(at, change) for at in range(6) for change in (-1, 0, 1)],
    }


def identity(n: int) -> bytes:
    return hashlib.sha256(b"vector member %d" % n).digest()[:20]


# --- losses compared ------------------------------------------------------------------------------------------------------------

_POSTED = (0, 15, 1_234_567, MAX_LOSS)
_LOSSES = (0, 1, -1, 999_999, 1_000_000, 1_000_001, 123_456_789, -2_300_000_000, MAX_LOSS, -MAX_LOSS)


def _tolerance(kind: int, posted: int, loss: int) -> dict[str, Any]:
    told = {"rule": "LC-JOB-2", "kind": int(kind), "posted": shown(posted), "loss": shown(loss)}
    base, tol, bound = scale.base(kind, loss), scale.tolerance(kind, posted, loss), scale.bound(kind, loss)
    return told | {"base": shown(base), "tol": shown(tol), "bound": shown(bound)}


def _spreads() -> Iterator[tuple[int, int, int, list[int]]]:
    for kind in KINDS:
        for claim in (0, 5_000, 2_300_000_000):
            tol = scale.tolerance(kind, 0, claim)
            yield kind, 0, claim, [claim]
            yield kind, 0, claim, [claim - 2 * tol - 1, claim - 2 * tol, claim, claim + 2 * tol, claim + 2 * tol + 1]
            yield kind, 10**9, claim, [claim, claim + tol, claim + 10**12, claim + 10**12 + 7]
            yield kind, 0, claim, [10**17, 3, 10**17 + 5 * 10**10, 10**17 + 10**14]


def _spread(kind: int, posted: int, claim: int, compared: list[int]) -> dict[str, Any]:
    given = {"rule": "LC-JOB-47", "kind": int(kind), "posted": posted, "claim": claim, "compared": shown(compared)}
    size = Scale(kind, posted, claim)
    return given | {
        "median": shown(scale.lower_median(compared)),
        "t": shown(size.spread(compared)),
        "agreeing": votes.agreeing(compared, size),
    }


# --- data sets ------------------------------------------------------------------------------------------------------------------


def _set_of(manifest: bytes) -> list[int] | None:
    try:
        found = read_manifest(manifest)
    except ValueError:
        return None
    return [found.size, len(found.files)]


def _manifests() -> Iterator[bytes]:
    """What a set may look like, and one fault each."""
    cid, digest = b"\x01\x55\x12\x20" + bytes(32), bytes(32)

    def files(*named: Any) -> bytes:
        return encode([[*one, cid, digest] for one in named])

    yield files(("a", 1))
    yield files(("a/b.bin", 0), ("a/c", 5), ("b", 2**40 - 5))
    yield files(("Z", 1), ("a", 1), ("ä", 1), ("\U0001f600", 1))
    yield files(("/".join("abcdefghijklmn"), 1))
    yield files(("d" * 255 + "/" + "e" * 217, 1))
    yield files()
    yield files(("a", 0))
    yield files(("a", 2**40 + 1))
    yield files(("b", 1), ("a", 1))
    yield files(("a", 1), ("a", 1))
    yield files(("a", 1), ("a/b", 1))
    yield files(("/".join("abcdefghijklmno"), 1))
    yield files(("d" * 255 + "/" + "e" * 218, 1))
    yield from (files((name, 1)) for name in ("", "/a", "a/", "a//b", ".", "..", "a/../b", "a\nb", "d" * 256))
    yield from (files((f"a{sign}b", 1)) for sign in "\u00a0\u202f\u3000\u200d\u2027\u2065\ufeff")
    yield from (files((f"a{sign}b", 1)) for sign in "\x1f\x7f\x85\x9f\u200e\u2028\u202e\u2066\u2069")
    yield encode([["a", -1, cid, digest]])
    yield encode([["a", 1, cid[:-1], digest]])
    yield encode([["a", 1, b"\x00" + cid[1:], digest]])
    yield encode([["a", 1, cid, digest[1:]]])
    yield encode([["a", 1, cid]])
    yield files(("a", 1)) + b"\0"
    yield b"\xdc\x00\x01" + files(("a", 1))[1:]


# --- times, amounts, hashes -------------------------------------------------------------------------------------------------------

_WINDOWS = (
    (120_000, 60_000, 60_000, 60_000, 10, 1, False, 1_000, 1_000_000, 1_000_000, 1_000, 4, 1, 7, 0),
    (120_000, 60_000, 60_000, 60_000, 10, 1, True, 1_000, 1_000_001, 1_000_009, 1_000, 8, 8, 64, 100_000_001),
    (5, 7, 11, 13, 3, 33, True, 10, 999, 19, 7, 2, 3, 17, 10_001),
    (1, 1, 1, 1, 1, 86_400, False, 1_024_000, 2**34, 10, 1, 3, 2, 16, 2**40),
    (1, 1, 1, 1, 7, 3, False, 333, 1, 29, 1, 5, 1, 0, 1),
)


def _windows(
    least: int,
    each: int,
    reveal: int,
    key: int,
    rate: int,
    eval_s: int,
    hidden: bool,
    cpus: int,
    cap: int,
    bounty: int,
    fee: int,
    k: int,
    b: int,
    c: int,
    data: int,
) -> dict[str, Any]:
    e = windows.evaluation(eval_s, hidden)
    given = {"vote_base": least, "open_votes": each, "reveal": reveal, "key": key, "rate": rate, "eval_s": eval_s}
    given |= {"hidden": hidden, "cpus_milli": cpus, "model_cap": cap, "bounty": bounty, "fee": fee, "finalists": k}
    given |= {"batch": b, "seats": c, "expiry": 1_000, "published": data}
    end = windows.latest_end(1_000, reveal, key, each, least, eval_s=eval_s, model_cap=cap, finalists=k, hidden=hidden, data=data)
    found = {
        "e": e,
        "W_V": windows.vote_window(least, e, cap, b, data),
        "W_C": windows.count_window(each, 2 * b if hidden else b, c),
        "least_fee": windows.least_fee(windows.judging_work(e, cpus, cap, hidden, data), rate),
        "F": windows.fees_locked(fee, k),
        "G": windows.bond(bounty, k),
        "D": windows.deposit(bounty, hidden),
        "stake": windows.full_stake(bounty),
        "latest_end": end,
    }
    return {"rule": "LC-JOB-4", **given, "found": found}


def _commitments() -> Iterator[dict[str, Any]]:
    chain_id, job_id, model, salt, tx = (bytes([n]) * 32 for n in (1, 2, 3, 4, 5))
    who, measured = bytes([6]) * 20, Measurement(bytes([7]) * 32, 123456789, 1)
    ballots = [Ballot(BallotCode.OK, [measured], [], True), Ballot(BallotCode.INVALID, [], [], False)]
    rule = {"rule": "LC-JOB-16"}
    yield rule | {"what": "job", "tx": tx.hex(), "op": 7, "found": messages.job_id_of(tx, 7).hex()}
    names = {"chain_id": chain_id.hex(), "job": job_id.hex()}
    found = messages.claim_commitment(chain_id, job_id, who, model, salt).hex()
    yield rule | {"what": "claim", **names, "claimant": who.hex(), "model": model.hex(), "salt": salt.hex(), "found": found}
    told = {"audit": 1, "round": 2, "voter": who.hex(), "salt": salt.hex(), "ballots": encode(ballots).hex()}
    yield rule | {
        "what": "votes",
        **names,
        **told,
        "found": messages.vote_commitment(chain_id, job_id, 1, 2, who, ballots, salt).hex(),
    }


# --- ranking --------------------------------------------------------------------------------------------------------------------


def _tx(n: int) -> bytes:
    return hashlib.sha256(b"vector tx %d" % n).digest()


def _order(height: int, n: int, op: int) -> dict[str, Any]:
    given = {"rule": "LC-JOB-5", "height": height, "beacon": BEACON.hex(), "tx": _tx(n).hex(), "op": op}
    return given | {"place": ranking.position(height, BEACON, _tx(n), op).hex()}


def _claims(rng: Random, kind: int, posted: int) -> list[tuple[int, int, int, int]]:
    """(height, transaction, message, loss) of each: some losses lie a whole or nearly a minimum improvement apart."""
    start = rng.choice((0, 5_000, 2_300_000_000, 10**12))
    step = 2 * scale.tolerance(kind, posted, start)
    found = []
    for n in range(rng.randint(1, 9)):
        found.append((rng.randint(5, 7), n // 2, n % 2, start - rng.choice((0, 0, step, step - 1, step + 1, 3 * step, -step))))
    return found


def _rank(seed: int) -> dict[str, Any]:
    rng = Random(seed)
    kind, posted = rng.choice(KINDS), rng.choice((0, 10**6))
    claims = _claims(rng, kind, posted)
    entries = [RankedClaim(ranking.position(h, BEACON, _tx(n), op), loss, i) for i, (h, n, op, loss) in enumerate(claims)]
    ranked = ranking.rank(entries, lambda loss: scale.tolerance(kind, posted, loss), len(entries))
    told = [{"height": h, "tx": _tx(n).hex(), "op": op, "loss": loss} for h, n, op, loss in claims]
    given = {"rule": "LC-JOB-5", "kind": int(kind), "posted": posted, "beacon": BEACON.hex(), "claims": told}
    return given | {"order": [e.claim for e in sorted(entries)], "rank": [e.claim for e in ranked]}


def _finalists(seed: int) -> dict[str, Any]:
    rng = Random(seed)
    count, most = rng.randint(1, 12), rng.randint(2, 8)
    full = [rng.random() < rng.choice((0.1, 0.5, 0.9)) for _ in range(count)]
    entries = [RankedClaim(b"", 0, n) for n in range(count)]
    found = ranking.finalists(entries, full.__getitem__, most)
    return {"rule": "LC-JOB-32", "full": full, "K": most, "finalists": [entry.claim for entry in found]}


# --- committees -----------------------------------------------------------------------------------------------------------------


def _ticket(n: int, j: int, r: int) -> dict[str, Any]:
    given = {"rule": "LC-JOB-6", "beacon": BEACON.hex(), "job": JOB.hex(), "audit": j, "round": r, "id": identity(n).hex()}
    return given | {"ticket": committee.ticket(BEACON, JOB, j, r, identity(n)).hex()}


def _committees() -> Iterator[tuple[int, list[int], list[int], int]]:
    """(able, finalists, marked, round): the candidate is member 0, who is a finalist."""
    for round_ in (1, 2):
        for able in (0, 1, 2, 3, 4, 7, 8, 16, 70):
            yield able, [0], [], round_
        yield 3, [0, 1], [], round_
        yield 4, [0, 1, 2], [], round_
        yield 6, [0, 1, 2, 3, 4, 5], [], round_
        yield 5, [0, 9, 1], [], round_
        for marked in ([3], [3, 4, 5, 6], list(range(2, 16)), list(range(1, 9))):
            yield 16, [0, 1], marked, round_
        yield 9, [0], [3, 4, 5], round_
        yield 4, [0, 1, 2], [1, 3], round_


def _committee(able: int, finalists: list[int], marked: list[int], round_: int) -> dict[str, Any]:
    members = sorted(identity(n) for n in range(able))
    among, bear = [identity(n) for n in finalists], [identity(n) for n in marked]
    found = committee.draw(members, among, identity(0), bear, round_, lambda who: committee.ticket(BEACON, JOB, 3, round_, who))
    given = {"rule": "LC-JOB-6", "beacon": BEACON.hex(), "job": JOB.hex(), "audit": 3, "round": round_}
    given |= {
        "able": [who.hex() for who in members],
        "finalists": [who.hex() for who in among],
        "marked": [who.hex() for who in bear],
    }
    told = {"seats": [who.hex() for who in found.seats], "neutral": sorted(who.hex() for who in found.neutral), "pool": found.pool}
    return given | {"candidate": identity(0).hex()} | told


# --- verdicts -------------------------------------------------------------------------------------------------------------------


def _told(vote: OpenedVote) -> dict[str, Any]:
    def column(found: Column | None) -> Any:
        return (
            None
            if found is None
            else {"measured": shown(found.measured), "n": found.examples, "shown": " ".join(map(str, found.shown))}
        )

    told = {"voter": vote.voter.hex(), "neutral": vote.neutral, "code": int(vote.code), "badkey": vote.badkey}
    return told | {"public": column(vote.public), "hidden": column(vote.hidden)}


def _measured(rng: Random, code: BallotCode, size: Scale) -> int:
    tol, limit = scale.tolerance(size.kind, size.posted, size.claimed), scale.bound(size.kind, size.claimed)
    if code == BallotCode.OK:
        return size.claimed + rng.choice((tol, 0, -tol, -3 * tol))
    if code == BallotCode.NEAR:
        return size.claimed + rng.choice((tol + 1, limit))
    return size.claimed + limit + rng.choice((1, 1, 1, 2 * tol, 3 * limit))


MOODS = (
    (1, 0, 0, 0, 0, 0, 0),
    (12, 0, 1, 0, 0, 0, 0),
    (6, 1, 1, 1, 1, 1, 1),
    (1, 0, 9, 0, 0, 0, 0),
    (1, 1, 5, 1, 1, 1, 1),
    (1, 2, 2, 2, 2, 2, 9),
)
"""How often each code is said."""


def _column(rng: Random, measured: int, spoil: bool) -> Column:
    if not spoil:
        return Column(measured, 16, (measured,) * 16)
    n = rng.choice((4, 16, 16, 16, 40))
    moved = rng.choice((0, 1, 1, 2, 5))
    return Column(measured, n, tuple(measured + (10**9 if k < moved else 0) for k in range(16)))


def _votes(rng: Random, size: Scale, opened: int, hidden: bool, spoil: float) -> list[OpenedVote]:
    mood, helped = rng.choice(MOODS), rng.choice((0, 0, 0.4))
    secret, apart = size.claimed + rng.choice((0, 10**8)), rng.choice((0, 0, 0.3))
    found = []
    for n in range(opened):
        code, neutral = rng.choices(list(BallotCode), mood)[0], rng.random() >= helped
        if code not in votes.MEASURED:
            found.append(OpenedVote(identity(n), neutral, code))
            continue
        public = _column(rng, _measured(rng, code, size), rng.random() < spoil)
        badkey = hidden and rng.random() < 0.1
        far = 10**10 if rng.random() < apart else 0
        other = _column(rng, secret + far, rng.random() < spoil / 2) if hidden and not badkey else None
        found.append(OpenedVote(identity(n), neutral, code, public, other, badkey))
    return found


def _scale(rng: Random) -> Scale:
    return Scale(rng.choice(KINDS), rng.choice((0, 10**6)), rng.choice((0, 5_000, 2_300_000_000)))


def _on(size: Scale, found: Sequence[OpenedVote]) -> dict[str, Any]:
    return {"kind": int(size.kind), "posted": size.posted, "claim": size.claimed, "votes": [_told(vote) for vote in found]}


def _verdict(seed: int) -> dict[str, Any]:
    rng = Random(seed)
    size, round_ = _scale(rng), rng.choice((1, 1, 2))
    seats = rng.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 7, 7) if round_ == 1 else (1, 2, 3, 5, 9, 12))
    pool, hidden = seats if rng.random() < 0.5 else seats + 5, rng.random() < 0.4
    opened = rng.choice((seats, seats, seats, max(0, seats - 1), seats // 2, min(seats, 1)))
    found = [vote._replace(public=_bare(vote.public), hidden=_bare(vote.hidden)) for vote in _votes(rng, size, opened, hidden, 0)]
    return _judged(size, found, round_, seats, pool, hidden)


_ROWS = (
    (1, 7, 9, "OOOOOOO", ""), (1, 7, 9, "OOOOOON", ""), (1, 7, 9, "OOOOOF", ""), (1, 7, 7, "OOOOOF", ""), (1, 7, 7, "OOOOOFF", ""),
    (1, 7, 9, "OOOOOOA", ""), (1, 7, 9, "FFFFFFO", ""), (1, 7, 9, "FFFFFFA", ""), (1, 7, 9, "FFFFF", ""), (1, 7, 9, "FFFFfff", ""),
    (1, 7, 9, "FFFNNNO", ""), (1, 7, 9, "FFFNNNA", ""), (1, 7, 9, "MMMMMBI", ""), (1, 7, 9, "MMMMMO", ""),
    (2, 9, 9, "OOOOFFFFO", ""), (2, 9, 9, "FFFFFFFOO", ""), (2, 9, 9, "NNNNNNNOO", ""),
    (2, 9, 9, "OON", ""), (2, 9, 9, "ON", ""), (2, 9, 9, "O", ""),
    (2, 64, 70, "O" * 43 + "F" * 21, ""), (2, 64, 70, "O" * 42 + "F" * 22, ""), (2, 64, 70, "F" * 43 + "O" * 21, ""),
    (1, 1, 1, "O", ""), (1, 1, 1, "F", ""), (1, 1, 1, "", ""), (1, 2, 2, "FF", ""), (1, 2, 2, "OF", ""), (1, 2, 2, "O", ""),
    (2, 2, 2, "O", ""), (2, 2, 2, "F", ""), (1, 3, 3, "FFF", ""), (1, 3, 3, "FFO", ""), (1, 3, 3, "OOF", ""), (2, 4, 4, "OOOF", ""),
    (1, 3, 3, "Off", "r"), (1, 3, 3, "Nff", "r"), (1, 3, 3, "Aff", "r"), (1, 2, 2, "of", "r"),
    (1, 7, 9, "OOOOOOO", "0000000"), (1, 7, 9, "OOOOOOO", "0000999"), (1, 7, 9, "OOOOOOO", "0001289"),
    (1, 7, 9, "OOOOOON", "0000000"),
    (1, 7, 7, "OOOOOOO", "0123456"), (2, 9, 9, "OOOOOOO", "0123456"), (1, 7, 9, "OOOOOOO", "00000xx"),
    (1, 7, 9, "OOOOOOO", "00xxxxx"),
    (1, 7, 9, "OOOOO", "xxxxx"), (2, 9, 9, "OOOOOOOOO", "00xxxxxxx"), (0, 0, 0, "", ""),
)  # fmt: skip
"""(round, c, |P|, a letter for the code of each vote, and of its hidden loss; small letters or "r": another loss, or a helper)."""
_LETTERS = {code.name[0]: code for code in BallotCode} | {"N": BallotCode.NEAR, "M": BallotCode.NOMODEL}


def _given(round_: int, seats: int, pool: int, codes: str, secrets: str) -> dict[str, Any]:
    size, helped = Scale(FloatKind.F32, 0, 5_000), secrets == "r"
    measured = {BallotCode.OK: 5_000, BallotCode.NEAR: 8_000, BallotCode.FALSE: 10**9}
    found = []
    for n, letter in enumerate(codes):
        code = _LETTERS[letter.upper()]
        public = Column(measured[code] + 10**8 * letter.islower(), 16, ()) if code in measured else None
        secret = secrets[n] if public and secrets and not helped else ""
        hidden = Column(10**8 * int(secret), 16, ()) if secret.isdigit() else None
        found.append(OpenedVote(identity(n), not (helped and letter.islower()), code, public, hidden, secret == "x"))
    return _judged(size, found, round_ or 1, seats, pool, bool(secrets) and not helped)


def _judged(size: Scale, found: list[OpenedVote], round_: int, seats: int, pool: int, hidden: bool) -> dict[str, Any]:
    last = votes.is_last(round_, seats, pool, len(found))
    judgement, line = votes.verdict(found, seats, last, size, hidden)
    loss = votes.hidden_loss(votes.counted(found), seats, size) if hidden else None
    given = {"rule": "LC-JOB-9", "round": round_, "c": seats, "pool": pool, "hidden": hidden} | _on(size, found)
    told = {"last": last, "bad_key": votes.bad_key(found, seats, last).name, "verdict": int(judgement), "line": line}
    return given | told | {"hidden_loss": shown(loss)}


def _bare(column: Column | None) -> Column | None:
    """What a verdict looks at."""
    return None if column is None else column._replace(shown=())


_KEYS = (
    (7, 5, 0, True), (7, 5, 2, False), (7, 5, 2, True), (7, 4, 0, True), (7, 5, 0, False), (7, 7, 0, False),
    (1, 1, 0, False), (2, 2, 0, True), (3, 2, 1, True), (3, 3, 0, True), (64, 43, 21, True), (64, 42, 0, True), (0, 0, 0, True),
)  # fmt: skip
"""(seats, badkeys, votes with a hidden loss, last)"""


def _key(seats: int, bad: int, valued: int, last: bool) -> dict[str, Any]:
    public = Column(0, 16, ())
    found = [OpenedVote(identity(n), True, BallotCode.OK, public, None, True) for n in range(bad)]
    found += [OpenedVote(identity(bad + n), True, BallotCode.OK, public, Column(9, 16, ()), False) for n in range(valued)]
    given = {"rule": "LC-JOB-10", "c": seats, "last": last, "votes": [_told(vote) for vote in found]}
    return given | {"bad_key": votes.bad_key(found, seats, last).name}


# --- merits, records of verifiers -------------------------------------------------------------------------------------------------


def _merits(seed: int) -> dict[str, Any]:
    rng = Random(seed)
    size, hidden = _scale(rng), rng.random() < 0.4
    found = _votes(rng, size, rng.choice((1, 3, 7, 7, 9)), hidden, rng.choice((0, 0.1, 0.3)))
    judgement = rng.choice((Judgement.OK, Judgement.OK, Judgement.FALSE, Judgement.REFUSED))
    line = {Judgement.OK: rng.choice((1, 1, 1, 6)), Judgement.FALSE: 2, Judgement.REFUSED: rng.choice((3, 6))}[judgement]
    return _seen(size, found, judgement, line, hidden)


def _far_secret(spreads: int) -> dict[str, Any]:
    """One of seven hidden losses lies so many times t from the others: what its leaves show is no further."""
    size, near = Scale(FloatKind.F32, 0, 5_000), Column(5_000, 16, (5_000,) * 16)
    far = 5_000 + spreads * scale.tolerance(size.kind, 0, 5_000)
    columns = [*[near] * 6, Column(far, 16, (far,) * 16)]
    found = [OpenedVote(identity(n), True, BallotCode.OK, near, column) for n, column in enumerate(columns)]
    return _seen(size, found, Judgement.OK, 1, True)


def _seen(size: Scale, found: list[OpenedVote], judgement: Judgement, line: int, hidden: bool) -> dict[str, Any]:
    seen = merits.merits(found, judgement, size, hidden)
    given = {"rule": "LC-JOB-54", "verdict": int(judgement), "line": line, "hidden": hidden} | _on(size, found)
    fair = merits.repeatable(seen)
    return given | {"repeatable": fair, "found": [_merit(merit, line, fair) for merit in seen]}


def _merit(merit: Merit, line: int, fair: bool) -> dict[str, Any]:
    bad = merits.is_bad_draw(merit, line, fair)
    told = {"paid": merit.paid, "leaves_off": merit.leaves_off, "hidden_off": merit.hidden_off, "opposed": merit.opposed}
    strike = merits.fault(merit, line) if fair else ""
    return told | {"strike": strike, "bad_draw": bad, "marks": merits.counts_for_mark(merit, line), "lost": merit.lost}


def _draws(seed: int) -> dict[str, Any]:
    rng = Random(seed)
    entries = [standing.Draw(identity(rng.randrange(12)), rng.random() < 0.6, rng.random() < 0.3) for _ in range(14)]
    record: list[standing.Draw] = []
    for entry in entries[:-1]:
        record = standing.add_draw(record, entry)
    found = standing.add_draw(record, entries[-1])
    told = {"record": [_draw(d) for d in record], "entry": _draw(entries[-1])}
    return {"rule": "LC-MEM-3"} | told | {"found": [_draw(d) for d in found], "rests": not found}


def _draw(draw: standing.Draw) -> list[Any]:
    return [draw.origin.hex(), draw.bad, draw.silent]


def _strikes(seed: int) -> dict[str, Any]:
    rng = Random(seed)
    now = 10**12
    ends = sorted(now + rng.choice((-5, 0, 1, LIFE - 1, LIFE, LIFE // 2)) for _ in range(rng.choice((0, 2, 5, 16))))
    record = [standing.Strike(identity(n), end) for n, end in enumerate(ends)]
    origin = identity(rng.randrange(20))
    found = standing.add_strike(record, origin, now, LIFE)
    told = {"record": [[s.origin.hex(), s.end] for s in record], "origin": origin.hex(), "now": now, "life": LIFE}
    counted = {"live": standing.live_strikes(found, now), "stands": standing.stands(found, now)}
    return {"rule": "LC-MEM-1"} | told | {"found": [[s.origin.hex(), s.end] for s in found]} | counted


def _marks() -> Iterator[tuple[list[tuple[int, bool]], int]]:
    yield [], 10
    yield [(1, True)], 10
    yield [(1, True), (2, True)], 10
    yield [(1, True), (2, False), (3, True), (9, False)], LIFE + 2
    yield [(1, True), (2, False), (3, True), (9, False)], LIFE + 3
    yield [(n, n % 5 == 0) for n in range(10)], LIFE + 4
    yield [(n, n % 5 == 0) for n in range(10)], LIFE + 5


def _marked(given: list[tuple[int, bool]], now: int) -> dict[str, Any]:
    found = [standing.CountedVote(time, bad) for time, bad in given]
    told = {"votes": [list(vote) for vote in given], "now": now, "life": LIFE}
    return {"rule": "LC-MEM-17"} | told | {"marked": standing.is_marked(found, now, LIFE)}


def _covers(at: int, change: int) -> dict[str, Any]:
    needed = [1, 4_000, 2_048, 10**9, 10**8, 600]
    offered = [value + change * (index == at) for index, value in enumerate(needed)]
    told = {"rule": "LC-MEM-2", "offered": offered, "needed": needed}
    return told | {"covers": Capacity(*offered).covers(Capacity(*needed))}
