"""Commands that move credits."""
