"""`make verification`: what the job contract's rules are worth, in figures with their ranges; docs/verification.md shows them.

Three parts:

- the models of jobs, predictions and federations beside the product's handlers in random graphs: results/settlement.txt,
  predictions.txt, federations.txt;
- the Monte Carlo of the product's rules (`chain.verification`), at least a million jobs a cell: results/figures.json;
- the page's tables and its picture, from both.

    figures      every cell: its name, its jobs, what plays it
      committees     who collude in a pool      exact       the same as sums, without chance
      helpers        pools below three          beacons     draws that somebody tries to choose
      contractors    lying evaluators: records  damage      the same: money
      lazy           a part of an evaluation    dissent     who dissents in each job
      judges         two contractors at once    noise       float32 on different machines
    ranges       a share with its 95 % range
    attacks      attack, rule, figure: the page's long table
    page         tables into docs/verification.md
    picture      the SVG beside it

Nothing here is part of the product, and nothing changes the rules: `helpers.symmetric` alone is a rule that the product lacks.
"""
