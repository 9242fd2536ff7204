"""Plays of panels: keys, measurements, settling, and the ends that they bring (LC-FED-19, 33, 35 to 44)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from learningchain.chain.contracts.federation.formulas import royalty_weights
from learningchain.chain.contracts.federation.messages import (
    CloseFederation,
    CommitMeasure,
    FederationCode,
    JoinFederation,
    ModelMeasure,
    ReferUpdate,
    SealKey,
    ServeFederation,
    StartRound,
)
from learningchain.chain.contracts.federation.records import EndReason, FederationState
from learningchain.chain.contracts.prediction.messages import PredictionCode, RegisterModel, Share
from learningchain.chain.losses import Measurement
from tests.vectors.federation_plays import FIRST, HELPERS, HIDDEN, OWNERS, SALT, Train, cid, flagged_alone, ready, said, training
from tests.vectors.kit import id_of
from tests.vectors.prediction_plays import NUMBERS

C = FederationCode
FOUR = OWNERS[:4]
OK, INVALID, NOMODEL, BADKEY, ABSTAIN = range(1, 6)


def hidden() -> Train:
    play = Train("the key of a hidden file: by the sponsor, a box for each seat, in time", "LC-FED-19")
    play.serving(*HELPERS).opens(hidden=[HIDDEN])
    play.begin(0)
    boxes = [bytes([at]) * 80 for at in range(len(play.panel()))]
    play.refuse_all(
        [
            (C.NOT_SPONSOR, "bob", SealKey(play.federation, boxes)),
            (C.BAD_BOXES, "alice", SealKey(play.federation, boxes[1:])),
            (C.OWN_FEDERATION, play.panel()[0], JoinFederation(play.federation, SALT, 0)),
        ]
    )
    play.do("alice", SealKey(play.federation, boxes))
    play.refuse(C.WRONG_STATE, "alice", SealKey(play.federation, boxes))
    play.measured(FIRST)
    return play


def following() -> Train:
    """Two seats are silent twice: who follows gets a box while it measures, and nobody's box is replaced."""
    play = Train("a seat that follows where a file is hidden gets a box of its key", "LC-FED-19")
    play.serving(*HELPERS).opens(hidden=[HIDDEN])
    play.begin(0)
    boxes = [bytes([at]) * 80 for at in range(5)]
    play.do("alice", SealKey(play.federation, boxes))
    silent = play.panel()[:2]
    for _ in range(2):
        play.refuse(C.WRONG_STATE, "alice", SealKey(play.federation, boxes[:2]))
        play.measure(lambda name: None if name in silent else play.found(FIRST))
    assert [seat.box for seat in play.read().panel] == [*boxes[2:], b"", b""]
    play.refuse_all(
        [
            (C.NOT_SPONSOR, "bob", SealKey(play.federation, boxes[:2])),
            (C.BAD_BOXES, "alice", SealKey(play.federation, boxes)),
            (C.BAD_BOXES, "alice", SealKey(play.federation, boxes[:1])),
        ]
    )
    play.do("alice", SealKey(play.federation, boxes[:2]))
    assert [seat.box for seat in play.read().panel] == [*boxes[2:], *boxes[:2]]
    assert play.read().state == FederationState.MEASURE
    play.refuse(C.WRONG_STATE, "alice", SealKey(play.federation, boxes[:2]))
    play.measured(FIRST)
    assert play.read().r == 1
    return play


def alone() -> Train:
    """A panel of two, of whom one goes: one alone measures nothing, whatever it says."""
    play = Train("one seat alone measures nothing", "LC-FED-37", flagged_alone("s1", "s2"))
    play.serving("s1", "s2").opens()
    play.begin(0)
    one = play.panel()[0]
    for _ in range(2):
        play.measure(lambda name: play.found(FIRST) if name == one else None)
    assert play.panel() == [one]
    play.measured(FIRST)
    assert play.read().state == FederationState.END
    return play


def halved() -> Train:
    """One of two serves no more before the draw."""
    play = Train("fewer than two are left at the draw of the panel", "LC-FED-19", flagged_alone("s1", "s2"))
    play.serving("s1", "s2").opens()
    play.do("alice", StartRound(play.federation, 0))
    play.all({"s2": ServeFederation(False)})
    play.drawn()
    assert play.read().state == FederationState.IDLE
    return play


