"""The examples of the digits job: the 1,797 handwritten digits of the UCI repository, which scikit-learn bundles.

Every fifth digit is for evaluation, the others are for training. Only the people who build the image need this module.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

EXAMPLES = 1797
MAX_BYTES = 1 << 20


class DataMissing(Exception):
    """The bundled digits cannot be found or are not what they should be; the text says what to do."""


def split_digits() -> tuple[bytes, bytes]:
    """(train.csv, eval.csv) as the job reads them: one digit a line, 64 pixels and the digit. Raises DataMissing."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataMissing("the digits come with scikit-learn, which is not installed; run `make setup`")
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rb") as file:
            lines = file.read(MAX_BYTES).splitlines()
    except OSError as problem:
        raise DataMissing(f"cannot read {path}: {problem}; install scikit-learn again") from None
    if len(lines) != EXAMPLES:
        raise DataMissing(f"{path} holds {len(lines)} digits instead of {EXAMPLES}; install scikit-learn again")
    evaluation = lines[::5]
    training = [line for index, line in enumerate(lines) if index % 5]
    return _csv(training), _csv(evaluation)


def _csv(lines: list[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"
