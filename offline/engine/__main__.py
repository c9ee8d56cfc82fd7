"""The executable: ``python -m offline.engine`` or, from any folder, ``offline/engine/bin/pulumi``."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Run as a file. The repository goes last on the path, so that it shadows nothing the program imports.
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from offline.engine.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
