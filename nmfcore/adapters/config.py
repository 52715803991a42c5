"""The configuration: checked against its schema, completed with defaults, errors in words."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from nmfcore.adapters.settings import rank_rule
from nmfcore.adapters.steps import completed
from nmfcore.errors import ConfigError

Json = dict[str, Any]

ONLY_LOSS = {"hals": "frobenius", "cd": "kullback-leibler"}
"""The loss of solvers that take one only (`nmfcore.solvers.registry`, which needs the compiler)."""


def load_config(config: Mapping[str, Any], schema_file: str | Path) -> Json:
    """Return a complete configuration: every key present, ranks as an ascending list unless tried coarsely at first.

    Parameters
    ----------
    config : mapping
        As written by the user.
    schema_file : path
        JSON schema in YAML, with a description and a default for every key.

    Raises
    ------
    ConfigError
        Naming every key that is unknown (with the likeliest meant), missing or out of range.
    """
    schema = yaml.safe_load(Path(schema_file).read_text(encoding="utf-8"))
    complete: Json = copy.deepcopy(dict(config))
    _fill(complete, schema)
    for key, value in complete.items():
        if _holds_itself(value):
            raise ConfigError(
                f"{key}: holds itself, by an alias (*) of YAML; write out what is meant."
            )
    errors = sorted(Draft202012Validator(schema).iter_errors(complete), key=lambda e: list(e.path))
    lines = [line for error in errors for line in _explain(error)] + list(_not_finite(complete))
    if lines:
        raise ConfigError(
            "The configuration cannot be used:\n" + "\n".join(f"  {line}" for line in lines)
        )
    complete["prepare"] = completed(complete["prepare"])
    for key in ("ranks", "seeds"):
        span = complete[key]
        if isinstance(span, dict) and span["min"] > span["max"]:
            raise ConfigError(f"{key}: min {span['min']} is larger than max {span['max']}.")
    seeds, rule = complete["seeds"], rank_rule(complete["ranks"])
    if rule.coarse == 1:
        complete["ranks"] = list(rule.ranks)
    _refuse_pairs(complete["factorize"])
    if isinstance(seeds, dict) and complete["validate"]["permutation"]:
        raise ConfigError(
            "validate.permutation: permuted copies get as many seeds as the matrix, which are not known "
            f"beforehand; set seeds to a number, such as {seeds['min']}, or permutation to null."
        )
    chosen = complete["select"]["rank"]
    if chosen is not None and chosen not in rule.ranks:
        tried = ", ".join(map(str, rule.ranks))
        raise ConfigError(
            f"select.rank: {chosen} is not among the ranks ({tried}); add it to ranks, or choose one of them."
        )
    validation = complete["validate"]["cross_validation"]
    if validation and validation["folds"] * validation["fraction"] > 1 + 1e-9:
        raise ConfigError(
            f"validate.cross_validation: {validation['folds']} folds of {validation['fraction']:g} of the cells "
            f"exceed the matrix; set fraction to at most {1 / validation['folds']:g}."
        )
    return complete


def _refuse_pairs(fit: Json) -> None:
    """Refuse a solver or a device that cannot take the loss, before any job finds out."""
    loss = {2: "frobenius", 1: "kullback-leibler"}.get(fit["loss"], fit["loss"])
    only = ONLY_LOSS.get(fit["solver"], loss)
    if loss != only:
        raise ConfigError(
            f"factorize.solver: {fit['solver']} minimises {only} only, not {loss}; set it to auto, which takes the "
            "fastest solver that can."
        )
    if fit["device"] != "cuda":
        return
    if loss != "frobenius" or fit["solver"] not in ("auto", "hals"):
        raise ConfigError(
            "factorize.device: cuda takes the loss frobenius and the solver hals only; set it to cpu, or to auto."
        )
    if any(fit["penalties"].values()):
        raise ConfigError("factorize.device: cuda takes no penalties; set it to cpu, or to auto.")


def _fill(value: Any, schema: Mapping[str, Any]) -> None:
    """Fill in the defaults of an object in place, level by level."""
    branch = _branch(value, schema)
    if isinstance(value, list):
        value[:] = [_typed(item, branch.get("items", {})) for item in value]
    if not isinstance(value, dict):
        return
    for key, part in branch.get("properties", {}).items():
        if value.get(key) is None and "default" in part and "null" not in _types(part):
            value[key] = copy.deepcopy(part["default"])  # left out, or left blank
        elif "default" in part:
            value.setdefault(key, copy.deepcopy(part["default"]))
        if key in value:
            value[key] = _typed(value[key], part)
            _fill(value[key], part)


def _types(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a value may have."""
    types: str | list[str] = schema.get("type", [part["type"] for part in schema.get("oneOf", ())])
    return [types] if isinstance(types, str) else types


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """Undo what YAML does to 1e-6, and ``--config key={nested: 3}`` to every number: they arrive as text."""
    types = _types(schema)
    if isinstance(value, str) and types and "string" not in types:
        with suppress(yaml.YAMLError):
            value = yaml.safe_load(value)
    if isinstance(value, str) and {"number", "integer"} & set(types):
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, float) and value.is_integer() and "integer" in types:
        return int(value)
    return value


def _branch(value: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Alternative of a `oneOf` that has the type of the value."""
    kind = "object" if isinstance(value, dict) else "array" if isinstance(value, list) else None
    for branch in schema.get("oneOf", ()):
        if branch["type"] == kind:
            chosen: Mapping[str, Any] = branch
            return chosen
    return schema


def _holds_itself(
    value: Any, above: frozenset[int] = frozenset(), sound: set[int] | None = None
) -> bool:
    """Whether a container is, however indirectly, an item of itself; what was found sound is not looked at again."""
    sound = set() if sound is None else sound
    if not isinstance(value, dict | list) or id(value) in sound:
        return False
    if id(value) in above:
        return True
    parts = value.values() if isinstance(value, dict) else value
    endless = any(_holds_itself(part, above | {id(value)}, sound) for part in parts)
    if not endless:
        sound.add(id(value))
    return endless


def _not_finite(value: Any, where: str = "") -> Iterator[str]:
    """Name every infinite number and NaN: the schema lets them pass, and no result file could hold them."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _not_finite(part, f"{where}.{key}".lstrip("."))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where}: {value} is not a finite number."


def _explain(error: ValidationError) -> Iterator[str]:
    where = ".".join(map(str, error.absolute_path)) or "top level"
    description = error.schema.get("description", "")
    why = f" ({description})" if description else ""
    if error.validator == "oneOf":
        parts = error.context or []
        wrong = {part.schema_path[0] for part in parts if list(part.schema_path)[1:] == ["type"]}
        meant = [part for part in parts if part.schema_path[0] not in wrong]
        for part in meant:
            yield from _explain(part)
        if not meant:
            yield f"{where}: {error.instance!r} cannot be used.{why}"
    elif error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        for key in error.instance:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
                yield f"{where}: unknown key {key!r}; {hint}"
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        yield f"{where}: {', '.join(missing)} must be given."
    elif error.validator == "uniqueItems":
        repeated = [str(item) for item in error.instance if error.instance.count(item) > 1]
        yield f"{where}: {', '.join(dict.fromkeys(repeated))} stands more than once; name every rank once."
    elif error.validator == "enum":
        near = difflib.get_close_matches(str(error.instance), map(str, error.validator_value), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        choices = ", ".join(map(str, error.validator_value))
        yield f"{where}: {error.instance!r} is none of {choices}.{hint}"
    else:
        yield f"{where}: {error.message}.{why}"
