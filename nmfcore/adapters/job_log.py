"""What a job says: to its log file and to the terminal, its errors in words."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nmfcore.errors import NmfcoreError

log = logging.getLogger("nmfcore")


@contextmanager
def told(log_file: str) -> Iterator[None]:
    """Log to a file and to the terminal, and end with a message instead of a traceback where one is meant."""
    handlers: list[logging.Handler] = [
        logging.FileHandler(log_file, mode="w", encoding="utf-8"),
        logging.StreamHandler(),
    ]
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    except NmfcoreError as error:
        log.error("%s", error)
        sys.exit(1)
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
