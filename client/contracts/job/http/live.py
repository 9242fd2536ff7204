"""Live jobs as the API lists them."""

from __future__ import annotations

from learningchain.chain.contracts.job.records import live_key
from learningchain.client.api.live import LiveReferences


class LiveJobs(LiveReferences):
    prefix = live_key(b"")
