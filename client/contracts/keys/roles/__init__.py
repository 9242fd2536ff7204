"""What a node does by itself about keys."""
