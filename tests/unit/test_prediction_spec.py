"""The chapter of predictions, its model and the contract say the same: statements have their place, codes their refusal."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from learningchain.chain.contracts.prediction import CONTRACT, PredictionCode, PredictionParams
from learningchain.chain.contracts.prediction.records import ESCROWS, STATE
from learningchain.client.contracts.prediction.texts import REASONS
from tests.predictions.scenario import Params

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocol_spec" / "predictions.md").read_text(encoding="utf-8")
MODEL = ROOT / "tests" / "predictions"


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


def test_events_and_reasons_are_those_of_the_contract() -> None:
    text = SPEC.partition("## Events")[2].partition("## Codes")[0]
    stated: dict[str, list[str]] = {}
    for topics, data in re.findall(
        r"^\| ((?:`[a-z._]+`(?:, )?)+) \| (.*?) ?\|$", text.partition("TransferEvents")[0], re.MULTILINE
    ):
        names = [name.strip() for name in re.sub(r"\([^()]*\)", "", data).split(",") if name.strip()]
        stated |= dict.fromkeys(re.findall(r"`([a-z._]+)`", topics), names)
    assert stated == {topic: [datum.name for datum in data] for topic, data in CONTRACT.events.items()}
    assert set(re.findall(r"`([a-z._]+)`", text.partition("| reason |")[2])) == set(REASONS)
