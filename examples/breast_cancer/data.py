"""Wolberg, Mangasarian, Street, Street: Breast Cancer Wisconsin (Diagnostic), 1995, https://doi.org/10.24432/C5DW2B (CC BY 4.0)."""

from __future__ import annotations

from learningchain.examples.data import bundled, split

MEASURES = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave_points", "symmetry"),
    "fractal_dimension",
)
NAMES = tuple(f"{kind}_{measure}" for kind in ("mean", "error", "worst") for measure in MEASURES)
SHA256 = "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed"


def split_rows() -> tuple[bytes, bytes]:
    """(train.csv, eval.csv): thirty measurements, then 0 for malignant or 1 for benign. Raises DataMissing."""
    lines = bundled("breast_cancer.csv", SHA256).decode().splitlines()[1:]
    return split([*NAMES, "truth"], (line.split(",") for line in lines))
