"""How the dashboard introduces itself: notes on the experiments, and saved views of their charts.

A saved view is what the page itself stores for its menu *Views*: a tag of the experiment. A page
that does not understand one still shows every run; only the arrangement is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

_NOTE = "mlflow.note.content"
_VIEW = "mlflow.sharedViewState."
# Without it MLflow 3 opens in its mode for language models.
_MODE = "machine_learning"

# The name of a view changes with its content: an experiment keeps the views that it has.
_CURVES_VIEW = "nmfcore-curves-1"
_RANKS_VIEW = "nmfcore-ranks-1"
_STARTS_VIEW = "nmfcore-starts-1"

Chart = dict[str, Any]


def _lines(*metrics: str, **options: object) -> Chart:
    return {
        "type": "LINE",
        "metricKey": metrics[0],
        "selectedMetricKeys": list(metrics),
        "xAxisKey": "step",
        "yAxisKey": "metric",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "lineSmoothness": 0,
        "displayPoints": True,
        "range": {},
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
        **options,
    }


def _bars(metric: str) -> Chart:
    return {"type": "BAR", "metricKey": metric}


def _points(parameter: str, metric: str) -> Chart:
    return {
        "type": "SCATTER",
        "xaxis": {"key": parameter, "type": "PARAM"},
        "yaxis": {"key": metric, "type": "METRIC"},
        "runsCountToCompare": 100,
    }


_CURVES = {
    "How well does it fit?": [
        _lines("held_out_error"),
        _lines("reconstruction_error", "svd_error"),
        _lines("explained_variance"),
    ],
    "Do the starts agree?": [
        _lines("cophenetic_correlation", "dispersion", "consensus_silhouette"),
        _lines("pac"),
        _lines("component_stability", "component_stability_min"),
    ],
    "What do the parts look like, and how many starts count?": [
        _lines("sparseness_W", "sparseness_H"),
        _lines("n_good", "n_runs"),
        _lines("loss"),
    ],
}
_GROUPED = {
    "The starts of a rank, on average": [
        _bars("relative_error"),
        _lines("relative_error_history", xAxisScaleType="log"),
        _bars("n_iter"),
        _bars("kkt_residual"),
        _bars("seconds"),
    ]
}
_SCATTERED = {
    "Every start": [
        _points("rank", "relative_error"),
        _points("rank", "n_iter"),
        _points("rank", "kkt_residual"),
    ]
}
_FIT_COLUMNS = [
    "tags.`status`",
    "metrics.`relative_error`",
    "metrics.`n_iter`",
    "metrics.`kkt_residual`",
    "metrics.`seconds`",
]
_COMPARED_COLUMNS = [
    "tags.`recommended_rank`",
    "tags.`confidence`",
    "params.`factorize.loss`",
    "params.`prepare`",
    "attributes.`Dataset`",
]
# By seed, so that the page's first hundred runs hold some of every rank.
_BY_SEED = {"orderByKey": "params.`seed`", "orderByAsc": True}


def sweeps_path(experiment: str) -> str:
    """Address, below the server's, of the curves of all sweeps."""
    return _runs_path(experiment, {"viewStateShareKey": _CURVES_VIEW})


def fits_path(experiment: str) -> str:
    """Address of all fits, grouped by rank."""
    return _runs_path(experiment, {"viewStateShareKey": _RANKS_VIEW})


def fits_of_sweep_path(experiment: str, sweep: str) -> str:
    """Address of the fits of one sweep, grouped by rank; `sweep_view` is the view that it opens."""
    return _runs_path(experiment, {"viewStateShareKey": _sweep_key(sweep)})


def comparison_path(experiment: str, source: str) -> str:
    """Address of the curves of all sweeps of one input file; `comparison_view` is the view that it opens."""
    return _runs_path(experiment, {"viewStateShareKey": _comparison_key(source)})


def settings_path(experiment: str, runs: Sequence[str]) -> str:
    """Address of the settings and numbers of some runs, side by side."""
    query = {
        "runs": json.dumps(list(runs)),
        "experiments": json.dumps([experiment]),
        "workflowType": _MODE,
    }
    return f"#/compare-runs?{urlencode(query)}"


