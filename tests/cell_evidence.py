"""What an audit collects of plays of federations with cells, block by block, on the node's own executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from learningchain.chain.ledger.transition import chain_record, commit
from learningchain.client.contracts.federation.audit.evidence import FederationEvidence, FederationWatch
from tests.vectors import plays
from tests.vectors.federation_plays import Train


def watched(play: Callable[[], Any]) -> FederationEvidence:
    """Of the first federation that is opened in a play, up to its end."""
    watch, over = FederationWatch("", FederationEvidence(Train.start()[0])), False

    def followed(state: Any, done: Any) -> None:
        nonlocal over
        commit(state, done)
        over = over or watch(chain_record(state).height, done, state)

    with patch.object(plays, "commit", followed):
        play()
    return watch.evidence
