"""What the Formance operator and its services really do, by their public sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FACTS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "modules.yaml").read_text())
MODULES: dict[str, dict[str, Any]] = FACTS["modules"]
