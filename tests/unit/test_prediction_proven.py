"""A decision that somebody checks offline who has the receipt, the genesis and, where it is private, the key: and lies in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership.messages import SetBoxKey
from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.formulas import MAX_SCORE
from learningchain.chain.contracts.prediction.messages import GiveKeys, PolicyRate, RegisterPolicy, inline_cid, policy_id_of
from learningchain.chain.contracts.prediction.records import ChangedValue, PredictionSeat, RequestState
from learningchain.chain.contracts.prediction.tally import Answer, PredictionOutcome
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.crypto import address, sha256
from learningchain.chain.ledger.genesis import Genesis, to_json
from learningchain.chain.ledger.receipt_file import Way
from learningchain.chain.ledger.transition import chain_record, validators_of
from learningchain.chain.types import PRECOMMIT, Certificate, Header, block_id, validators_hash, vote_digest
from learningchain.client.contracts.prediction.proven import keys_of, said
from learningchain.client.contracts.prediction.roles.private import BoxPlace, blinded, box, boxes, encrypted, opened, plain_input
from learningchain.client.keys.boxes import public_of
from learningchain.client.node import proofs
from learningchain.client.receipts.files import check_receipt
from tests.unit.ledger_kit import VALIDATORS, id_of, key_of
from tests.unit.prediction_kit import ASKER, INPUT, OWNER, Table, genesis_with, number, sha
from tests.unit.test_prediction_private import drawing

KEY = sha256(b"K")
ZERO = bytes(32)
RATES = [PolicyRate(-MAX_SCORE, 20_000), PolicyRate(500, 40_000)]


def policy(table: Table, **changed: Any) -> bytes:
    terms: dict[str, Any] = {"below": True, "threshold": 1_000, "rates": RATES, "least": 3, "most": 0} | changed
    return policy_id_of(table.must(OWNER, RegisterPolicy(model=table.model, **terms)), 0)


def file_of(
    table: Table, request: bytes, policy_id: bytes | None, *, of: Genesis | None = None, other: dict[str, bytes] | None = None
) -> bytes:
    """A receipt of the request's records after the last block, as all validators signed it. `other`: another key in a place."""
    state = table.chain.state
    keys = [(other or {}).get(key[:2].decode(), key) for key in keys_of(request, table.model, policy_id)]
    now, members = chain_record(state), validators_of(state)
    hashed = validators_hash(members)
    chain_id = (of or table.chain.genesis).chain_id
    header = Header(
        1,
        chain_id,
        now.height,
        0,
        members[now.height % len(members)].id,
        now.time,
        ZERO,
        ZERO,
        ZERO,
        state.root,
        hashed,
        hashed,
        ZERO,
        ZERO,
    )
    digest = vote_digest(chain_id, PRECOMMIT, now.height, 0, block_id(header))
    by_id = {id_of(name): key_of(name) for name in VALIDATORS}
    signers = list(range(len(members)))
    certificate = Certificate(now.height, 0, block_id(header), signers, [by_id[one.id].sign(digest) for one in members])
    made = proofs.records_file(Way(None, []), header, encode(certificate), proofs.proven_records(state, keys))
    return bytes.fromhex(made["file"])


def decided(*scores: int, **asking: Any) -> tuple[Table, bytes, bytes]:
    table = Table()
    rule = policy(table)
    request = table.ask(rows=len(scores), policy=[rule], tip=10**6, **asking)
    table.everybody(request, number(*scores))
    return table, request, rule


def private_request() -> tuple[Table, bytes, bytes]:
    """Real boxes to real box keys; each seat opens its own, reads the rows and blinds what it answers."""
    table = Table()
    own = {name: sha("own box", name) for name in table.servers}
    table.send(*((name, SetBoxKey(key=public_of(own[name]))) for name in table.servers))
    rule = policy(table)
    file = encrypted(INPUT, KEY, drawing(9))
    content: dict[str, Any] = {"cid": inline_cid(file), "size": len(file), "inline": b"", "key_hash": [sha256(KEY)]}
    request = table.ask(rows=2, policy=[rule], tip=10**6, **content)
    table.until(request, RequestState.KEYS)
    seats = [(name, table.get(records.seat_key(request, 1, id_of(name)))) for name in table.seats(request)]
    keys = boxes(KEY, request, 1, [(id_of(name), seat.box_key) for name, seat in seats], drawing(10))
    table.must(ASKER, GiveKeys(request, 1, keys))
    answers: dict[str, Answer] = {}
    for name, _ in seats:
        seat = table.get(records.seat_key(request, 1, id_of(name)))
        assert isinstance(seat, PredictionSeat)
        place = BoxPlace(request, 1, id_of(name))
        key = opened(seat.box, place, seat.box_key, [own[name]], sha256(KEY))
        assert plain_input(file, key) == INPUT
        answers[name] = blinded(number(700, 5_000), key, request, [0, 1], 0)
    table.answer(request, answers)
    return table, request, rule


