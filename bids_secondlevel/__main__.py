"""Run the program as ``python -m bids_secondlevel``."""

import sys

from bids_secondlevel.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
