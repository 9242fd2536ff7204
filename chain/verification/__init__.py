"""Judging work by doing it again: what contracts share that draw committees, take sealed votes, pay seats and count faults.

Plain functions on integers and bytes: nothing here reads or changes a ledger, and nothing knows a contract. Losses and tolerances
are 1e-9 units, credits micro-credits, times milliseconds of the chain clock, sizes bytes.

    scale       how far two honest measurements may lie apart
    ranking     who is better, and who came first
    committee   who may judge, and who is drawn
    votes       from opened ballots to a verdict
    merits      which votes are paid, struck and recorded after it
    standing    strikes with their origin, draw records and marks
    windows     how long each step takes at most, and what it costs
"""
