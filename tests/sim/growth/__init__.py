"""How what a node sends and receives grows with the members: `python -m tests.sim.growth`.

Validators and members are the product's nodes, unchanged: consensus, relay, links, sync (`chain.node`), mesh (`p2p.gossip`), peer
book and choice of peers (`p2p.address_book`, `p2p.discovery`), in one process and in virtual time. Only the ledger's work is
shared: a block is executed and its certificate checked once, by the first node that asks, and all nodes at one height look at one
state. That costs and saves no message. Signatures are simulated (`tests.sim.signatures`); nothing is lost on the way and nobody
lies: that is the business of `tests.sim`.
"""
