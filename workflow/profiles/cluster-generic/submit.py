#!/usr/bin/env python3
"""Submit the job script that the last argument names, and print the id of the job.

As it stands, a job is a process of this machine, ended after its time. For a scheduler, replace `submit` by its
command, which gets the script and must print nothing but an id; for example (not tried here)

    qsub -l select=1:ncpus=THREADS:mem=MEM_MBmb -l walltime=00:MINUTES:00 SCRIPT      (PBS)
    qsub -terse -cwd -pe smp THREADS -l h_vmem=MEM_MBM -l h_rt=SECONDS SCRIPT        (SGE)
"""

import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

JOBS = Path(".snakemake/cluster-generic")


def submit(script: str, threads: int, mem_mb: int, minutes: int) -> str:
    """Start the process; it holds a lock on the job's record until it ends, however it ends."""
    JOBS.mkdir(parents=True, exist_ok=True)
    handle, record = tempfile.mkstemp(prefix="job-", dir=JOBS)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with open(f"{record}.log", "w") as log:
        process = subprocess.Popen(
            [
                "bash",
                "-c",
                'timeout "$0"m bash "$1" && echo success > "$2"',
                str(minutes),
                script,
                record,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[handle],
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
    asked = {"process": process.pid, "threads": threads, "mem_mb": mem_mb, "minutes": minutes}
    Path(f"{record}.json").write_text(json.dumps(asked))
    return Path(record).name


job_script = sys.argv[-1]
properties = json.loads(re.search("^# properties = (.*)$", Path(job_script).read_text(), re.M)[1])
resources = properties["resources"]
print(submit(job_script, properties["threads"], resources["mem_mb"], resources["runtime"]))
