"""The commands, a function each. Every one takes the parsed arguments and returns an exit code, None for 0."""
