"""Whether more ranks are wanted, beside those that were tried."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict

from nmfcore.adapters import store
from nmfcore.adapters.settings import rank_rule
from nmfcore.adapters.stages.origin import origin_of
from nmfcore.adapters.stages.select import read_criteria, selection_rule
from nmfcore.adapters.store import Json
from nmfcore.rank_decisions import decide_ranks

log = logging.getLogger("nmfcore")


def decide_ranks_of_sweep(summaries: Sequence[str], settings: Json, json: str) -> None:
    """Decide after a stage which ranks are tried next.

    Parameters
    ----------
    summaries : sequence of path
        `ranks/rank-<k>/summary.json` of the ranks until now.
    settings : dict
        What `settings.sweep_settings` returns.
    json : path
        `selection/ranks-<stage>.json`.
    """
    criteria, sha256 = read_criteria(summaries)
    rule = rank_rule(settings["ranks"], settings["select"]["rank"])
    decision = decide_ranks(rule, criteria, selection_rule(settings))
    log.info(decision.reason)
    origin = origin_of(sha256, settings, "decide_ranks")
    store.write_json(json, {**asdict(decision), "wanted": decision.wanted, "provenance": origin})
