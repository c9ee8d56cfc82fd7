"""Do the engines agree? The same scenarios on every engine there is, against what the Pulumi CLI was recorded doing.

scenarios    what is run, as data               recordings   what the CLI did, as files
program      what it is run on, with policies/   runner       runs a scenario, on any engine
facts        a run, without what differs between any two runs of one engine
compare      facts against facts; the reasons for differences that stay
"""
