"""The node's HTTP API: everything that people and programs ask of a node. Stands on `client.core.Node` alone.

`route` and `server` are the gate, `table` lists the routes of the themes (accounts, chain, jobs, files, runs, events, ops),
`schema` holds their types, `render` turns ledger records into JSON.
"""

from __future__ import annotations

from client.api.route import Limits
from client.api.server import ApiServer

__all__ = ["ApiServer", "Limits"]
