"""The chapter of predictions, its model and the contract say the same: statements have their place, codes their refusal."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from chain.contracts.prediction import CONTRACT, PredictionCode, PredictionParams
from chain.contracts.prediction.records import ESCROWS, STATE
from tests.predictions.scenario import Params

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocol_spec" / "predictions.md").read_text(encoding="utf-8")
MODEL = ROOT / "tests" / "predictions"
PLACES = {
    "LC-PRE-1": "formulas:charge",
    "LC-PRE-2": "tally:near",
    "LC-PRE-3": "formulas:answer_window",
    "LC-PRE-4": "formulas:rank",
    "LC-PRE-5": "formulas:subsidy",
    "LC-PRE-6": "formulas:least_stake",
    "LC-PRE-7": "messages:register_model",
    "LC-PRE-8": "messages:set_price",
    "LC-PRE-9": "messages:serve",
    "LC-PRE-10": "messages:unserve",
    "LC-PRE-11": "ends:retire",
    "LC-PRE-12": "ends:tallied",
    "LC-PRE-13": "messages:ban",
    "LC-PRE-14": "ends:share_royalty",
    "LC-PRE-15": "ends:close_model",
    "LC-PRE-16": "pool:pool",
    "LC-PRE-17": "messages:ask",
    "LC-PRE-18": "messages:last_waiting",
    "LC-PRE-19": "messages:add_tip",
    "LC-PRE-20": "machine:pump",
    "LC-PRE-21": "pool:draw",
    "LC-PRE-22": "machine:no_keys",
    "LC-PRE-23": "machine:answers_end",
    "LC-PRE-24": "machine:openings_end",
    "LC-PRE-25": "messages:well_formed",
    "LC-PRE-26": "tally:by_code",
    "LC-PRE-27": "tally:tally",
    "LC-PRE-28": "tally:value_of",
    "LC-PRE-29": "tally:tally",
    "LC-PRE-30": "settling:agreed",
    "LC-PRE-31": "settling:failed",
    "LC-PRE-32": "ends:leave_queue",
    "LC-PRE-55": "settling:withheld",
    "LC-PRE-33": "settling:fines",
    "LC-PRE-34": "ends:recorded",
    "LC-PRE-35": "pool:judges",
    "LC-PRE-36": "messages:appeal",
    "LC-PRE-57": "pool:appeal_rows",
    "LC-PRE-37": "ends:silence",
    "LC-PRE-38": "verdicts:verdict",
    "LC-PRE-39": "verdicts:void",
    "LC-PRE-40": "verdicts:upheld",
    "LC-PRE-41": "verdicts:overturned",
    "LC-PRE-42": "verdicts:slash",
    "LC-PRE-43": "messages:register_policy",
    "LC-PRE-44": "settling:decide",
    "LC-PRE-45": "formulas:answered_by",
    "LC-PRE-46": "ends:drop_results",
    "LC-PRE-47": "formulas:offset",
    "LC-PRE-48": "scenario:Params",
    "LC-PRE-49": "messages:sane",
}


@pytest.mark.parametrize(("statement", "place"), PLACES.items())
def test_a_statement_is_carried_out_by_the_model_where_this_table_says(statement: str, place: str) -> None:
    module, _, name = place.partition(":")
    tree = ast.parse((MODEL / f"{module}.py").read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert f"**{statement}**" in SPEC


LEDGER = {f"LC-PRE-{number}" for number in (*range(50, 55), 56)}
"""What only a ledger or a server has: ids, challenges, capacities, weights, restarts, the rows of an input."""


def test_every_statement_has_its_place() -> None:
    assert sorted(re.findall(r"\*\*(LC-PRE-\d+)\*\*", SPEC)) == sorted({*PLACES, *LEDGER}), "each once"


def test_messages_state_and_escrows_are_those_of_the_contract() -> None:
    messages = {int(tag): (name, told) for tag, name, told in re.findall(r"^\| (1\d\d) \| (\w+) \| (.*) \|$", SPEC, re.MULTILINE)}
    kinds: dict[int, tuple[str, str]] = {}
    for kind in CONTRACT.messages:
        info: Any = kind
        kinds[info.__struct_config__.tag] = kind.__name__, ", ".join(info.__struct_fields__)
    assert messages == kinds
    keys = dict(re.findall(r"^\| `(p[a-z]/)`[^|]*\| (\w+) \|", SPEC, re.MULTILINE))
    assert keys == {prefix.decode(): kind.__name__ for prefix, kind in STATE.items()}
    assert set(re.findall(r" ‖ `(p[A-Z])`", SPEC)) == {shape.suffix.decode() for shape in ESCROWS}
    assert {name: int(code) for code, name in re.findall(r"\| (4\d\d) \| ([A-Z_]+) ", SPEC)} == {c.name: c for c in PredictionCode}


def test_codes_are_the_refusals_of_the_model() -> None:
    codes = dict(re.findall(r"\| (4\d\d) \| ([A-Z_]+) ", SPEC))
    tree = ast.parse((MODEL / "messages.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("check", "Refused")]
    words = {arg.value for call in calls for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    used = words - {"BANNED", "INSUFFICIENT"}
    assert sorted(codes) == [str(number) for number in range(400, 438)]
    assert set(codes.values()) == used


def test_parameters_have_the_defaults_of_the_model() -> None:
    units = {"": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "days": 86_400_000, "credit": 10**6, "credits": 10**6}
    names = {"open": "w_o", "keys": "w_k", "appeal": "w_p", "vote_base": "v0", "open_votes": "w_o3"}
    found = re.findall(r"`pred_(\w+)`(?: of [a-z ]+)? \| ([\d,]+) ?(\w*) \|", SPEC)
    said = {names.get(name, name): int(number.replace(",", "")) * units[unit] for name, number, unit in found}
    ledgers = {"month", "max_due"}
    assert said == {field.name: field.default for field in fields(Params) if field.name not in ledgers}
    made = {name.removeprefix("pred_"): getattr(PredictionParams(), name) for name in PredictionParams.__struct_fields__}
    assert {names.get(name, name): value for name, value in made.items()} == said


def test_every_code_is_given_by_a_statement() -> None:
    given = {int(number) for number in re.findall(r"\b(4[0-3]\d)\b", SPEC.partition("## Codes")[0])}
    assert given - {400} == set(range(401, 438))


def test_events_and_reasons_are_those_of_the_contract() -> None:
    text = SPEC.partition("## Events")[2].partition("## Codes")[0]
    stated: dict[str, list[str]] = {}
    for topics, data in re.findall(
        r"^\| ((?:`[a-z._]+`(?:, )?)+) \| (.*?) ?\|$", text.partition("TransferEvents")[0], re.MULTILINE
    ):
        names = [name.strip() for name in re.sub(r"\([^()]*\)", "", data).split(",") if name.strip()]
        stated |= dict.fromkeys(re.findall(r"`([a-z._]+)`", topics), names)
    assert stated == {topic: [datum.name for datum in data] for topic, data in CONTRACT.events.items()}
    assert set(re.findall(r"`([a-z._]+)`", text.partition("| reason |")[2])) == set(CONTRACT.reasons)
