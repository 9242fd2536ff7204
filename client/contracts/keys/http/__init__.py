"""What the API says of keys and guardians and takes from callers."""
