"""The Pulumi components, the only place that declares resources.

program    the whole program, as __main__.py and the Automation API run it
stack      Stack: namespace, provider, modules
module     Module: Database, Migration, Release
database   Database: the credentials' Secret and the Job that makes the database
migration  Migration: the Job that gates a version
release    Release: Deployment, PodDisruptionBudget and Service
gateway    Gateway: Caddyfile, its validation, the release behind it, Ingress
objects    Kubernetes objects as Pulumi resources
guards     hooks that refuse what would break what serves
cluster    what the guards ask the live cluster
kubeconfig which cluster that is
"""

from .errors import ProgramError
from .names import Owner
from .program import program
from .stack import Stack

__all__ = ["Owner", "ProgramError", "Stack", "program"]
