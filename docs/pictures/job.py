"""Draws the life of a job from what was watched: `python docs/pictures/job.py WATCHED.jsonl OUT.svg`, where the first file is the
output of `learningchain job watch JOB --json`.

Every mark is an event of that run at its time on the chain clock. The stages are drawn as wide as they are interesting: the figures
below the axis are the seconds.
"""

from __future__ import annotations

import html
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STAGES = {"OPEN": 440.0, "REVEAL": 150.0, "COMMIT": 150.0, "COUNT": 80.0, "END": 150.0}
"""Pixels of each stage."""
MEANS = {
    "OPEN": "workers train, the lowest loss leads",
    "REVEAL": "models are named",
    "COMMIT": "a committee evaluates",
    "COUNT": "votes open",
    "END": "",
}
COLOURS = {"OPEN": "#2f6f9f", "REVEAL": "#7a5aa6", "COMMIT": "#a8722a", "COUNT": "#8a6a3a", "END": "#3c8a4e"}
INK, FAINT, PAPER, GOOD = "#d8dee9", "#7a869c", "#1d2330", "#8fc07a"
LEFT, TOP, LANE, PAD = 130.0, 92.0, 46.0, 14.0


@dataclass
class Seen:
    """What was watched, in milliseconds of the chain clock."""

    job: dict[str, Any]
    begins: dict[str, int] = field(default_factory=dict)
    """When each stage was seen first."""
    claims: dict[tuple[str, str], int] = field(default_factory=dict)
    """(claimant, loss): when it was claimed."""
    votes: dict[tuple[str, str], int] = field(default_factory=dict)
    """(voter, "committed" or "opened"): when it was seen first."""

    def at(self, time: int) -> float:
        """Where a time lies on the axis."""
        names = [name for name in STAGES if name in self.begins]
        left = LEFT
        for name, after in zip(names, [*names[1:], ""], strict=True):
            start, end = self.begins[name], self.begins.get(after, self.begins[name] + 1)
            if time < end or not after:
                return left + STAGES[name] * min(1.0, max(0.0, (time - start) / (end - start)))
            left += STAGES[name]
        return left


def read(path: Path) -> Seen:
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    seen = Seen(lines[-1]["job"])
    seen.begins["OPEN"] = seen.job["posted"]
    for line in lines:
        job, clock = line["job"], line["clock"]
        state = job["state"] if job["state"] in STAGES else "END"
        seen.begins.setdefault(state, seen.job["expiry"] if state == "REVEAL" else clock)
        for claim in job["claims"]:
            seen.claims.setdefault((claim["claimant"], claim["loss"]), claim["claimed"])
        for seat in (seat for round_ in job["rounds"] for seat in round_["committee"]):
            for what in ("committed", "opened"):
                if seat[what]:
                    seen.votes.setdefault((seat["voter"], what), clock)
    return seen


def text(x: float, y: float, words: str, fill: str = INK, anchor: str = "start", size: float = 12.0, more: str = "") -> str:
    look = f'fill="{fill}" font-size="{size:g}" text-anchor="{anchor}"{more}'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{html.escape(words, quote=False)}</text>'


def stages(seen: Seen, bottom: float) -> list[str]:
    """Bands, their names, and the seconds since the posting at which they began."""
    parts, left = [], LEFT
    for name in (name for name in STAGES if name in seen.begins):
        width, title = STAGES[name], name if name != "END" else str(seen.job["state"])
        parts.append(f'<rect x="{left:g}" y="{TOP - 52:g}" width="{width - 2:g}" height="40" rx="4" fill="{COLOURS[name]}"/>')
        parts.append(text(left + 8, TOP - 35, title, "#ffffff", size=13, more=' font-weight="bold"'))
        parts.append(text(left + 8, TOP - 19, MEANS[name], "#e8edf5", size=11))
        parts.append(f'<path d="M{left:g} {TOP - 8:g}V{bottom:g}" stroke="{FAINT}" stroke-dasharray="2 4"/>')
        seconds = (seen.begins[name] - seen.begins["OPEN"]) / 1000
        parts.append(
            text(left, bottom + 16, f"{seconds:.0f} s" if seconds == round(seconds) else f"{seconds:.1f} s", FAINT, size=11)
        )
        left += width
    return parts


def lanes(seen: Seen) -> list[str]:
    """Who takes part: the contractor, those who claimed in the order of their rank, and the rest of the committee."""
    people = [claim["claimant"] for claim in seen.job["claims"]]
    people += [voter for voter, what in seen.votes if what == "committed" and voter not in people]
    return [seen.job["poster"], *people]


