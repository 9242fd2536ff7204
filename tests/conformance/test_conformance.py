"""The second implementation, written from the spec alone, agrees with every vector, and the vectors notice what one forgets."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import ecdsa  # type: ignore[import-untyped]
import pytest

from tests.conformance import records
from tests.conformance.cases import FILES, SPEC, VECTORS, cases, load, unhex
from tests.conformance.checks import CHECKS, touched, without

HERE = Path(__file__).parent
MODULES = sorted(path for path in HERE.glob("*.py") if not path.name.startswith("test_"))
STANDARD = {
    "__future__",
    "collections",
    "contextlib",
    "dataclasses",
    "functools",
    "hashlib",
    "hmac",
    "itertools",
    "json",
    "math",
    "pathlib",
    "re",
    "struct",
    "typing",
}


# --- it stands alone ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*MODULES, Path(__file__)], ids=lambda p: p.name)
def test_it_imports_nothing_of_the_product(path: Path) -> None:
    allowed = STANDARD | {"msgpack", "ecdsa"}
    if path == Path(__file__):
        allowed |= {"ast", "pytest"}
    nodes = list(ast.walk(ast.parse(path.read_text())))
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        else:
            continue
        for name in names:
            assert name.split(".")[0] in allowed or name.startswith("tests.conformance"), f"{path.name} imports {name}"
    assert not {"__import__", "importlib", "exec", "eval"} & {n.id for n in nodes if isinstance(n, ast.Name)}


# --- every vector -------------------------------------------------------------------------------------------------------------


@cache
def _groups() -> dict[str, list[str]]:
    """Vectors that differ by their number alone are one test: ten times as many tests would take longer than what they do."""
    found: dict[str, list[str]] = {}
    for name in cases():
        found.setdefault(re.split(r" \d+(?= |$)", name, maxsplit=1)[0], []).append(name)
    return found


@pytest.mark.parametrize("group", _groups())
def test_a_vector(group: str) -> None:
    failed = []
    for name in _groups()[group]:
        try:
            cases()[name]()
        except Exception as fault:
            failed.append(f"{name}: {fault!r}")
    assert not failed


def test_every_file_of_vectors_is_checked() -> None:
    assert {path.stem for path in VECTORS.glob("*.json")} == FILES | {"hidden-file", "private-input"}
    assert {name.partition(":")[0] for name in cases()} == FILES


def test_every_record_has_a_vector() -> None:
    assert {case["type"] for case in load("encodings")["canonical"]} == set(records.SCHEMAS)


def test_the_fields_of_every_record_are_those_of_the_chapter() -> None:
    """LC-ENC-10: this implementation's schemas were written from the chapters, the table of records is made from the product."""
    table = (SPEC / "records.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d*) \| (.*) \|$", table, re.MULTILINE)
    told = {name: (tag, fields) for name, tag, fields in rows}
    own = {
        name: (
            "" if record.tag is None else str(record.tag),
            "; ".join(f"{field} `{schema.notation}`" for field, schema in record.fields),
        )
        for name, record in records.RECORDS.items()
    }
    assert own == told


def test_the_library_alone_would_take_a_high_s_and_a_hybrid_key() -> None:
    """Why the protocol says which forms count."""
    case = next(c for c in load("signatures")["cases"] if c["why"] == "high s")
    verifier = ecdsa.VerifyingKey.from_string(unhex(case["key"]), curve=ecdsa.SECP256k1)
    assert verifier.verify_digest(unhex(case["signature"]), unhex(case["digest"]))
    hybrid = next(c for c in load("identities")["bad_keys"] if c["why"] == "hybrid")
    assert ecdsa.VerifyingKey.from_string(unhex(hybrid["key"]), curve=ecdsa.SECP256k1) == verifier


# --- what the vectors notice --------------------------------------------------------------------------------------------------


def _fails(name: str) -> bool:
    try:
        cases()[name]()
    except Exception:
        return True
    return False


REFUSALS = {
    f"{file}: {play['name']}": len({code for block in play["blocks"] for code in block["codes"]})
    for file in ("jobs", "predictions", "federations")
    for play in load(file)["plays"]
}
"""How many codes a play has: what is taken out of the checks of messages shows soonest in those with many."""


def _order(vector: str) -> tuple[bool, bool, int]:
    """Canonical encodings last, and before them plays, which take longest."""
    return "canonical" in vector, vector in REFUSALS, -REFUSALS.get(vector, 0)


@pytest.mark.full("it asks whether the vectors would notice a missing check; the vectors themselves run")
def test_the_vectors_notice_nine_of_ten_checks_that_are_taken_out() -> None:
    """Only the vectors in which a check decides something can notice it: of these, those that are to be refused first."""
    users: dict[str, list[str]] = {name: [] for name in CHECKS}
    unused = set(CHECKS)
    for vector, case in cases().items():
        with touched() as (used, decisive):
            case()
            unused -= used
            for name in decisive:
                users[name].append(vector)
    assert not unused, "no vector comes to these checks"
    missed = []
    for name in sorted(CHECKS):
        with without(name):
            if not any(map(_fails, sorted(users[name], key=_order))):
                missed.append(name)
    print(f"{len(CHECKS) - len(missed)} of {len(CHECKS)} checks are missed when they are taken out; not: {missed}")
    rules = [name for name in CHECKS if name.startswith("LC-")]
    assert len(rules) > 100
    assert len(missed) <= len(CHECKS) // 10
    assert sum(name in rules for name in missed) <= len(rules) // 10, missed
