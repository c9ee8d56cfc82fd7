"""Reads the configuration of a Formance operator's stack and writes it as ours.

settings     the operator's Settings, looked up as it does
translate    its objects -> our configuration, versions and what has no equivalent
write        files, and what to say about them
"""

from .translate import Imported, translate
from .write import Written, import_files, text

__all__ = ["Imported", "Written", "import_files", "text", "translate"]
