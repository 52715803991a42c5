"""One thread for BLAS inside a batch, whose products are many and not large.

Threads of BLAS would wait for each other at every product: on cores that others use too, most of the time. Work is
shared out by groups of runs, and by folds, instead (`nmfcore.groups`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


@cache
def _libraries() -> ThreadpoolController:
    """The BLAS libraries of this process; numpy and scipy have loaded theirs when the first batch begins."""
    return ThreadpoolController()


def one_blas_thread(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Let BLAS use one thread while a function runs, and as many as before after it."""

    @wraps(function)
    def limited(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        with _libraries().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited
