"""Preparation in named steps: completed and checked before a sweep, applied in order, each telling what it did."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.readers.wording import counted, few
from nmfcore.adapters.steps import filters, scaling
from nmfcore.errors import ConfigError, InputError

__all__ = ["STEPS", "apply_steps", "completed"]

Json = dict[str, Any]
Step = Callable[..., tuple[LabelledMatrix, str]]

STEPS: dict[str, Step] = {
    "drop_rare_features": filters.drop_rare_features,
    "drop_low_features": filters.drop_low_features,
    "drop_low_samples": filters.drop_low_samples,
    "keep_variable_features": filters.keep_variable_features,
    "size_factors": scaling.size_factors,
    "sample_totals": scaling.sample_totals,
    "tpm": scaling.tpm,
    "tf_idf": scaling.tf_idf,
    "normalize": scaling.normalize,
    "scale_variance": scaling.scale_variance,
    "log1p": scaling.log1p,
    "power": scaling.power,
    "clip": scaling.clip,
    "divide": scaling.divide,
}


def completed(steps: Sequence[str | Mapping[str, Any]]) -> list[Json]:
    """Return steps as mappings with every parameter, or say which is unknown or cannot be.

    Parameters
    ----------
    steps : sequence of str or mapping
        A name; or ``{"step": name, parameter: value, …}``.

    Raises
    ------
    ConfigError
        If a step or a parameter is unknown, missing or out of range.
    """
    return [_completed(number, given) for number, given in enumerate(steps, 1)]


def _completed(number: int, given: str | Mapping[str, Any]) -> Json:
    written = {"step": given} if isinstance(given, str) else dict(given)
    name = written.pop("step")
    where = f"prepare, step {number}"
    if name not in STEPS:
        raise ConfigError(f"{where}: {name!r} is not known; {_meant(name, STEPS)}")
    known = _parameters(STEPS[name])
    for key in written:
        if key not in known:
            raise ConfigError(f"{where} ({name}): unknown parameter {key!r}; {_meant(key, known)}")
    parameters = {key: written.get(key, default) for key, default in known.items()}
    for key, value in parameters.items():
        if value is inspect.Parameter.empty:
            raise ConfigError(f"{where} ({name}): {key} must be given.")
    reason = _CHECKS[name](parameters) if name in _CHECKS else None
    if reason:
        raise ConfigError(f"{where} ({name}): {reason}")
    return {"step": name, **parameters}


def _parameters(step: Step) -> Json:
    found = inspect.signature(step).parameters.values()
    return {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY}


def _meant(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {few(known, 20) or 'none'}."


def _numbers(*keys: str, least: float, strict: bool = False) -> Callable[[Json], str | None]:
    """Return a check that parameters are numbers from `least` on, or None where that is their default."""

    def check(parameters: Json) -> str | None:
        for key in keys:
            value = parameters[key]
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                return f"{key} is {value!r}; give a number."
            if not (value > least if strict else value >= least):
                return f"{key} is {value}; give a number {'above' if strict else 'from'} {least:g}."
        return None

    return check


def _one_of(key: str, *choices: str) -> Callable[[Json], str | None]:
    def check(parameters: Json) -> str | None:
        value = parameters[key]
        return None if value in choices else f"{key} is {value!r}; choose {', '.join(choices)}."

    return check


def _all(*checks: Callable[[Json], str | None]) -> Callable[[Json], str | None]:
    return lambda parameters: next(filter(None, (check(parameters) for check in checks)), None)


def _clip(parameters: Json) -> str | None:
    lower, upper = parameters["lower"], parameters["upper"]
    if lower is None and upper is None:
        return "give lower, upper or both."
    if lower is not None and upper is not None and lower > upper:
        return f"lower {lower} exceeds upper {upper}."
    return None


_CHECKS: dict[str, Callable[[Json], str | None]] = {
    "drop_rare_features": _numbers("min_samples", least=1),
    "drop_low_features": _numbers("min_total", "min_mean", "min_variance", least=0),
    "drop_low_samples": _numbers("min_total", "min_features", least=0),
    "keep_variable_features": _all(
        _numbers("number", least=2), _one_of("by", *filters.VARIABILITY)
    ),
    "sample_totals": _numbers("total", least=0, strict=True),
    "normalize": _all(_one_of("norm", *scaling.NORMS), _one_of("of", "samples", "features")),
    "power": _numbers("exponent", least=0, strict=True),
    "clip": _all(_numbers("lower", "upper", least=0), _clip),
    "divide": _numbers("by", least=0, strict=True),
}


def apply_steps(
    matrix: LabelledMatrix, steps: Sequence[Mapping[str, Any]]
) -> tuple[LabelledMatrix, list[Json]]:
    """Apply steps in order, and check after each that the matrix can still be factorised.

    Parameters
    ----------
    matrix : LabelledMatrix
    steps : sequence of mapping
        As `completed` returns them.

    Returns
    -------
    matrix : LabelledMatrix
    records : list of dict
        One a step: `name`, `parameters`, `effect` (a sentence), and how many of each are left (`n_features`,
        `n_samples`).

    Raises
    ------
    InputError
        If a step leaves less than two features or samples, or a value that is negative or not finite.
    """
    records = []
    for number, given in enumerate(steps, 1):
        parameters = {key: value for key, value in given.items() if key != "step"}
        name = given["step"]
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            matrix, effect = STEPS[name](matrix, **parameters)
        _check(matrix, f"prepare, step {number} ({name})")
        n_features, n_samples = matrix.shape
        records.append(
            {
                "name": name,
                "parameters": parameters,
                "effect": effect,
                "n_features": n_features,
                "n_samples": n_samples,
            }
        )
    return matrix, records


def _check(matrix: LabelledMatrix, where: str) -> None:
    for axis, size in zip(("feature", "sample"), matrix.shape, strict=True):
        if size < 2:
            raise InputError(
                f"{where} leaves {counted(size, axis)}; at least 2 are needed. Set its parameters lower, or leave it "
                "out."
            )
    entries = matrix.values.data if sparse.issparse(matrix.values) else matrix.values
    wrong = int(np.count_nonzero(~(np.isfinite(entries) & (entries >= 0))))
    if wrong:
        raise InputError(
            f"{where} makes {counted(wrong, 'value')} that are negative or not finite. Leave it out, or change the "
            "steps before it."
        )
