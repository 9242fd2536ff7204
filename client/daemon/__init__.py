"""The process of a node: what it opens, how its parts are wired, what its loop runs, and how it ends."""
