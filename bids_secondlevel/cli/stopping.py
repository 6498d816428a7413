"""SIGTERM and Ctrl-C end a process for sure, and not with half a file on the disk.

Python turns a signal into an exception, which unwinds what was going on. It comes wherever the
process is just then, also where exceptions are swallowed: in ``__del__``, in a callback of a weak
reference.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from types import FrameType

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 0.3
"""Seconds that a worker has to remove a file that it was writing."""

_SOON = 0.01
"""Seconds until an exception that was swallowed is raised again."""

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a process that SIGTERM has ended."""


class Terminated(KeyboardInterrupt):
    """SIGTERM was received, for example from a scheduler. The program ends as after Ctrl-C."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does; no library can swallow either of them."""
    swallowed: list[type[BaseException]] = []

    def end(_signal: int, _frame: "FrameType | None") -> None:
        raise Terminated

    def end_again(_signal: int, _frame: "FrameType | None") -> None:
        raise swallowed.pop()

    def notice(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            swallowed.append(unraisable.exc_type)
            signal.setitimer(signal.ITIMER_REAL, _SOON)
        else:
            hook(unraisable)

    if threading.current_thread() is not threading.main_thread():  # where Python takes no signal
        yield
        return
    hook = sys.unraisablehook
    before = {
        number: signal.signal(number, handler)
        for number, handler in ((signal.SIGTERM, end), (signal.SIGALRM, end_again))
    }
    sys.unraisablehook = notice
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def end_worker(_signal: int, _frame: "FrameType | None") -> NoReturn:
    """End a worker at SIGTERM: at once, if it is not writing, and for sure after a moment."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)  # whose SIGALRM nothing can swallow
    sys.unraisablehook = lambda _: None
    sys.exit(TERMINATED)


def do_or_end(work: Callable[[Item], Result], item: Item) -> Result:
    """Do a piece of work in a worker, which a pool would let go on after :func:`end_worker`."""
    try:
        return work(item)
    except SystemExit:
        os._exit(TERMINATED)
