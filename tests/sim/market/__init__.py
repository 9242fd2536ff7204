"""The market of the simulated graph: what clients, workers, verifiers and cheaters do with it.

`Market` (clients.py) is what every run of the simulator has: transfers and one job carried through its life by hand. `MarketWorld`
(graph.py) runs the real worker and verifier on every machine, with a sandbox that takes virtual time, beside adversaries.
"""

from tests.sim.market.clients import Market

__all__ = ["Market"]
