"""Import what all participants need, at once.

Imports make many objects, none of which is garbage. To look for it takes a fifth of the time of a
start, and would be done again for each participant.
"""

import gc
from importlib import import_module

_NEEDED = (
    "bids.layout",
    "bids_secondlevel.cli.jobs",
    "bids_secondlevel.participant",
    "pandas",
    "scipy.sparse.csgraph",
)

gc.disable()
for _name in _NEEDED:
    import_module(_name)
gc.freeze()
gc.enable()
