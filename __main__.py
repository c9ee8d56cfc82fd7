"""The Pulumi program of a stack whose modules are upgraded behind their migrations. The work is in components/."""

from components.program import program

program()
