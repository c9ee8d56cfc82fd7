"""The deployment engine of the stand-in for the Pulumi CLI: one preview, up, refresh or destroy, from a state to the next.

update     one operation from beginning to end     planner    which steps a registration takes
monitor    gRPC services the program talks to      steps      same/create/update/replace/delete
hooks      the program's functions around steps    executor   runs steps side by side
policy     policy packs                            journal    the state as it is after every step

It knows no files of a stack (``offline.backend``), no kind of resource (``offline.providers``), no
program's process (``offline.language``) and no screen (``offline.cli``).
"""

VERSION = "v3.260.0"
"""The release of the CLI whose behaviour is imitated; what ``pulumi version`` prints, because clients check it."""
