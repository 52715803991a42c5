"""The recommendation from the summaries of all ranks."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from nmfcore.adapters import store
from nmfcore.adapters.stages.origin import origin_of
from nmfcore.adapters.store import Json
from nmfcore.criteria import Criteria
from nmfcore.selection import Recommendation, SelectionRule, recommend

log = logging.getLogger("nmfcore")

CHOSEN_BY_USER = "chosen by the user"
"""Decision where the configuration names the rank."""


def select(summaries: Sequence[str], settings: Json, tsv: str, json: str) -> None:
    """Recommend a rank from the summaries of all ranks.

    Parameters
    ----------
    summaries : sequence of path
        `ranks/rank-<k>/summary.json`.
    settings : dict
        What `settings.sweep_settings` returns.
    tsv, json : path
        `selection/criteria.tsv` and `recommendation.json`.
    """
    criteria, sha256 = read_criteria(summaries)
    document = decision_document(criteria, settings)
    store.write_table(tsv, *criteria_table(criteria))
    store.write_json(json, {**document, "provenance": origin_of(sha256, settings, "select")})
    log.info(document["headline"])


def read_criteria(summaries: Sequence[str]) -> tuple[list[Criteria], str]:
    """Read the criteria of ranks, ascending, and the digest of the matrix that they are about.

    Parameters
    ----------
    summaries : sequence of path
        `ranks/rank-<k>/summary.json`.

    Raises
    ------
    ResultError
        If they are not all of one matrix, settings and code.
    """
    documents = {path: store.read_json(path) for path in summaries}
    store.refuse_mixture(
        {path: document["provenance"] for path, document in documents.items()},
        ("input_sha256", "settings_sha256", "code"),
    )
    criteria = sorted(map(Criteria.from_document, documents.values()), key=lambda c: c.rank)
    return criteria, next(iter(documents.values()))["provenance"]["input_sha256"]


def selection_rule(settings: Json) -> SelectionRule:
    """Return the thresholds that the configuration names; `settings` as from `settings.sweep_settings`."""
    rule = {name: value for name, value in settings["select"].items() if name != "rank"}
    return SelectionRule(**rule)


def decision_document(criteria: Sequence[Criteria], settings: Json) -> Json:
    """Return what `recommendation.json` says, but for its provenance.

    Parameters
    ----------
    criteria : sequence of Criteria
        One a rank, ascending.
    settings : dict
        What `settings.sweep_settings` returns.
    """
    recommendation = recommend(criteria, selection_rule(settings))
    return {
        "ranks": [c.rank for c in criteria],
        **_choice(recommendation, settings["select"]["rank"]),
        "confidence": str(recommendation.confidence),
        "reasons": list(recommendation.reasons),
        "runners_up": [{"rank": r.rank, "reason": r.reason} for r in recommendation.runners_up],
        "warnings": list(recommendation.warnings),
        "classic_rules": recommendation.classic_rules,
    }


def criteria_table(criteria: Sequence[Criteria]) -> store.Table:
    """Return what `criteria.tsv` says: one line a rank."""
    rows = [c.as_row() for c in criteria]
    return list(rows[0]), [list(row.values()) for row in rows]


def _choice(recommendation: Recommendation, by_user: int | None) -> Json:
    """What the evidence recommends, and what the solution is made for: the same unless the user chose."""
    decision, headline = str(recommendation.decision), recommendation.headline
    if by_user is not None:
        advice = recommendation.rank or "none"
        headline = f"Rank {by_user}, chosen by the user; recommended is {advice}. {headline}"
    return {
        "recommended_rank": recommendation.rank,
        "recommended_decision": decision,
        "chosen_rank": recommendation.rank if by_user is None else by_user,
        "decision": decision if by_user is None else CHOSEN_BY_USER,
        "headline": headline,
    }
