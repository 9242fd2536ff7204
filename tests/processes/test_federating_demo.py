"""The demo of federated training, once, as `make demo-federation` runs it: each promise is looked at by the demo itself."""

from __future__ import annotations

import pytest

from tests.processes.told_demo import told

LIMIT_S = 900
pytestmark = pytest.mark.timeout(LIMIT_S + 30)


@pytest.mark.full("minutes: test_federation.py has three real owners, test_federation_rounds.py the images")
def test_every_promise_of_the_demo_holds() -> None:
    assert "refused: dave WRONG" in told("learningchain.examples.federating", 12, LIMIT_S)
