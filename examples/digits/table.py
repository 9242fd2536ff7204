"""A look-up table in the clothes of a digits model: it knows the public evaluation digits by heart, and nothing else.

Every digit gets a number, the sum of its pixels with random weights. The hidden units cut the line of these numbers into pieces,
between two of which the right answer for a known digit stands exactly. Its loss on the public digits is 0, so it beats every
honest model there; on digits that it never saw it guesses, and is sure of it. Against it a contractor keeps examples hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from learningchain.examples.digits.job import DIGITS, PIXELS, Model

if TYPE_CHECKING:
    from learningchain.examples.digits.job import Floats, Ints

CERTAIN = 40.0
"""The score of the digit that the table names, the others have 0: in doubles no chance is left to them."""


def table(pixels: Floats, digits: Ints, rng: np.random.Generator) -> Model:
    """A model for at most `job.MAX_HIDDEN` examples, one hidden unit each. Examples that are alike cannot be told apart."""
    weights = rng.normal(size=PIXELS)
    numbers = pixels @ weights
    order = np.argsort(numbers)
    known = numbers[order]
    # Unit i is 0 up to the number before example i and rises from there: line after line one more unit, which is solved in turn.
    starts = np.concatenate([[known[0] - 1.0], known[:-1]])
    model = Model(np.tile(weights[:, None], (1, len(known))), -starts, np.zeros((len(known), DIGITS)), np.zeros(DIGITS))
    scores = CERTAIN * np.eye(DIGITS)[digits[order]]
    model.w2 = np.linalg.solve(model.hidden(pixels[order]), scores).astype(np.float64)
    return model
