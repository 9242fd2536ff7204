"""Predictions on the simulated graph: owners, servers and requesters, honest and others.

`people` says what a member does when it looks at the chain: one message at a time, the same whichever way it gets there.
`machines` has the accounts of a run's machines do so, in the seeds that draw it. `world` is a graph of its own for members without
machines, honest ones beside `cheats`; `checks` says what no cheat may achieve.
"""
