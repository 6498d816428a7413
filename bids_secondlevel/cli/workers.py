"""Work in several processes that end together with the program.

A server process imports the libraries once. Every worker is a copy of it.
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
"""Modules that take long to import and that most participants need."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
"""Numbers of threads of linear algebra libraries: one each, because processes share CPUs."""

_PATIENCE = 1.0
"""Seconds that workers have to remove files they were writing."""


def count_cpus() -> int:
    """Count the CPUs that this process may use, by its affinity and the limits of its container."""
    import joblib

    n: int = joblib.cpu_count()
    return n


def prepare() -> None:
    """Start the server, which imports what workers need while this process goes on."""
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
    """Apply a function to many items, `n` at a time. Results come in the order of the items.

    If the caller stops before the end, for example by an interruption, the workers are ended.

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
    """Let a worker end at SIGTERM, and also when the program has been killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program handles it, and ends its workers
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end(_signal: int, _frame: Any) -> None:
    sys.exit(128 + signal.SIGTERM)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
