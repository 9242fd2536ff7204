"""The commands about predictions."""
