#!/usr/local/bin/python3
"""What an owner puts in the place of the sponsor's program, in an image of its own: its `local` is the attack.

It trains as the honest program does (`federated_job`, beside it in the image) and sends something else. `attack` of the parameters
says what; `before` is the model that the round before began from, which its node remembers: the present one in the first round."""

import base64
import json
import random
import sys
from array import array
from collections.abc import Callable

from federated_job import LC, read_model, read_rows, train  # type: ignore[import-not-found]  # as it lies in the image

Values = list[float]
Attack = Callable[[Values, Values, Values, random.Random], Values]
"""(base, what honest training makes of it, the base before, draws): the model that is sent."""
FAR, LOUD = 100.0, 3.0


def sign_flip(base: Values, local: Values, before: Values, rng: random.Random) -> Values:
    return [2 * b - w for b, w in zip(base, local, strict=True)]


def scaling(base: Values, local: Values, before: Values, rng: random.Random) -> Values:
    return [b + FAR * (w - b) for b, w in zip(base, local, strict=True)]


def noise(base: Values, local: Values, before: Values, rng: random.Random) -> Values:
    return [b + rng.gauss(0, LOUD) for b in base]


def free_rider(base: Values, local: Values, before: Values, rng: random.Random) -> Values:
    return base


def replay(base: Values, local: Values, before: Values, rng: random.Random) -> Values:
    """What the last round added, once more; nothing in the first one."""
    return [2 * b - w for b, w in zip(base, before, strict=True)]


def not_a_number(base: Values, local: Values, before: Values, rng: random.Random) -> Values:
    """In the first round; later it is honest."""
    return [float("nan"), *base[1:]] if base == before else local


ATTACKS: dict[str, Attack] = {attack.__name__: attack for attack in (sign_flip, scaling, noise, free_rider, replay, not_a_number)}


def main(phase: str) -> int:
    job = json.loads((LC / "in/job.json").read_text())
    if phase != "local":
        return 64
    params, rng = job["params"], random.Random(job["seed"])
    head, base = read_model(LC / "in/model")
    rows = read_rows(LC / "in/data/rows.csv")
    local = train(base, rows, params.get("hidden", 0), rng, params.get("passes", 2), params.get("rate", 0.02))
    before = array("f", base64.b64decode(params["before"]))
    sent = ATTACKS[params["attack"]](base, local, list(before), rng)
    (LC / "out/model").write_bytes(head + array("f", sent).tobytes())
    (LC / "out/losses").write_text("0.5\n" * len(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
