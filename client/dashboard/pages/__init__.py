"""Pages that belong to no contract."""
