"""What `learningchain doctor` looks at, and what it makes of it.

    looks (files, machine, node) -> findings -> the worst of them is the exit code

Looks read the disk, the engine, the network and the node's API, each in a thread of its own, and change nothing. What is judged is
plain functions over what they read. A look that does not end in time is a finding, too.
"""
