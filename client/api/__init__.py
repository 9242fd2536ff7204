"""The node's HTTP API: everything that people and programs ask of a node. Stands on `client.node.interface.Node` alone.

`route` and `server` check every request, `table` lists the routes of the themes (accounts, chain, files, runs, events, ops) and of
the contracts (`client.contracts`), `schema` holds what their types share, `render` turns ledger records into JSON.
"""
