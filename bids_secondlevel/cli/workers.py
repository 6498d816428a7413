"""Work in several processes that end together with the program.

A server process imports the libraries once. Every worker is a copy of it.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from typing import Any, TypeVar

from bids_secondlevel.cli.stopping import PATIENCE, do_or_end, end_worker
from bids_secondlevel.core.settings import Settings

Item = TypeVar("Item")
Result = TypeVar("Result")

_OF_PAGES = ("bids_secondlevel.reports.participant_page", "contourpy", "jinja2")
"""Modules that pages need, besides those that all participants need."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
"""Numbers of threads of linear algebra libraries: one each, because processes share CPUs."""


def count_cpus() -> int:
    """Count the CPUs that this process may use, by its affinity and the limits of its container."""
    import joblib

    n: int = joblib.cpu_count()
    return n


def count_processes(n_participants: int, settings: Settings) -> int:
    """Count the processes that work on participants: 1 is the program itself."""
    if n_participants == 1 or settings.dry_run:
        return 1
    n = min(settings.n_procs or count_cpus(), n_participants)
    return n if n == 1 or are_possible() else 1


def are_likely(settings: Settings) -> bool:
    """Tell from the settings alone whether several participants will be processed together."""
    is_several = len(settings.participant_label) != 1 and settings.n_procs != 1
    return is_several and not settings.dry_run and (os.cpu_count() or 1) > 1 and are_possible()


def are_possible() -> bool:
    """Tell whether processes can work together: a container without ``/dev/shm`` has no locks."""
    try:
        multiprocessing.get_context("forkserver").Lock()
    except OSError:
        return False
    return True


def prepare(*, pages: bool) -> None:
    """Start the server, which imports what workers need while this process goes on."""
    modules = ["bids_secondlevel.cli.libraries", *(_OF_PAGES if pages else ())]
    multiprocessing.get_context("forkserver").set_forkserver_preload(modules)
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
    executor = ProcessPoolExecutor(n, mp_context=context, initializer=_begin, initargs=(work,))
    try:
        yield from executor.map(_do, items)
        executor.shutdown()
    finally:
        workers = multiprocessing.active_children()
        for worker in workers:
            worker.terminate()
        executor.shutdown(wait=False, cancel_futures=True)
        end = time.monotonic() + 2 * PATIENCE
        for worker in workers:
            worker.join(max(0, end - time.monotonic()))
            worker.kill()


_AT_WORK: list[Callable[[Any], Any]] = []
"""What a worker does with each item. It may be large, and is sent to each worker only once."""


def _begin(work: Callable[[Any], Any]) -> None:
    """Let a worker end at SIGTERM, and also when the program has been killed."""
    _AT_WORK.append(work)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program handles it, and ends its workers
    signal.signal(signal.SIGTERM, end_worker)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _do(item: Any) -> Any:
    return do_or_end(_AT_WORK[0], item)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
