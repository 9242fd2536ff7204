"""Whether a record is among an owner's rows, read from the numbers that an aggregator is shown: how well, as the area under the
curve (one half is a guess). docs/federation.md tells the figures to whom joins.

The reader has twice as many records as the owner has rows, half of them the owner's, and the model that was trained from. What each
record alone would change is the slope of its loss, and the reader looks for the mixture of these that explains what it was shown.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic import rows, updates
from learningchain.client.contracts.federation.arithmetic.places import CQ, MAX_DIMS, ROWS, AttemptPlace, rows_key
from tests.federation_attacks.problem import DIMS, Examples, Floats, Model, digits, problem, slopes, trained

CLIP = 10**9


def shown(attempt: int, vectors: list[NDArray[np.int32]]) -> Floats:
    """The 64 numbers of each, as an aggregator gets them of an update."""
    key = rows_key(AttemptPlace(bytes(32), bytes(32), 1, attempt), attempt.to_bytes(32, "big"))
    found = rows.sketches(key, [rows.in_chunks(one.view(np.uint32)) for one in vectors], DIMS)
    return rows.unmasked_sketches(found, [])[:, :ROWS].astype(np.float64)


def weights(of_records: Floats, of_update: Floats) -> Floats:
    """Of each record in the mixture: least squares, held down as much as a record's own length."""
    products = of_records @ of_records.T
    held = np.eye(len(products)) * np.mean(np.diag(products))
    return np.linalg.solve(products + held, of_records @ of_update).astype(np.float64)


def area(found: Floats) -> float:
    """Of all pairs of a record that is among the rows and one that is not: how often the first one weighs more."""
    inside, outside = np.split(found, 2)
    return float(np.mean(inside[:, None] > outside))


def read(owner: int, base: Model, count: int, attempts: int) -> tuple[float, float]:
    """From what was shown in so many attempts, and from the whole update."""
    whole = digits()
    records = whole.taken(np.random.default_rng(owner).permutation(len(whole.y))[: 2 * count])
    own = Examples(records.x[:count], records.y[:count])
    (update,) = updates.update_of(base, trained(base, own, owner), CLIP)
    alone = -slopes(base, records)
    scaled = [np.rint(CQ * one / np.linalg.norm(one)).astype(np.int32) for one in alone]
    told = np.concatenate([shown(100 * owner + n, [update, *scaled]) for n in range(attempts)], axis=1)
    return area(weights(told[1:], told[0])), area(weights(np.array(scaled, np.float64), update.astype(np.float64)))


@pytest.mark.parametrize(
    ("count", "attempts", "owners", "numbers", "whole"), [(8, 1, 40, 0.88, 0.98), (70, 1, 8, 0.60, 0.69), (70, 4, 8, 0.64, 0.69)]
)
def test_numbers_of_an_update_tell_of_an_owner_with_few_rows_what_these_are(
    count: int, attempts: int, owners: int, numbers: float, whole: float
) -> None:
    base = problem(0, 20).initial
    found = np.mean([read(owner, base, count, attempts) for owner in range(owners)], axis=0)
    assert found.tolist() == pytest.approx([numbers, whole], abs=0.02)


@pytest.mark.parametrize("dims", [1_024, 2_410, 4_096, 2**20, MAX_DIMS])
def test_how_many_numbers_are_shown_of_one_update_follows_its_size(dims: int) -> None:
    """An eighth of its values in all attempts on one base, 192 of small models. An update that leaves the node changes half as many
    values as numbers are shown, or more."""
    most = ROWS * updates.most_attempts(dims)
    assert most <= max(192, dims // 8) and 2 * updates.least_changed(dims) == most
