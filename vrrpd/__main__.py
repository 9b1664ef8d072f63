"""``python -m vrrpd`` is the ``vrrpd`` command."""

import sys

from vrrpd.cli import main

if __name__ == "__main__":
    sys.exit(main())
