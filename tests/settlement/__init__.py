"""The second settlement: the job contract's second edition as an executable model, written from the text of the rules alone.

It imports nothing of the product, so that an error of the contract is not repeated here. A `Scenario` is plain data: members, and
blocks of chain clock, beacon and messages. `play` runs it and gives the trace: after every block balances, states, verdicts,
strikes, cases. A driver runs the same scenario through the real handlers and compares.

    scenario ──> graph.Graph ──> messages.apply    each message of a block, accepted or refused by name
                      │               │
                      │               └> machine    rows of the table: T0, T1, T2, DRAW, COUNT, VERDICT, NEXT, the ends
                      └> deadlines that are due ────┘     │
                                                          ├> committee   pool, marks, draw
                                                          ├> votes       ballots, BADKEY, verdict lines 1 to 6
                                                          ├> sides       who was off, fees, strikes, draw record, marks
                                                          └> cases       suspension, judges, ban, lift, lapse

`formulas` is pure, `accounts` and `money` hold what outlives a job, `rows` counts which sentence of the rules a run reached,
`generate` plays random graphs, `properties` says what must hold after every block. `python -m tests.settlement` is the fuzzer.
`difference` compares two traces; `wrong` lists contracts with one error each that it must notice, `edits` makes them.

A driver of the real handlers (tests/settlement_driver.py, `--real`)
- gives `Player` its `Hashing` (the contract's tags) and `Naming` (ids of real transactions), runs it, and has a scenario;
- runs its blocks: chain clock and beacon are handed in, each message is made into a real one: losses into a Merkle-sum tree,
  `model` into a commitment, `holds` and `right` into a proof and a key that are good or not;
- makes a `BlockView` after every block and asks `difference.first`.

Not modelled: hashes of commitments and Merkle proofs (a message says whether its proof holds), images, parameters' bounds, the
bytes that a contractor's live jobs may have, parking, changes of the validator set, cancelled and extended jobs.
"""
