"""The federation contract as an executable model, written from the text of its rules alone (protocol_spec/federation.md). It
imports nothing of the product.

A `Scenario` is plain data: members, and blocks of chain clock, beacon and messages. `play` runs it and gives the trace: after
every block balances, escrows, states, members, seats. A driver will run the same scenario through the contract's real handlers
and compare.

    scenario ──> graph.Graph ──> messages.apply    each message of a block, accepted or refused by name
                      │               └> opening     those between rounds: open, join, admit, start, close
                      └> deadlines that are due ──> machine    draws, windows, screens, sums
                                                      ├> pool       who may aggregate, who may sit on the panel
                                                      ├> chains     who is summed, so that no two sums differ by few
                                                      ├> measuring  the panel, what a round pays, what is trained next
                                                      └> ends       faults, VOID, END

`formulas` and `chains` are pure, `accounts` and `money` hold what outlives a federation, `rows` counts which sentence of the
rules a run reached, `generate` plays random graphs, `properties` says what must hold after every block, `wrong` lists models
with one error each, `holes` plays attacks with a rule and without it. `python -m tests.federation` is the fuzzer.

Not modelled: files, masks, rows, sums and their bytes, boxes and keys, containers, leaves of measurements, parking.
"""
