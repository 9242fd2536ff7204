"""Attackers against the rounds of protocol_spec/federation-files.md, over digits that twenty owners hold: one file each.

    problem   the digits, split among owners; a network of one hidden layer in numpy
    rounds    25 rounds with the product's own arithmetic: updates, sketches, screens, sums, models; and without any defence
    ATTACKS   what each attacker sends, given what the honest owners send
    small_rounds   a model of few values in a cell, with attackers of its own

What the ledger adds is here as far as accuracy depends on it: the clip (LC-FED-4), going back to the best model, and which one the
panel measures. Masks are left out: that a sum of masked files is the sum of updates is tested with the masks themselves.
`python -m tests.federation_attacks` plays the whole table.
"""

from __future__ import annotations

from . import alie, copying, free_rider, inner_product, label_flip, min_max, random_noise, replay, scaling, sign_flip
from .rounds import Attack

ATTACKS: dict[str, Attack] = {
    "sign flip": sign_flip.attack,
    "scaling": scaling.attack,
    "label flip": label_flip.attack,
    "noise": random_noise.attack,
    "ALIE": alie.attack,
    "inner product": inner_product.attack,
    "min-max": min_max.attack,
    "replay": replay.attack,
    "copy": copying.attack,
    "free-rider": free_rider.attack,
}