def words(raw: bytes, genesis: Genesis, *keys: bytes) -> tuple[str, dict[str, Any]]:
    found = check_receipt(raw, genesis, keys=keys)
    return "\n".join(found.lines), found.document["prediction"][0]


def test_a_public_decision_with_its_rate_and_whether_it_is_final() -> None:
    table, request, rule = decided(700, 995, 5_000)
    said_, document = words(file_of(table, request, rule), table.chain.genesis)
    assert "row 0: ACCEPT at 4 %" in said_ and "row 1: ACCEPT at 4 %, near the threshold" in said_ and "row 2: DECLINE" in said_
    assert "An appeal may still change it" in said_ and "row 0: 0.000000700, said by 5" in said_
    assert (document["final"], document["requester"], document["request"]) == (False, address(id_of(ASKER)), request.hex())
    table.until(request, RequestState.FINAL, step=60_000)
    said_, document = words(file_of(table, request, rule), table.chain.genesis)
    assert "It is final since" in said_ and document["final"]
    assert [one["decision"] for one in document["decisions"]] == ["accept", "accept", "decline"]
    assert [one["score"] for one in document["values"]] == ["0.000000700", "0.000000995", "0.000005000"]


def test_a_private_decision_is_made_with_the_key_alone() -> None:
    table, request, rule = private_request()
    raw = file_of(table, request, rule)
    blind, document = words(raw, table.chain.genesis)
    assert "row 0: REFER" in blind and "blinded" in blind and not document["readable"]
    assert "0.000000700" not in blind
    plain, document = words(raw, table.chain.genesis, KEY)
    assert "row 0: 0.000000700, said by 5" in plain and "row 0: ACCEPT at 4 %" in plain and "row 1: DECLINE" in plain
    assert document["readable"] and document["values"][1]["score"] == "0.000005000"
    assert [one.decision for one in table.result(request).decisions] == [1, 1], "the ledger refers what it cannot read"


def test_another_key_is_noticed() -> None:
    table, request, rule = private_request()
    raw = file_of(table, request, rule)
    for keys in ([bytes(32)], [KEY, bytes(32)]):
        with pytest.raises(ValueError, match="of the keys given belong to no private request"):
            check_receipt(raw, table.chain.genesis, keys=keys)
    public, other, rule = decided(700)
    with pytest.raises(ValueError, match="of the keys given"):
        check_receipt(file_of(public, other, rule), public.chain.genesis, keys=[KEY])


