"""Vectors of whole jobs: how each one ends, what verdicts cost, and every code of the job contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.job.messages import (
    CancelJob,
    Claim,
    CommitVote,
    ExtendJob,
    JobCode,
    OpenVote,
    RevealKey,
    improved,
)
from learningchain.chain.contracts.job.records import ClaimantIndex, ClaimRecord, JobState, claim_key, claimant_key, job_key
from learningchain.chain.contracts.membership import JudgeCase, Member, Release, SetCapacity, member_key
from learningchain.chain.errors import Code
from learningchain.chain.host import (
    BANNED,
    K_PARAMS,
    K_SUPPLY,
    SUSPENDED,
    Account,
    Due,
    Escrow,
    Parked,
    account_key,
    due_key,
    escrow_key,
    parked_key,
)
from learningchain.chain.host.terms import DataRef, DeviceAsk, Earlier, Image
from learningchain.chain.losses import LossNode, Opening
from learningchain.chain.verification.standing import Strike
from learningchain.chain.verification.votes import BallotCode
from tests.vectors.job_plays import (
    APPEAL,
    HIDDEN,
    KEEP,
    KEY_OF_HIDDEN,
    LEAST,
    OPEN_FOR,
    OTHERS,
    VALIDATORS,
    Play,
    Vote,
    start,
    terms,
)
from tests.vectors.kit import id_of, key_of

DIGITS = DataRef(HIDDEN.cid, 1, 1, "digits", 3)
ODD_SETS: list[dict[str, Any]] = [
    *({"name": ""}, {"name": "Digits"}, {"name": "a/b"}, {"cid": bytes(36)}, {"size": 0}, {"size": 2**40 + 1, "use": 1}),
    *({"files": 0}, {"files": 10_001, "use": 1}, {"use": 0}, {"use": 4, "name": "b"}),
]
ODD_DEVICES = [DeviceAsk(0, 1, 0), DeviceAsk(3, 1, 0), DeviceAsk(1, 0, 0), DeviceAsk(1, 9, 0), DeviceAsk(2, 1, 2**20 + 1)]
ODD_EARLIER: list[dict[str, Any]] = [{"cid": b""}, {"size": 0}, {"size": 2**34 + 1}, {"loss": -1}, {"loss": 10**18 + 1}]
ALICE, BOB, CAROL = id_of("alice"), id_of("bob"), id_of("carol")
CLAIMED, LIE = 5_000_000, 900_000_000
"""What is claimed, and what a model that lies has."""
EARLIER = Earlier(bytes(32), HIDDEN.cid, 1, CLAIMED + 3_000)
LOSSES = [CLAIMED - 3, CLAIMED, CLAIMED + 3]
MANY = [CLAIMED + n % 7 for n in range(20)]
WRONG = [LIE, LIE + 5, LIE - 5]


def honest(voter: str, claimant: str) -> Vote:
    return Vote(LOSSES)


def said(code: BallotCode) -> Callable[[str, str], Vote]:
    return lambda voter, claimant: Vote(code=code)


def jobs() -> dict[str, Any]:
    chain_id, base = start()
    plays = [make() for make in PLAYS]
    return {
        "chain_id": chain_id.hex(),
        "state": {key.hex(): raw.hex() for key, raw in sorted(base.items())},
        "plays": [play.told() for play in plays],
    }


def _claimed(name: str, rule: str, *claims: Any, changed: dict[str, Any] | None = None, records: Any = None) -> Play:
    """A job with these claims, all of which are revealed."""
    play = Play(name, rule, dict(records or {}))
    play.post(**(changed or {}))
    play.claims(*(claims or (("bob", CLAIMED),)))
    play.until(JobState.REVEAL)
    play.reveals(*(claim[0] for claim in (claims or (("bob", CLAIMED),))))
    return play


def _to_the_end(play: Play) -> Play:
    """Until it has left the state."""
    play.wait(KEEP + 500)
    return play


# --- ends -----------------------------------------------------------------------------------------------------------------------


def paid() -> Play:
    play = Play("paid in round one, a claim improved, and what ended leaves", "LC-JOB-38")
    play.post(finalists=3)
    play.claims(("bob", CLAIMED + 10**6), ("carol", CLAIMED))
    play.do("bob", play.claim("bob", CLAIMED - 10**6))
    play.until(JobState.REVEAL)
    play.reveals("carol", "bob")
    play.vote(lambda voter, claimant: Vote([loss - 10**6 for loss in MANY]))
    return _to_the_end(play)


def with_sets() -> Play:
    """One set is for trainings alone: it asks nothing of a committee. The other fills what its members declared."""
    sets = [replace(DIGITS, name="train", size=2**39, use=1), replace(DIGITS, size=399_000, files=3, use=2)]
    play = _claimed("paid, with data sets", "LC-JOB-4", changed={"data": sets, "fee": 80})
    play.vote(lambda voter, claimant: Vote(MANY))
    return _to_the_end(play)


def with_devices() -> Play:
    """What trainings are given asks nothing of a committee, and costs no fee: the least one does."""
    play = _claimed("paid, trained on devices", "LC-JOB-61", changed={"devices": [DeviceAsk(1, 8, 2**20)], "fee": 70})
    play.vote(lambda voter, claimant: Vote(MANY))
    return _to_the_end(play)


def with_earlier() -> Play:
    """Who claims what the earlier model has, or a little less, is refused; whoever is better by twice the tolerance is paid."""
    most = improved(terms(earlier=[EARLIER]), EARLIER.loss)
    play = Play("paid, trained from an earlier model", "LC-JOB-62")
    play.post(earlier=[EARLIER])
    play.refuse_all(
        [
            (JobCode.NOT_BETTER, "bob", play.claim("bob", EARLIER.loss)),
            (JobCode.NOT_BETTER, "bob", play.claim("bob", most + 1)),
            (Code.OK, "bob", play.claim("bob", most)),
        ]
    )
    play.until(JobState.REVEAL)
    play.reveals("bob")
    play.vote(lambda voter, claimant: Vote([most]))
    return _to_the_end(play)


def second_round() -> Play:
    play = _claimed("one of seven dissents: paid in round two", "LC-JOB-34")
    play.until(JobState.COMMIT)
    liar = play.voters()[0]
    play.vote(lambda voter, claimant: Vote(WRONG if voter == liar else MANY))
    play.vote(lambda voter, claimant: Vote(WRONG if voter == liar else MANY))
    return _to_the_end(play)


def false_and_lapsed() -> Play:
    play = _claimed("a lie, the next best is paid, and nobody judges", "LC-JOB-37", ("bob", CLAIMED), ("carol", CLAIMED + 10**8))
    play.vote(lambda voter, claimant: Vote(WRONG))
    play.vote(lambda voter, claimant: Vote([loss + 10**8 for loss in LOSSES]))
    play.wait(APPEAL + 1_000)
    return _to_the_end(play)


def false_and_banned() -> Play:
    play = _claimed("a lie, refunded, and the judges confirm", "LC-MEM-8", changed={"on_cheat": 0})
    play.vote(lambda voter, claimant: Vote(WRONG))
    play.block(*(play.tx(name, JudgeCase(BOB, True)) for name in VALIDATORS[:3]))
    play.refuse(JobCode.SUSPENDED, "bob", terms(expiry=play.clock + OPEN_FOR))
    play.wait(APPEAL + 1_000)
    return _to_the_end(play)


def false_and_lifted() -> Play:
    play = _claimed("a lie, refunded, and the judges lift", "LC-MEM-8", changed={"on_cheat": 0})
    play.vote(lambda voter, claimant: Vote(WRONG))
    first = play.job
    play.post("frank")
    play.do("bob", play.claim("bob", CLAIMED))
    play.post("alice", fee=71)
    play.refuse(JobCode.SUSPENDED, "bob", play.claim("bob", CLAIMED))
    play.job = first
    play.block(*(play.tx(name, JudgeCase(BOB, False)) for name in VALIDATORS[:3]))
    return _to_the_end(play)


def corroborated() -> Play:
    play = _claimed("lies to two contractors, and more than half confirm", "LC-MEM-5")
    play.vote(lambda voter, claimant: Vote(WRONG))
    play.post("frank")
    play.do("bob", play.claim("bob", CLAIMED))
    play.until(JobState.REVEAL)
    play.reveals("bob")
    play.vote(lambda voter, claimant: Vote(WRONG))
    play.block(*(play.tx(name, JudgeCase(BOB, True)) for name in VALIDATORS[:3]))
    play.do("v1", JudgeCase(BOB, False))
    play.wait(APPEAL + 5_000)
    return play


def undecided() -> Play:
    play = _claimed("everybody abstains, twice", "LC-JOB-9")
    play.vote(said(BallotCode.ABSTAIN))
    play.vote(said(BallotCode.ABSTAIN))
    return play


def refunded() -> Play:
    play = _claimed("a model that breaks its evaluation is refused", "LC-JOB-37")
    play.vote(said(BallotCode.INVALID))
    return _to_the_end(play)


def near() -> Play:
    play = _claimed("near, broken and no model: refused by all", "LC-JOB-9")
    codes = [BallotCode.BROKEN, BallotCode.NOMODEL]

    def vote(voter: str, claimant: str) -> Vote:
        if int.from_bytes(id_of(voter)[:1], "big") % 3:
            return Vote(code=codes[id_of(voter)[1] % 2])
        return Vote([CLAIMED + 20_000] * 3)

    play.vote(vote)
    return play


def empty() -> Play:
    play = Play("no claim", "LC-JOB-31")
    play.post()
    play.until(JobState.EMPTY)
    return _to_the_end(play)


def cancelled() -> Play:
    play = Play("cancelled", "LC-JOB-50")
    play.post(hidden=[HIDDEN], fee=130)
    play.refuse(JobCode.NOT_POSTER, "bob", CancelJob(play.job))
    play.do("alice", CancelJob(play.job))
    play.refuse_all([(JobCode.TOO_LATE, "alice", CancelJob(play.job)), (JobCode.TOO_LATE, "bob", play.claim("bob", CLAIMED))])
    return _to_the_end(play)


def extended() -> Play:
    play = Play("extended, then claimed on", "LC-JOB-51")
    play.post()
    expiry = play.clock + OPEN_FOR
    late = ExtendJob(play.job, expiry + 2**17)
    rows = [
        (JobCode.NO_SUCH_JOB, "alice", ExtendJob(bytes(32), expiry)),
        (JobCode.NOT_POSTER, "bob", late),
        (JobCode.BAD_EXPIRY, "alice", ExtendJob(play.job, expiry)),
        (JobCode.BAD_EXPIRY, "alice", ExtendJob(play.job, expiry - 1)),
        (JobCode.BAD_EXPIRY, "alice", late),
    ]
    play.refuse_all(rows)
    play.do("alice", ExtendJob(play.job, expiry + 30_000))
    play.wait(OPEN_FOR)
    play.do("bob", play.claim("bob", CLAIMED, False))
    play.refuse_all([(JobCode.HAS_CLAIMS, "alice", late), (JobCode.HAS_CLAIMS, "alice", CancelJob(play.job))])
    play.until(JobState.EMPTY)
    return play


def silent() -> Play:
    play = Play("who must reveal and does not, beside one who does", "LC-JOB-32")
    play.post()
    play.claims(("bob", CLAIMED), ("carol", CLAIMED + 10**8), ("dave", CLAIMED + 10**9))
    play.until(JobState.REVEAL)
    play.reveals("carol")
    play.vote(lambda voter, claimant: Vote([loss + 10**8 for loss in LOSSES]))
    return play


def stakeless() -> Play:
    claims = (("bob", CLAIMED, False), ("erin", CLAIMED + 10**7), ("carol", CLAIMED + 10**8), ("dave", CLAIMED + 10**9))
    play = _claimed("each is judged alone, in rank order, until one is OK", "LC-JOB-34", *claims)
    own = {"bob": CLAIMED, "erin": CLAIMED + 10**7, "carol": CLAIMED + 10**8, "dave": CLAIMED + 10**9}
    for _ in range(2):
        play.vote(lambda voter, claimant: Vote(WRONG) if claimant == "bob" else Vote([own[claimant]] * 2))
    assert (play.read().state, play.read().audit) == (JobState.PAID, 1)
    return play


def half_stakeless() -> Play:
    claims = (("bob", CLAIMED, False), ("dave", CLAIMED + 10**7, False), ("carol", CLAIMED + 10**8))
    play = _claimed("an undecided leader, the next is paid", "LC-JOB-38", *claims, changed={"finalists": 3})
    own = {"bob": CLAIMED, "dave": CLAIMED + 10**7, "carol": CLAIMED + 10**8}

    def vote(voter: str, claimant: str) -> Vote:
        return Vote(code=BallotCode.ABSTAIN) if claimant == "bob" else Vote([own[claimant]] * 2)

    for _ in range(4):
        if play.read().state < JobState.PAID:
            play.vote(vote)
    return play


def stakeless_lie() -> Play:
    """Refund upon a lie is for the lie of a full claim."""
    claims = (("bob", CLAIMED, False), ("carol", CLAIMED + 10**8))
    play = _claimed("a lie without a stake refunds nothing: the next is judged", "LC-JOB-38", *claims, changed={"on_cheat": 0})
    for _ in range(3):
        if play.read().state < JobState.PAID:
            play.vote(lambda voter, claimant: Vote(WRONG) if claimant == "bob" else Vote([CLAIMED + 10**8] * 3))
    assert play.read().state == JobState.PAID
    return play


def better_though_suspended() -> Play:
    """A case bars from the work of its owner's root alone, a later claim as a first one."""
    play = _claimed("claims made better by a suspended account", "LC-JOB-21")
    first = play.job
    play.post("frank", expiry=play.clock + 60_000)
    elsewhere = play.job
    play.claims(("bob", CLAIMED))
    play.post("alice", expiry=play.clock + 60_000, floor=1)
    barred = play.job
    play.claims(("bob", CLAIMED))
    play.job = first
    play.vote(lambda voter, claimant: Vote(WRONG))
    play.job = barred
    play.refuse(JobCode.SUSPENDED, "bob", play.claim("bob", CLAIMED - 10**6))
    play.job = elsewhere
    play.do("bob", play.claim("bob", CLAIMED - 10**6))
    assert play.claim_of("bob").count == 2
    return play


