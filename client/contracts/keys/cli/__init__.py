"""Commands about this identity's key and its guardians."""
