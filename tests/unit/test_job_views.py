"""What people and clients read: descriptions, lists, duties; all of it JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from learningchain.chain.contracts.job import messages
from learningchain.chain.contracts.job.duties import DueBallots, DueKey, DueOpening, DueReveal, DueService, duties_in
from learningchain.chain.contracts.job.records import contractor_key
from learningchain.chain.crypto import address
from learningchain.chain.host.terms import Arch, Capacity, is_reference, model_id
from learningchain.chain.losses import draw_probe
from learningchain.chain.types import cid_text
from learningchain.chain.verification.votes import BallotCode
from learningchain.client.contracts.job.http import views
from tests.unit.job_kit import FEE, KEY, PARAMS, START, World, ballot, cid_of, hidden_set, key_message, posting, replaced, who

VERIFIERS = ["v1", "v2", "v3"]


def world() -> World:
    return World(["boss", "a", "b", "c", *VERIFIERS], VERIFIERS)


def describe(w: World, job: bytes) -> dict[str, Any]:
    found = views.describe(w.store, job)
    assert found is not None
    assert json.loads(json.dumps(found)) == found
    return found


def duties(w: World, name: str) -> list[Any]:
    """On all live jobs, the nearest deadline first."""
    live = [key[2:] for key, _ in w.store.scan(b"j/", 100)]
    return sorted((d for job in live for d in duties_in(w.store, job, who(name), w.clock)), key=lambda d: d.deadline)


def test_a_job_is_described_through_its_whole_life() -> None:
    w = world()
    job = w.post("boss", hidden=hidden_set())
    shown = describe(w, job)
    assert (shown["state"], shown["deadline"], shown["expiry"]) == ("OPEN", START + 100_000, START + 100_000)
    # each of two rounds of three finalists: two evaluations of two data sets, and 64 seats with two columns
    assert shown["latest_end"] == START + 100_000 + 60_000 + 50_000 + 6 * (100_000 + 40_000 + 1_000 + 40_000 * 2 * 4)
    assert shown["latest_end_draw_blocks"] == 7
    terms = shown["terms"]
    assert (terms["arch"], terms["stake"], terms["bond"], terms["deposit"]) == ("amd64", 1_000, 3_000, 10_000)
    assert terms["fees_locked"] == 2 * FEE * 71 * 3
    for name, loss in (("a", 5_000), ("b", 3_000), ("c", 9_000)):
        assert w.claim(job, name, loss) == 0
    shown = describe(w, job)
    assert [c["claimant"] for c in shown["claims"]] == [address(who(n)) for n in ("b", "a", "c")]
    assert (shown["claims"][0]["stake_is"], shown["claims"][0]["full"]) == ("locked", True)
    assert shown["claims"][0]["next_at_most"] == 3_000 - 22
    w.deadline(job)
    assert describe(w, job)["must_reveal"] == [address(who(n)) for n in ("b", "a", "c")]
    for name in ("a", "b"):
        assert w.reveal(job, name) == 0
    w.deadline(job)
    shown = describe(w, job)
    assert (shown["state"], shown["finalists"]) == ("KEY", [address(who(n)) for n in ("b", "a")])
    assert {c["claimant"]: c["stake_is"] for c in shown["claims"]}[address(who("c"))] == "burned"
    assert w.send(who("boss"), key_message(job)) == 0
    shown = describe(w, job)
    assert (shown["state"], shown["deadline"], shown["draw_height"]) == ("DRAW", None, w.height + 1)
    w.draw(job)
    shown = describe(w, job)
    assert (shown["state"], shown["key"], len(shown["rounds"])) == ("COMMIT", KEY.hex(), 1)
    assert [(v["committed"], v["neutral"]) for v in shown["rounds"][0]["committee"]] == [(False, True)] * 3
    w.everybody(job, ballot(BallotCode.OK, 3_000, 7), ballot(BallotCode.INVALID))
    shown = describe(w, job)
    assert (shown["state"], shown["winner"], shown["deadline"]) == ("PAID", address(who("b")), None)
    assert shown["model"] == {"cid": cid_text(cid_of("b")), "sha256": model_id(cid_of("b")).hex(), "size": 1_000}
    assert [(c["result"], c["line"], c["rank"]) for c in shown["claims"]] == [
        ("OK", "QUORUM_OK", 1),
        ("REFUSED", "QUORUM_NEGATIVE", 2),
        ("SILENT", None, None),
    ]
    voter = shown["rounds"][0]["committee"][0]
    assert (voter["fee"], voter["opened"], voter["struck"]) == (4 * FEE, True, None)
    assert [v["vote"] for v in voter["votes"]] == ["OK", "INVALID"]
    first = voter["votes"][0]
    assert (first["measured"], first["examples"], first["shown"]) == (3_000, 20, [3_000] * 16)
    assert (first["hidden_loss"], first["hidden_examples"], first["hidden_shown"]) == (7, 20, [7] * 16)
    assert (shown["examples"], shown["warning"]) == (20, None)
    payments = shown["payments"]
    assert (payments["bounty_to"], payments["bounty_paid"], payments["fees_paid"]) == (address(who("b")), 10_000, 12 * FEE)
    assert (payments["fees_returned"], payments["fees_burned"]) == (2 * FEE * 71 * 3 - 12 * FEE, 0)
    assert (payments["deposit_returned"], payments["deposit_burned"]) == (10_000, 0)
    assert (payments["bond_burned"], payments["bond_returned"], payments["stakes_burned_by_verdicts"]) == (1_000, 2_000, 1_000)
    assert payments["in_escrow"] == {"bounty": 0, "fees": 0, "bond": 0, "deposit": 0, "stakes": 0}
    assert shown["contractor"] == {
        "posted": 1,
        "live": 0,
        "paid": 10_000,
        "winners": 1,
        "last_winners": [address(who("b"))],
        "refunded": 0,
        "undecided": 0,
        "unrepeatable": 0,
    }


def test_a_round_shows_which_losses_its_openings_had_to_show() -> None:
    w = world()
    job = w.post("boss")
    w.open_to(job, {"a": 5_000})
    w.everybody(job, ballot(BallotCode.OK, 5_000))
    (round_,) = describe(w, job)["rounds"]
    probe = draw_probe(bytes.fromhex(round_["probe"]), job, 0, 1, 20)
    assert round_["probes"] == [{"examples": 20, "positions": list(probe.positions), "subtrees": list(probe.subtrees)}]


@pytest.mark.parametrize("banned", [True, False])
def test_a_refund_shows_what_became_of_the_bond_and_of_the_case(banned: bool) -> None:
    w = world()
    job = w.post("boss")
    w.open_to(job, {"a": 100})
    w.everybody(job, ballot(BallotCode.FALSE, 900_000))
    shown = describe(w, job)
    assert shown["payments"]["bounty_returned"] == 10_000
    assert (shown["payments"]["bond_burned"], shown["payments"]["bond_returned"]) == (1_000, 2_000)
    assert shown["cases"] == [{"account": address(who("a")), "state": "PENDING"}]
    w.close_case(who("a"), banned)
    assert describe(w, job)["cases"][0]["state"] == ("BANNED" if banned else "DISMISSED")


def test_an_archive_image_is_shown_by_its_cid() -> None:
    w = world()
    fields = {"image_kind": 2, "image_reference": "", "image_cid": cid_of("image"), "image_image_id": b"\x07" * 32}
    job = w.post("boss", **fields)
    image = describe(w, job)["image"]
    assert (image["kind"], image["cid"], image["image_id"]) == ("archive", cid_text(cid_of("image")), "07" * 32)


def test_there_is_no_unknown_job() -> None:
    w = world()
    assert views.describe(w.store, b"?" * 32) is None
    assert views.summarise(w.store, b"?" * 32) is None
    assert duties_in(w.store, b"?" * 32, who("a"), w.clock) == []


def test_lists_go_newest_first_in_pages() -> None:
    w = world()
    jobs = [w.post("boss", bounty=100 + i) for i in range(5)]
    assert w.claim(jobs[1], "a", 5) == 0

    def listed(before: int | None = None, limit: int = 100) -> list[int]:
        return [jobs.index(job) for _, job in views.newest(w.store, before, limit)]

    assert listed() == [4, 3, 2, 1, 0]
    assert listed(limit=2) == [4, 3]
    assert listed(limit=2, before=3) == [2, 1]
    assert listed(before=0) == listed(limit=0) == []
    w.until(START + 100_000)
    assert listed() == [4, 3, 2, 1, 0]


def test_duties_name_what_to_do_until_when_and_all_that_is_needed_for_it() -> None:
    w = world()
    job = w.post("boss", finalists=2, hidden=hidden_set())
    for name, loss in (("a", 5_000), ("b", 9_000), ("c", 7_000)):
        assert w.claim(job, name, loss) == 0
    assert duties(w, "a") == []
    w.deadline(job)
    (reveal,) = duties(w, "a")
    assert reveal == DueReveal(job, w.clock + PARAMS.job_reveal, True, 1, 5_000, reveal.commitment)
    assert not duties(w, "b")[0].must
    assert w.reveal(job, "a") == 0
    assert duties(w, "a") == []
    w.deadline(job)
    assert duties(w, "boss") == [DueKey(job, w.job(job).deadline)]
    assert duties(w, "a") == []
    assert w.send(who("boss"), key_message(job)) == 0
    assert duties(w, "a") == duties(w, "boss") == duties(w, "v1") == [], "nobody has anything to do before the draw"
    w.draw(job)
    assert duties(w, "a") == [DueService(job, w.job(job).deadline, cid_of("a"), 1_000)]
    assert duties(w, "b") == []
    (commit,) = duties(w, "v1")
    assert (type(commit), commit.audit, commit.round) == (DueBallots, 0, 1)
    assert commit.key == KEY
    assert commit.hidden.cid == cid_of("hidden")
    assert [(c.claimant, c.loss, c.model) for c in commit.candidates] == [(who("a"), 5_000, cid_of("a"))]
    vote = [ballot(BallotCode.OK, 5_000, 1)]
    for name in VERIFIERS:
        assert w.commit(job, who(name), vote) == 0
    w.next(job)
    (opening,) = duties(w, "v1")
    assert opening == DueOpening(job, w.job(job).deadline, 0, 1, opening.commitment, w.beacon, True, frozenset())
    assert duties(w, "a") == [DueService(job, w.job(job).deadline, cid_of("a"), 1_000)]
    assert w.send(who("v1"), w.open_message(job, who("v1"), vote)) == 0
    (opening,) = duties(w, "v1")
    assert (opening.first, opening.shown) == (False, {(0, False)})
    assert w.send(who("v1"), w.column_message(job, who("v1"), vote, 0, True)) == 0
    assert duties(w, "v1") == []
    w.clock = w.job(job).deadline
    assert duties(w, "v2") == []


def test_helpers_of_a_posting() -> None:
    terms = posting(tol=50, float_kind=1, bounty=709, finalists=4, hidden=hidden_set())
    assert (messages.full_stake(terms), messages.bond(terms), messages.deposit(terms)) == (70, 280, 709)
    assert messages.deposit(posting(bounty=700)) == 0
    assert messages.fees_locked(terms) == 2 * FEE * 71 * 4
    assert (messages.evaluation_s(terms), messages.evaluation_s(posting())) == (20, 10)
    assert messages.needed_capacity(terms) == Capacity(Arch.AMD64, 1_000, 512, 10_000, 1_000_000, 10)
    assert messages.tolerance(terms, 0) == 50
    assert messages.bound(terms, 0) == 10_000
    assert messages.improved(terms, 0) == -100
    assert messages.ballot_code(terms, 0, 50) == BallotCode.OK
    assert messages.ballot_code(terms, 0, 51) == BallotCode.NEAR
    assert messages.ballot_code(terms, 0, 10_001) == BallotCode.FALSE


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("a@sha256:" + "0" * 64, True),
        ("registry.example:5000/team/x_y-z:v1@sha256:" + "f" * 64, True),
        ("a@sha256:" + "0" * 63, False),
        ("a@sha512:" + "0" * 64, False),
        ("a:latest", False),
        ("@sha256:" + "0" * 64, False),
        ("-a@sha256:" + "0" * 64, False),
        ("a b@sha256:" + "0" * 64, False),
        ("a@b@sha256:" + "0" * 64, False),
        ("a" * 500 + "@sha256:" + "0" * 64, False),
    ],
)
def test_references(text: str, fine: bool) -> None:
    assert is_reference(text) is fine


# --- sums and orders --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "paid", "burned", "deposit"),
    [("as posted", 6 * FEE, 0, "returned"), ("no key", 6 * FEE, 0, "burned"), ("nobody could tell", 0, 6 * FEE, "returned")],
)
def test_every_credit_of_an_ended_job_is_told_once(what: str, paid: int, burned: int, deposit: str) -> None:
    w = world()
    job = w.post("boss", hidden=hidden_set())
    w.open_to(job, {"a": 5_000})
    if what == "no key":
        w.deadline(job)
    else:
        w.show_key(job)
    ok = ballot(BallotCode.OK, 5_000) if what == "no key" else ballot(BallotCode.OK, 5_000, 6_000)
    w.everybody(job, ballot(BallotCode.ABSTAIN) if what == "nobody could tell" else ok)
    shown = describe(w, job)
    terms, told = shown["terms"], shown["payments"]
    assert w.escrowed(job) == 0 and set(told["in_escrow"].values()) == {0}
    assert told["bounty_paid"] + told["bounty_returned"] == shown["bounty"]
    assert (told["fees_paid"], told["fees_burned"]) == (paid, burned)
    assert told["fees_returned"] == terms["fees_locked"] - paid - burned
    assert told["bond_burned"] + told["bond_returned"] == terms["bond"]
    other = {"returned": "burned", "burned": "returned"}[deposit]
    assert (told[f"deposit_{deposit}"], told[f"deposit_{other}"]) == (terms["deposit"], 0)
    moved = {reason: amount for reason, amount in w.moves(job) if reason.endswith(".returned")}
    assert told["fees_returned"] == moved["fees.returned"] and told["bond_returned"] == moved["bond.returned"]


def test_the_last_winners_come_first_and_all_are_counted() -> None:
    w = world()
    for name in ("a", "b"):
        job = w.post("boss")
        w.open_to(job, {name: 5_000})
        w.everybody(job, ballot(BallotCode.OK, 5_000))
    found = views.contractor(w.store, who("boss"))
    assert (found["winners"], found["last_winners"]) == (2, [address(who("b")), address(who("a"))])
    record = w.store.get(contractor_key(who("boss")))
    w.store.put(contractor_key(who("boss")), replaced(record, older_winners=7))
    assert views.contractor(w.store, who("boss"))["winners"] == 9


@pytest.mark.parametrize(("counts", "told"), [((16, 20, 20), 20), ((20, 16, 16), 16), ((20, 16, 18), 16)])
def test_the_number_of_examples_is_what_most_votes_say_the_smaller_of_equals(counts: tuple[int, ...], told: int) -> None:
    w = world()
    job = w.post("boss")
    w.open_to(job, {"a": 5_000})
    votes = zip(w.committee(job), counts, strict=True)
    w.vote(job, {voter: [ballot(BallotCode.OK, 5_000, examples=count)] for voter, count in votes})
    assert describe(w, job)["examples"] == told


def test_who_did_not_commit_has_nothing_to_open() -> None:
    w = world()
    job = w.post("boss")
    w.open_to(job, {"a": 5_000})
    for name in VERIFIERS[:2]:
        assert w.commit(job, who(name), [ballot(BallotCode.OK, 5_000)]) == 0
    w.deadline(job)
    assert w.state(job) == "COUNT"
    assert [len(duties(w, name)) for name in VERIFIERS] == [1, 1, 0]
