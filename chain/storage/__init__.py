"""What a node keeps on disk: the data folder, the log of the consensus, the last-signed guard, the block store.

The only part of `chain` that does I/O. Synchronous; the node's driver calls it, from one thread but where a class says otherwise.
"""
