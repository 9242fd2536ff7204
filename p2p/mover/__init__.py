"""Data connections: leaves of files go from disk to disk in a process beside the node (LC-CONTENT-16 to LC-CONTENT-20).

    node: exchange -> OpenMove, TakeLeaves, EndMove -> `mover` --pipe--> `child` -> `receiving` -> TLS -> another node's `sending`
          exchange <- MoveOpened, LeavesMoved, MoveEnded <- `mover` <--pipe-- `child`

The process has threads and blocking sockets, no event loop. It holds the node's TLS key and no other one, knows nothing of the
ledger, and gets from the node whom it may serve which file, and which leaves with which digests it is to fetch. Whatever becomes of
it, the node goes on by messages.
"""