def barely() -> Train:
    """2,010 is the tolerance of the initial loss: 4,019 less is none, 4,020 less is progress."""
    play = training("progress is by two tolerances, and nothing less", "LC-FED-41", rounds=3, patience=3)
    for r, loss in ((1, FIRST - 4_019), (2, FIRST - 4_020), (3, FIRST - 8_039)):
        play.begin(r)
        play.ready()
        play.summed(FOUR, f"model {r}")
        play.measured(loss)
        assert play.read().best == (FIRST if r == 1 else FIRST - 4_020)
    return play


def keyless() -> Train:
    play = Train("no key comes", "LC-FED-19")
    play.serving(*HELPERS).opens(hidden=[HIDDEN])
    play.begin(0)
    play.pass_deadline()
    assert play.read().state == FederationState.END
    return play


def voting() -> Train:
    play = Train("who commits and opens what", "LC-FED-35")
    play.serving(*HELPERS).opens()
    play.do("alice", StartRound(play.federation, 0))
    play.drawn()
    one, two, *others = play.panel()
    words = [play.found(FIRST) for _ in range(5)]
    words[1] = ModelMeasure(9, [])
    outside = play.others()[0]
    play.refuse_all(
        [
            (C.NO_SEAT, outside, play.commitment(outside, words[0])),
            (C.WRONG_ROUND, one, CommitMeasure(play.federation, 1, 0, SALT)),
            (C.WRONG_ROUND, one, CommitMeasure(play.federation, 0, 1, SALT)),
            (C.WRONG_STATE, one, play.opening(words[0])),
        ]
    )
    play.do(one, play.commitment(one, words[0]))
    play.refuse(C.ALREADY_MEASURED, one, play.commitment(one, words[0]))
    far = Measurement(words[0].measured[0].root, 10**18 * 5 + 5, 5)
    with_loss, none = ModelMeasure(ABSTAIN, words[0].measured), ModelMeasure(OK, [])
    sealed = [with_loss, none, ModelMeasure(OK, [far])]
    play.all(
        {two: play.commitment(two, words[1])} | {name: play.commitment(name, op) for name, op in zip(others, sealed, strict=True)}
    )
    assert play.read().state == FederationState.OPEN
    shown = play.opening(words[0])
    play.refuse_all(
        [
            (C.NO_SEAT, outside, shown),
            (C.WRONG_ROUND, one, replace(shown, r=1)),
            (C.MEASURE_MISMATCH, one, replace(shown, salt=bytes(32))),
            (C.BAD_VOTE, one, replace(shown, opening=[])),
            (C.BAD_VOTE, two, replace(shown, measure=words[1], opening=[])),
            (C.BAD_VOTE, others[0], replace(shown, measure=with_loss, opening=[])),
            (C.BAD_VOTE, others[1], replace(shown, measure=none)),
            (C.BAD_VOTE, others[2], replace(shown, measure=ModelMeasure(OK, [far]))),
        ]
    )
    play.do(one, shown)
    play.refuse(C.ALREADY_MEASURED, one, shown)
    play.pass_deadline()
    assert play.read().again == 1
    play.measure(lambda name: said(ABSTAIN) if name == one else play.found(FIRST))
    assert play.read().r == 1
    return play


def met() -> Train:
    play = Train("the initial model meets the target within twice the tolerance", "LC-FED-39")
    play.serving(*HELPERS).opens()
    play.begin(0)
    play.measured(10**9 + 2_020)
    assert play.read().state == FederationState.END
    return play


def bad_model() -> Train:
    play = Train("the initial model is none", "LC-FED-39")
    play.serving(*HELPERS).opens()
    play.begin(0)
    liar = play.panel()[2]
    play.measure(lambda name: play.found(FIRST) if name == liar else said(INVALID))
    assert play.read().state == FederationState.END
    return play


def stalled() -> Train:
    """Nobody; two are silent again; the third time scatters."""
    play = Train("three measurements come to nothing", "LC-FED-38")
    play.serving(*HELPERS).opens()
    play.begin(0)
    play.measure(lambda _: None)
    silent = play.panel()[:2]
    play.measure(lambda name: None if name in silent else play.found(FIRST))
    assert play.read().again == 2
    assert not set(silent) & set(play.panel())
    losses = {name: FIRST + 10**6 * at for at, name in enumerate(play.panel())}
    play.measure(lambda name: play.found(losses[name]))
    assert play.read().state == FederationState.END
    return play


