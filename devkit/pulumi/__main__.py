"""``python -m devkit.pulumi``: builds the Pulumi CLI and its plugins, if they are not there, and prints where they are."""

from __future__ import annotations

import argparse
import sys

from automation.errors import UnsupportedPulumi
from devkit import pulumi
from devkit.cluster.errors import BuildError
from devkit.cluster.progress import Progress


def main() -> int:
    argparse.ArgumentParser(prog="python -m devkit.pulumi", description=__doc__).parse_args()
    try:
        print(pulumi.install(Progress()).executables / "pulumi")
    except (BuildError, UnsupportedPulumi) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
