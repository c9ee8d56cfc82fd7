"""The Pulumi components, the only place that declares resources. Importing the package itself loads no Pulumi.

program    the whole program, as __main__.py and the Automation API run it
stack      Stack: namespace, provider, modules
module         Module: Database, Migration, Worker, Release
database       Database: the Job that makes the database
migration      Migration: the Job that gates a version
dropping       drops databases, in a destroy that was asked to
record         the version a database was migrated to, kept with it
worker         Worker: the one Deployment beside an API that must not run in two versions at once
release        Release: Deployment, PodDisruptionBudget, autoscaler and Service
gateway        Gateway: Caddyfile, its validation, the release behind it, Ingress
configuration  Secrets and ConfigMaps named by their content, environment variables
workload       the pods of Worker and Release
network        who may connect to the stack's pods
guards         hooks that refuse what would break what serves
broker         Topics: the stack's stream in NATS and its consumers
termination_message, foreign_text, redact  what pods say: read, and made safe to show
cluster        what the guards ask the live cluster
kubeconfig     which cluster that is
"""
