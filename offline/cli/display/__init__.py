"""Engine events as the CLI prints them. A display is a pure function of events: ``show`` for each, ``close`` after the last.

progress   without a terminal        documents  --json
diff       --diff                    text       what they share
"""
