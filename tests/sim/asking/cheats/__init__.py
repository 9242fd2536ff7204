"""Adversaries of predictions, one file each. What none of them may achieve is in `tests.sim.asking.checks`."""
