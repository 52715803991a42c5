"""The validated configuration and the few helpers that the rules share."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The folder above the workflow holds the library where it is not installed.
sys.path.insert(0, str(Path(workflow.basedir).parent))

from nmfcore.adapters import stages, store
from nmfcore.adapters.config import load_config
from nmfcore.adapters.figures import figure_names
from nmfcore.batches import plan_batches
from nmfcore.errors import ConfigError

try:
    config.update(
        load_config(dict(config), workflow.source_path("../schemas/config.schema.yaml"))
    )
except ConfigError as error:
    raise WorkflowError(str(error))

RESULTS_ROOT = "results"
RESULTS = f"{RESULTS_ROOT}/{config['name']}"
MATRIX = f"{RESULTS}/prepared/matrix.npz"
RECOMMENDATION = f"{RESULTS}/selection/recommendation.json"
RANKS = config["ranks"]


wildcard_constraints:
    rank=r"\d+",
    first=r"\d+",
    last=r"\d+",


def planned_batches(rank):
    """Batches of a rank: what is on disk is kept, whatever batch size it was made with."""
    existing = [
        (f.first, f.last) for f in store.find_run_files(RESULTS) if f.rank == int(rank)
    ]
    return plan_batches(config["seeds"], config["factorize"]["seeds_per_job"], existing)


def run_files(rank):
    """npz files of the runs of a rank."""
    return [
        f"{RESULTS}/runs/rank-{rank}/seeds-{first}-{last}.npz"
        for first, last in BATCHES[int(rank)]
    ]


# Planned once: files that appear while the sweep runs must not change the plan.
BATCHES = {rank: planned_batches(rank) for rank in RANKS}


def all_targets():
    """What a finished sweep consists of."""
    targets = [
        RECOMMENDATION,
        f"{RESULTS}/solution/solution.json",
        f"{RESULTS}/report.html",
    ]
    if config["tracking"]["enabled"]:
        targets += track_markers() + [f"{RESULTS}/tracking/sweep.json"]
    return targets


def track_markers():
    """One marker a published batch."""
    return [
        f"{RESULTS}/tracking/rank-{rank}-seeds-{first}-{last}.json"
        for rank in RANKS
        for first, last in BATCHES[rank]
    ]
