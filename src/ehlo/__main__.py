"""`python -m ehlo`."""

import sys

from ehlo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
