"""protocol_spec/verify.py: one short file that a stranger can read, which knows what the code knows."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts import BY_NUMBER
from learningchain.chain.ledger.genesis import CORE, OF_CONTRACTS
from learningchain.chain.ledger.receipt_file import MAX_HANDOVERS, MAX_PATH, MAX_RECEIPT, MAX_RECEIPT_FILE, MAX_RECORDS
from tests.unit.test_api_receipts import VERIFIER
from tests.unit.test_receipt_files import GENESIS_FILE

FILE = Path(__file__).parents[2] / "protocol_spec" / "verify.py"
BEGIN, END = 'PARAMETERS = """\n', '"""\n'


def _table() -> str:
    """A line that goes on is indented."""
    lines = [("0 ledger", CORE), *((f"{number} {BY_NUMBER[number].name}", fields) for number, fields in OF_CONTRACTS.items())]
    found = [" ".join([head, *(f"{name}={field.default}" for name, field in fields.items())]) for head, fields in lines]
    return "".join(textwrap.fill(line, 132, subsequent_indent=" ", break_on_hyphens=False) + "\n" for line in found)


def test_it_knows_the_parameters_of_this_program() -> None:
    """`LC_WRITE_VECTORS=1` writes them anew."""
    text = FILE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    held, _, after = rest.partition(END)
    if os.environ.get("LC_WRITE_VECTORS") == "1":
        FILE.write_text(before + BEGIN + _table() + END + after, encoding="utf-8")
        held = _table()
    assert held == _table(), "write it with LC_WRITE_VECTORS=1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g: g["params"].update(no_such=1), "parameters that this"),
        (lambda g: g.setdefault("contracts", {}).update(no_such={}), "contracts that this"),
        (lambda g: g["contracts"].setdefault("job", {}).update(no_such=1), "parameters that this"),
    ],
)
def test_it_reads_no_genesis_of_rules_that_it_does_not_know(change: Callable[[Any], None], said: str) -> None:
    """LC-BLK-32: it would make another chain's id of it."""
    genesis = json.loads(GENESIS_FILE)
    genesis.setdefault("contracts", {})
    VERIFIER.read_genesis(json.dumps(genesis).encode())
    change(genesis)
    with pytest.raises(ValueError, match=said):
        VERIFIER.read_genesis(json.dumps(genesis).encode())


def test_it_reads_no_file_beyond_its_bound() -> None:
    """LC-LIGHT-1: before anything is made of it."""
    for read, said in ((VERIFIER.read_genesis, "the genesis file"), (lambda raw: VERIFIER.check(raw, b""), "the receipt file")):
        with pytest.raises(ValueError, match=f"{said} is too long"):
            read(bytes(MAX_RECEIPT_FILE + 1))
        with pytest.raises(Exception, match=r".") as other:
            read(bytes(MAX_RECEIPT_FILE))
        assert "too long" not in str(other.value)


def test_as_many_of_everything_as_the_rules_allow_and_no_more() -> None:
    """LC-LIGHT-1: the bounds of its shapes are those of the program."""
    assert (VERIFIER.MAX_BYTES, VERIFIER.FILE[3].keys(), VERIFIER.FILE[7].keys()) == (
        MAX_RECEIPT_FILE,
        {MAX_HANDOVERS: None}.keys(),
        {MAX_RECORDS: None}.keys(),
    )
    assert VERIFIER.RECEIPT[0] == (0, MAX_RECEIPT) and VERIFIER.PATH.keys() == {MAX_PATH: None}.keys()
    fits = VERIFIER.fits
    assert fits([[1], [2]], {2: [int]}) and not fits([[1], [2], [3]], {2: [int]})
    assert fits(2**63 - 1, int) and not fits(2**63, int) and not fits(-1, int) and not fits(True, int)
    assert fits(b"ab", (2, 3)) and fits(b"abc", (2, 3)) and not fits(b"a", (2, 3)) and not fits(b"abcd", (2, 3))
    assert not fits("ab", 2) and not fits((b"ab",), {1: 2}) and not fits([1, 2], [int])
