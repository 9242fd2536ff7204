"""Targets: what members and strangers' programs write in federated training: a model, an update, a vault, a message."""

from __future__ import annotations

import json

import numpy as np
import safetensors.numpy

from learningchain.chain.errors import Malformed
from learningchain.client.contracts.federation.arithmetic import updates, vault
from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace
from learningchain.client.contracts.federation.arithmetic.small import files, sums
from learningchain.client.contracts.federation.arithmetic.small.field import P
from learningchain.client.contracts.federation.arithmetic.small.proof import proof_shape
from learningchain.client.contracts.federation.arithmetic.tensors import BadTensors, read_layout, read_model, values_of
from learningchain.client.contracts.federation.arithmetic.updates import BadUpdate, open_seeds, read_update, seal_seeds, update_file
from learningchain.client.contracts.federation.arithmetic.vault import BadVault, VaultPlace
from learningchain.client.contracts.federation.roles.channel import (
    FedMessage,
    KeyAsk,
    KeyGive,
    ShareAsk,
    ShareGive,
    UpdateAnswer,
    UpdateOffer,
    decode_fed,
    encode_fed,
)
from learningchain.client.keys.boxes import public_of
from tests.fuzz.targets import Target, check

PLACE = AttemptPlace(b"c" * 32, b"f" * 32, 3, 7)
VAULT = VaultPlace(b"f" * 32, b"m" * 20, 5)
MEMBER, PRIVATES = b"m" * 20, [bytes([n]) * 32 for n in range(1, 6)]


def model_file(data: bytes) -> None:
    """What is accepted the safetensors package reads alike."""
    layout = read_layout(data)
    check(layout.size == len(data) and data.startswith(layout.head), "a file of another length")
    values, at = values_of(data, layout), 0
    read = safetensors.numpy.load(data)
    check(read.keys() == dict(layout.tensors).keys(), "other tensors than another reader finds")
    for name, shape in layout.tensors:
        size = int(np.prod(shape))
        check(read[name].shape == shape and read[name].tobytes() == values[at : at + size].tobytes(), "read in two ways")
        at += size
    check(np.isfinite(read_model(data, layout)).all(), "a value that is not finite")


def update(data: bytes) -> None:
    """The first byte says which aggregator, of which secrecy. What opens is what was sealed: nobody else can."""
    if not data:
        return
    position, secret, raw = data[0] % 3 + 1, data[0] < 128, data[1:]
    dims = max(1, (len(raw) - updates.OVERHEAD) // 4)
    numbers = read_update(raw, PLACE, MEMBER, dims)
    check(len(numbers) == dims and numbers.tobytes() == raw[updates.OVERHEAD :], "other numbers than those of the file")
    seeds = open_seeds(raw, PLACE, MEMBER, position, PRIVATES[position - 1], secret)
    check(all(seed == _sealed(secret).seeds[mask] for mask, seed in seeds.items()), "a seed that nobody sealed")


def _sealed(secret: bool) -> updates.SealedSeeds:
    return seal_seeds(PLACE, MEMBER, [public_of(one) for one in PRIVATES[:3]], secret, lambda size: b"\x11" * size)


def small_update(data: bytes) -> None:
    """Of two values."""
    numbers = files.read_small(data, PLACE, MEMBER, 2)
    check(len(numbers) == proof_shape(2).size and int(numbers.max()) < P, "other numbers than a small update's")
    seeds = open_seeds(data, PLACE, MEMBER, 1, PRIVATES[0], secret=True)
    check(all(seed == _sealed(True).seeds[mask] for mask, seed in seeds.items()), "a seed that nobody sealed")


def cell_sums(data: bytes) -> None:
    """What is accepted has no other form."""
    check(sums.sums_file(PLACE, sums.read_sums(data, PLACE, 2)) == data, "another form")


def vault_file(data: bytes) -> None:
    head = vault.read_vault(data, VAULT)
    check(head.size <= len(data) and head.needed <= max(0, len(head.shares)), "more than there is")
    check(len(head.shares) in (0, 4, 5) and all(len(box) == 81 for box in head.shares.values()), "another number of holders")
    for holder, private in zip(head.shares, PRIVATES, strict=False):
        share = vault.own_share(head, VAULT, holder, private)
        check(1 <= share[0] <= len(head.shares), "a share of nobody")


def fed_message(data: bytes) -> None:
    """What is accepted has no other encoding."""
    check(encode_fed(decode_fed(data)) == data, "another encoding")


def _messages() -> list[bytes]:
    cid = b"\x01\x55\x12\x20" + bytes(32)
    offer, answer = UpdateOffer(bytes(32), 7, cid), UpdateAnswer(bytes(32), 7, cid, 6, bytes(64))
    shares = ShareAsk(bytes(32), 5), ShareGive(bytes(32), 5, 2, bytes(81))
    found: list[FedMessage] = [offer, answer, KeyAsk(bytes(32)), KeyGive(bytes(32), bytes(80)), *shares]
    return [encode_fed(one) for one in found]


def _models() -> list[bytes]:
    tensors = {"w": np.ones((2, 3), "<f4"), "b": np.zeros(3, "<f4")}
    plain = json.dumps({"x": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}).encode()
    return [safetensors.numpy.save(tensors), len(plain).to_bytes(8, "little") + plain + bytes(4)]


def _updates() -> list[bytes]:
    files = [b"".join(update_file(_sealed(secret), [np.arange(9, dtype=np.int32)])) for secret in (True, False)]
    return [bytes((first,)) + files[first >= 128] for first in (0, 1, 2, 129, 130, 131)]


def _vaults() -> list[bytes]:
    holders = {bytes([n]) * 20: public_of(private) for n, private in enumerate(PRIVATES, 1)}
    return [
        vault.make_head(VAULT, b"k" * 32, vault.of_secret(b"s" * 32), some, lambda size: b"\x22" * size) for some in ({}, holders)
    ]


def _small_updates() -> list[bytes]:
    keys = [public_of(one) for one in PRIVATES[:3]]
    return [files.small_file(PLACE, MEMBER, keys, np.array([5, -7]), lambda size: b"\x11" * size)]


def _cell_sums() -> list[bytes]:
    cells = sums.CellSum(1, 3, (1, -2)), sums.CellSum(4, 16, (5, 6))
    return [sums.sums_file(PLACE, sums.Sums(cells[:count], found)) for count in (1, 2) for found in (None, (7, 8))]


EXAMPLES = {
    "model-file": _models,
    "update-file": _updates,
    "small-update": _small_updates,
    "cell-sums": _cell_sums,
    "vault-file": _vaults,
    "fed-message": _messages,
}
TARGETS = {
    "model-file": Target(model_file, (BadTensors,)),
    "update-file": Target(update, (BadUpdate,)),
    "small-update": Target(small_update, (BadUpdate,)),
    "cell-sums": Target(cell_sums, (sums.BadSums,)),
    "vault-file": Target(vault_file, (BadVault,)),
    "fed-message": Target(fed_message, (Malformed,)),
}
