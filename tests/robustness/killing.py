"""Run the program in processes that are killed at one of the places where they change the output.

Run as a script, so that it can fork: a process that has imported everything is not started anew
for every place. An audit hook of the interpreter sees every change of the file system before it
is made.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod"}


def in_child(work):
    """Do something in a forked process; return its exit code, or minus the signal."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def on_change(folder, react):
    """Call a function before every change of a file below a folder."""

    def hook(event, arguments):
        if event not in CHANGES or not str(arguments[0]).startswith(str(folder)):
            return
        if event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR):
            react()

    sys.addaudithook(hook)


def run(study, output, options):
    from bids_secondlevel.cli.main import main

    with contextlib.redirect_stderr(open(os.devnull, "w")):  # noqa: PTH123
        return main([str(study), str(output), *options])


def count_changes(study, output, options):
    """Run undisturbed, and count the changes."""
    reading, writing = os.pipe()

    def work():
        on_change(output, lambda: os.write(writing, b"."))
        return run(study, output, options)

    assert in_child(work) == 0
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        return len(file.read())


def kill_at(place, number, study, output, options):
    """Run, and kill at a place; return the exit code."""
    left = place

    def react():
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), number)

    def work():
        on_change(output, react)
        return run(study, output, options)

    return in_child(work)


def prepared(output, before):
    if Path(before).exists():
        shutil.copytree(before, output)
    return output


def main(study, base, before, number, n_places, *options):
    """Leave, for each place, the output of the killed run and that of the next.

    `before` is a folder that the output begins with; nothing, if there is none.
    """
    import bids_secondlevel.cli.jobs
    import bids_secondlevel.group
    import bids_secondlevel.reports.charts.participant  # noqa: F401

    base = Path(base)
    n_changes = count_changes(study, prepared(base / "undisturbed" / "out", before), options)
    places = range(1, n_changes + 1)
    if int(n_places):
        # The fractional part of multiples of the golden ratio: spread evenly, in step with nothing.
        spread = (1 + int(n * 0.618034 % 1 * n_changes) for n in range(int(n_places)))
        places = list(dict.fromkeys(spread))
    signals = number.split(",")
    by = {place: signals[n % len(signals)] for n, place in enumerate(places)}
    codes = {}
    for place in places:
        output = prepared(base / str(place) / "out", before)
        killed = kill_at(place, signal.Signals[by[place]], study, output, options)
        if output.exists():
            shutil.copytree(output, base / str(place) / "killed")
        codes[place] = killed, in_child(lambda output=output: run(study, output, options))
    print(json.dumps({"changes": n_changes, "codes": codes, "signals": by}))


if __name__ == "__main__":
    main(*sys.argv[1:])
