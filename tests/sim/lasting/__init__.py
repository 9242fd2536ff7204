"""Weeks of a graph in virtual time: nodes as the daemon composes them, whose trainings take hours and who are not always there."""
