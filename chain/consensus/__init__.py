"""Consensus: Tendermint as a pure state machine. `machine` holds the theory and the rules, `messages` what goes in and out.

Imported by `chain/node` and `chain/storage`; imports the base alone. A block is an opaque id here.
"""
