"""A node of the graph: it follows consensus, keeps blocks, state and content, and says what its other parts may ask of it."""
