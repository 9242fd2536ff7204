"""Federated training on a node: its arithmetic (protocol_spec/federation-files.md) and the machines that use it.

    local, base --updates--> x --masks--> update file --> rows --screening--> Screen
                                  update files, sums of masks --summing--> sum --> delta, model

    places      what a hash or a box is bound to: chain, federation, round, attempt
    tensors     strict safetensors
    updates     x of two models, the update file, its boxes
    masks       key streams, masks and their sums
    rows        sketches of 64 rows, and of two more where there is a reference
    reference   those two rows: the sponsor's direction, and what is new in it
    screening   codes, points, norm and digest of a Screen
    summing     sum, delta and the next model
    noise       exact discrete Gaussian noise
    vault       a model that its owner gets back, also by shares of others

    ledger, files, runs --> member, aggregator, panel, sponsor --effects--> messages, runs, tasks, files served
                                  looking, making, steps, tasks    what they share      computing   does the tasks
                                  vaulting, keeping, ring          the member's vaults, those it keeps for others, who keeps whose
                                  channel                          what nodes tell each other
                                  cleanup, best_round              what is given up, and what outlives the end for who audits it

What follows holds of the arithmetic, which the machines have done beside their loop (`tasks`), and never import themselves:

Bytes and arrays in, bytes and arrays out: nothing here reads a clock, a file or a source of randomness. What is large passes in
pieces. It takes milliseconds to minutes, so callers run it beside their loop. Nothing else of a node needs numpy, which comes with
the extra `federation`.
"""