def quiet_verifiers() -> Play:
    play = _claimed(
        "some commit nothing, some open nothing, some open a part", "LC-JOB-36", ("bob", CLAIMED), ("carol", CLAIMED + 10**8)
    )
    play.until(JobState.COMMIT)
    first, second, *_ = play.voters()
    play.vote(honest, commits=lambda voter: voter != first, opens=lambda voter: voter != second)
    return play


def nobody_commits() -> Play:
    play = _claimed("nobody commits", "LC-JOB-35")
    play.vote(honest, commits=lambda voter: False)
    play.vote(honest, commits=lambda voter: False)
    return play


def unrepeatable() -> Play:
    play = _claimed("losses that scatter: paid, and nobody is struck", "LC-JOB-54")
    play.vote(lambda voter, claimant: Vote([CLAIMED - 10**6 * (id_of(voter)[0] % 9), CLAIMED - 10**6 * (id_of(voter)[1] % 9)]))
    return play


def leaves_off() -> Play:
    play = _claimed("one with other examples is struck", "LC-JOB-12")
    play.until(JobState.COMMIT)
    lazy = play.voters()[1]
    play.vote(lambda voter, claimant: Vote([CLAIMED] * 2 if voter == lazy else LOSSES))
    return play


# --- hidden data ----------------------------------------------------------------------------------------------------------------

