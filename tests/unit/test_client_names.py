"""Own names: what can be one, which look alike, what the file holds, how they stand beside addresses at the command line."""

from __future__ import annotations

import fcntl
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.crypto import address
from learningchain.client.cli.ledger import paid_by_hand
from learningchain.client.keys import names
from learningchain.client.keys.names import Names, NamesError
from tests.unit.client_fake_api import ENTRY, OTHER, OWN, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]


def twin(of: str) -> str:
    """Another account whose address begins and ends like this one, as it takes some 30,000 tries a character to find."""
    known = names.HEAD, names.TAIL
    names.HEAD, names.TAIL = 1, 1
    try:
        return next(a for a in (address(n.to_bytes(20, "big")) for n in range(0, 2**158, 2**147 + 1)) if names.near(a, [of]))
    finally:
        names.HEAD, names.TAIL = known


# --- a name ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alice", "Alice Smith", "lab 2", "Zoë", "Алиса", "爱丽丝", "o'neil", "n" * 32, "x.y_z-1"])
def test_what_can_be_a_name(name: str) -> None:
    assert names.checked(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "1 to 32"),
        ("n" * 33, "1 to 32"),
        ("a\nb", "control"),
        ("a\x1b[31m", "control"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}b", "direction"),
        ("a\N{ZERO WIDTH JOINER}b", "does not show"),
        ("a\N{HANGUL FILLER}", "does not show"),
        ("a\N{VARIATION SELECTOR-16}", "does not show"),
        ("a\N{COMBINING GRAPHEME JOINER}b", "does not show"),
        ("a\N{NO-BREAK SPACE}b", "does not show"),
        (" a", "one by one"),
        ("a ", "one by one"),
        ("a  b", "one by one"),
        ("12.5", "no letter"),
        ("-a", "begins like"),
        ("@a", "begins like"),
        ("\N{COMBINING ACUTE ACCENT}a", "begins like"),
        (OTHER[:32], "address"),
        ("lc1", "address"),
        ("LC1q", "address"),
        ("lсl", "address"),
        ("\N{FULLWIDTH LATIN SMALL LETTER L}c1x", "address"),
    ],
)
def test_what_cannot_be_a_name(name: str, why: str) -> None:
    with pytest.raises(NamesError, match=why):
        names.checked(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice", "аlice"),
        ("alice", "Alice"),
        ("alice", "a1ice"),
        ("Ivan", "lvan"),
        ("bob", "b0b"),
        ("bob", "ВОВ"),
        ("mark", "rnark"),
        ("wim", "vvim"),
        ("dave", "clave"),
        ("Zoe", "Zoë"),
        ("alice", "ａｌｉｃｅ"),
        ("alice", "𝐚𝐥𝐢𝐜𝐞"),
        ("x-y", "x\N{EN DASH}y"),
        ("oli", "օlі"),
        *(("alice", other) for other in ("Ꭺlice", "ꓮlice", "ᴀlice", "ꭺlice", "alⲓce", "ꬰlice", "ⲁlice", "ᗩlice", "4lice", "a!ice")),
        ("mallory", "ꓟallory"),
        *(("lab 2", other) for other in ("lab ᒿ", "lab Ƨ", "lab ᘔ", "lab-2", "lab_2")),
        ("modern.bank", "modern。bank"),
        ("dora", "đorа"),
        ("yves", "ყves"),
        ("ivan", "ivаո"),
    ],
)
def test_names_that_look_alike(one: str, other: str) -> None:
    assert Names({OWN: one}).like(other) == [one]
    assert Names({OWN: other}).like(one) == [other]


def test_names_that_do_not_look_alike() -> None:
    others = ["bob", "alicia", "Алиса", "爱丽丝", "爱丽", "lab 1", "lab 3", "Ольга", "Игорь", "নদী", "שלום"]
    for one in others:
        assert Names({OWN: one}).like("alice") == [] and Names({OWN: one}).like("lab 2") == []
        assert [name for name in others if Names({OWN: name}).like(one)] == []


def test_names_of_ascii_are_looked_at_without_the_table() -> None:
    """It is 900 kB, and every command reads the names."""
    code = "import sys; from learningchain.client.keys import names; names.checked('al.4-b'); print(sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "learningchain.client.keys.names" in modules and "confusable_homoglyphs" not in modules


# --- the file --------------------------------------------------------------------------------------------------------------------


def test_names_are_kept_and_are_the_owners_alone(tmp_path: Path) -> None:
    assert not names.load(tmp_path) and not names.load(tmp_path / "none")
    with names.changing(tmp_path) as known:
        known[OWN] = "Zoë"
    assert names.load(tmp_path).by_address == {OWN: "Zoë"}
    for file in (names.FILE, names.FILE + ".lock"):
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600
    with pytest.raises(RuntimeError), names.changing(tmp_path) as known:
        known[OTHER] = "bob"
        raise RuntimeError
    assert names.load(tmp_path).by_address == {OWN: "Zoë"}, "a change is whole or none"


