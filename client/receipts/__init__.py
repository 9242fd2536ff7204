"""What is checked without trusting a node: receipt files and their proofs, offline messages, and the audit from genesis."""