TWO = (("bob", CLAIMED), ("carol", CLAIMED + 10**8))
SHOWN = {"bob": CLAIMED, "carol": CLAIMED + 10**8}


def _hidden(name: str, rule: str) -> Play:
    return _claimed(name, rule, *TWO, changed={"hidden": [HIDDEN], "fee": 130})


def hidden_with_key() -> Play:
    play = _hidden("hidden data: the better one by the hidden loss is paid", "LC-JOB-38")
    wrong = RevealKey(play.job, bytes(32))
    play.refuse_all([(JobCode.NOT_POSTER, "bob", wrong), (JobCode.WRONG_KEY, "alice", wrong)])
    play.do("alice", RevealKey(play.job, KEY_OF_HIDDEN))
    play.refuse(JobCode.TOO_LATE, "alice", RevealKey(play.job, KEY_OF_HIDDEN))
    play.vote(lambda voter, claimant: Vote([SHOWN[claimant]] * 3, [9 * 10**8 if claimant == "bob" else 2 * 10**8] * 17))
    return play


def hidden_without_key() -> Play:
    play = _hidden("hidden data, and no key comes", "LC-JOB-33")
    play.until(JobState.COMMIT)
    play.vote(lambda voter, claimant: Vote([SHOWN[claimant]] * 3))
    return play


