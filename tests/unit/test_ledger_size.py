"""What the state is sized for: bounds that have to agree (docs/adr/0012)."""

from __future__ import annotations

from learningchain.chain.buckets import BUCKETS
from learningchain.chain.ledger.genesis import MAX_ACCOUNTS, MAX_GENESIS_BYTES, GenesisAccount, to_json
from learningchain.chain.params import MAX_INT
from tests.network import NetworkParams
from tests.network import genesis as network_genesis


def test_accounts_buckets_and_members_of_a_draw_are_as_many() -> None:
    """LC-BLK-9, LC-MRK-4: whoever can be in a genesis has a bucket of the tree, and can be drawn."""
    assert MAX_ACCOUNTS == BUCKETS


def test_the_file_of_the_largest_genesis_may_be_read() -> None:
    """LC-BLK-16: with amounts as long as all of them together allow, and room for other ways to write the same."""
    each = MAX_INT // MAX_ACCOUNTS
    accounts = [GenesisAccount(b"\x02" + n.to_bytes(32, "big"), each - n % 10, n < 4, False) for n in range(MAX_ACCOUNTS)]
    file = to_json(network_genesis("large", 1_000_000, NetworkParams(), accounts))
    assert MAX_GENESIS_BYTES // 2 < len(file) < MAX_GENESIS_BYTES * 3 // 4 + 1_000_000
