#!/usr/bin/env python3
"""Print whether a job of submit.py is running, or ended with success or failed; the last argument is its id."""

import fcntl
import sys

with open(f".snakemake/cluster-generic/{sys.argv[-1]}") as record:
    try:
        fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        print("running")
    else:
        print("success" if record.read().strip() == "success" else "failed")
