"""What a node does for credits, by the machines of the contracts (`client/contracts/<name>/work.py`).

A `WorkDriver` drives them and is what the node calls; `WorkConfig` has its settings. `machine` says what a
contract gives, `events` what goes in and out.
"""

from learningchain.client.config import WorkConfig
from learningchain.client.work.compose import make_engine, work_settings
from learningchain.client.work.database import WorkDatabaseError
from learningchain.client.work.runner import WorkDriver

__all__ = ["WorkConfig", "WorkDatabaseError", "WorkDriver", "make_engine", "work_settings"]
