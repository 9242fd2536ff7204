"""Federated training on the simulated graph: the accounts of a run's machines open a federation, join it, aggregate and measure.

`people` says what a member does when it looks at the chain, `machines` has the accounts do so in the seeds that draw it. That every
block did what the rules say is the second execution's (`tests.sim.checks_chain`).
"""
