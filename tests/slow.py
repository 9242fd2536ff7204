"""How much longer this machine may take than a quiet one: `LC_SLOW`, 1 by default, 4 in `make test`.

It multiplies the limits of waits that end with their event, and of whole tests. A wait for *nothing* is not multiplied.
"""

from __future__ import annotations

import os

SLOW = float(os.environ.get("LC_SLOW", "1"))
