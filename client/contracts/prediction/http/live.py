"""Models, policies and requests that are not over, as the API lists them: by `LiveKind`."""

from __future__ import annotations

from learningchain.chain.contracts.prediction.records import LIVE
from learningchain.client.api.live import LiveReferences


class LivePredictions(LiveReferences):
    prefix = LIVE