def outsiders() -> Train:
    play = Train("before the third time those outside the largest set go", "LC-FED-38")
    play.serving(*HELPERS[:7]).opens()
    play.begin(0)
    one, two, three, four, five = play.panel()
    play.measure(lambda name: play.found(FIRST + (10**7 if name in (two, four) else 0)))
    play.measure(lambda name: said(INVALID) if name in (two, four) else play.found(FIRST))
    assert [name in play.panel() for name in (one, two, three, four, five)] == [True, False, True, False, True]
    play.measure(lambda name: said(NOMODEL) if name not in (one, three, five) else play.found(FIRST))
    assert play.read().r == 1
    return play


def invalid_side() -> Train:
    play = Train("more say that it is none: the others go, as far as there are tickets", "LC-FED-38")
    play.serving(*HELPERS[:6]).opens()
    play.begin(0)
    one, two, *_ = play.panel()
    play.measure(lambda name: play.found(FIRST) if name in (one, two) else said(INVALID))
    play.measure(lambda name: play.found(FIRST) if name in (one, two) else said(INVALID))
    assert one not in play.panel()
    assert two in play.panel()
    play.measure(lambda name: said(INVALID) if name != two else said(BADKEY))
    assert play.read().state == FederationState.END
    return play


def leaves() -> Train:
    play = Train("leaves that do not hold do not count", "LC-FED-51")
    play.serving(*HELPERS).opens()
    play.begin(0)
    losses = [FIRST - 7, FIRST, FIRST + 9] * 30
    liars = play.panel()[:2]
    play.measure(lambda _: play.found(*losses), lies=liars)
    assert play.read().again == 1
    play.measure(lambda _: play.found(*losses), lies=liars[:1])
    assert play.read().r == 1
    return play


def unopened() -> Train:
    play = Train("who commits and does not open is struck", "LC-FED-36")
    play.serving(*HELPERS).opens()
    play.begin(0)
    silent = play.panel()[3]
    play.measure(lambda _: play.found(FIRST), opens=lambda name: name != silent)
    assert play.read().r == 1
    return play


def small() -> Train:
    """A panel of three, of whom two go: members follow up to three with the one that stays."""
    play = Train("members follow where no others are left", "LC-FED-18", flagged_alone("s1", "s2", "s3", "o1", "o2"))
    play.serving("s1", "s2", "s3", "o1", "o2").opens()
    play.join(*FOUR)
    play.begin(0)
    assert sorted(play.panel()) == ["s1", "s2", "s3"]
    one = play.panel()[0]
    play.measure(lambda name: play.found(FIRST) if name == one else None)
    play.measure(lambda name: play.found(FIRST) if name == one else None)
    assert sorted(play.panel()) == sorted([one, "o1", "o2"])
    play.measured(FIRST)
    return play


def shrinking() -> Train:
    play = Train("a panel of three shrinks to nobody", "LC-FED-38", flagged_alone("s1", "s2", "s3"))
    play.serving("s1", "s2", "s3").opens()
    play.begin(0)
    for _ in range(3):
        play.measure(lambda _: None)
    assert play.read().state == FederationState.END
    return play


def progress() -> Train:
    play = training("progress is paid, then the target is met by a little", "LC-FED-41", rounds=3)
    for r, loss in ((1, 17 * 10**8), (2, 10**9 + 1_000), (3, 10**9)):
        play.begin(r)
        play.ready()
        play.summed(FOUR if r != 2 else FOUR[1:], f"model {r}", norm=2**22 * 2 if r == 1 else 2**20)
        play.measured(loss)
    assert play.read().state == FederationState.END
    return play


def patience() -> Train:
    play = training("no progress, then worse, then none at all", "LC-FED-42", rounds=4, patience=2)
    for r, loss in ((1, FIRST + 10**6), (2, FIRST + 5 * 10**7), (3, FIRST + 5 * 10**7 + 1), (4, 0)):
        play.begin(r)
        play.ready()
        play.summed(FOUR, f"model {r}")
        play.measure(lambda _, loss=loss: play.found(loss) if loss else said(INVALID))  # type: ignore[misc]
    assert play.read().state == FederationState.END
    return play


def pointless() -> Train:
    """All points are 0: those of the last sum are paid equally."""
    play = ready("without any points the last sum is paid equally", "LC-FED-41", split=3, reference=True)
    play.do("alice", ReferUpdate(play.federation, 2, cid("reference")))
    play.files(*FOUR)
    play.have(reference=True)
    play.pins(1)
    play.all({name: play.screen([1, 1, 1, 8], [0, 0, 0, 0]) for name in play.deciding()})
    play.pins(2)
    play.all({name: play.sum("m") for name in play.deciding()})
    play.measured(15 * 10**8)
    return play


