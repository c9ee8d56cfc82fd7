"""The executable: ``python -m offline.cli`` or, from any folder, ``offline/cli/bin/pulumi``."""

from __future__ import annotations

import sys

if not __package__:
    # Run as a file. The repository goes last on the path, so that it shadows nothing the program imports.
    sys.path.append(__file__.rsplit("/offline/", 1)[0] if "/offline/" in __file__ else ".")

if __name__ == "__main__":
    if sys.argv[1:] == ["version"]:  # clients ask this before every call
        from offline.engine import VERSION

        print(VERSION)
        sys.exit(0)
    from offline.cli.main import main

    sys.exit(main(sys.argv[1:]))
