#!/usr/bin/env python3
"""End the jobs of submit.py whose ids are the arguments."""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

for job in sys.argv[1:]:
    process = json.loads(Path(f".snakemake/cluster-generic/{job}.json").read_text())["process"]
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        os.killpg(process, signal.SIGTERM)