def test_names_are_changed_by_one_command_at_a_time(tmp_path: Path) -> None:
    with names.changing(tmp_path) as made:
        made[OWN] = "alice"
        with (tmp_path / f"{names.FILE}.lock").open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert names.load(tmp_path).of(OWN) == "alice"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"version": 2, "names": {}}',
        b'{"version": 1, "names": []}',
        json.dumps({"version": 1, "names": {OWN: "a\x1b[31m"}}).encode(),
        json.dumps({"version": 1, "names": {OWN: 5}}).encode(),
        json.dumps({"version": 1, "names": {"lc1x": "a"}}).encode(),
        json.dumps({"version": 1, "names": {OWN: "a", OTHER: "a"}}).encode(),
        json.dumps({"version": 1, "names": {f"lc1{n:038}".replace("1", "q"): f"n{n}" for n in range(1_001)}}).encode(),
        b" " * (names.MAX_FILE + 1),
    ],
)
def test_a_file_that_holds_no_names_is_told_and_takes_no_command_away(api: Fake, run: Any, tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "node" / names.FILE
    file.write_bytes(raw)
    ran = run("balance")
    assert ran.code == 0 and "12.5" in ran.out and str(file) in " ".join(ran.err.split())
    assert run("balance", "--json").json["balance"] == "12.5"
    for words in (["name", "list"], ["name", "set", OTHER, "bob"], ["transfer", "bob", "1"]):
        ran = run(*words)
        assert ran.code == 2 and "holds no names" in ran.err and "Repair it" in ran.err
    assert file.read_bytes() == raw, "nothing of it is lost"


# --- commands --------------------------------------------------------------------------------------------------------------------


def test_a_name_is_given_shown_used_and_taken_back(api: Fake, run: Any) -> None:
    assert "No names yet" in run("name", "list").out
    ran = run("name", "set", OTHER, "bob")
    assert (ran.code, ran.out, ran.err) == (0, f"{OTHER} is called bob here.\n", "")
    assert run("name", "list", "--json").json == [{"id": OTHER, "name": "bob"}]
    assert run("name", "list").out.splitlines()[1].split() == ["bob", OTHER]
    assert run("balance", "bob", "--json").json["id"] == OTHER
    assert run("transfer", "bob", "1.5").out.startswith(f"Sent 1.5 credits to {OTHER} (bob) in block 8.")
    assert api.bodies("POST", "/v1/transfers") == [{"to": OTHER, "amount": "1.5"}]
    assert run("judge", "bob", "--lift").code == 0
    assert api.bodies("POST", "/v1/judgements") == [{"account": OTHER, "confirm": False}]
    assert run("release", "membership", "bob", "--retry").code == 0
    assert api.bodies("POST", "/v1/releases")[0]["ref"] == OTHER
    assert run("name", "set", "bob", "robert").out == f"{OTHER} is called robert here, no longer bob.\n"
    assert run("name", "remove", "robert").out == f"robert is {OTHER} again.\n"
    assert run("name", "list", "--json").json == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["name", "set", "bob", OTHER], f"The address stands first: learningchain name set {OTHER} bob"),
        (["name", "set", OTHER[:-1] + "q", "bob"], "typing mistake"),
        (["name", "set", OTHER, "lc1bob"], "begins like an address"),
        (["name", "set", OTHER, "me"], f"me is {OWN} already"),
        (["name", "remove", OTHER], "has no name here"),
        (["name", "remove", "carol"], "neither an address (lc1...) nor one of your names. learningchain name list"),
        (["transfer", "Me", "1"], "Did you mean me?"),
        (["transfer", "x" * 99, "1"], "neither an address"),
    ],
)
def test_mistakes_are_told(api: Fake, run: Any, words: list[str], said: str) -> None:
    run("name", "set", OWN, "me")
    ran = run(*words)
    assert ran.code == 2 and said in ran.err
    assert not any(method == "POST" for method, *_ in api.seen)


# --- addresses made to be copied -------------------------------------------------------------------------------------------------


@pytest.fixture
def poisoner(monkeypatch: pytest.MonkeyPatch) -> str:
    """An account with an address like OTHER's, by fewer characters than count in earnest."""
    found = twin(OTHER)
    monkeypatch.setattr(names, "HEAD", 1)
    monkeypatch.setattr(names, "TAIL", 1)
    return found


@pytest.mark.parametrize("known", ["by its name", "by a transfer"])
def test_credits_do_not_go_to_an_address_that_looks_like_a_known_one(api: Fake, run: Any, poisoner: str, known: str) -> None:
    if known == "by its name":
        api.answers[f"GET /v1/accounts/{OWN}/history"] = []
        run("name", "set", OTHER, "bob")
    ran = run("transfer", poisoner, "5")
    assert ran.code == 2 and f"Nothing was sent: {poisoner} begins and ends like {OTHER}" in ran.err
    assert not api.bodies("POST", "/v1/transfers")
    assert run("transfer", OTHER, "5").code == 0
    ran = run("name", "set", poisoner, "carol")
    assert ran.code == 0 and ("that of bob" in ran.err) is (known == "by its name")
    assert run("transfer", poisoner, "5").code == 0, "whoever gave it a name knows it"


def test_a_history_points_at_who_wants_to_be_copied(api: Fake, run: Any, poisoner: str) -> None:
    bait = ENTRY | {"cursor": 4, "amount": "+0.000001", "other": poisoner}
    api.answers[f"GET /v1/accounts/{OWN}/history"] = [bait, ENTRY]
    ran = run("history")
    assert ran.code == 0 and f"{poisoner} begins and ends like {OTHER}, and is another" in ran.err
    assert "looks like another" in ran.out
    assert run("history", "--json").json == [bait | {"looks_like": OTHER}, ENTRY]


def test_only_who_was_paid_by_hand_is_known_by_it() -> None:
    """Whoever sends a grain of credits from an address that looks like a known one does not become known."""
    entries: list[dict[str, Any]] = [
        {"reason": "transfer", "other": "paid", "amount": "-1"},
        {"reason": "transfer", "other": "payer", "amount": "+1"},
        {"reason": "bounty", "other": "job", "amount": "-1"},
        {"reason": "transfer", "other": None, "amount": "-1"},
    ]
    assert paid_by_hand(entries) == {"paid"}
