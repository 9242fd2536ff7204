"""The job contract on a node's client side."""
