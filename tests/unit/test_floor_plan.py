"""The floor plan: what lies in which room. The lists of `scripts/` hold the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from learningchain.chain.contracts import CONTRACTS
from learningchain.client import contracts
from scripts import ledger_words

ROOT = Path(__file__).parents[2]

WORDS = {
    "a route": 'TODO = "Read it: GET /v1/jobs/{id}"',
    "a path alone": 'PATH = "/v1/jobs"',
    "a command": 'TODO = "Run: learningchain job list"',
    "a command in a docstring": '"""Read for `learningchain doctor`."""',
}


@pytest.mark.parametrize("line", WORDS.values(), ids=WORDS)
def test_no_file_of_the_ledger_names_a_route_or_a_command(tmp_path: Path, line: str) -> None:
    assert ledger_words.main(ROOT / "chain") == 0
    (tmp_path / "texts.py").write_text(f"import learningchain\n{line}\n")
    assert ledger_words.main(tmp_path) == 1


def test_every_code_of_a_contract_has_words_for_people_and_no_words_are_without_a_code() -> None:
    texts = contracts.parts("texts")
    for contract in CONTRACTS:
        assert {int(code) for code in contract.codes} == set(texts[contract.name].TEXTS), contract.name
