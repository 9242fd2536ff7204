"""Federations that have not ended, as the API lists them."""

from __future__ import annotations

from learningchain.chain.contracts.federation.records import LIVE
from learningchain.client.api.live import LiveReferences


class LiveFederations(LiveReferences):
    prefix = LIVE
