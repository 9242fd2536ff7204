"""`python -m learningchain.examples.asking` runs the demo of predictions."""

import sys

from learningchain.examples.asking import main

sys.exit(main())
