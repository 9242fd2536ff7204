"""Commands of membership."""
