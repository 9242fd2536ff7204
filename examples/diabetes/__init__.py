"""How far will diabetes have gone in a year? Ten measurements of a patient; a number. job.py runs in the container."""
