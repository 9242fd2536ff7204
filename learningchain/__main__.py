"""`python -m learningchain` is the command `learningchain`."""

from learningchain import main

if __name__ == "__main__":
    raise SystemExit(main())
