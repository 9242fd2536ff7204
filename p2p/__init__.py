"""Peers: wire messages, mutually authenticated transport, gossip, discovery, content by CID."""