def bad_key() -> Play:
    play = _hidden("a key that opens junk", "LC-JOB-10")
    play.do("alice", RevealKey(play.job, KEY_OF_HIDDEN))
    play.vote(lambda voter, claimant: Vote([SHOWN[claimant]] * 3, badkey=True))
    return play


def doubted_key() -> Play:
    play = _hidden("a key that most of a first round call junk", "LC-JOB-10")
    play.do("alice", RevealKey(play.job, KEY_OF_HIDDEN))
    play.until(JobState.COMMIT)
    known = play.voters()[0]

    def vote(voter: str, claimant: str) -> Vote:
        if voter == known or play.read().round == 2:
            return Vote([SHOWN[claimant]] * 3, [10**8] * 3)
        return Vote([SHOWN[claimant]] * 3, badkey=True)

    play.vote(vote)
    play.vote(vote)
    return play


def hidden_scatter() -> Play:
    play = _hidden("hidden losses that agree nowhere: paid by the public rank", "LC-JOB-55")
    play.do("alice", RevealKey(play.job, KEY_OF_HIDDEN))

    def vote(voter: str, claimant: str) -> Vote:
        return Vote([SHOWN[claimant]] * 3, [10**8 * (1 + id_of(voter)[0])])

    play.vote(vote)
    play.vote(vote)
    return play


# --- pools ----------------------------------------------------------------------------------------------------------------------


def _few(*left: str) -> dict[bytes, Any]:
    """Of the verifiers only these have the flag."""
    known = {member_key(id_of(n)): Member(id_of(n), n in left, 0, 0, [LEAST], 0, [], []) for n in (*VALIDATORS, *_W)}
    return known | {member_key(id_of(n)): Member(id_of(n), n in left, 0, 0, [LEAST], 0, [], []) for n in OTHERS if n in left}


_W = tuple(f"w{n}" for n in range(1, 9))


def one_verifier() -> Play:
    play = _claimed("a pool of one", "LC-JOB-6", records=_few("v1"))
    play.vote(honest)
    return play


def helpers() -> Play:
    play = _claimed("finalists help a pool of one", "LC-JOB-6", *TWO, records=_few("v1", "bob", "carol"))

    def vote(voter: str, claimant: str) -> Vote:
        return Vote(WRONG) if voter in ("bob", "carol") else Vote([SHOWN[claimant]] * 3)

    play.vote(vote)
    if play.read().state < JobState.PAID:
        play.vote(vote)
    return play


def no_pool() -> Play:
    play = Play("nobody can judge: the only one that could declares less", "LC-JOB-34", _few("v1"))
    play.post()
    play.claims(("bob", CLAIMED))
    play.do("v1", SetCapacity(replace(LEAST, mem_mb=511)))
    play.until(JobState.REVEAL)
    play.reveals("bob")
    for _ in range(6):
        play.block()
    return play


# --- bans under way -------------------------------------------------------------------------------------------------------------


def dropped() -> Play:
    play = _claimed("a finalist is banned before it is judged", "LC-JOB-56")
    play.vote(lambda voter, claimant: Vote(WRONG))
    play.block(*(play.tx(name, JudgeCase(BOB, True)) for name in VALIDATORS[:3]))
    play.post("frank", expiry=play.clock + APPEAL - 3_000)
    play.claims(("bob", CLAIMED), ("carol", CLAIMED + 10**8), ("dave", CLAIMED + 10**9))
    play.until(JobState.REVEAL)
    play.reveals("bob", "carol")
    play.until(JobState.COMMIT)
    play.vote(lambda voter, claimant: Vote([SHOWN[claimant]] * 3))
    return play