def pair() -> Train:
    """Two make a sum that is none: they are drawn only where others are few."""
    play = training("two that make a bad model are excluded", "LC-FED-33")
    play.begin(1)
    one, two, three = play.aggregators()
    play.ready()
    play.files(*FOUR)
    play.have([0, 1, 2, 3], {three: []})
    play.pins(1)
    play.all({name: play.screen([1, 1, 1, 1]) for name in play.deciding()})
    play.pins(2)
    play.all({name: play.sum("worse") for name in play.deciding()})
    play.measure(lambda _: said(INVALID))
    play.begin(2)
    assert not {one, two} & set(play.aggregators())
    play.all({name: ServeFederation(False) for name in play.others() if name not in (one, two, three)})
    return play


def expiring() -> Train:
    play = training("its time is over between rounds", "LC-FED-45", ends=1_700_000_020_000)
    play.pass_deadline()
    assert play.read().state == FederationState.END
    return play


def _offer(play: Train) -> RegisterModel:
    paid = [(id_of(name), play.member(name).paid) for name in FOUR]
    shares = [Share(account, weight) for account, weight in royalty_weights(paid)]
    return replace(NUMBERS, source=[play.federation], program=[], shares=shares)


def offered() -> Train:
    """By its sponsor alone, once it has ended with a better model."""
    play = training("its best model is its sponsor's to offer", "LC-FED-53", rounds=1)
    no = PredictionCode.BAD_SOURCE
    play.refuse(no, "alice", _offer(play))
    play.begin(1)
    play.ready()
    play.summed(FOUR, "model 1")
    play.measured(17 * 10**8)
    assert play.read().state == FederationState.END and play.read().best_r == 1
    play.refuse_all([(no, name, _offer(play)) for name in ("bob", OWNERS[0])])
    good, bad = _offer(play), PredictionCode.BAD_MODEL_TERMS
    first, *others = good.shares
    wrong: tuple[list[Share], ...] = ([], good.shares[:3], good.shares[::-1], [replace(first, weight=first.weight - 1), *others])
    play.refuse_all([(bad, "alice", replace(good, shares=shares)) for shares in wrong])
    play.do("alice", good)
    codes = play.block(play.tx("alice", replace(good, name="late")), step=play.read().deadline - play.clock)
    assert codes == [no] and not play.knows(OWNERS[0]), "its members left, and some of its records stand"
    return play


def unpaid_offer() -> Train:
    """Nobody was paid: the royalty is who offers it's."""
    play = training("what nobody was paid for has no shares", "LC-FED-53", rounds=1, bounty=1)
    play.begin(1)
    play.ready()
    play.summed(FOUR, "model 1")
    play.measured(17 * 10**8)
    assert play.read().best_r == 1 and not play.read().paid
    good = _offer(play)
    assert not good.shares
    play.refuse(PredictionCode.BAD_MODEL_TERMS, "alice", replace(good, shares=[Share(id_of("alice"), 1)]))
    play.do("alice", good)
    return play


def abandoned() -> Train:
    """By an owner that was paid, too."""
    play = training("its sponsor went away, so who was paid may offer its best model", "LC-FED-53")
    play.begin(1)
    play.ready()
    play.summed(FOUR[:3], "model 1")
    play.measured(17 * 10**8)
    play.pass_deadline()
    assert EndReason(play.read().end) is EndReason.ABANDONED
    unpaid = FOUR[3]
    play.refuse_all([(PredictionCode.BAD_SOURCE, name, _offer(play)) for name in ("bob", unpaid)])
    for name in ("alice", FOUR[0]):
        play.do(name, _offer(play))
    return play


def nothing_better() -> Train:
    play = training("where no round made a better model nothing is offered", "LC-FED-53")
    play.do("alice", CloseFederation(play.federation))
    play.refuse(PredictionCode.BAD_SOURCE, "alice", _offer(play))
    return play


PANELS: tuple[Callable[[], Train], ...] = (
    *(hidden, keyless, voting, met, bad_model, stalled, outsiders, invalid_side, leaves, unopened, small, shrinking),
    *(following, alone, halved, progress, barely, patience, pointless, pair, expiring),
    *(offered, unpaid_offer, abandoned, nothing_better),
)
