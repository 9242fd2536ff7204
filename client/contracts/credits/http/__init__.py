"""What the API says of credits and takes from callers."""
