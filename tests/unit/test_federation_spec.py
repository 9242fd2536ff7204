"""The chapter of federations, its model and the contract say the same: statements have their place, codes their refusal."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from learningchain.chain.contracts.federation import CONTRACT, FederationCode, FederationParams
from learningchain.chain.contracts.federation.records import ESCROWS, LISTED, STATE
from learningchain.client.contracts.federation.texts import REASONS
from tests.federation.scenario import Params

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocol_spec" / "federation.md").read_text(encoding="utf-8")
MODEL = ROOT / "tests" / "federation"


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
    assert set(re.findall(r"`([a-z._]+)`", text.partition("| reason |")[2])) == set(REASONS)


def test_codes_are_the_refusals_of_the_model() -> None:
    codes = dict(re.findall(r"\| (5\d\d) \| ([A-Z_]+) ", SPEC))
    words = set()
    for name in ("messages", "cell_messages", "guards", "opening"):
        tree = ast.parse((MODEL / f"{name}.py").read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        calls = [call for call in calls if getattr(call.func, "id", "") in ("check", "Refused")]
        words |= {arg.value for call in calls for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    assert sorted(codes) == [str(number) for number in range(500, 540)]
    assert set(codes.values()) == words - {"BANNED", "INSUFFICIENT"}


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
