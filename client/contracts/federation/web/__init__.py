"""Pages and phrases of the dashboard about federations."""
