"""`python -m flowedit` is the command `flowedit`."""

from __future__ import annotations

import sys

from flowedit.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
