"""The backend on a Docker Engine: the only place that knows docker-py, and the engine's words."""
