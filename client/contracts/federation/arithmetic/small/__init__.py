"""The arithmetic of models of fewer than 1,024 values: unit updates and their proofs, sums of cells, candidates. numpy alone."""
