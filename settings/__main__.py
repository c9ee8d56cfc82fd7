"""Prints what is made of the settings' models.

python -m settings > docs/settings.md
python -m settings schema > settings/schema.json
"""

import json
import sys

from .reference import page, schema

print(json.dumps(schema(), indent=1, ensure_ascii=False) if sys.argv[1:] == ["schema"] else page().rstrip("\n"))
