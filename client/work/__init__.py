"""What a node does for credits, by the machines of the contracts (`client/contracts/<name>/work.py`).

`WorkDriver` drives them and is what the node calls, `WorkConfig` its settings. `machine` says what a contract gives, `events` what
goes in and out.
"""

from learningchain.client.config import WorkConfig
from learningchain.client.work.database import WorkDatabaseError
from learningchain.client.work.runner import WorkDriver

__all__ = ["WorkConfig", "WorkDatabaseError", "WorkDriver"]
