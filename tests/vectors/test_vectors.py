"""The vectors of the spec are what the code makes. `LC_WRITE_VECTORS=1 pytest tests/vectors` writes them anew."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.host import BASE_STATE
from tests.vectors import (
    answer_vectors,
    base_vectors,
    chain_vectors,
    client_vectors,
    content_vectors,
    execution_vectors,
    file_vectors,
    job_vectors,
    lan_vectors,
    loss_vectors,
    peer_vectors,
    prediction_vectors,
    receipt_vectors,
    restart_vectors,
    signer_vectors,
    snapshot_vectors,
    whole_federations,
    whole_jobs,
    whole_predictions,
)
from tests.vectors.kit import EXACT

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
    "restarts": restart_vectors.restarts,
    "chain": chain_vectors.chain,
    "work": chain_vectors.work,
    "rounds": peer_vectors.rounds,
    "frames": peer_vectors.frames,
    "lan": lan_vectors.lan,
    "content": content_vectors.content,
    "executions": execution_vectors.executions,
    "snapshots": snapshot_vectors.snapshots,
    "receipts": receipt_vectors.receipts,
    "hidden-file": client_vectors.hidden_file,
    "private-input": client_vectors.private_input,
    "signer": signer_vectors.signer,
    "losses": loss_vectors.losses,
    "federation-files": file_vectors.federation_files,
    "answers": answer_vectors.answers,
    "job": job_vectors.job,
    "jobs": whole_jobs.jobs,
    "prediction": prediction_vectors.prediction,
    "predictions": whole_predictions.predictions,
    "federations": whole_federations.federations,
}


@cache
def _made(name: str) -> dict[str, Any]:
    return MAKERS[name]()


@pytest.mark.parametrize("name", MAKERS)
def test_the_file_holds_what_the_code_makes(name: str) -> None:
    made = json.dumps(_made(name), indent=1, ensure_ascii=False) + "\n"
    path = FOLDER / f"{name}.json"
    if os.environ.get("LC_WRITE_VECTORS") == "1":
        path.write_text(made, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: write it with LC_WRITE_VECTORS=1"
    assert path.read_text(encoding="utf-8") == made


def test_every_message_and_record_has_an_encoding() -> None:
    shown = {type(value).__name__ for _, value in base_vectors.records()}
    wanted = {kind.__name__ for contract in CONTRACTS for kind in contract.messages}
    wanted |= {kind.__name__ for kind in BASE_STATE.values()}
    wanted |= {kind.__name__ for contract in CONTRACTS for kind in contract.state.values()}
    wanted |= {contract.params.__name__ for contract in CONTRACTS if contract.params}
    assert wanted - shown == set()


def _leaves(value: Any, rule: bool) -> Iterator[tuple[Any, bool]]:
    """(value, whether it or what it stands in names a rule) of all that a file holds."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item, rule or "rule" in value)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, rule)
    else:
        yield value, rule


FRAME = {
    "chain_id",
    "key",
    "net",
    "validators",
    "validators_hash",
    "quorums",
    "height",
    "round",
    "block_id",
    "beacon_keys",
    "state",
}
"""What the vectors of a file have in common."""


@pytest.mark.parametrize("name", MAKERS)
def test_every_vector_names_its_rule_and_no_integer_is_rounded(name: str) -> None:
    vector = _made(name)
    for part, held in vector.items():
        for value, ruled in _leaves(held, "rule" in vector):
            assert ruled or part in FRAME, f"{part} holds {str(value)[:80]} and names no rule"
            assert not isinstance(value, int) or abs(value) < EXACT, f"{part} holds {value}, which readers of JSON may round"


def test_the_index_lists_every_file_of_vectors() -> None:
    index = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    table = index[index.index("| file | holds |") :]
    listed = {name for names in re.findall(r"^\| ([a-z, -]+) \|", table, re.MULTILINE) for name in names.split(", ")}
    assert set(MAKERS) <= listed


def test_no_file_is_left_that_nothing_makes() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(MAKERS)
