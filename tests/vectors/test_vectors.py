"""The vectors of the spec are what the code makes. `LC_WRITE_VECTORS=1 pytest tests/vectors` writes them anew."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chain.contracts import CONTRACTS
from chain.contracts.base import BASE_STATE
from tests.vectors import base_vectors, chain_vectors, client_vectors, execution_vectors, snapshot_vectors

FOLDER = Path(__file__).parents[2] / "protocol_spec" / "vectors"
MAKERS: dict[str, Callable[[], dict[str, Any]]] = {
    "encodings": base_vectors.encodings,
    "texts": base_vectors.texts,
    "identities": base_vectors.identities,
    "signatures": base_vectors.signatures,
    "transactions": base_vectors.transactions,
    "lists": base_vectors.lists,
    "states": base_vectors.states,
    "votes": chain_vectors.votes,
    "certificates": chain_vectors.certificates,
    "finality": chain_vectors.finality,
    "genesis": chain_vectors.genesis,
    "chain": chain_vectors.chain,
    "work": chain_vectors.work,
    "executions": execution_vectors.executions,
    "snapshots": snapshot_vectors.snapshots,
    "hidden-file": client_vectors.hidden_file,
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_file_holds_what_the_code_makes(name: str) -> None:
    made = json.dumps(MAKERS[name](), indent=1, ensure_ascii=False) + "\n"
    path = FOLDER / f"{name}.json"
    if os.environ.get("LC_WRITE_VECTORS") == "1":
        path.write_text(made, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: write it with LC_WRITE_VECTORS=1"
    assert path.read_text(encoding="utf-8") == made


def test_every_message_and_record_has_an_encoding() -> None:
    shown = {type(value).__name__ for _, value in base_vectors.records()}
    wanted = {kind.__name__ for contract in CONTRACTS for kind in contract.messages}
    wanted |= {kind.__name__ for kind in BASE_STATE.values()}
    wanted |= {kind.__name__ for contract in CONTRACTS if contract.name != "job" for kind in contract.state.values()}
    assert wanted - shown == set()


def test_no_file_is_left_that_nothing_makes() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(MAKERS)
