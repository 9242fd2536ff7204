"""Is a tumour malignant? Thirty measurements of cell nuclei; two classes. job.py runs in the container."""
