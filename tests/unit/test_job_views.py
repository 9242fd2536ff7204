"""What people and clients read: descriptions, lists, duties; all of it JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chain.contracts.job import messages, rules, views
from chain.contracts.job.duties import DueBallots, DueKey, DueOpening, DueReveal, DueService, duties_in
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.crypto import address
from chain.host.terms import is_reference, model_id
from tests.unit.job_kit import KEY, PARAMS, START, World, ballot, cid_of, hidden_set, key_message, posting, who

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
    assert shown["latest_end"] == START + 100_000 + 60_000 + 50_000 + 6 * (100_000 + 20_000 + 1_000 + 40_000)
    for name, loss in (("a", 5_000), ("b", 3_000), ("c", 9_000)):
        assert w.claim(job, name, loss) == 0
    shown = describe(w, job)
    assert [c["claimant"] for c in shown["claims"]] == [address(who(n)) for n in ("b", "a", "c")]
    assert shown["claims"][0]["stake_is"] == "locked"
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
    assert (shown["state"], shown["key"], len(shown["rounds"])) == ("COMMIT", KEY.hex(), 1)
    assert [v["committed"] for v in shown["rounds"][0]["committee"]] == [False] * 3
    votes = [ballot(VoteCode.OK, 3_000, 1, HiddenVote.VALUE, 7), ballot(VoteCode.INVALID)]
    w.vote(job, dict.fromkeys(w.committee(job), votes))
    shown = describe(w, job)
    assert (shown["state"], shown["winner"], shown["deadline"]) == ("PAID", address(who("b")), None)
    assert shown["model"] == {"cid": views.cid_text(cid_of("b")), "sha256": model_id(cid_of("b")).hex(), "size": 1_000}
    assert [c["result"] for c in shown["claims"]] == ["OK", "REFUSED", "SILENT"]
    voter = shown["rounds"][0]["committee"][0]
    assert voter["fee"] == 20
    assert [v["vote"] for v in voter["votes"]] == ["OK", "INVALID"]
    payments = shown["payments"]
    assert (payments["bounty_to"], payments["bounty_paid"], payments["fees_paid"]) == (address(who("b")), 10_000, 60)
    assert (payments["fees_returned"], payments["deposit_returned"], payments["deposit_burned"]) == (330, 10_000, 0)
    assert payments["in_escrow"] == {"bounty": 0, "fees": 0, "deposit": 0, "stakes": 0}
    assert shown["contractor"] == {"posted": 1, "paid": 1, "refunded": 0, "empty": 0}


@pytest.mark.parametrize("banned", [True, False])
def test_a_refund_shows_what_became_of_the_last_tenth(banned: bool) -> None:
    w = world()
    job = w.post("boss")
    w.open_to(job, {"a": 100})
    lie = ballot(VoteCode.FALSE, 900_000, 1)
    w.vote(job, {v: [lie] for v in w.committee(job)})
    shown = describe(w, job)
    assert shown["payments"]["bounty_returned"] == 9_000
    assert (shown["payments"]["last_tenth"], shown["payments"]["in_escrow"]["bounty"]) == ("held", 1_000)
    assert shown["cases"] == [{"account": address(who("a")), "state": "PENDING"}]
    w.close_case(who("a"), banned)
    shown = describe(w, job)
    assert shown["payments"]["bounty_returned"] == (10_000 if banned else 9_000)
    assert shown["payments"]["last_tenth"] == ("returned" if banned else "burned")


def test_an_archive_image_is_shown_by_its_cid() -> None:
    w = world()
    fields = {"image_kind": 2, "image_reference": "", "image_cid": cid_of("image"), "image_image_id": b"\x07" * 32}
    job = w.post("boss", **fields)
    image = describe(w, job)["image"]
    assert (image["kind"], image["cid"], image["image_id"]) == ("archive", views.cid_text(cid_of("image")), "07" * 32)


def test_there_is_no_unknown_job() -> None:
    w = world()
    assert views.describe(w.store, b"?" * 32) is None
    assert views.summarise(w.store, b"?" * 32) is None
    assert duties_in(w.store, b"?" * 32, who("a"), w.clock) == []


def test_cid_text_is_the_usual_one() -> None:
    # `ipfs add --cid-version=1 --raw-leaves` of the empty file
    empty = bytes.fromhex("01551220" + "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert views.cid_text(empty) == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    assert views.cid_text(b"") == ""


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
    job = w.post("boss", finalists=1, hidden=hidden_set())
    assert w.claim(job, "a", 5_000) == 0
    assert w.claim(job, "b", 9_000) == 0
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
    assert duties(w, "a") == [DueService(job, w.job(job).deadline, cid_of("a"), duties(w, "a")[0].size)]
    assert duties(w, "b") == []
    (commit,) = duties(w, "v1")
    assert (type(commit), commit.audit, commit.round) == (DueBallots, 0, 1)
    assert commit.seed == int.from_bytes(job[:8], "big")
    assert commit.key == KEY
    assert commit.hidden.cid == cid_of("hidden")
    assert [(c.claimant, c.loss, c.model) for c in commit.candidates] == [(who("a"), 5_000, cid_of("a"))]
    assert 0 <= commit.probe < 2**31
    vote = [ballot(VoteCode.OK, 5_000, 1, HiddenVote.VALUE, 1)]
    for name in VERIFIERS:
        assert w.commit(job, who(name), vote) == 0
    assert [type(d) for d in duties(w, "v1")] == [DueOpening]
    assert duties(w, "a") == [DueService(job, w.job(job).deadline, cid_of("a"), duties(w, "a")[0].size)]
    assert w.open(job, who("v1"), vote) == 0
    assert duties(w, "v1") == []
    w.clock = w.job(job).deadline
    assert duties(w, "v2") == []


def test_helpers_of_a_posting() -> None:
    terms = posting(tol=50, float_kind=1, bounty=700, hidden=hidden_set())
    assert messages.deposit(terms) == 700
    assert messages.deposit(posting(bounty=700)) == 0
    assert messages.tolerance(terms, 0) == 50
    assert messages.bound(terms, 0) == 10_000
    assert messages.improved(terms, 0) == -100
    assert messages.vote_code(terms, 0, 50) == VoteCode.OK
    assert messages.vote_code(terms, 0, 51) == VoteCode.NEAR
    assert messages.vote_code(terms, 0, 10_001) == VoteCode.FALSE
    assert rules.vote_code(0, 50, 50, 10_000) == VoteCode.OK


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