def test_every_altered_byte_is_noticed() -> None:
    table, request, rule = decided(700)
    raw = file_of(table, request, rule)
    score = raw.index(encode(700))
    for at in (score, score + 1, *range(0, len(raw), max(1, len(raw) // 60))):
        junk = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(ValueError):
            check_receipt(junk, table.chain.genesis)


def test_another_network_is_noticed() -> None:
    table, request, rule = decided(700)
    raw = file_of(table, request, rule)
    other = genesis_with("somebody", flags=())
    with pytest.raises(ValueError):
        check_receipt(raw, other)
    with pytest.raises(ValueError):
        check_receipt(file_of(table, request, rule, of=other), table.chain.genesis)


def test_the_values_of_another_request_are_not_this_ones() -> None:
    table, request, rule = decided(700)
    other = table.ask(policy=[rule], tip=10**6)
    table.everybody(other, number(9_000))
    for place, key in (("pv", records.result_key(request)), ("pb", records.request_key(request)), ("pm", b"pm/" + sha("model"))):
        found = check_receipt(file_of(table, other, rule, other={place: key}), table.chain.genesis)
        assert "prediction" not in found.document and any("nothing more is proven" in line for line in found.lines)
    found = check_receipt(file_of(table, other, rule, other={"pp": records.policy_key(sha("other"))}), table.chain.genesis)
    assert "prediction" not in found.document and any("has not its policy" in line for line in found.lines)


def test_records_that_contradict_each_other_prove_nothing() -> None:
    """No state of ours holds such ones: a reader looks all the same."""
    table, request, rule = decided(700)
    keys = keys_of(request, table.model, rule)
    held = {key: table.get(key) for key in keys}
    result = held[records.result_key(request)]
    changes: list[dict[str, Any]] = [{"decisions": []}, {"values": []}, {"values": [*result.values, *result.values]}]
    for changed in changes:
        with pytest.raises(ValueError):
            said(held | {records.result_key(request): msgspec.structs.replace(result, **changed)}, [])
    assert said(held, [])[1]


def of_values(table: Table, request: bytes, result: dict[str, Any], *, state: dict[str, Any] | None = None, **terms: Any) -> Any:
    """What is said where the ledger's records of a request without a policy were these."""
    held = {key: table.get(key) for key in keys_of(request, table.model, None)}
    for key, changes in ((records.result_key(request), result), (records.request_key(request), state or {})):
        held[key] = msgspec.structs.replace(held[key], **changes)
    asked = held[records.terms_key(request)]
    held[records.terms_key(request)] = msgspec.structs.replace(asked, terms=msgspec.structs.replace(asked.terms, **terms))
    lines, (document,) = said(held, [])
    return "\n".join(lines), document


def without_policy(*scores: int) -> tuple[Table, bytes]:
    table = Table()
    request = table.ask(rows=len(scores), tip=10**6)
    table.everybody(request, number(*scores))
    return table, request


def scores_in(document: dict[str, Any]) -> list[str | None]:
    return [None if one is None else one["score"] for one in document["values"]]


def test_what_an_appeal_changed_counts_and_what_it_left_open_stays() -> None:
    table, request = without_policy(700, 800, 900)
    changed = [ChangedValue(0, 0, 5_000, 4), ChangedValue(2, 0, 6_000, 0)]
    text, document = of_values(table, request, {"changed": changed, "appealed": PredictionOutcome.AGREED})
    assert scores_in(document) == ["0.000005000", "0.000000800", "0.000000900"]
    assert [one["support"] for one in document["values"]] == [4, 5, 5] and "row 0: 0.000005000, said by 4" in text


def test_all_values_fall_where_an_appeal_was_won_by_a_code_and_only_there() -> None:
    table, request = without_policy(700, 800)
    code = {"appealed": PredictionOutcome.BAD_INPUT}
    text, document = of_values(table, request, code, state={"appeal": AppealVerdict.OVERTURNED})
    assert scores_in(document) == [None, None] and "row 1: no value" in text and "An appeal ended: OVERTURNED." in text
    for result, verdict in (
        (code, AppealVerdict.UPHELD),
        ({"appealed": PredictionOutcome.WEAK}, AppealVerdict.OVERTURNED),
        ({}, 3),
    ):
        assert None not in scores_in(of_values(table, request, result, state={"appeal": verdict})[1])


def test_while_an_appeal_runs_nothing_is_final_and_an_end_says_when() -> None:
    table, request = without_policy(700)
    text, document = of_values(table, request, {}, state={"state": RequestState.APPEAL})
    assert "An appeal of it is under way" in text and "row 0: 0.000000700" in text and not document["final"]
    _, document = of_values(table, request, {}, state={"state": RequestState.FINAL, "ended": 77, "deadline": 99})
    assert (document["final"], document["final_at"], document["policy"], document["decisions"]) == (True, 77, None, [])


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from learningchain.client.cli.app import main

    table, request, rule = private_request()
    (tmp_path / "decision.lcr").write_bytes(file_of(table, request, rule))
    (tmp_path / "genesis.json").write_bytes(to_json(table.chain.genesis))
    (tmp_path / "key").write_text(KEY.hex() + "\n")
    args = ["receipt", "check", str(tmp_path / "decision.lcr"), "--genesis", str(tmp_path / "genesis.json")]
    assert main([*args, "--key", str(tmp_path / "key")]) == 0
    assert "ACCEPT at 4 %" in capsys.readouterr().out
    (tmp_path / "key").write_text("00" * 32)
    assert main([*args, "--key", str(tmp_path / "key")]) == 1
    assert "proves nothing" in capsys.readouterr().err
    (tmp_path / "key").write_text("secret")
    assert main([*args, "--key", str(tmp_path / "key")]) == 2


def test_a_box_of_an_appeal_is_for_its_round() -> None:
    own = sha("own box", "j0")
    made = box(KEY, BoxPlace(ZERO, 3, id_of("j0")), public_of(own), sha("once"))
    assert opened(made, BoxPlace(ZERO, 3, id_of("j0")), public_of(own), [own], sha256(KEY)) == KEY


def test_the_program_of_a_stranger_takes_the_file_and_refuses_another(tmp_path: Path) -> None:
    """protocol_spec/verify.py, which imports nothing of ours: that the records are the network's."""
    table, request, rule = decided(700)
    file, genesis = tmp_path / "decision.lcr", tmp_path / "genesis.json"
    raw = file_of(table, request, rule)
    genesis.write_bytes(to_json(table.chain.genesis))
    program = Path(__file__).parents[2] / "protocol_spec" / "verify.py"
    for changed, code in ((raw, 0), (raw[: len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 1]) + raw[len(raw) // 2 + 1 :], 1)):
        file.write_bytes(changed)
        ran = subprocess.run([sys.executable, str(program), str(file), str(genesis)], capture_output=True, text=True, check=False)
        assert ran.returncode == code, ran.stdout + ran.stderr
        assert (records.result_key(request).hex() in ran.stdout) is not bool(code)
