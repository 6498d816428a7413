"""Work in several processes, which end with the program that started them.

A server imports everything once, and every worker is a copy of it.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_IMPORTED_ONCE = (
    "bids_secondlevel.participant",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "matplotlib.style",
    "pandas",
    "scipy.sparse.csgraph",
    "scipy.spatial",
    "scipy.special",
)
"""Modules that take long to import, and that most participants need."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
"""How many threads libraries of linear algebra use in a process: one, as processes share CPUs."""

_PATIENCE = 1.0
"""Seconds that workers have to remove a file that they were writing."""


def count_cpus() -> int:
    """Count the CPUs that may be used, by the affinity of this process and its container."""
    import joblib

    n: int = joblib.cpu_count()
    return n


def prepare() -> None:
    """Let the server import what workers need, while this process does other things."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(_IMPORTED_ONCE))
    before = {name: os.environ[name] for name in _THREADS if name in os.environ}
    os.environ |= {**dict.fromkeys(_THREADS, "1"), **before}
    try:
        forkserver.ensure_running()
    finally:
        for name in _THREADS:
            if name not in before:
                del os.environ[name]


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], n: int
) -> Generator[Result]:
    """Do the same with many things, `n` at a time; results come in the order of the things.

    If this is left before the end, by an interruption too, the workers are ended.

    Raises
    ------
    BrokenExecutor
        If a worker was killed.
    """
    context = multiprocessing.get_context("forkserver")
    executor = ProcessPoolExecutor(n, mp_context=context, initializer=_begin)
    try:
        yield from executor.map(work, items)
        executor.shutdown()
    finally:
        workers = multiprocessing.active_children()
        for worker in workers:
            worker.terminate()
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.join(_PATIENCE)
            worker.kill()


def _begin() -> None:
    """Let a worker end at SIGTERM, and when the program is gone, whatever killed it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program is interrupted, and ends it
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end(_signal: int, _frame: Any) -> None:
    sys.exit(128 + signal.SIGTERM)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
