"""The rules, one a file."""

from __future__ import annotations

from ..rule import ResourceRule, StackRule
from . import (
    backup_before_migration,
    databases_protected,
    disruption_budget,
    gate,
    images_pinned,
    job_bounded,
    job_labels_disjoint,
    migration_fits,
    no_credentials_in_outputs,
    no_plaintext_credentials,
    nothing_unseen,
    pod_defaults,
    pod_security,
    resources,
    service_selects_one_version,
    sql_files,
    versioned_names,
    whole_modules,
    zero_downtime,
)

RULES: tuple[ResourceRule | StackRule, ...] = (
    gate.RULE,
    migration_fits.RULE,
    sql_files.RULE,
    versioned_names.RULE,
    whole_modules.RULE,
    nothing_unseen.RULE,
    job_bounded.RULE,
    job_labels_disjoint.RULE,
    service_selects_one_version.RULE,
    zero_downtime.RULE,
    disruption_budget.RULE,
    images_pinned.RULE,
    pod_defaults.RULE,
    pod_security.RULE,
    resources.RULE,
    no_plaintext_credentials.RULE,
    no_credentials_in_outputs.RULE,
    databases_protected.RULE,
    backup_before_migration.RULE,
)
