"""The ledger: pure and deterministic; disk only in `chain.storage`."""
