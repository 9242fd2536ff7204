"""The chapter of federations, its model and the contract say the same: statements have their place, codes their refusal."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from chain.contracts.federation import CONTRACT, FederationCode, FederationParams
from chain.contracts.federation.records import ESCROWS, LISTED, STATE
from tests.federation.scenario import Params

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocol_spec" / "federation.md").read_text(encoding="utf-8")
MODEL = ROOT / "tests" / "federation"
PLACES = {
    "LC-FED-1": "formulas:fees",
    "LC-FED-2": "formulas:screen_window",
    "LC-FED-3": "formulas:agreeing",
    "LC-FED-4": "formulas:next_clip",
    "LC-FED-5": "graph:ticket",
    "LC-FED-6": "scenario:Params",
    "LC-FED-7": "opening:sane",
    "LC-FED-8": "opening:open_federation",
    "LC-FED-9": "opening:open_federation",
    "LC-FED-10": "opening:join",
    "LC-FED-11": "opening:becomes_active",
    "LC-FED-12": "opening:forget",
    "LC-FED-13": "opening:new_data",
    "LC-FED-14": "opening:serve",
    "LC-FED-15": "opening:start",
    "LC-FED-16": "opening:roster",
    "LC-FED-17": "pool:aggregators",
    "LC-FED-18": "pool:draw_panel",
    "LC-FED-19": "machine:draw",
    "LC-FED-20": "machine:unready",
    "LC-FED-21": "messages:commit_update",
    "LC-FED-22": "machine:decide",
    "LC-FED-23": "messages:pin_parts",
    "LC-FED-24": "machine:two_digests",
    "LC-FED-25": "messages:screen",
    "LC-FED-26": "messages:well_formed",
    "LC-FED-27": "machine:faults",
    "LC-FED-28": "machine:bench",
    "LC-FED-29": "machine:accept",
    "LC-FED-30": "chains:fitted",
    "LC-FED-31": "machine:summed",
    "LC-FED-32": "ends:pay_fees",
    "LC-FED-33": "measuring:settle_round",
    "LC-FED-34": "ends:void",
    "LC-FED-35": "messages:commit_measure",
    "LC-FED-36": "measuring:measured",
    "LC-FED-37": "measuring:measured",
    "LC-FED-38": "measuring:measure_again",
    "LC-FED-39": "measuring:baseline",
    "LC-FED-40": "machine:record",
    "LC-FED-41": "measuring:progress",
    "LC-FED-42": "measuring:settle_round",
    "LC-FED-43": "measuring:settle_round",
    "LC-FED-44": "formulas:due",
    "LC-FED-45": "ends:idle",
    "LC-FED-46": "ends:end",
    "LC-FED-47": "formulas:latest_end",
    "LC-FED-48": "ends:drop",
}


@pytest.mark.parametrize(("statement", "place"), PLACES.items())
def test_a_statement_is_carried_out_by_the_model_where_this_table_says(statement: str, place: str) -> None:
    module, _, name = place.partition(":")
    tree = ast.parse((MODEL / f"{module}.py").read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert f"**{statement}**" in SPEC


LEDGER = {f"LC-FED-{number}" for number in range(49, 54)}
"""What only a ledger has: ids, commitments, parking, leaves, weights, what other contracts ask."""


def test_every_statement_has_its_place() -> None:
    assert sorted(re.findall(r"\*\*(LC-FED-\d+)\*\*", SPEC)) == sorted({*PLACES, *LEDGER}), "each once"


def test_messages_state_and_escrows_are_those_of_the_contract() -> None:
    messages = {int(tag): (name, told) for tag, name, told in re.findall(r"^\| (1\d\d) \| (\w+) \| (.*) \|$", SPEC, re.MULTILINE)}
    kinds: dict[int, tuple[str, str]] = {}
    for kind in CONTRACT.messages:
        info: Any = kind
        kinds[info.__struct_config__.tag] = kind.__name__, ", ".join(info.__struct_fields__)
    assert messages == kinds
    keys = dict(re.findall(r"^\| `(f[a-z]?/)`[^|]*\| (\w+) \|", SPEC, re.MULTILINE))
    assert keys == {prefix.decode(): kind.__name__ for prefix, kind in STATE.items()}
    assert set(re.findall(r" ‖ `(f[A-Z])`", SPEC)) == {shape.suffix.decode() for shape in ESCROWS}
    listed = next(line for line in SPEC.splitlines() if line.startswith("Escrows: ")).partition("nothing else.")[2]
    assert set(re.findall(r"`(f[a-z]?/)`", listed)) == {prefix.decode() for prefix in LISTED}
    assert {name: int(code) for code, name in re.findall(r"\| (5\d\d) \| ([A-Z_]+) ", SPEC)} == {c.name: c for c in FederationCode}


def test_events_and_reasons_are_those_of_the_contract() -> None:
    text = SPEC.partition("## Events")[2].partition("## Codes")[0]
    stated: dict[str, list[str]] = {}
    for topics, data in re.findall(
        r"^\| ((?:`[a-z._]+`(?:, )?)+) \| (.*?) ?\|$", text.partition("TransferEvents")[0], re.MULTILINE
    ):
        names = [name.strip() for name in data.split(",") if name.strip()]
        stated |= dict.fromkeys(re.findall(r"`([a-z._]+)`", topics), names)
    assert stated == {topic: [datum.name for datum in data] for topic, data in CONTRACT.events.items()}
    assert set(re.findall(r"`([a-z._]+)`", text.partition("| reason |")[2])) == set(CONTRACT.reasons)


def test_codes_are_the_refusals_of_the_model() -> None:
    codes = dict(re.findall(r"\| (5\d\d) \| ([A-Z_]+) ", SPEC))
    words = set()
    for name in ("messages", "opening"):
        tree = ast.parse((MODEL / f"{name}.py").read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        calls = [call for call in calls if getattr(call.func, "id", "") in ("check", "Refused")]
        words |= {arg.value for call in calls for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    assert sorted(codes) == [str(number) for number in range(500, 538)]
    assert set(codes.values()) == words - {"BANNED", "INSUFFICIENT"}


def test_every_code_is_given_by_a_statement() -> None:
    given = {int(number) for number in re.findall(r"\b(5[0-3]\d)\b", SPEC.partition("## Codes")[0])}
    assert given & set(range(500, 538)) == set(range(500, 538))


def test_parameters_are_the_model_s() -> None:
    line = next(line for line in SPEC.splitlines() if line.startswith("- **LC-FED-6**"))
    units = {"": 1, "s": 1_000, "days": 24 * 3_600_000}
    said = {name: int(value) * units[unit] for name, value, unit in re.findall(r"`fed_(\w+)` (\d+) ?(s|days|)", line)}
    its = Params()
    assert said == {
        "base": its.v0,
        "ready": its.w_h,
        "open": its.w_c,
        "pending": its.pending,
        "keep": its.keep,
        "least": its.t_min,
        "longest": its.longest,
        "rate": its.rate,
        "live": its.live,
        "dropped": its.dropped,
    }
    assert {f"fed_{name}": value for name, value in said.items()} == {
        name: getattr(FederationParams(), name) for name in FederationParams.__struct_fields__
    }
