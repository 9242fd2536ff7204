"""Measures the speed of a graph of four validators on this machine: `python -m benchmarks`; README.md explains the figures."""
