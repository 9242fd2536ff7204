"""`python -m examples.asking` runs the demo of predictions."""

import sys

from examples.asking import main

sys.exit(main())
