"""The lock that a killed Snakemake leaves behind.

Snakemake locks by files in .snakemake/locks, which a killed process cannot take back. So every process that reads this
workflow also holds a lock of the operating system, which ends with the process, however that ends. While nobody
holds it, what .snakemake/locks says of this sweep is stale. The same file tells whether .snakemake remembers what made
the results: if not, they are asked themselves.
"""

import fcntl
import platform

from nmfcore.adapters.recovery import forget_future, make_oldest, outdated_files
from snakemake.logging import logger


def hold_lock():
    """Remove what a killed Snakemake left locked, and return the open file whose lock says that this one lives."""
    alive = Path(f".snakemake/{config['name']}.alive")
    alive.parent.mkdir(exist_ok=True)
    file = open(alive, "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # somebody is at work; Snakemake finds out whether that matters
    except OSError:
        return file  # a file system without such locks
    else:
        file.seek(0)
        host = file.read()
        repair_dates(remembered=bool(host))
        # Some network file systems lock within one machine only: leave the locks of another one alone.
        if not remove_stale_locks(same_host=host == platform.node()):
            file.truncate(0)
            file.write(platform.node())
            file.flush()
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def repair_dates(remembered):
    """Take back dates in the future, and make files old that were not made as is asked for now and nobody else knows it."""
    future = forget_future(RESULTS)
    if future:
        logger.info(f"{len(future)} results were dated into the future: now.")
    outdated = [] if remembered else outdated_files(RESULTS, config)
    if outdated:
        logger.info(
            f".snakemake does not know what made {RESULTS}; {len(outdated)} files there are not what is asked for "
            "and are made anew."
        )
        make_oldest(outdated)


def remove_stale_locks(same_host):
    """Remove Snakemake's locks on files of this sweep; return whether some had to stay."""
    stale = [
        lock
        for lock in Path(".snakemake/locks").glob("*.lock")
        if any(line.startswith(f"{RESULTS}/") for line in lock.read_text().splitlines())
    ]
    if stale and same_host:
        logger.info(f"Removing the lock of a run of {config['name']} that was killed.")
        for lock in stale:
            lock.unlink()
    return bool(stale) and not same_host


ALIVE = hold_lock()
