"""Plays of attempts: aggregators, files, parts, Screens, sums (LC-FED-20 to LC-FED-34)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from learningchain.chain.contracts.federation.messages import (
    CommitUpdate,
    FederationCode,
    HaveUpdates,
    JoinFederation,
    LeaveFederation,
    NewData,
    PinParts,
    ReadyKey,
    ReferUpdate,
    ServeFederation,
)
from learningchain.chain.contracts.federation.records import FederationServer, FederationState, member_key, serving_key
from learningchain.chain.contracts.membership import Member
from learningchain.chain.contracts.membership import member_key as membership_key
from learningchain.chain.host import Account, account_key
from learningchain.chain.verification.standing import MAX_BAD_DRAWS
from tests.vectors.federation_plays import (
    CID,
    FIRST,
    HELPERS,
    OWNERS,
    SIZE,
    Train,
    changed,
    cid,
    digest,
    flagged_alone,
    full,
    ready,
    training,
)
from tests.vectors.kit import id_of, key_of

C = FederationCode
FOUR = OWNERS[:4]
USED, AWAY, LARGE, EMPTY, WRONG, STALE, COPY, OUTLIER = range(1, 9)


def keys() -> Train:
    play = training("aggregators are ready once, with a good key, in time; others follow", "LC-FED-20")
    play.begin(1)
    first = play.aggregators()
    outside = next(name for name in play.others() if name not in first)
    low = ("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "00" * 32)
    given = [digest(name) for name in first]
    play.refuse_all(
        [
            (C.WRONG_ROUND, first[0], ReadyKey(play.federation, 1, given[0])),
            (C.NOT_DRAWN, outside, ReadyKey(play.federation, 2, given[0])),
            *((C.BAD_BOXES, first[0], ReadyKey(play.federation, 2, bytes.fromhex(one))) for one in low),
            (C.KEYS_MISSING, "o1", CommitUpdate(play.federation, 2, cid("x"), SIZE)),
        ]
    )
    play.ready(first[1])
    play.refuse(C.ALREADY_READY, first[1], ReadyKey(play.federation, 2, given[1]))
    play.pass_deadline()
    second = [name for name in play.aggregators() if name not in first]
    play.ready(second[0])
    play.pass_deadline()
    play.pass_deadline()
    assert play.read().state == FederationState.TRAIN
    assert len(play.aggregators()) == 2
    play.files(*FOUR)
    play.have()
    play.pins(1)
    play.all({name: play.screen([USED] * 4) for name in play.deciding()})
    play.pins(2)
    play.all({name: play.sum("bad") for name in play.deciding()})
    play.measured(3 * 10**9)
    play.begin(2)
    play.ready()
    play.summed(FOUR, "better")
    play.measured(15 * 10**8)
    return play


def unready() -> Train:
    play = training("nobody is ready", "LC-FED-20")
    play.begin(1)
    for _ in range(3):
        play.pass_deadline()
    assert play.read().state == FederationState.IDLE
    return play


def unready_again() -> Train:
    """Nobody is ready: each fails a draw; within the hour no other one, then it does, and after it served anew."""
    play = training("nobody is ready, again and again: a failed draw an hour", "LC-FED-20", rounds=6)
    for hours in (0, 0, 1, 0):
        if hours:
            before = {serving_key(id_of(name)): FederationServer(1, play.clock - 3_600_000) for name in HELPERS}
            play = Train(play.name, play.rule, before, play)
        play.begin(1)
        for _ in range(3):
            play.pass_deadline()
    play.all({name: ServeFederation(True) for name in HELPERS})
    play.begin(1)
    for _ in range(3):
        play.pass_deadline()
    return play


def files() -> Train:
    play = ready("files are of the roster, of the terms' size, once; a reference is the sponsor's", "LC-FED-21", reference=True)
    ref = play.federation
    play.do("o5", JoinFederation(ref, digest("o5"), 0))
    play.refuse_all(
        [
            (C.WRONG_ROUND, "o1", CommitUpdate(ref, 1, cid("x"), SIZE)),
            (C.NOT_A_MEMBER, "o6", CommitUpdate(ref, 2, cid("x"), SIZE)),
            (C.OUT_OF_ATTEMPT, "o5", CommitUpdate(ref, 2, cid("x"), SIZE)),
            (C.BAD_FILE, "o1", CommitUpdate(ref, 2, cid("x"), SIZE + 1)),
            (C.BAD_FILE, "o1", CommitUpdate(ref, 2, CID, SIZE)),
            (C.NOT_SPONSOR, "o1", ReferUpdate(ref, 2, cid("reference"))),
            (C.BAD_FILE, "alice", ReferUpdate(ref, 2, b"")),
            (C.WRONG_ROUND, "alice", ReferUpdate(ref, 3, cid("reference"))),
        ]
    )
    play.files("o3", "o1")
    play.refuse(C.ALREADY_COMMITTED, "o1", CommitUpdate(ref, 2, cid("y"), SIZE))
    play.do("o1", LeaveFederation(ref))
    play.files("o4", "o2")
    play.do("alice", ReferUpdate(ref, 2, cid("reference")))
    assert play.read().state == FederationState.HAVE
    play.refuse(C.WRONG_STATE, "alice", ReferUpdate(ref, 2, cid("reference")))
    play.have(reference=True)
    play.pins(1)
    play.all({name: play.screen([USED, COPY, STALE, OUTLIER]) for name in play.deciding()})
    assert play.read().state == FederationState.IDLE, play.read()
    return play


def references() -> Train:
    play = ready("without a reference nothing is aligned", "LC-FED-22", reference=True, split=3)
    play.files(*FOUR)
    play.do("alice", ReferUpdate(play.federation, 2, cid("reference")))
    play.have()
    play.begin(1)
    play.ready()
    play.refuse(C.WRONG_ROUND, "alice", ReferUpdate(play.federation, 2, cid("reference")))
    play.do("alice", ReferUpdate(play.federation, 3, cid("reference")))
    play.refuse(C.ALREADY_COMMITTED, "alice", ReferUpdate(play.federation, 3, cid("reference")))
    play.files(*FOUR)
    play.have(reference=True)
    play.pins(1)
    first = play.deciding()[0]
    codes = [USED, USED, USED, AWAY - 1]
    play.refuse_all(
        [
            (C.BAD_SCREEN, first, play.screen(codes)),
            (C.BAD_SCREEN, first, play.screen(codes, [17, 0, 0, 0])),
            (C.BAD_SCREEN, first, play.screen([USED, USED, USED, WRONG], [1, 1, 1, 1])),
        ]
    )
    play.all({name: play.screen([USED, USED, USED, WRONG], [16, 0, 3, 0], m_norm(9)) for name in play.deciding()})
    play.pins(2)
    play.all({name: play.sum("aligned") for name in play.deciding()})
    play.measured(19 * 10**8)
    return play


def denied() -> Train:
    """One of three says that it has no reference: the others decide, by the reference."""
    play = ready("who denies the reference leaves itself out", "LC-FED-22", reference=True, split=3)
    play.do("alice", ReferUpdate(play.federation, 2, cid("reference")))
    play.files(*FOUR)
    liar = play.aggregators()[0]
    said = {name: HaveUpdates(play.federation, 2, b"\x0f", name != liar) for name in play.aggregators()}
    play.all(said)
    play.drawn()
    assert liar not in play.deciding() and len(play.deciding()) == 2
    play.pins(1)
    play.all({name: play.screen([USED] * 4, [16, 1, 3, 0]) for name in play.deciding()})
    return play


def m_norm(tenths: int) -> int:
    return tenths * 2**22 // 10


def no_reference() -> Train:
    play = ready("no reference is asked for", "LC-FED-21")
    play.refuse(C.NO_REFERENCE, "alice", ReferUpdate(play.federation, 2, cid("reference")))
    play.files("o1", "o2")
    play.pass_deadline()
    assert play.read().state == FederationState.IDLE
    return play


def having() -> Train:
    play = ready("who has what: silent ones are struck, a pair may decide", "LC-FED-22")
    play.files(*FOUR)
    ref, one = play.federation, play.aggregators()[0]
    play.refuse_all(
        [
            (C.WRONG_ROUND, one, HaveUpdates(ref, 3, b"\x0f", False)),
            (C.NOT_DRAWN, "o1", HaveUpdates(ref, 2, b"\x0f", False)),
            (C.BAD_SCREEN, one, HaveUpdates(ref, 2, b"\x1f", False)),
            (C.BAD_SCREEN, one, HaveUpdates(ref, 2, b"\x0f\x00", False)),
            (C.BAD_SCREEN, one, HaveUpdates(ref, 2, b"\x0f", True)),
            (C.WRONG_STATE, one, PinParts(ref, 2, 1, [])),
        ]
    )
    play.do(one, HaveUpdates(ref, 2, b"\x0f", False))
    play.refuse(C.ALREADY_SAID, one, HaveUpdates(ref, 2, b"\x0f", False))
    play.pass_deadline()
    assert play.read().state == FederationState.IDLE
    play.begin(1)
    play.ready()
    play.files(*FOUR)
    three = play.aggregators()[2]
    play.have([0, 1, 2], {three: [3]})
    assert len(play.deciding()) == 2
    outside = next(name for name in play.aggregators() if name not in play.deciding())
    play.refuse(C.OUT_OF_ATTEMPT, outside, play.parts(outside, 1))
    play.pins(1)
    play.refuse(C.BAD_SCREEN, play.deciding()[0], play.screen([USED] * 4))
    play.all({name: play.screen([USED, USED, USED, AWAY]) for name in play.deciding()})
    play.pins(2)
    play.all({name: play.sum("of a pair") for name in play.deciding()})
    play.measured(3 * 10**9)
    return play


def quarters() -> Train:
    play = ready("two of four files are not three quarters; three of four are", "LC-FED-22")
    play.files(*FOUR)
    two, three = play.aggregators()[1:]
    play.have([0, 1], {two: [1, 2], three: [2, 3]})
    assert play.read().state == FederationState.IDLE
    play.begin(1)
    play.ready()
    play.files(*FOUR)
    two = play.aggregators()[1]
    play.have([0, 1, 2], {two: [0, 1, 2, 3]})
    assert len(play.deciding()) == 3
    return play


def served_alone() -> Train:
    """Whoever serves one of three leaves out itself alone; where two spoke every file counts."""
    play = ready("a file that one of three has alone does not count", "LC-FED-22")
    play.files(*FOUR)
    one, two, three = play.aggregators()
    play.have([0, 1], {two: [0, 2], three: [0, 3]})
    assert play.deciding() == [one, two, three]
    play.pass_deadline()
    play.begin(1)
    play.ready()
    play.files(*FOUR)
    ref, (one, two, _) = play.federation, play.aggregators()
    play.all({one: HaveUpdates(ref, 3, b"\x03", False), two: HaveUpdates(ref, 3, b"\x05", False)})
    play.pass_deadline()
    assert play.read().state == FederationState.IDLE
    return play


def parts() -> Train:
    play = ready("parts come before Screens, once, of the masks that one knows", "LC-FED-23")
    play.files(*FOUR)
    play.have()
    one, two, three = play.deciding()
    good, wrong = play.parts(one, 1), play.parts(two, 1)
    play.refuse_all(
        [
            (C.PARTS_MISSING, one, play.screen([USED] * 4)),
            (C.BAD_SCREEN, one, wrong),
            (C.BAD_SCREEN, one, replace(good, parts=good.parts[:1])),
            (C.WRONG_STATE, one, replace(good, stage=2)),
            (C.WRONG_STATE, one, replace(good, stage=3)),
            (C.NOT_DRAWN, "o1", good),
            (C.WRONG_ROUND, one, replace(good, attempt=9)),
        ]
    )
    play.pins(1, one)
    play.refuse_all([(C.ALREADY_SAID, one, good), (C.PARTS_MISSING, one, play.screen([USED] * 4))])
    play.pins(1, two)
    bad = (
        *(play.screen([USED] * 3), play.screen([USED] * 3 + [0]), play.screen([USED] * 3 + [9]), play.screen([USED] * 3 + [AWAY])),
        *(play.screen([USED] * 4, norm=0), play.screen([USED] * 4, norm=2**23 + 1), play.screen([USED] * 4, [1] * 4)),
    )
    play.refuse_all([(C.BAD_SCREEN, one, op) for op in bad])
    play.refuse(C.PARTS_MISSING, three, play.screen([USED] * 4))
    play.do(one, play.screen([USED] * 4, norm=2**23))
    play.refuse_all(
        [
            (C.ALREADY_SCREENED, one, play.screen([USED] * 4)),
            (C.WRONG_ROUND, two, replace(play.screen([USED] * 4), attempt=1)),
            (C.NOT_DRAWN, "o1", play.screen([USED] * 4)),
        ]
    )
    play.do(two, play.screen([USED] * 4, norm=2**23))
    play.pass_deadline()
    assert play.read().state == FederationState.SUM
    play.refuse_all(
        [
            (C.OUT_OF_ATTEMPT, three, play.sum("model")),
            (C.PARTS_MISSING, one, play.sum("model")),
            (C.WRONG_STATE, one, play.screen([USED] * 4)),
            (C.BAD_SCREEN, one, play.parts(one, 3)),
            (C.OUT_OF_ATTEMPT, three, play.parts(three, 3)),
        ]
    )
    play.pins(2)
    play.refuse_all(
        [
            (C.BAD_FILE, one, replace(play.sum("model"), delta=b"")),
            (C.WRONG_ROUND, one, replace(play.sum("model"), attempt=1)),
        ]
    )
    play.do(one, play.sum("model"))
    play.refuse(C.ALREADY_SUMMED, one, play.sum("model"))
    play.do(two, play.sum("model"))
    play.measured(15 * 10**8)
    return play


def differing() -> Train:
    play = ready("two digests of one mask: in rows nobody is paid, in sums the third is", "LC-FED-24")
    play.files(*FOUR)
    play.have()
    one, two, three = play.deciding()
    play.pins(1, one, two)
    play.do(three, play.parts(three, 1, mask1="a lie", mask2="another"))
    assert play.read().state == FederationState.IDLE
    play.begin(1)
    play.ready()
    play.files(*FOUR)
    play.have()
    one, two, three = play.deciding()
    play.pins(1)
    play.all({name: play.screen([USED] * 4) for name in (one, two, three)})
    play.pins(2, one)
    play.do(three, play.parts(three, 2, mask2="a lie"))
    assert play.read().state == FederationState.IDLE
    play.begin(1)
    return play


def disputes() -> Train:
    play = ready("Screens that differ: one of three, then all, then a silent one", "LC-FED-27")
    play.files(*FOUR)
    play.have()
    one, two, three = play.deciding()
    play.pins(1)
    play.all({one: play.screen([USED] * 4), two: play.screen([USED] * 4, what="a lie"), three: play.screen([USED] * 4)})
    assert play.deciding() == [one, three]
    play.pins(2)
    play.all({one: play.sum("a"), three: play.sum("b")})
    assert play.read().state == FederationState.IDLE
    play.begin(1)
    play.ready()
    play.files(*FOUR)
    play.have()
    one, two, three = play.deciding()
    play.pins(1)
    play.all({one: play.screen([USED] * 4), two: play.screen([USED] * 4, norm=5), three: play.screen([USED, USED, USED, WRONG])})
    assert play.read().state == FederationState.IDLE
    play.begin(1)
    play.ready()
    play.files(*FOUR)
    play.have()
    one, two, three = play.deciding()
    play.pins(1, one)
    play.pass_deadline()
    assert play.read().state == FederationState.IDLE
    return play


def silent_sum() -> Train:
    play = ready("one is silent in the sum, then no sum is finite", "LC-FED-32")
    play.files(*FOUR)
    play.have()
    play.pins(1)
    one, two, three = play.deciding()
    play.all({name: play.screen([USED] * 4) for name in (one, two, three)})
    play.pins(2, one, two, three)
    play.all({one: play.sum("m"), two: play.sum("m")})
    play.pass_deadline()
    play.measured(19 * 10**8)
    play.begin(2)
    play.ready()
    play.summed(FOUR, "")
    assert play.read().state == FederationState.IDLE
    return play


def alone() -> Train:
    play = ready("one sum of three is none, and its maker is paid", "LC-FED-32")
    play.files(*FOUR)
    play.have()
    play.pins(1)
    one, two, three = play.deciding()
    play.all({name: play.screen([USED] * 4) for name in (one, two, three)})
    play.pins(2, one, two)
    play.do(one, play.sum("m"))
    play.pass_deadline()
    assert play.read().state == FederationState.IDLE
    return play


def benched() -> Train:
    play = training("turned away three times: benched, and in again where the others are too few", "LC-FED-28", rounds=9)
    for codes in (
        [USED, USED, USED, LARGE],
        [USED, USED, USED, EMPTY],
        [USED, USED, USED, OUTLIER],
        [USED, USED, USED, WRONG],
    ):
        play.begin(play.read().r)
        play.ready()
        play.files(*FOUR)
        play.have()
        play.pins(1)
        play.all({name: play.screen(codes) for name in play.deciding()})
        play.pins(2)
        play.all({name: play.sum("") for name in play.deciding()})
    play.begin(1)
    play.ready()
    play.refuse(C.BENCHED, "o4", CommitUpdate(play.federation, play.attempt().number, cid("x"), SIZE))
    play.pass_deadline()
    play.do("o3", LeaveFederation(play.federation))
    play.begin(1)
    play.ready()
    play.files("o1", "o2", "o4")
    play.have()
    return play


def rows_of_codes() -> Train:
    play = training("AWAY leaves a row as it is, COPY ends it", "LC-FED-28", rounds=9)
    for have, codes in (
        ((0, 1, 2, 3), [USED, USED, USED, OUTLIER]),
        ((0, 1, 2), [USED, USED, USED, AWAY]),
        ((0, 1, 2, 3), [USED, USED, USED, OUTLIER]),
        ((0, 1, 2, 3), [USED, USED, USED, COPY]),
        ((0, 1, 2, 3), [USED, USED, USED, LARGE]),
    ):
        play.begin(play.read().r)
        play.ready()
        play.files(*FOUR)
        play.have(have)
        play.pins(1)
        play.all({name: play.screen(codes) for name in play.deciding()})
        play.pass_deadline()
    return play


def split() -> Train:
    play = ready("more than half of the files are not used", "LC-FED-29", secrecy=2, min_sum=1)
    play.files(*FOUR)
    play.have()
    play.pins(1)
    play.all({name: play.screen([USED, WRONG, WRONG, LARGE]) for name in play.deciding()})
    assert play.read().state == FederationState.IDLE
    return play


def chained() -> Train:
    """One base is summed on twice and thrice: what is accepted keeps its distance."""
    play = training(
        "sets that are accepted on one base", "LC-FED-30", *OWNERS[:7], rounds=9, max_members=7, min_members=2, min_sum=2
    )
    for used in ((0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4), (0, 1), (0, 1, 2, 3), (0, 6)):
        play.begin(1)
        play.ready()
        play.files(*OWNERS[:7])
        play.have()
        play.pins(1)
        codes = [USED if at in used else STALE for at in range(7)]
        play.all({name: play.screen(codes) for name in play.deciding()})
        if play.read().state == FederationState.SUM:
            play.pins(2)
            play.all({name: play.sum("") for name in play.deciding()})
    return play


def owners_serve() -> Train:
    """Three of them serve, and four others."""
    play = training("members aggregate only where fewer than three others do", "LC-FED-17")
    play.serving(*OWNERS[:3])
    for _ in range(3):
        play.begin(1)
        assert not set(play.aggregators()) & set(OWNERS)
        for _ in range(3):
            play.pass_deadline()
    return play


def third_of_others() -> Train:
    """Twelve have the flag, so that four have to be able; three of the six that serve are members."""
    play = Train("members aggregate where fewer others do than have to be able", "LC-FED-17")
    play.serving(*HELPERS[:3], *OWNERS[:3]).opens()
    play.join(*FOUR)
    play.begin(0)
    play.measured(FIRST)
    play.begin(1)
    assert set(play.aggregators()) & set(OWNERS)
    return play


def smallest_clip() -> Train:
    play = changed(training("the smallest clip stays", "LC-FED-4"), clip=1)
    play.begin(1)
    play.ready()
    play.summed(FOUR, "model", norm=1)
    assert play.read().clip == 1
    return play


def late() -> Train:
    play = training("a key comes too late where the deadline waits for another one", "LC-FED-20")
    play.begin(1)
    play = full(play)
    one, left = play.aggregators()[0], play.read().deadline - play.clock
    codes = play.block(play.tx(one, ReadyKey(play.federation, 2, digest(one))), step=left)
    assert codes == [C.TOO_LATE], codes
    return play


def vetted() -> Train:
    """o1 to o3 have the flag: they alone are counted."""
    play = training("only vetted ones are counted", "LC-FED-30", *OWNERS[:5], rounds=9, vetted=True, min_members=2, min_sum=2)
    for used in ((0, 1, 2, 3, 4), (0, 3, 4), (0, 1, 3), (1, 2, 3, 4)):
        play.begin(1)
        play.ready()
        play.files(*OWNERS[:5])
        play.have()
        play.pins(1)
        codes = [USED if at in used else STALE for at in range(5)]
        play.all({name: play.screen(codes) for name in play.deciding()})
        if play.read().state == FederationState.SUM:
            play.pins(2)
            play.all({name: play.sum("") for name in play.deciding()})
    return play


def samples() -> Train:
    play = training("pay by samples: four medians at most; a banned one's share burns", "LC-FED-40", split=2, n=10)
    play.do("o1", NewData(play.federation, digest("more"), 1_000))
    play.begin(1)
    play.ready()
    play.summed(FOUR, "better")
    banned = Account(key_of("o2").public, 2, 0, 0, [0, 0, 0, 0], 0)
    play = Train(play.name, play.rule, {account_key(id_of("o2")): banned}, play)
    play.measured(15 * 10**8)
    assert play.state.get(member_key(play.federation, id_of("o1"))).paid  # type: ignore[union-attr]
    play.begin(2)
    play.ready()
    play.summed(("o1", "o3", "o4"), "best")
    play.measured(9 * 10**8)
    assert play.read().state == FederationState.END
    return play


def gone_server() -> Train:
    play = training("two aggregators where the pool has two", "LC-FED-20")
    play = Train(play.name, play.rule, flagged_alone(*play.others()[-2:]), play)
    play.begin(1)
    assert len(play.aggregators()) == 2
    play.ready()
    return play


def one_follows() -> Train:
    play = training("three of a pool of four are silent, the fourth is ready alone", "LC-FED-20")
    play = Train(play.name, play.rule, flagged_alone(*play.others()[:4]), play)
    play.begin(1)
    play.pass_deadline()
    (one,) = play.aggregators()
    play.ready(one)
    assert play.read().state == FederationState.IDLE
    return play


def resting(where: str, rule: str) -> Train:
    """The same three are silent until their records are full: of each the strike is told, then the rest that its draw brings."""
    play = training(f"who is silent in {where} is struck, then its failed draw makes it rest", rule, rounds=4)
    play = Train(play.name, play.rule, flagged_alone(*play.others()[:3]), play)
    for _ in range(MAX_BAD_DRAWS + 1):
        play.begin(1)
        play.ready()
        play.files(*FOUR)
        if where == "SCREEN":
            play.have()
        play.pass_deadline()
        assert play.read().state == FederationState.IDLE
    assert all(verifier(play, name).rests_until for name in play.others()[:3])
    return play


def verifier(play: Train, name: str) -> Member:
    found = play.state.get(membership_key(id_of(name)))
    assert isinstance(found, Member)
    return found


def resting_in_have() -> Train:
    return resting("HAVE", "LC-FED-22")


def resting_in_screen() -> Train:
    return resting("SCREEN", "LC-FED-27")


ROUNDS: tuple[Callable[[], Train], ...] = (
    *(keys, unready, files, references, denied, no_reference, having, quarters, parts, differing, disputes, silent_sum, alone),
    *(served_alone, benched, rows_of_codes, split, chained, vetted, samples, gone_server, one_follows),
    *(unready_again, owners_serve, third_of_others, smallest_clip, late, resting_in_have, resting_in_screen),
)
