"""What a node does for credits, by the machines of the contracts (`client/contracts/<name>/work.py`).

`compose` makes a `WorkDriver`, which drives them and is what the node calls; `WorkConfig` has its settings. `machine` says what a
contract gives, `events` what goes in and out.
"""

from learningchain.client.config import WorkConfig
from learningchain.client.work.compose import compose, make_engine, work_settings
from learningchain.client.work.database import WorkDatabaseError
from learningchain.client.work.runner import WorkDriver

__all__ = ["WorkConfig", "WorkDatabaseError", "WorkDriver", "compose", "make_engine", "work_settings"]
