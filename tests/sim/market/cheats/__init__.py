"""Adversaries of the market, one file each. What each must not achieve is checked in books.py, verdicts.py and checks.py."""
