"""The ledger: state under a Merkle root, the transition that a block makes, genesis. Pure: no clock, no disk, no network."""
