"""The command line: `app` holds the commands and turns errors into exit codes, the other modules are the commands.

0 ok, 1 refused by the rules (or a node that does not start), 2 wrong usage, 3 cannot reach the node, 70 a bug of ours, 130
interrupted. Nothing but results goes to standard output; with `--json` it is JSON, and errors are JSON on standard error.
"""
