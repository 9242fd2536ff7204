"""Efron, Hastie, Johnstone, Tibshirani: Least Angle Regression, Annals of Statistics 32 (2004); scikit-learn bundles the data."""

from __future__ import annotations

from learningchain.examples.data import bundled, split

NAMES = (
    *("age", "sex", "body_mass_index", "blood_pressure", "total_cholesterol", "low_density_lipoproteins"),
    *("high_density_lipoproteins", "cholesterol_ratio", "log_triglycerides", "blood_sugar"),
)
ROWS_SHA256 = "86badf50b4f9436ddd1e497dc0ae1b93166f8120221ee7dca4634fe849f3be7c"
TRUTHS_SHA256 = "244713a551f62a291a354212d8a048adec6cb1244b2bc44e66a0698f5006d26d"


def split_rows() -> tuple[bytes, bytes]:
    """(train.csv, eval.csv): ten measurements, then how far the disease had gone a year later. Raises DataMissing."""
    rows = bundled("diabetes_data_raw.csv.gz", ROWS_SHA256).decode().splitlines()
    truths = bundled("diabetes_target.csv.gz", TRUTHS_SHA256).decode().splitlines()
    return split([*NAMES, "truth"], ([*row.split(), f"{float(truth):g}"] for row, truth in zip(rows, truths, strict=True)))
