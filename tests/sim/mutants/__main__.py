"""Run every mutant until it is caught, and print a table.

python -m tests.sim.mutants [--seeds 2000] [--jobs 2] [--only WORDS] [--out FILE] [--note]
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.sim.mutants import MUTANTS
from tests.sim.mutants.hunt import KNOWN, Caught, hunt, known, unseen

SAMPLE = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description="Run every mutant until it is caught.")
    parser.add_argument("--seeds", type=int, default=2_000, help="most seeds for each")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--only", default="", help="mutants whose name or scene holds these words")
    parser.add_argument("--out", type=Path, help="write the table here, too")
    parser.add_argument("--note", action="store_true", help="note the seed that caught each: the tests begin with it")
    given = parser.parse_args()
    names = [name for name, m in MUTANTS.items() if given.only in name or given.only == m.where]
    lines = ["| mutant | where | seed | caught by |", "|---|---|---|---|"]
    survivors = []
    seeds = dict(known())
    print("\n".join(lines))
    with ProcessPoolExecutor(given.jobs) as pool:
        for name, hunted in [(name, pool.submit(hunt, name, given.seeds)) for name in names]:
            caught = hunted.result()
            if caught.seed is None:
                survivors.append(name)
            else:
                seeds[name] = caught.seed
            lines.append(_line(caught))
            print(lines[-1], flush=True)
    lines += ["", f"{len(names)} mutants, {len(names) - len(survivors)} caught, {len(survivors)} survived"]
    lines += [f"{name} survived; it changed nothing in {unseen(name, SAMPLE)} of {SAMPLE} runs" for name in survivors]
    print("\n".join(lines[len(names) + 2 :]))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n")
    if given.note:
        KNOWN.write_text(
            json.dumps({name: seed for name, seed in sorted(seeds.items()) if seed and name in MUTANTS}, indent=1) + "\n"
        )
    return 1 if survivors else 0


def _line(c: Caught) -> str:
    by = c.run.checker.replace("|", "\\|") if c.run else "nobody"
    return f"| {c.name} | {MUTANTS[c.name].where or 'drawn by seed'} | {'-' if c.seed is None else c.seed} | {by} |"


if __name__ == "__main__":
    sys.exit(main())
