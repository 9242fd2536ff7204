"""The ledger and this node as JSON: what the API takes and gives, and the words of its document. Knows nothing of HTTP."""
