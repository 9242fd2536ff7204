"""Governance at the client: what is proposed, what the validators said, what waits for this one's word, and the parameters."""
