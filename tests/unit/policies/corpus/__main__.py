"""Prints how many bad programs are refused of all bad ones, and how many good ones accepted of all good ones."""

from __future__ import annotations

from tests.unit.policies.corpus import cases, refused

found = [(case, refused(case.program())) for case in cases()]
for case, said in found:
    if case.good == bool(said):
        print(f"{'false alarm' if case.good else 'missed'}: {case.name!r} {' '.join(said)[:200]}")
bad, good = ([said for case, said in found if case.good is kind] for kind in (False, True))
print(f"bad programs refused:  {sum(map(bool, bad))} of {len(bad)}")
print(f"good programs accepted: {sum(not said for said in good)} of {len(good)}")
