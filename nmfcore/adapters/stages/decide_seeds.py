"""Whether a rank needs more seeds."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from nmfcore.adapters import store
from nmfcore.adapters.settings import seed_rule
from nmfcore.adapters.stages.origin import origin_of
from nmfcore.seed_decisions import decide_seeds

log = logging.getLogger("nmfcore")


def decide_seeds_of_rank(
    runs: Sequence[str], n_seeds: int, seeds: Mapping[str, Any], json: str
) -> None:
    """Decide after a stage whether a rank needs more seeds.

    Parameters
    ----------
    runs : sequence of path
        npz files of the rank.
    n_seeds : int
        Of the stage.
    seeds : mapping
        What the configuration says of their number.
    json : path
        `ranks/rank-<k>/seeds-<n_seeds>.json`.
    """
    gathered, provenance = store.read_runs(runs, n_seeds)
    decision = decide_seeds(seed_rule(seeds), gathered)
    log.info(decision.reason)
    settings = {"runs": provenance["settings"], "seeds": dict(seeds)}
    origin = origin_of(provenance["input_sha256"], settings, "decide_seeds")
    store.write_json(json, {**asdict(decision), "rank": gathered.rank, "provenance": origin})