def mark(x: float, y: float, shape: str, fill: str, title: str) -> str:
    told = f"<title>{html.escape(title)}</title>"
    if shape == "dot":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}">{told}</circle>'
    if shape == "ring":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{PAPER}" stroke="{fill}" stroke-width="2">{told}</circle>'
    return f'<path d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z" fill="{fill}">{told}</path>'


def happenings(seen: Seen, rows: dict[str, float], end: float) -> list[str]:
    job, parts = seen.job, []
    poster, winner = job["poster"], job.get("winner")
    parts.append(mark(LEFT, rows[poster], "diamond", INK, "the job is posted"))
    parts.append(text(LEFT + 12, rows[poster] + 4, f"posts the image; {job['bounty']} credits and the fees are locked"))
    leader: str | None = None
    best = min(float(claim["loss"]) for claim in job["claims"])
    numbers: dict[str, int] = {}
    for (claimant, loss), time in sorted(seen.claims.items(), key=lambda item: item[1]):
        numbers[claimant] = numbers.get(claimant, 0) + 1
        x, y = seen.at(time), rows[claimant]
        leads = leader is None or float(loss) < float(leader)
        leader = loss if leads else leader
        parts.append(mark(x, y, "dot", GOOD if leads else FAINT, f"claims loss {loss}"))
        above = numbers[claimant] % 2  # two claims may be close to each other
        parts.append(
            text(x, y - 10 if above else y + 18, f"{float(loss):.4f}", GOOD if float(loss) == best else FAINT, "middle", 11)
        )
    for claim in job["claims"]:
        if claim["revealed"] and "REVEAL" in seen.begins:
            parts.append(
                mark(seen.at(seen.begins["REVEAL"]) + 18, rows[claim["claimant"]], "diamond", "#c58fd0", "reveals its model")
            )
    for (voter, what), time in seen.votes.items():
        shape = "ring" if what == "committed" else "dot"
        stage = "COMMIT" if what == "committed" else "COUNT"
        first = seen.at(seen.begins[stage]) + 12
        x = min(max(first, seen.at(time)), first + STAGES[stage] - 26)
        parts.append(mark(x, rows[voter], shape, "#e5c07b", f"{what} its vote"))
    if winner:
        parts.append(
            text(end - STAGES["END"] + 26, rows[winner] + 4, f"+{job['bounty']} credits", GOOD, more=' font-weight="bold"')
        )
        parts.append(text(end - STAGES["END"] + 26, rows[poster] + 4, "has the model", GOOD, more=' font-weight="bold"'))
    return parts


def svg(seen: Seen) -> str:
    people = lanes(seen)
    rows = {who: TOP + 26 + LANE * n for n, who in enumerate(people)}
    bottom = TOP + LANE * len(people) + 8
    end = LEFT + sum(width for name, width in STAGES.items() if name in seen.begins)
    names = dict.fromkeys(people, "verifier") | {c["claimant"]: "worker" for c in seen.job["claims"]} | {people[0]: "contractor"}
    parts = stages(seen, bottom)
    for number, who in enumerate(people):
        label = names[who] + (f" {chr(64 + number)}" if number else "")
        parts.append(text(PAD, rows[who] + 4, label, size=13))
        parts.append(f'<path d="M{LEFT:g} {rows[who]:g}H{end - 4:g}" stroke="#39435a"/>')
    parts += happenings(seen, rows, end)
    legend = [("dot", GOOD, "claim that leads"), ("dot", FAINT, "claim that does not"), ("diamond", "#c58fd0", "model revealed")]
    legend += [("ring", "#e5c07b", "vote committed"), ("dot", "#e5c07b", "vote opened")]
    for n, (shape, fill, words) in enumerate(legend):
        x = LEFT + 170.0 * n
        parts += [mark(x + 6, bottom + 42, shape, fill, words), text(x + 18, bottom + 46, words, FAINT, size=11)]
    w, h = end + PAD, bottom + 62
    title = f"A job of {seen.job['bounty']} credits, from its posting to {seen.job['state']}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:g} {h:g}" width="{w:g}" height="{h:g}" role="img" '
        f'font-family="system-ui,Helvetica,Arial,sans-serif"><title>{html.escape(title)}</title>'
        f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>{text(PAD, 24, title, size=14)}{"".join(parts)}</svg>\n'
    )


def main(argv: list[str]) -> int:
    if len(argv) != 2:
        sys.stderr.write("usage: python docs/pictures/job.py WATCHED.jsonl OUT.svg\n")
        return 2
    Path(argv[1]).write_text(svg(read(Path(argv[0]))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
