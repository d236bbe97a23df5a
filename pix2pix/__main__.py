"""`python -m pix2pix`: the same as the `pix2pix` command."""

import sys

from pix2pix.cli import main

if __name__ == "__main__":
    sys.exit(main())
