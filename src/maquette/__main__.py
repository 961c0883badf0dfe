"""`python -m maquette` is `maquette`."""

import sys

from maquette.cli import main

sys.exit(main())
