"""Jobs to learn from and to run in the demo."""
