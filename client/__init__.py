"""The composition root: daemon, worker, HTTP API, SDK, command, keystore, demo."""
