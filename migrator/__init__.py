"""A transactional migration runner for PostgreSQL: plain SQL files, psycopg, nothing else.

result = migrator.run("postgresql://...", Path("sql"), migrator.Settings(lock_timeout=1))
"""

from migrator.errors import MigratorError, Terminated
from migrator.runner import Result, run
from migrator.settings import Settings

__all__ = ["MigratorError", "Result", "Settings", "Terminated", "run"]
