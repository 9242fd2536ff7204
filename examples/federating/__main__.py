"""`python -m examples.federating`"""

import sys

from examples.federating import main

sys.exit(main())
