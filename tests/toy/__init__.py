"""A contract of a distribution of its own (`weather`), and what a program does that has it (`run`)."""
