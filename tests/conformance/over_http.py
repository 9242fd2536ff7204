"""Being convinced over HTTP (LC-BLK-7, 8, 18): from a genesis and what a node answers, with no trust in it and nothing executed."""

from __future__ import annotations

from typing import Any

from tests.conformance import genesis, light, records, snapshots
from tests.conformance.checks import Refused
from tests.conformance.wire import decode, decode_plain

MAX_CHANGE_BYTES = 4_500_000


class Follower:
    """What somebody knows who has a genesis and nothing else."""

    def __init__(self, raw: bytes) -> None:
        self.chain_id = genesis.chain_id(raw)
        self._sets = [(1, genesis.first_validators(raw))]
        """The height from which each encoded set signs, ascending."""

    def take(self, changes: list[str]) -> None:
        """Of `GET /v1/handovers`. Raises `Refused`."""
        for text in changes:
            raw = bytes.fromhex(text)
            height = decode(records.SET_CHANGE, raw, MAX_CHANGE_BYTES)[0][2]
            self._sets.append((height + 1, snapshots.follow(self.chain_id, raw, self._set_of(height))))

    def _set_of(self, height: int) -> bytes:
        return [members for since, members in self._sets if since <= height][-1]

    def header(self, answer: dict[str, Any]) -> light.Header:
        """The final header in an answer. Raises `Refused`."""
        raw = bytes.fromhex(answer["header"])
        height: int = decode_plain(raw)[2]
        return light.verify_block(self.chain_id, raw, bytes.fromhex(answer["certificate"]), self._set_of(height))

    def receipt(self, answer: dict[str, Any], tx: bytes) -> Any:
        """What became of a transaction (zeros: of the block), by `GET /v1/blocks/{height}/receipts/{index}`. Raises `Refused`."""
        found = light.verify_receipt(self.header(answer), bytes.fromhex(answer["receipt"]), bytes.fromhex(answer["proof"]))
        if found[0] != tx:
            raise Refused("LC-BLK-4: a receipt of another transaction")
        return found

    def record(self, answer: dict[str, Any], key: bytes) -> tuple[light.Header, Any]:
        """What the state after a block holds under a key, None for nothing, by `GET /v1/proofs/{key}`. Raises `Refused`."""
        header = self.header(answer)
        if answer["key"] != key.hex():
            raise Refused("LC-BLK-8: an answer about another key")
        raw = None if answer["record"] is None else bytes.fromhex(answer["record"])
        light.verify_state(header, key, raw, bytes.fromhex(answer["proof"]))
        return header, None if raw is None else decode_plain(raw)
