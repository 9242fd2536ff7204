"""What the API says of governance and takes from callers."""
