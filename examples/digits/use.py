# ruff: noqa: T201
"""Uses a model that the graph trained: `python -m learningchain.examples.digits.use MODEL [FIRST [COUNT]]`.

Reads the evaluation digits with the downloaded model, prints how many it gets right and shows COUNT of them, beginning
at FIRST. The model is data of a stranger: it is checked field by field, and nothing in it is ever run.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from learningchain.examples.data import DataMissing
from learningchain.examples.digits.data import split_digits
from learningchain.examples.digits.job import HEADER, MAX_HIDDEN, PIXELS, Failure, load_model, read_bounded, read_examples

if TYPE_CHECKING:
    from learningchain.examples.digits.job import Floats

MAX_MODEL_BYTES = HEADER.size + 8 * (PIXELS + 11) * (MAX_HIDDEN + 1)
SHADES = " .:-=+*#%@"
MAX_SHOWN = 8


@dataclass(frozen=True)
class Reading:
    """What a model makes of the evaluation digits."""

    pixels: Floats
    digits: tuple[int, ...]
    answers: tuple[int, ...]

    @property
    def right(self) -> int:
        return sum(answer == digit for answer, digit in zip(self.answers, self.digits, strict=True))

    @property
    def accuracy(self) -> float:
        return self.right / len(self.digits)


def classify(model_path: Path) -> Reading:
    """Reads every evaluation digit with the model in the file. Raises Failure for a file that is no model, DataMissing."""
    model = load_model(read_bounded(model_path, MAX_MODEL_BYTES))
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "eval.csv"
        data.write_bytes(split_digits()[1])
        pixels, digits = read_examples(data)
    with np.errstate(all="ignore"):
        answers = model.log_chances(pixels).argmax(axis=1)
    return Reading(pixels, tuple(map(int, digits)), tuple(map(int, answers)))


def picture(reading: Reading, first: int = 20, count: int = 5) -> str:
    """Some digits side by side, drawn with characters, and below each what the model says."""
    shown = range(first, min(first + count, len(reading.digits)))
    shades = np.rint(reading.pixels * (len(SHADES) - 1)).astype(int).reshape(-1, 8, 8)
    lines = ["   ".join("".join(SHADES[shade] * 2 for shade in shades[i, row]) for i in shown) for row in range(8)]
    answers = []
    for i in shown:
        right = reading.answers[i] == reading.digits[i]
        verdict = f"model says {reading.answers[i]}" if right else f"says {reading.answers[i]}, is {reading.digits[i]}"
        answers.append(verdict.center(16))
    return "\n".join(line.rstrip() for line in [*lines, "   ".join(answers)])


def main(argv: list[str]) -> int:
    numbers = argv[1:]
    if not 1 <= len(argv) <= 3 or not all(text.isascii() and text.isdigit() and len(text) < 6 for text in numbers):
        print("usage: python -m learningchain.examples.digits.use MODEL [FIRST [COUNT]]", file=sys.stderr)
        return 2
    first, count = (*map(int, numbers), *(20, 5)[len(numbers) :])
    try:
        reading = classify(Path(argv[0]))
    except (Failure, DataMissing) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print(picture(reading, first, min(count, MAX_SHOWN)))
    print(f"{reading.right} of {len(reading.digits)} digits read correctly ({reading.accuracy:.1%})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
