"""The smallest complete jobs, as docs/start-model.md has them: a line through 40 points, in Python and in shell with awk."""
