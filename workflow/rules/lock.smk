"""The lock that a killed Snakemake leaves behind.

Snakemake locks by files in .snakemake/locks, which a killed process cannot take back. So every process that reads this
workflow also holds a lock of the operating system, which ends with the process, however that ends. While nobody
holds it, what .snakemake/locks says of this sweep is stale.
"""

import fcntl
import platform

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
        # Some network file systems lock within one machine only: leave the locks of another one alone.
        if not remove_stale_locks(same_host=file.read() == platform.node()):
            file.truncate(0)
            file.write(platform.node())
            file.flush()
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


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
