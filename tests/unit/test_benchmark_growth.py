"""What is measured with a grown state can be measured: other nodes take the chain that was made for it."""

from __future__ import annotations

import importlib
from pathlib import Path

from benchmarks.growth import Chain
from benchmarks.startup import DAEMON
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.types import proposer_of


def test_whose_turn_it_was_proposed_each_block_of_a_grown_chain(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "node", 50, 5, 10)
    for _ in range(4):
        chain.block([])
    proposers = set()
    for height in range(1, 6):
        header = chain.store.header(height)
        assert header is not None
        assert header.proposer == proposer_of(header, validators_of(chain.state))
        proposers.add(header.proposer)
    assert len(proposers) == 4
    chain.store.close()


def test_what_a_node_imports_at_its_start_is_there() -> None:
    for name in DAEMON:
        assert importlib.import_module(name).__name__ == name
