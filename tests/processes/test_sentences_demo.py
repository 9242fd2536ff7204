"""The demo about sentences, once, as `make demo-sentences` runs it: each promise is looked at by the demo itself."""

from __future__ import annotations

import pytest

from learningchain.examples.sentences import build
from tests.processes.told_demo import told

LIMIT_S = 540
pytestmark = pytest.mark.timeout(LIMIT_S + 30)


@pytest.mark.full("minutes, and a language model of 84 MB: test_published_set.py has a set, test_predictions.py three servers")
def test_every_promise_of_the_demo_holds() -> None:
    try:
        build.model_folder()
    except build.ModelMissing as missing:
        pytest.skip(f"it needs a language model: {missing}")
    assert "bill, 3 of 3 agree" in told("learningchain.examples.sentences.demo", 6, LIMIT_S)
