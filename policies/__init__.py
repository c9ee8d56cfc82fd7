"""A CrossGuard pack that proves at preview that no change gets around the gate. docs/policies.md has every rule.

rules       one file per rule: reason, configuration, examples
rule        what a rule is, and how it is applied
values      resources as the rules see them
kubernetes  pods, containers, selectors
images      image references
selection   which objects select which pods
unpack      makes the SDK's host fast enough for hundreds of resources
commands    what a container's command does of migrations
shell       whether a script fails when a command in it does
shell_syntax the grammar of such a script
migration   which Jobs are migrations, and of what
databases   which database a container's variables name
references  who uses a ConfigMap or Secret
credentials what looks like one
adapter     rules as policies of pulumi_policy
levels      levels and options per environment, from config/<stack>.json
judge       a whole program at once, without a pack host
state       the resources of an exported state
reference   docs/policies.md's list of rules
"""
