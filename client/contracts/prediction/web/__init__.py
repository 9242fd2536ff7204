"""Pages of the dashboard about serving."""