def banned_contractor() -> Play:
    play = Play("a contractor is banned while its job runs", "LC-CRD-6")
    play.post("bob", expiry=play.clock + 60_000)
    own = play.job
    play.post("alice")
    play.claims(("bob", CLAIMED))
    play.until(JobState.REVEAL)
    play.reveals("bob")
    play.vote(lambda voter, claimant: Vote(WRONG))
    play.block(*(play.tx(name, JudgeCase(BOB, True)) for name in VALIDATORS[:3]))
    play.wait(APPEAL)
    play.job = own
    play.claims(("carol", CLAIMED))
    play.until(JobState.REVEAL)
    play.reveals("carol")
    play.vote(honest)
    return _to_the_end(play)


# --- codes ----------------------------------------------------------------------------------------------------------------------


def postings() -> Play:
    """Every bound of a posting: what is wrong stands alone, and two wrongs give the first one's code."""
    barred = [Strike(id_of(f"w{n}"), 1_700_000_000_000 + LONG) for n in range(1, 4)]
    play = Play("postings that are refused", "LC-JOB-15", {member_key(CAROL): Member(CAROL, False, 0, 0, [], 0, barred, [])})
    now = play.clock + 100
    good = terms(expiry=now + OPEN_FOR)
    image, limits = good.image, good.limits
    archive = Image(2, "", HIDDEN.cid, bytes(32), 5)
    rows: list[tuple[int, Any]] = [
        (JobCode.BAD_EXPIRY, replace(good, expiry=now + 4_999)),
        (JobCode.BAD_EXPIRY, replace(good, expiry=now + 100_001)),
        (JobCode.BAD_EXPIRY, replace(good, expiry=now - 5, limits=replace(limits, cpus_milli=1))),
    ]
    for name, low, high in (
        *(("cpus_milli", 10, 1_024_000), ("mem_mb", 6, 4_194_304), ("train_s", 1, 2_592_000), ("eval_s", 1, 86_400)),
        *(("model_cap", 1, 2**34), ("tmp_mb", 0, 4_194_304), ("threads", 1, 4_096)),
    ):
        rows += [(JobCode.IMPOSSIBLE_LIMIT, replace(good, limits=replace(limits, **{name: low - 1})))] if low else []
        rows.append((JobCode.IMPOSSIBLE_LIMIT, replace(good, limits=replace(limits, **{name: high + 1}))))
    images = [
        *(replace(image, size=0), replace(image, size=2**36 + 1), replace(image, reference="plays/digits:1")),
        *(replace(image, cid=HIDDEN.cid), replace(image, image_id=bytes(31)), replace(image, kind=3)),
        *(replace(archive, cid=b"\x01" * 36), replace(archive, reference="x"), replace(archive, image_id=b"")),
    ]
    rows += [(JobCode.BAD_IMAGE, replace(good, image=one)) for one in images]
    odd: list[dict[str, Any]] = [
        *({"arch": 0}, {"arch": 3}, {"finalists": 1}, {"finalists": 9}, {"float_kind": 0}, {"float_kind": 3}, {"on_cheat": 2}),
        *({"tol": 10**18 + 1}, {"floor": 10**18 + 1}, {"floor": -(10**18) - 1}),
    ]
    rows += [(JobCode.BAD_TERMS, replace(good, **one)) for one in odd]
    rows += [
        (JobCode.LOW_BOUNTY, replace(good, bounty=999, fee=0)),
        (JobCode.LOW_FEE, replace(good, fee=69)),
        (JobCode.LOW_FEE, replace(good, fee=129, hidden=[replace(HIDDEN, size=0)])),
        (JobCode.BAD_HIDDEN, replace(good, fee=130, hidden=[replace(HIDDEN, size=0)])),
        (JobCode.BAD_HIDDEN, replace(good, fee=130, hidden=[replace(HIDDEN, size=2**34 + 1)])),
        (JobCode.BAD_HIDDEN, replace(good, fee=130, hidden=[replace(HIDDEN, cid=b"")], params="a" * 8_193)),
        (JobCode.BAD_PARAMS, replace(good, params="a" * 8_193)),
        (JobCode.BAD_PARAMS, replace(good, params="ö" * 4_097)),
        *((JobCode.BAD_DATA, replace(good, fee=80, data=[replace(DIGITS, **wrong)])) for wrong in ODD_SETS),
        (JobCode.BAD_DATA, replace(good, fee=80, data=[DIGITS, replace(DIGITS, size=2)])),
        (JobCode.BAD_DATA, replace(good, data=[replace(DIGITS, name=name, size=2**39 + 1, use=1) for name in "ab"])),
        *((JobCode.BAD_DEVICES, replace(good, devices=[wrong])) for wrong in ODD_DEVICES),
        *((JobCode.BAD_EARLIER, replace(good, earlier=[replace(EARLIER, **wrong)])) for wrong in ODD_EARLIER),
        (JobCode.LOW_FEE, replace(good, data=[replace(DIGITS, size=10**8 + 1)], fee=89)),
        (JobCode.FEW_VERIFIERS, replace(good, data=[replace(DIGITS, size=399_001, files=3)], fee=80)),
        (JobCode.FEW_VERIFIERS, replace(good, limits=replace(limits, mem_mb=513))),
        (JobCode.FEW_VERIFIERS, replace(good, arch=2)),
        (JobCode.TOO_MANY_LIVE, replace(good, params="a" * 2_000)),
        (Code.INSUFFICIENT_CREDITS, replace(good, bounty=9_000_000)),
    ]
    play.block(*(play.tx("alice", op) for _, op in rows[:30]))
    play.block(*(play.tx("alice", op) for _, op in rows[30:]), step=1)
    found = [code for block in play.blocks for code in block["codes"]]
    if found != [code for code, _ in rows]:
        raise AssertionError([(i, a, int(b[0])) for i, (a, b) in enumerate(zip(found, rows, strict=True)) if a != b[0]])
    good = replace(good, expiry=play.clock + OPEN_FOR)
    play.refuse(JobCode.NO_STANDING, "carol", good)
    for n in range(3):
        play.do("alice", replace(good, expiry=play.clock + OPEN_FOR, floor=n, fee=70 + n))
    play.refuse(JobCode.TOO_MANY_LIVE, "alice", replace(good, floor=9))
    play.do("bob", replace(good, limits=replace(limits, tmp_mb=0), image=archive, finalists=8, float_kind=1, params="ö"))
    return play


