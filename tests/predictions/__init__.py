"""The prediction contract as an executable model, written from the text of its rules alone. It imports nothing of the
product; `beside`, which compares the two, is the one module that does.

A `Scenario` is plain data: members, and blocks of chain clock, beacon and messages. `play` runs it and gives the trace: after
every block balances, escrows, states, seats, values, records. A driver will run the same scenario through the contract's real
handlers and compare.

    scenario ──> graph.Graph ──> messages.apply    each message of a block, accepted or refused by name
                      │               │
                      │               └> records of models, servers, requests, policies
                      └> deadlines that are due ──> machine    pump, draws, windows
                                                      ├> pool       who may answer, who may judge
                                                      ├> settling   tally, pay, fines, records, decisions
                                                      ├> verdicts   what an appeal comes to
                                                      └> ends       faults, and how everything ends

`formulas` and `tally` are pure, `accounts` and `money` hold what outlives a request, `rows` counts which sentence of the rules
a run reached, `generate` plays random graphs, `properties` says what must hold after every block, `difference` compares two
traces, `wrong` lists models with one error each, `holes` plays attacks with a rule and without it. `python -m
tests.predictions` is the fuzzer.

Not modelled: hashes of commitments, boxes of keys and their ciphers, bytes of inputs, images and containers, parking.
"""
