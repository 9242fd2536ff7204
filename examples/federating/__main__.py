"""`python -m learningchain.examples.federating`"""

import sys

from learningchain.examples.federating import main

sys.exit(main())