LONG = 10**9


def messages_refused() -> Play:
    """Every refusal of a claim, a reveal and a vote."""
    barred = [Strike(id_of(f"w{n}"), 1_700_000_000_000 + LONG) for n in range(1, 4)]
    play = Play(
        "messages that are refused", "LC-JOB-25", {member_key(id_of("dave")): Member(id_of("dave"), False, 0, 0, [], 0, barred, [])}
    )
    play.post(floor=1_000)
    job = play.job
    claim, early = play.claim("bob", CLAIMED), play.claim("bob", 999)
    play.refuse_all(
        [
            (JobCode.NO_SUCH_JOB, "bob", Claim(bytes(32), 0, bytes(32), True)),
            (JobCode.NO_STANDING, "dave", claim),
            (JobCode.OWN_JOB, "alice", claim),
            (JobCode.BAD_LOSS, "bob", early),
            (JobCode.BAD_LOSS, "bob", replace(claim, loss=10**18 + 1)),
            (JobCode.OWN_JOB, "alice", early),
            (JobCode.WRONG_STATE, "bob", CommitVote(job, 0, 0, bytes(32))),
            (JobCode.WRONG_STATE, "alice", RevealKey(job, bytes(32))),
        ]
    )
    play.claims(("bob", CLAIMED), ("carol", 10**17), ("frank", 2 * 10**17), ("w1", 3 * 10**17))
    better = CLAIMED - 2 * 1_500
    play.refuse_all(
        [
            (JobCode.JOB_FULL, "w2", claim),
            (JobCode.NOT_BETTER, "bob", replace(claim, loss=better + 1)),
            (Code.OK, "bob", replace(claim, loss=better)),
        ]
    )
    step = 2 * 10**13
    tries = [play.tx("carol", play.claim("carol", 10**17 - n * 10**15)) for n in range(1, 17)]
    assert play.block(*tries) == [0] * 15 + [JobCode.TOO_MANY_CLAIMS], step
    play.until(JobState.REVEAL)
    shown = play.reveal("bob")
    play.refuse_all(
        [
            (JobCode.TOO_LATE, "w2", claim),
            (JobCode.NO_CLAIM, "w2", shown),
            (JobCode.CLAIM_REPLACED, "bob", replace(shown, claim=1)),
            (JobCode.BAD_MODEL, "bob", replace(shown, model=b"\x01" * 36)),
            (JobCode.BAD_MODEL, "bob", replace(shown, size=0)),
            (JobCode.BAD_MODEL, "bob", replace(shown, size=1_000_001)),
            (JobCode.REVEAL_MISMATCH, "bob", replace(shown, salt=bytes(32))),
            (Code.OK, "bob", shown),
            (JobCode.ALREADY_REVEALED, "bob", replace(shown, claim=1)),
        ]
    )
    play.until(JobState.COMMIT)
    voters = play.voters()
    first, second = voters[0], voters[1]
    sealed = play.commitment(first, honest)
    outside = next(name for name in (*VALIDATORS, *_W) if name not in voters)
    play.refuse_all(
        [
            (JobCode.WRONG_ROUND, first, replace(sealed, round=2)),
            (JobCode.WRONG_ROUND, outside, replace(sealed, audit=1)),
            (JobCode.NOT_IN_COMMITTEE, outside, sealed),
            (JobCode.WRONG_STATE, first, OpenVote(job, 0, 1, [], b"", 0, False, [])),
            (Code.OK, first, sealed),
            (JobCode.ALREADY_COMMITTED, first, sealed),
        ]
    )
    odd = {voters[n]: play.ballots_of(voters[n], honest) for n in range(2, 6)}
    code, more, bad, none = (odd[voters[n]] for n in range(2, 6))
    wrong = {
        voters[2]: [replace(code[0], code=BallotCode.FALSE)],
        voters[3]: [*more, more[0]],
        voters[4]: [replace(bad[0], badkey=True)],
        voters[5]: [replace(none[0], code=BallotCode.NOMODEL)],
    }
    play.block(*(play.tx(voter, play.committed(voter, found)) for voter, found in wrong.items()))
    play.block(play.tx(voters[6], play.commitment(voters[6], said(BallotCode.ABSTAIN))))
    play.wait(play.read().deadline - play.clock)
    opening = play.openings(first)[0]
    proof = opening.opening[0]
    rows: list[Any] = [
        (JobCode.NOT_COMMITTED, second, opening),
        (JobCode.WRONG_ROUND, first, replace(opening, audit=1)),
        (JobCode.NOT_IN_COMMITTEE, outside, opening),
        (JobCode.VOTE_MISMATCH, first, replace(opening, salt=bytes(31))),
        (JobCode.VOTE_MISMATCH, first, replace(opening, salt=bytes(32))),
        (JobCode.VOTE_MISMATCH, first, replace(opening, ballots=[])),
        (JobCode.NO_COLUMN, first, replace(opening, opening=[])),
        (JobCode.NO_COLUMN, first, replace(opening, candidate=1)),
        (JobCode.NO_COLUMN, first, replace(opening, hidden=True)),
        (JobCode.BAD_OPENING, first, replace(opening, opening=[replace(proof, leaves=[*proof.leaves[:-1], 5])])),
        (JobCode.BAD_OPENING, first, replace(opening, opening=[Opening([], [1], [LossNode(bytes(32), 2, 1)])])),
        *((JobCode.BAD_VOTE, voter, play.opening_of(voter, found)) for voter, found in wrong.items()),
    ]
    play.refuse_all(rows)
    play.refuse_all([(Code.OK, first, opening), (JobCode.ALREADY_OPENED, first, opening)])
    play.refuse(JobCode.NO_COLUMN, first, replace(opening, ballots=[], salt=b""))
    play.refuse(JobCode.NO_COLUMN, first, replace(opening, ballots=[], salt=b"", opening=[]))
    play.do(voters[6], *play.openings(voters[6]))
    play.wait(play.read().deadline - play.clock)
    return play


