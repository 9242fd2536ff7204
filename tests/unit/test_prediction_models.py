"""Models on a real ledger: registered, priced, served, retired, shared, banned. LC-PRE-6 to 16, 49."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from learningchain.chain import contracts
from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.formulas import PRICE_DELAY
from learningchain.chain.contracts.prediction.messages import (
    PredictionCode,
    RetireModel,
    ServeModel,
    SetPrice,
    Share,
    UnserveModel,
    model_id_of,
)
from learningchain.chain.contracts.prediction.records import (
    LiveKind,
    LiveReference,
    ModelRecord,
    ModelState,
    NamedModel,
    OwnerRecord,
    RequestState,
)
from learningchain.chain.contracts.prediction.retiring import BANNED_PAGE
from learningchain.chain.contracts.prediction.tally import AnswerCode, ModelKind
from learningchain.chain.errors import Code
from learningchain.chain.host import BANNED, Account, Due, Host, account_key, due_key, parked_key
from learningchain.chain.host.terms import Image, ImageKind
from tests.unit.ledger_kit import NUMBER as TEST_NUMBER
from tests.unit.ledger_kit import Act, id_of, own_contract
from tests.unit.prediction_kit import ASKER, OWNER, Table, asking, cid_of, code, number, program, registration

STAKE = 1_000_000 + 100 * 100


def price(table: Table, royalty: int, floor: int, *, expected: tuple[int, int] = (3, 100)) -> SetPrice:
    return SetPrice(table.model, *expected, royalty, floor)


# --- registering ---------------------------------------------------------------------------------------------------------------


def test_a_registration_locks_the_deposit_and_is_found_by_name() -> None:
    table = Table(servers=1)
    record = table.get(records.model_key(table.model))
    assert isinstance(record, ModelRecord)
    assert (record.owner, record.number, record.terms.name) == (id_of(OWNER), 0, "credit")
    assert record.program == program() and record.terms.program == []
    assert table.escrowed(records.deposit_escrow(table.model)) == 1_000_000
    assert table.get(records.name_key(id_of(OWNER), "credit")) == NamedModel(table.model)
    assert table.get(records.owner_key(id_of(OWNER))) == OwnerRecord(1)
    assert table.get(records.live_key(table.model)) == LiveReference(LiveKind.MODEL, 0)


BAD_TERMS: list[dict[str, Any]] = [
    {"tol": 0},
    {"tol": 10**15 + 1},
    {"royalty": 10**12 + 1},
    {"floor": 0},
    {"slots": 65},
    {"max_rows": 257},
    {"input_cap": 8 * 2**20 + 1},
    {"row_ms": 60_001},
    {"start_s": 0},
    {"kind": 3},
    {"kind": ModelKind.CLASS, "classes": 1},
    {"kind": ModelKind.CLASS, "classes": 65_537},
    {"classes": 2},
    {"program": []},
    {"source": [bytes(32)]},
    {"program": [program(arch=9)]},
    {"program": [program(size=0)]},
    {"program": [program(cpus_milli=1)]},
    {"program": [program(threads=0)]},
    {"program": [program(model=b"x")]},
    {"program": [program(params="x" * 8_193)]},
    {"program": [program(image=Image(ImageKind.REGISTRY, "digits:latest", b"", b"", 1_000))]},
    {"schema": b"x"},
    {"sample": cid_of("sample")},
    {"shares": [Share(id_of(ASKER), 0)]},
    {"shares": [Share(id_of(ASKER), 2**32)]},
]


@pytest.fixture(scope="module")
def table() -> Table:
    """Of refusals: each leaves everything as it was."""
    return Table(servers=1, people=("other",), pred_models=1)


@pytest.mark.parametrize("changes", BAD_TERMS, ids=lambda changes: ", ".join(f"{k}={str(v)[:24]}" for k, v in changes.items()))
def test_terms_out_of_bounds_are_refused(table: Table, changes: dict[str, Any]) -> None:
    assert table.refusal("other", registration(**changes)) == PredictionCode.BAD_MODEL_TERMS


@pytest.mark.parametrize(
    ("sender", "changes", "refused"),
    [
        ("other", {"name": ""}, PredictionCode.BAD_NAME),
        ("other", {"name": "Credit"}, PredictionCode.BAD_NAME),
        ("other", {"name": "x" * 65}, PredictionCode.BAD_NAME),
        ("other", {"previous": [bytes(32)]}, PredictionCode.NO_SUCH_MODEL),
        ("other", {"source": [bytes(32)], "program": []}, PredictionCode.BAD_SOURCE),
        ("other", {"shares": [Share(bytes(20), 1)]}, Code.UNKNOWN_ACCOUNT),
        (OWNER, {}, PredictionCode.TOO_MANY_MODELS),
    ],
)
def test_registrations_that_are_refused(table: Table, sender: str, changes: dict[str, Any], refused: int) -> None:
    assert table.refusal(sender, registration(**changes)) == refused


def test_only_the_owner_replaces_prices_and_retires(table: Table) -> None:
    assert table.refusal("other", registration(previous=[table.model])) == PredictionCode.NOT_OWNER
    assert table.refusal("other", price(table, 1, 1)) == PredictionCode.NOT_OWNER
    assert table.refusal("other", RetireModel(table.model)) == PredictionCode.NOT_OWNER
    for message in (SetPrice(bytes(32), 1, 1, 1, 1), RetireModel(bytes(32)), ServeModel(bytes(32), 1)):
        assert table.refusal("other", message) == PredictionCode.NO_SUCH_MODEL


def set_status(table: Table, name: str, status: int) -> None:
    old = table.chain.account(name)
    kept = (old.balance, old.frozen, old.sequences, old.arrival)
    table.chain.put(account_key(id_of(name)), Account(old.key, status, *kept))


# --- prices --------------------------------------------------------------------------------------------------------------------


def test_a_lower_floor_holds_at_once_and_a_higher_one_an_hour_later() -> None:
    table = Table(servers=3)
    table.must(OWNER, price(table, 5, 50))
    assert (table.standing.royalty, table.standing.floor, table.standing.coming_at) == (5, 50, 0)
    table.must(OWNER, price(table, 7, 200, expected=(5, 50)))
    now = table.standing
    assert (now.royalty, now.floor, now.coming_royalty, now.coming_floor) == (5, 50, 7, 200)
    assert now.coming_at == table.chain.clock + PRICE_DELAY
    assert table.refusal(OWNER, price(table, 1, 1, expected=(5, 50))) == PredictionCode.PRICE_CHANGED
    request = table.ask(answers=3, tip=150)
    assert (table.terms(request).royalty, table.terms(request).floor) == (5, 50)
    for _ in range(61):
        table.block(60_000)
    assert table.refusal(ASKER, asking(table.model, answers=3, tip=599)) == PredictionCode.TIP_TOO_SMALL
    request = table.ask(answers=3, tip=600)
    assert (table.terms(request).royalty, table.terms(request).floor) == (7, 200)
    table.must(OWNER, price(table, 8, 200, expected=(7, 200)))
    assert (table.standing.royalty, table.standing.coming_at) == (8, 0)


def test_a_price_out_of_bounds_is_refused(table: Table) -> None:
    assert table.refusal(OWNER, price(table, 10**12 + 1, 100)) == PredictionCode.BAD_MODEL_TERMS
    assert table.refusal(OWNER, price(table, 0, 0)) == PredictionCode.BAD_MODEL_TERMS


# --- serving -------------------------------------------------------------------------------------------------------------------


def test_a_server_needs_flag_box_key_and_stake() -> None:
    table = Table(servers=1, judges=1, pred_servers=1)
    assert table.refusal("j0", ServeModel(table.model, STAKE)) == PredictionCode.SERVERS_FULL
    table.must("s0", UnserveModel(table.model))
    assert table.server("s0") is None and table.balance("s0") == 10**9
    assert table.refusal("j0", ServeModel(table.model, STAKE - 1)) == PredictionCode.STAKE_TOO_SMALL
    assert table.refusal("j0", ServeModel(table.model, 10**15 + 1)) == PredictionCode.STAKE_TOO_SMALL
    assert table.refusal(ASKER, ServeModel(table.model, STAKE)) == PredictionCode.NOT_A_VERIFIER
    assert table.refusal("v1", ServeModel(table.model, STAKE)) == PredictionCode.NOT_A_VERIFIER
    table.must("j0", ServeModel(table.model, STAKE))
    table.must("j0", ServeModel(table.model, 5))
    assert table.stake("j0") == STAKE + 5


def test_a_server_is_drawn_by_who_asks_after_it_came() -> None:
    """In the block of its coming it is none: who posts there knows the beacon of nothing yet, and servers could be sent for it."""
    table = Table(servers=2, judges=1)
    codes = table.codes(("j0", ServeModel(table.model, STAKE)), (ASKER, asking(table.model, answers=3)))
    assert codes == [0, PredictionCode.NO_SERVERS]
    table.ask(answers=3)


# --- retiring ------------------------------------------------------------------------------------------------------------------


def test_a_retired_model_lets_go_what_waits_and_ends_with_what_was_drawn() -> None:
    table = Table(servers=5, register={"slots": 1})
    drawn = table.ask()
    table.drawn(drawn)
    waiting = [table.ask() for _ in range(2)]
    before = table.balance(ASKER)
    table.must(OWNER, RetireModel(table.model))
    assert table.standing.state == ModelState.RETIRED
    late = ((OWNER, RetireModel(table.model)), (ASKER, asking(table.model)), ("s0", ServeModel(table.model, 1)))
    assert table.codes(*late) == [PredictionCode.NOT_LIVE] * 3
    assert {table.outcome(one) for one in waiting} == {"MODEL_RETIRED"}
    assert table.balance(ASKER) - before == 2 * (500 + 3 + 26), "all that they had locked"
    table.answer(drawn, dict.fromkeys(table.seats(drawn), number(5)))
    assert table.state(drawn) == "AGREED"
    assert table.escrowed(records.deposit_escrow(table.model)) == 1_000_000
    table.until(drawn, RequestState.FINAL, step=60_000)
    table.block()
    assert table.escrowed(records.deposit_escrow(table.model)) == 0
    assert all(table.server(name) is None for name in table.servers)


def test_a_retired_model_is_gone_with_its_last_result() -> None:
    table = Table(servers=3, pred_keep=60_000)
    request = table.ask(answers=3)
    table.everybody(request, number(5))
    table.until(request, RequestState.FINAL, step=60_000)
    table.must(OWNER, RetireModel(table.model))
    table.block()
    assert table.get(records.model_key(table.model)) is not None, "its result is still there"
    other = table.register(name="other")
    old, table.model = table.model, other
    table.send(*((name, ServeModel(other, STAKE)) for name in table.servers))
    table.block(60_000)
    table.ask(answers=3)
    assert table.get(records.model_key(old)) is None and table.get(records.standing_key(old)) is None
    assert table.get(records.name_key(id_of(OWNER), "credit")) is None
    assert table.get(records.live_key(old)) is None and table.get(records.request_key(request)) is None
    assert table.get(records.result_key(request)) is None and table.get(records.terms_key(request)) is None


def test_many_servers_leave_in_pages() -> None:
    """The pump of a retired model lets 64 go at a time: what retires a model costs nothing whoever serves it."""
    table = Table(servers=70, judges=0)
    table.must(OWNER, RetireModel(table.model))
    table.block()
    assert len(table.get(records.servers_key(table.model)).servers) == 6
    table.block()
    assert table.get(records.model_key(table.model)) is None, "nothing was ever asked: it is gone"


# --- shares --------------------------------------------------------------------------------------------------------------------


def test_royalties_reach_those_who_share_them_with_no_message_from_anybody() -> None:
    """Royalties of one micro-credit: who has the least weight comes to its part too, and nothing stays behind at the end."""
    shares = [Share(id_of(OWNER), 1), Share(id_of("v1"), 2), Share(id_of("v2"), 2)]
    table = Table(servers=3, register={"shares": shares, "royalty": 1})
    had, names = {}, (OWNER, "v1", "v2")
    before = {name: table.balance(name) for name in names}
    for asked in range(1, 7):
        request = table.ask(answers=3)
        table.everybody(request, number(5))
        table.block()
        had = {name: table.balance(name) - before[name] for name in names}
        assert had == {OWNER: asked // 5, "v1": 2 * asked // 5, "v2": 2 * asked // 5}
        table.until(request, RequestState.FINAL, step=60_000)
    table.must(OWNER, RetireModel(table.model))
    table.block()
    assert table.escrowed(records.royalty_escrow(table.model)) == 0
    assert table.balance(OWNER) - before[OWNER] - 1_000_000 == 2, "beside the deposit: the remainder goes to the first"


# --- records and bans ------------------------------------------------------------------------------------------------------------


def test_six_bad_tallies_of_different_roots_retire_a_model_and_burn_its_deposit() -> None:
    askers = tuple(f"a{i}" for i in range(6))
    table = Table(servers=5, people=askers)
    for name in askers:
        assert table.standing.state == ModelState.LIVE
        request = table.ask(name)
        table.everybody(request, code(AnswerCode.FAULT))
        assert table.outcome(request) == "MODEL_FAULT"
    assert table.standing.state == ModelState.RETIRED
    assert table.escrowed(records.deposit_escrow(table.model)) == 0
    assert "model.retired" in table.topics()


def ban(table: Table, name: str) -> None:
    """What a ban does beside the case that led to it: status, credits, the flag, and the word to the contracts."""
    member = table.get(b"m/" + id_of(name))
    fields = {f: getattr(member, f) for f in member.__struct_fields__} | {"verifier": False}
    table.chain.put(b"m/" + id_of(name), type(member)(**fields))
    set_status(table, name, BANNED)
    table.chain.put(*deadline(table, name))


def deadline(table: Table, name: str) -> tuple[bytes, Any]:
    account = id_of(name)
    return due_key(account, table.chain.clock, records.NUMBER, account), Due(records.NUMBER, account)


def test_a_ban_retires_the_owners_models_and_burns_their_deposits() -> None:
    table = Table(servers=3)
    second = table.register(name="second")
    ban(table, OWNER)
    table.block()
    for model in (table.model, second):
        assert table.escrowed(records.deposit_escrow(model)) == 0
    assert table.standing.state == ModelState.RETIRED
    table.block()
    assert table.get(records.model_key(second)) is None


def test_a_banned_server_is_drawn_no_more_and_its_stake_burns() -> None:
    table = Table(servers=4)
    ban(table, "s0")
    table.block()
    assert (table.server("s0"), table.stake("s0")) == (None, 0)
    request = table.ask(answers=3)
    assert "s0" not in table.drawn(request)


def listed_under(table: Table, name: str) -> int:
    """How many models the ledger lists as served by it."""
    prefix = b"pj/" + id_of(name)
    return sum(key.startswith(prefix) for key in table.chain.state.keys(b"pj/"))


def test_a_banned_server_leaves_all_that_it_serves_a_page_in_each_block() -> None:
    """LC-PRE-13: it owns nothing, so the pages are those of what it serves alone; each stake burns."""
    table = Table(servers=1)
    table.send(*((OWNER, registration(name=f"m{number}")) for number in range(BANNED_PAGE + 1)))
    models = [model_id_of(tx, 0) for tx in table.ids]
    table.send(*(("s0", ServeModel(model, STAKE)) for model in models))
    assert listed_under(table, "s0") == BANNED_PAGE + 2
    ban(table, "s0")
    table.block()
    assert listed_under(table, "s0") == 2
    table.block()
    assert listed_under(table, "s0") == 0
    for model in (table.model, *models):
        assert table.get(records.server_key(model, id_of("s0"))) is None
        assert table.escrowed(records.stake_escrow(model, id_of("s0"))) == 0


def test_whatever_bans_an_account_tells_the_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-MEM-9: one that fails at it parks the account as a reference of its own, and the ban stands."""

    def fail(host: Host, account: bytes) -> None:
        raise ZeroDivisionError

    own_contract(monkeypatch, {"ban": lambda host, sender, m: host.ban(id_of(OWNER), b"case")})
    failing = replace(contracts.BY_NUMBER[TEST_NUMBER], on_banned=fail)
    monkeypatch.setitem(contracts.BY_NUMBER, TEST_NUMBER, failing)
    table = Table(servers=3)
    table.must("v1", Act("ban"))
    assert table.chain.account(OWNER).status == BANNED and table.get(parked_key(TEST_NUMBER, id_of(OWNER))) is not None
    table.block()
    assert table.standing.state == ModelState.RETIRED
    assert table.escrowed(records.deposit_escrow(table.model)) == 0


def test_a_ban_that_is_lifted_in_time_takes_nothing() -> None:
    table = Table(servers=3)
    table.chain.put(*deadline(table, OWNER))
    table.block()
    assert table.standing.state == ModelState.LIVE
