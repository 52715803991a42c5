"""The settings that the results of each stage depend on: part of its provenance, and reason to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nmfcore.rank_rule import RankRule
from nmfcore.seed_rule import SeedRule

Json = dict[str, Any]


def matrix_settings(config: Mapping[str, Any]) -> Json:
    """Return what the prepared matrix depends on beside the files."""
    source = {key: config["input"][key] for key in config["input"] if key != "annotations"}
    return _ordered({**source, "steps": config["prepare"]})


def fit_settings(config: Mapping[str, Any]) -> Json:
    """Return what a run depends on beside the matrix."""
    fit = {key: value for key, value in config["factorize"].items() if key != "seeds_per_job"}
    return _ordered({**fit, "root_seed": config["root_seed"]})


def validation_settings(config: Mapping[str, Any], kind: str = "cross_validation") -> Json:
    """Return what a cross-validation, or `kind` "bi_cross_validation", depends on beside the matrix."""
    fit = config["factorize"]
    return _ordered(
        {
            **config["validate"][kind],
            "loss": fit["loss"],
            "penalties": fit["penalties"],
            "dtype": fit["dtype"],
            "root_seed": config["root_seed"],
        }
    )


def seed_rule(seeds: int | Mapping[str, Any]) -> SeedRule:
    """Return how many seeds a rank gets, by what the configuration says; a number is a rule with one stage."""
    if isinstance(seeds, int):
        return SeedRule(seeds, seeds)
    return SeedRule(seeds["min"], seeds["max"], seeds["until"])


def rank_rule(ranks: Sequence[int] | Mapping[str, int], chosen: int | None = None) -> RankRule:
    """Return which ranks are tried, by what the configuration says of them and of the one that the user chose."""
    if isinstance(ranks, Mapping):
        every = tuple(range(ranks["min"], ranks["max"] + 1))
        return RankRule(every, ranks["coarse"], chosen)
    return RankRule(tuple(sorted(ranks)), always=chosen)


def permutation_settings(config: Mapping[str, Any]) -> Json:
    """Return what the permutation null depends on beside the matrix: the same seeds and iterations as the fits."""
    permutation = config["validate"]["permutation"]
    return _ordered({**fit_settings(config), **permutation, "seeds": config["seeds"]})


def sweep_settings(config: Mapping[str, Any]) -> Json:
    """Return the configuration without what no result depends on: how runs share jobs, what is shown or published."""
    fit = {key: value for key, value in config["factorize"].items() if key != "seeds_per_job"}
    kept = {key: value for key, value in config.items() if key not in ("tracking", "show")}
    return _ordered({**kept, "factorize": fit})


def _ordered(settings: Mapping[str, Any]) -> Json:
    """Sort keys at every level: their order in the configuration is no reason to repeat anything."""
    return {
        key: _ordered(value) if isinstance(value, Mapping) else value
        for key, value in sorted(settings.items())
    }
