"""Start workers that swallow every exception, and say when each of them is at it."""

import sys
import time
from pathlib import Path

from bids_secondlevel.cli import workers
from bids_secondlevel.cli.stopping import ended_by_signals


def never_end(path):
    path.touch()
    while True:
        try:
            time.sleep(60)
        except BaseException:  # noqa: BLE001 on purpose
            continue


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with ended_by_signals():
        list(workers.in_processes(never_end, [folder / "a", folder / "b"], 2))
