"""The membership contract on a node's client side."""
