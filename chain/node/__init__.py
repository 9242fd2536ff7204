"""The node: consensus, ledger, mempool and block sync composed into one machine. Still no I/O: inputs in, effects out."""
