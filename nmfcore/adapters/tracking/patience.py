"""How long a store may hold up a sweep: a few seconds more than publishing takes where all is well."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SERVER_S = 5.0
# Other sweeps may hold a file for a while, and its disk may be slow.
FILE_S = 120.0
# What a request may take at a server that is well, be it far away.
REQUEST_S = 0.2
# For a last request that ends an open run.
LAST_S = 2.0
_WATCH_S = 0.5
_SIGNAL = signal.SIGUSR1  # MLflow takes SIGALRM, and the timer with it, for its own


class OutOfTime(BaseException):
    """The store has used up what it may take. No `Exception`, so that MLflow neither tries again nor renames it."""


class Patience:
    """Until when a store may take, put off by what it gets done.

    Parameters
    ----------
    seconds : float
        What it may take beyond that; infinite for no limit.
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether it is time to leave the rest."""
        return time.monotonic() > self._deadline

    def allow(self, n_requests: int) -> None:
        """Give the time of some more requests, which were answered."""
        self._deadline += n_requests * REQUEST_S

    def check(self) -> None:
        """Begin nothing more once it is over.

        Raises
        ------
        OutOfTime
        """
        if self.is_over:
            raise OutOfTime

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do what the store has no part in."""
        left, self._deadline = self._deadline - time.monotonic(), math.inf
        try:
            yield
        finally:
            self._deadline = time.monotonic() + left

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Break off even a request that hangs, where the caller is the main thread; else only `check` helps.

        Raises
        ------
        OutOfTime
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ring(_number: int, _frame: object) -> None:
            if self.is_over:
                self._deadline = time.monotonic() + LAST_S
                raise OutOfTime

        def watch() -> None:
            while not over.wait(_WATCH_S):
                if self.is_over:
                    signal.pthread_kill(caller, _SIGNAL)

        over, caller = threading.Event(), threading.get_ident()
        before = signal.signal(_SIGNAL, ring)
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._deadline = math.inf
            over.set()
            watcher.join()
            signal.signal(_SIGNAL, before)
