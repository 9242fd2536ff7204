"""What is measured as catching up is catching up: a fresh node comes to the end of the chain, in both ways."""

from __future__ import annotations

import pytest

from benchmarks import catch_up


@pytest.mark.parametrize("trusting", [0, 1])
def test_a_fresh_node_gets_all_of_a_chain(trusting: int) -> None:
    chain = catch_up.make_chain(6, 400, 8)
    assert (len(chain.blocks), chain.txs) == (6, 2_400)
    assert catch_up.replay_rate(chain, trusting) > 0
