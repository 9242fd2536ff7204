"""Jobs to learn from, and the demo that runs them on a graph of five nodes."""