def odd_ballots() -> Play:
    """Ballots that contradict themselves, in a round with hidden data."""
    play = _claimed("ballots that cannot be opened", "LC-JOB-8", changed={"hidden": [HIDDEN], "fee": 130})
    play.do("alice", RevealKey(play.job, KEY_OF_HIDDEN))
    play.until(JobState.COMMIT)
    voters = play.voters()
    good = {v: play.ballots_of(v, lambda voter, claimant: Vote([SHOWN[claimant]] * 3, [7] * 3))[0] for v in voters}
    changes: list[dict[str, Any]] = [
        *({"hidden": []}, {"badkey": True}, {"code": 8, "public": [], "hidden": []}, {"code": 0, "public": [], "hidden": []}),
        *({"code": 7, "public": [], "hidden": [], "badkey": True}, {"public": [], "hidden": []}),
    ]
    odd = {v: [replace(good[v], **change)] for v, change in zip(voters, changes, strict=False)}
    play.block(*(play.tx(v, play.committed(v, ballots)) for v, ballots in odd.items()))
    last = next(v for v in play.voters() if v not in odd)
    said_last = play.ballots_of(last, said(BallotCode.ABSTAIN))
    play.do(last, play.committed(last, said_last, bytes(31)))
    play.refuse_all((JobCode.BAD_VOTE, v, play.opening_of(v, ballots)) for v, ballots in odd.items())
    play.refuse(JobCode.VOTE_MISMATCH, last, replace(play.opening_of(last, said_last), salt=bytes(31)))
    return play


def barred_contractors() -> Play:
    """Who is suspended, or does not stand any more, gives no job more time."""
    play = Play("extensions of who may not", "LC-JOB-51")
    play.post("alice")
    first = play.job
    play.post("carol")
    known: Any = play.state.get(account_key(ALICE))
    barred = [Strike(id_of(f"w{n}"), 1_700_000_000_000 + LONG) for n in range(1, 4)]
    struck = Member(CAROL, False, 0, 0, [], 0, barred, [])
    records = {account_key(ALICE): replace(known, status=SUSPENDED), member_key(CAROL): struck}
    fresh = Play(play.name, play.rule, records, play)
    later = fresh.clock + 30_000
    rows = [
        (JobCode.SUSPENDED, "alice", ExtendJob(first, later)),
        (JobCode.NO_STANDING, "carol", ExtendJob(play.job, later)),
        (Code.OK, "alice", CancelJob(first)),
        (Code.OK, "carol", CancelJob(play.job)),
    ]
    fresh.refuse_all(rows)
    return fresh


