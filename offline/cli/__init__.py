"""A stand-in for the Pulumi CLI on machines that cannot have it. It says so in ``pulumi about``; production uses the CLI."""
