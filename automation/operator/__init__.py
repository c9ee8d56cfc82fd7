"""Reads the configuration of a Formance operator's stack and writes it as ours.

objects         Kubernetes objects, and which of their fields were read
values          the forms of the operator's settings
settings        its Settings, found as it finds them
draft           the stack that is being written, with its Secrets and what is to be done
infrastructure  databases, broker, Temporal, telemetry, registries
modules         one module
translate       all of it
forward         the forwarder from the operator's gateway to ours
write           files, and what to say about them
errors          why a stack cannot be imported
"""

from .errors import CannotImport, WhichStack
from .translate import Imported, translate
from .write import Written, import_files, text

__all__ = ["CannotImport", "Imported", "WhichStack", "Written", "import_files", "text", "translate"]
