"""What a stranger can check of a federation on the ledger alone, and says of each thing whether it holds.

    blocks executed again --evidence--> steps: who said what, and what came of it
    steps --replay--> findings: OK, DIFFERS, UNCHECKED, each with its reason
        attempts   files, who decided, codes, accepted sets, sums, fees      (LC-FED-20 to 34)
        panels     votes, openings, quorum, loss, fees                      (LC-FED-35 to 39)
        payments   points, pots, shares, escrows, the end                   (LC-FED-40 to 46)
      of a federation with cells in their places, and first who is in which
        cells          dealing, resting, who missed and lost its place       (LC-FED-56, 58)
        cell_attempts  three aggregators: seals, Screens, sums, exclusions    (LC-FED-57 to 60)
        lists          losses of all directions, gains, the radius           (LC-FED-61, 62)
    base, delta, model --models--> whether the model lies where the recorded clip and number of updates put it (LC-FILE-34, 35)

Executing the blocks shows that the contract did what it does; the replay judges beside it, from what was signed, and so finds out
an index, an answer or a program that tells otherwise. Formulas are the ledger's own (`formulas`), which the vectors hold.
"""
