"""The tables of docs/verification.md, out of the results; each stands between two marks that name it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .attacks import attacks
from .figures import DRAWS, EVALUATIONS, FRAMED, POOLS, SHARES, VALIDATORS, Results, colluders
from .picture import svg
from .ranges import Rate, bare, percent, short
from .targets import TARGETS

DOCS = Path(__file__).parents[2] / "docs"
PAGE, PICTURE = DOCS / "verification.md", DOCS / "pictures" / "verification.svg"
END = "<!-- end of table -->"
HEADS = {f"{share}": "a third" if share == 33 else f"{share} %" for share in SHARES}
NAMES = {
    "LogisticRegression": "digits, logistic regression",
    "MLPClassifier": "digits, small network",
    "RandomForestClassifier": "digits, random forest",
    "KNeighborsClassifier": "digits, nearest neighbours (95 % of the losses are 0)",
    "GaussianNB": "digits, naive Bayes (80 % below 0.001, mean 1.5)",
    "large": "10,000 examples, 88 % below 0.001",
}


def begin(name: str) -> str:
    return f"<!-- table: {name}, by make verification -->"


def rate(results: Results, key: str, *names: str) -> Rate:
    """The share of a cell in which one of these came out."""
    cell = results["cells"][key]
    return Rate(round(sum(cell[name] for name in names)), round(cell["tries"]))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join(lines)


def run(results: Results) -> str:
    cells = results["cells"]
    jobs = sum(cell.get("tries", cell.get("jobs", 0)) for cell in cells.values())
    apart = "".join(f" (cells {name}: {version})" for name, version in results.get("apart", {}).items())
    return (
        f"Version {results['version']}{apart}, seed {results['seed']}: {len(cells)} cells, {jobs / 1e6:,.0f} million jobs, "
        f"{results['jobs']:,} in a cell unless another number stands beside it. Ranges are 95 % (Wilson)."
    )


def targets(results: Results) -> str:
    rows = [[t.words, t.before, t.aim, t.now(results), "yes" if t.reached(results) else "**no**"] for t in TARGETS]
    return table(["", "first edition", "to reach", "now", "reached"], rows)


def _pools(results: Results, cell: Callable[[int, int], str]) -> str:
    return table(["pool", *HEADS.values()], [[str(pool), *(cell(pool, share) for share in SHARES)] for pool in POOLS])


def paid(results: Results, silent: int) -> str:
    return _pools(results, lambda pool, share: bare(rate(results, f"paid/{pool}/{share}/{silent}", "OK")))


def counts(results: Results) -> str:
    return _pools(results, lambda pool, share: str(colluders(pool, share)))


def accused(results: Results) -> str:
    def cell(pool: int, share: int) -> str:
        unpaid = rate(results, f"unpaid/{pool}/{share}/2", "FALSE", "REFUSED", "UNDECIDED")
        return f"{bare(unpaid)}; {bare(rate(results, f'suspended/{pool}/{share}/2', 'FALSE'))}"

    return _pools(results, cell)


def abstention(results: Results) -> str:
    shares = ("5", *list(HEADS)[:5])
    rows = []
    for words, name in (("they sit and abstain", "abstain"), ("they have not declared the capacity", "incapable")):
        for pool in (50, 100):
            row = [f"{words}, {pool} verifiers"]
            for share in shares:
                refused = "refused" in results["cells"][f"{name}/{pool}/{share}"]
                row.append("no posting" if refused else bare(rate(results, f"{name}/{pool}/{share}", "OK")))
            rows.append(row)
    return table(
        ["90 % of the honest cannot judge: false claim paid, %", *(HEADS.get(share, f"{share} %") for share in shares)], rows
    )


def small_pools(results: Results) -> str:
    rows = []
    for neutral in (1, 2):
        for silent in (0.02, 0.1):
            row = [str(neutral), f"{100 * silent:.0f} %"]
            for claim, names in (("false", ("OK",)), ("true", ("FALSE", "REFUSED", "UNDECIDED"))):
                for symmetric in (False, True):
                    row.append(bare(rate(results, f"helpers/{neutral}/{silent}/{claim}/{symmetric}", *names)))
            rows.append(row)
    head = [
        "neutral seats, honest",
        "silent",
        "false claim paid, %",
        "by a symmetric rule",
        "true claim not paid, %",
        "by a symmetric rule",
    ]
    return table(head, rows)


def draws(results: Results) -> str:
    words = {
        "held": "its message is held",
        "withheld": "and secrets are left out",
        "timed out": "and slots time out",
        "adjacent": "secrets left out, ids side by side",
        "both": "and slots time out",
    }
    rows = [
        [str(pool), str(validators), *(bare(rate(results, f"draw/{pool}/{validators}/{way}", "OK")) for way in DRAWS)]
        for pool in (100, 300)
        for validators in VALIDATORS
    ]
    return table(["verifiers", "validators", *(words[way] for way in DRAWS)], rows)


def lazies(results: Results) -> str:
    rows = []
    for name in EVALUATIONS:
        for kind in ("F64", "F32"):
            row = [NAMES[name], kind.lower()]
            for chooses in ("at random", "where another model erred most"):
                for widest in (False, True):
                    row.append(bare(rate(results, f"lazy/{name}/{kind}/{widest}/0.125/{chooses}", "paid")))
            rows.append(row)
    head = [
        "evaluation",
        "kind",
        "an eighth at random",
        "largest tolerance",
        "the eighth that was hard for another model",
        "largest tolerance",
    ]
    return table(head, rows)


def parts(results: Results) -> str:
    shares = (0.125, 0.5, 0.75, 0.875, 0.9375)
    row = [bare(rate(results, f"lazy/LogisticRegression/F32/False/{share}/at random", "paid")) for share in shares]
    return table(["part that it evaluates", *(f"{100 * share:g} %" for share in shares)], [["of the fees it gets, %", *row]])


def framed(results: Results) -> str:
    rows = [
        [
            str(verifiers),
            str(validators),
            *(bare(rate(results, f"framed/{verifiers}/{validators}/{jobs}", "banned")) for jobs in (1, 3)),
        ]
        for verifiers, validators in FRAMED
    ]
    return table(["verifiers", "of them validators", "banned, %: one job each", "three jobs each"], rows)


def dissent(results: Results) -> str:
    rows = []
    for many in (1, 5, 10, 20):
        cells = [results["cells"][f"dissent/{many}/{marks}"] for marks in (True, False)]
        rows.append([str(many), *(f"{cell['seats'] / cell['tries']:.2f}" for cell in cells)])
    return table(["of 100 verifiers dissent in every job", "seats a job, with marks", "without"], rows)


def taken(results: Results) -> str:
    cell = results["cells"]["takings"]
    return (
        f"In {cell['jobs']:,.0f} jobs of the second settlement's random graphs, {cell['against']:,.0f} of them with a verdict "
        "that took "
        f"a stake, verdicts took {cell['taken'] / 1e6:,.3f} credits of claimants and burned {cell['burned'] / 1e6:,.3f} of the "
        "contractors' "
        f"own bonds; {cell['fees'] / 1e6:,.3f} went in fees besides. The most that one job took beyond its bond: "
        f"{short(cell['most'])}."
    )


def barred(results: Results) -> str:
    one = [cell for key, cell in results["cells"].items() if key.startswith("campaigns") and key.endswith("/1")]
    three = [cell for key, cell in results["cells"].items() if key.startswith("campaigns") and key.endswith("/3")]
    share = percent(Rate(round(sum(cell["barred"] for cell in one)), round(sum(cell["tries"] for cell in one))))
    return (
        f"One contractor, {sum(cell['jobs'] for cell in one):,.0f} jobs in campaigns of 400: barred are {share} of the verifiers. "
        f"Three contractors of different roots in turn: up to {max(cell['most'] for cell in three):.0f} of 30."
    )


def blocks(results: Results, beside: dict[str, str]) -> dict[str, str]:
    """`beside`: what each model's run beside the handlers said."""
    return {name: f"```\n{told.strip()}\n```" for name, told in beside.items()} | {
        "run": run(results),
        "targets": targets(results),
        "colluders": counts(results),
        "paid, 2 % silent": paid(results, 2),
        "paid, 10 % silent": paid(results, 10),
        "accused": accused(results),
        "abstention": abstention(results),
        "small pools": small_pools(results),
        "draws": draws(results),
        "lazy": lazies(results),
        "parts": parts(results),
        "framed": framed(results),
        "dissent": dissent(results),
        "taken": taken(results),
        "barred": barred(results),
        "attacks": table(["attack", "rule against it", "what it gets now"], [list(row) for row in attacks(results)]),
    }


def placed(page: str, found: dict[str, str]) -> str:
    """The page with these blocks between their marks. Raises ValueError where one has no place, or a place no block."""
    if missing := [name for name in found if begin(name) not in page]:
        raise ValueError(f"the page has no place for: {', '.join(missing)}")
    if page.count("<!-- table: ") != len(found):
        raise ValueError("the page has a place for a table that nobody makes")
    for name, block in found.items():
        before, _, rest = page.partition(begin(name))
        _, end, after = rest.partition(END)
        if not end:
            raise ValueError(f"the place for {name} has no end: {END}")
        page = f"{before}{begin(name)}\n\n{block}\n\n{END}{after}"
    return page


def write(results: Results, beside: dict[str, str]) -> None:
    PAGE.write_text(placed(PAGE.read_text(), blocks(results, beside)))
    PICTURE.write_text(svg(results))
