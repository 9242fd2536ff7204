"""The demo of predictions, once, as `make demo-predictions` runs it: each promise is looked at by the demo itself."""

from __future__ import annotations

import pytest

from tests.processes.told_demo import told

LIMIT_S = 540
pytestmark = pytest.mark.timeout(LIMIT_S + 30)


@pytest.mark.full("minutes: test_predictions.py has three real servers, test_sandbox's examples the images")
def test_every_promise_of_the_demo_holds() -> None:
    assert "carol 0;" in told("learningchain.examples.asking", 14, LIMIT_S)
