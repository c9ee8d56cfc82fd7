"""A stand-in for the Pulumi CLI on machines that cannot have it. It says so in ``pulumi about``; production uses the CLI.

cli        arguments to calls                     backend, config, secrets   the file backend, as the CLI lays it out
update     one preview/up/refresh/destroy         display                    events to text and JSON
monitor    gRPC services the program talks to     program                    runs the user's program
steps      same/create/update/replace/delete      policy                     policy packs
providers  kubernetes and command, in this process
"""

VERSION = "v3.260.0"
"""The release of the CLI whose behaviour is imitated; what ``pulumi version`` prints, because clients check it."""
