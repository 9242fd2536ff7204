"""The commands about federations."""
