"""The federation contract as an executable model, written from the text of its rules alone (protocol_spec/federation.md). It
imports nothing of the product.

A `Scenario` is plain data: members, and blocks of chain clock, beacon and messages. `play` runs it and gives the trace: after
every block balances, escrows, states, members, seats. A driver will run the same scenario through the contract's real handlers
and compare.

    scenario ──> graph.Graph ──> messages.apply    each message of a block, accepted or refused by name
                      │               └> opening     those between rounds: open, join, admit, start, close
                      └> deadlines that are due ──> machine    draws, windows, screens, sums
                                                      ├> sealed     the same where owners sit in cells (LC-FED-55 to 62)
                                                      ├> cells      who sits with whom, who waits, who misses too much
                                                      ├> pool       who may aggregate, who may sit on the panel
                                                      ├> chains     who is summed, so that no two sums differ by few
                                                      ├> measuring  the panel, what a round pays, what is trained next
                                                      ├> lists      what the panel says of a sum of cells
                                                      └> ends       faults, VOID, END

`formulas` and `chains` are pure, `accounts` and `money` hold what outlives a federation, `rows` counts which sentence of the
rules a run reached, `generate` plays random graphs, `generate_cells` such ones with cells, `properties` and `properties_cells` say
what must hold after every block, `holes` plays attacks with a rule and without it. `python -m tests.federation` is the fuzzer.

Not modelled: files, masks, rows, sums and their bytes, boxes and keys, containers, leaves of measurements, parking.
"""
