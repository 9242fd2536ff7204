"""What the API says of membership and takes from callers."""