def run_path(experiment: str, run: str, tab: str = "") -> str:
    """Address of a run's page, or of one of its tabs, such as ``artifacts/report.html``."""
    place = f"{run}/{tab}" if tab else run
    return f"#/experiments/{experiment}/runs/{place}?{urlencode({'workflowType': _MODE})}"


def _runs_path(experiment: str, more: dict[str, str]) -> str:
    query = {"workflowType": _MODE, "compareRunsMode": "CHART", **more}
    return f"#/experiments/{experiment}/runs?{urlencode(query)}"


# ---------------------------------------------------------------- tags of the experiments


def sweeps_tags() -> dict[str, str]:
    """Note and view of the experiment with one run a sweep."""
    state = {
        "selectedColumns": [
            "tags.`recommended_rank`",
            "tags.`decision`",
            "tags.`confidence`",
            "attributes.`Dataset`",
            "attributes.`Description`",
        ],
        **_arranged(_CURVES),
    }
    note = (
        "One run a **sweep**: why this rank, and each criterion as a curve, **step = rank** "
        "(*Views → Rank curves*)."
    )
    return {_NOTE: note, _VIEW + _CURVES_VIEW: _saved("Rank curves", state)}


def fits_tags() -> dict[str, str]:
    """Note and views of the flat experiment with one run for every (rank, seed)."""
    by_rank = [
        {"mode": "param", "groupByData": "rank"},
        {"mode": "tag", "groupByData": "sweep"},
    ]
    common = {"selectedColumns": _FIT_COLUMNS, **_BY_SEED}
    grouped = {
        **common,
        "groupBy": {"aggregateFunction": "average", "groupByKeys": by_rank},
        **_arranged(_GROUPED),
    }
    scattered = {**common, "runsHiddenMode": "SHOW_ALL", **_arranged(_SCATTERED)}
    note = (
        "One run for every **(rank, seed)** of a sweep (*Views*: grouped by rank, or every start; "
        "*Load more* for all)."
    )
    return {
        _NOTE: note,
        _VIEW + _RANKS_VIEW: _saved("Grouped by rank", grouped),
        _VIEW + _STARTS_VIEW: _saved("Every start", scattered),
    }


def sweep_view(sweep: str) -> dict[str, str]:
    """View, for the experiment of the fits, of one sweep's, grouped by rank."""
    state = {
        "selectedColumns": _FIT_COLUMNS,
        **_BY_SEED,
        "searchFilter": f"tags.sweep = '{sweep}'",
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "param", "groupByData": "rank"}],
        },
        **_arranged(_GROUPED),
    }
    return {_VIEW + _sweep_key(sweep): _saved(f"{sweep}, by rank", state)}


def comparison_view(source: str, name: str) -> dict[str, str]:
    """View, for the experiment of the sweeps, of those of one input file: other losses, other preparation.

    Parameters
    ----------
    source : str
        SHA-256 of the file.
    name : str
        Of the file, for people.
    """
    state = {
        "selectedColumns": _COMPARED_COLUMNS,
        "searchFilter": f"tags.source_sha256 = '{source}'",
        **_arranged(_CURVES),
    }
    return {_VIEW + _comparison_key(source): _saved(f"Sweeps of {name}", state)}


def _sweep_key(sweep: str) -> str:
    return f"nmfcore-sweep-{hashlib.sha256(sweep.encode()).hexdigest()[:16]}-1"


def _comparison_key(source: str) -> str:
    return f"nmfcore-source-{source[:16]}-1"


def _saved(name: str, state: Mapping[str, object]) -> str:
    whole = {"runsHiddenMode": "FIRST_20_RUNS", **state}
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(whole)})


def _arranged(sections: Mapping[str, Sequence[Chart]]) -> dict[str, object]:
    """Titled sections of charts in the form in which the page keeps them."""
    kept = {"deleted": False, "isGenerated": False}
    numbered = list(enumerate(sections.items()))
    return {
        "compareRunSections": [
            {"uuid": f"section-{i}", "name": title, "display": True, "isReordered": True, **kept}
            for i, (title, _) in numbered
        ],
        "compareRunCharts": [
            {"uuid": f"chart-{i}-{j}", "metricSectionId": f"section-{i}", **kept, **chart}
            for i, (_, charts) in numbered
            for j, chart in enumerate(charts)
        ],
        "isAccordionReordered": True,
    }
