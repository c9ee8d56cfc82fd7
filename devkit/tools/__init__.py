"""What is built from Go modules: one folder per upstream release, with the ``go.mod`` and ``go.sum`` that pin it."""