def waiting() -> Play:
    """A block has room for one deadline, and another one comes first."""
    play = Play("a deadline has passed and waits for a block with room", "LC-JOB-24")
    play.post()
    play.claims(("bob", CLAIMED))
    at = play.read().deadline
    other = due_key(CAROL, at - 1, 9, play.job)
    params: Any = play.state.get(K_PARAMS)
    few = {K_PARAMS: replace(params, max_due=1, max_due_work=1), other: Due(9, play.job)}
    fresh = Play(play.name, play.rule, few, play)
    late = fresh.tx("carol", fresh.claim("carol", CLAIMED))
    if fresh.block(late, step=at - fresh.clock) != [JobCode.TOO_LATE]:
        raise AssertionError("the claim was taken")
    fresh.block()
    return fresh


def parked() -> Play:
    """Messages about a job that is parked are refused; validators give it back."""
    play = Play("a parked job is given back", "LC-JOB-41")
    play.post(hidden=[HIDDEN], fee=130)
    play.claims(("bob", CLAIMED), ("carol", CLAIMED + 10**8))
    job = play.job
    fresh = Play(play.name, play.rule, {parked_key(3, job): Parked(1, "failed", [], [], [])}, play)
    fresh.refuse_all([(Code.PARKED, "bob", fresh.claim("bob", 5)), (Code.PARKED, "alice", CancelJob(job))])
    fresh.block(*(fresh.tx(name, Release(3, job, True)) for name in VALIDATORS[:3]))
    return _to_the_end(fresh)


def dropped_in_round_two() -> Play:
    """With so few validators no block lies between a draw and what asks for it: the ban is put there."""
    play = _claimed("a finalist that was judged once is banned: who judged it is paid", "LC-JOB-56", *TWO)
    play.until(JobState.COMMIT)
    liar = play.voters()[0]
    play.vote(lambda voter, claimant: Vote(WRONG if voter == liar else LOSSES))
    known: Any = play.state.get(account_key(BOB))
    fresh = Play(play.name, play.rule, {account_key(BOB): replace(known, status=BANNED, balance=0)}, play)
    fresh.block()
    fresh.vote(lambda voter, claimant: Vote([SHOWN[claimant]] * 3))
    return fresh


def stale() -> Play:
    """A deadline that is not the present one of its job."""
    play = Play("a deadline that means nothing any more", "LC-JOB-30")
    play.post()
    play.claims(("bob", CLAIMED))
    at = play.clock + 50
    fresh = Play(play.name, play.rule, {due_key(ALICE, at, 3, play.job): Due(3, play.job)}, play)
    fresh.block()
    fresh.until(JobState.REVEAL)
    fresh.reveals("bob")
    return fresh


def too_early() -> Play:
    """A deadline comes in the block before that of the draw."""
    play = Play("a deadline before the height of the draw", "LC-JOB-30")
    play.post()
    play.claims(("bob", CLAIMED))
    play.until(JobState.REVEAL)
    play.reveals("bob")
    job = play.read()
    later = replace(job, draw_height=job.draw_height + 1)
    fresh = Play(play.name, play.rule, {job_key(play.job): later}, play)
    fresh.block()
    return fresh


def crowded() -> Play:
    """More stakes than one event gives back, and more claims than one removes."""
    play = Play("a job of many claimants ends and leaves in pages", "LC-JOB-45")
    play.post()
    job, found = play.job, dict[bytes, Any]()
    for index in range(130):
        who = id_of(f"crowd {index}")
        found[claimant_key(job, who)] = ClaimantIndex(index)
        claim = ClaimRecord(who, 1, CLAIMED + index, 1, bytes(32), index % 100, bytes(32), 5, False, 0, b"", 0, 0, 0, [])
        found[claim_key(job, index)] = claim
    for index in (0, 129):
        who = id_of(f"crowd {index}")
        found[claim_key(job, index)] = replace(found[claim_key(job, index)], full=True, stake=7)
        found[escrow_key(job + who)] = Escrow(7)
        found[account_key(who)] = Account(key_of(f"crowd {index}").public, 0, 0, 0, [0, 0, 0, 0], 0)
    record: Any = play.state.get(job_key(job))
    supply: Any = play.state.get(K_SUPPLY)
    found |= {job_key(job): replace(record, claimants=130), K_SUPPLY: replace(supply, minted=supply.minted + 14)}
    fresh = Play(play.name, play.rule, found, play)
    fresh.until(JobState.EMPTY)
    for _ in range(3):
        fresh.block(step=1)
    fresh.wait(KEEP)
    for _ in range(4):
        fresh.block(step=1)
    return fresh


PLAYS: tuple[Callable[[], Play], ...] = (
    *(messages_refused, postings, odd_ballots, barred_contractors, waiting),
    *(
        with_sets,
        with_devices,
        with_earlier,
        paid,
        second_round,
        false_and_lapsed,
        false_and_banned,
        false_and_lifted,
        corroborated,
        undecided,
        refunded,
        near,
        empty,
    ),
    *(cancelled, extended, silent, stakeless, stakeless_lie, half_stakeless, quiet_verifiers, nobody_commits),
    *(unrepeatable, leaves_off, better_though_suspended),
    *(hidden_with_key, hidden_without_key, bad_key, doubted_key, hidden_scatter, one_verifier, helpers, no_pool),
    *(dropped, banned_contractor, parked, dropped_in_round_two, crowded, stale, too_early),
)
