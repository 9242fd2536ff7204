"""The examples of the digits job: the 1,797 handwritten digits of the UCI repository, which scikit-learn bundles.

Every fifth digit is for evaluation, the others are for training. Only the people who build the image need this module.
"""

from __future__ import annotations

from learningchain.examples.data import bundled

SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"


def split_digits() -> tuple[bytes, bytes]:
    """(train.csv, eval.csv) as the job reads them: one digit a line, 64 pixels and the digit. Raises DataMissing."""
    lines = bundled("digits.csv.gz", SHA256).splitlines()
    training = [line for index, line in enumerate(lines) if index % 5]
    return _csv(training), _csv(lines[::5])


def _csv(lines: list[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"
