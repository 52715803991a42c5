"""The configuration: checked against its schema, completed with defaults, errors in words."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from nmfcore.errors import ConfigError

Json = dict[str, Any]


def load_config(config: Mapping[str, Any], schema_file: str | Path) -> Json:
    """Return a complete configuration: every key present, ranks as an ascending list.

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
    errors = sorted(Draft202012Validator(schema).iter_errors(complete), key=lambda e: list(e.path))
    if errors:
        lines = [line for error in errors for line in _explain(error)]
        raise ConfigError(
            "The configuration cannot be used:\n" + "\n".join(f"  {line}" for line in lines)
        )
    ranks = complete["ranks"]
    if isinstance(ranks, dict):
        if ranks["min"] > ranks["max"]:
            raise ConfigError(f"ranks: min {ranks['min']} is larger than max {ranks['max']}.")
        complete["ranks"] = list(range(ranks["min"], ranks["max"] + 1))
    else:
        complete["ranks"] = sorted(ranks)
    validation = complete["validate"]["cross_validation"]
    if validation and validation["folds"] * validation["fraction"] > 1 + 1e-9:
        raise ConfigError(
            f"validate.cross_validation: {validation['folds']} folds of {validation['fraction']:g} of the cells "
            f"exceed the matrix; set fraction to at most {1 / validation['folds']:g}."
        )
    return complete


def _fill(value: Any, schema: Mapping[str, Any]) -> None:
    """Fill in the defaults of an object in place, level by level."""
    branch = _branch(value, schema)
    if not isinstance(value, dict):
        return
    for key, part in branch.get("properties", {}).items():
        if "default" in part:
            value.setdefault(key, copy.deepcopy(part["default"]))
        if key in value:
            value[key] = _typed(value[key], part)
            _fill(value[key], part)


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """Undo what ``--config key={nested: 3}`` does to numbers: they arrive as text."""
    types = schema.get("type", "string")
    if isinstance(value, str) and "string" not in types and "enum" not in schema:
        return yaml.safe_load(value)
    return value


def _branch(value: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Alternative of a `oneOf` that has the type of the value."""
    for branch in schema.get("oneOf", ()):
        if branch["type"] == "object" and isinstance(value, dict):
            chosen: Mapping[str, Any] = branch
            return chosen
    return schema


def _explain(error: ValidationError) -> Iterator[str]:
    if error.validator == "oneOf":
        inner = best_match(error.context or [])
        if inner is not None and isinstance(error.instance, dict | list):
            error = inner
    where = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "additionalProperties":
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
        repeated = sorted({item for item in error.instance if error.instance.count(item) > 1})
        yield f"{where}: {', '.join(map(str, repeated))} stands more than once; name every rank once."
    elif error.validator == "enum":
        near = difflib.get_close_matches(str(error.instance), map(str, error.validator_value), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        choices = ", ".join(map(str, error.validator_value))
        yield f"{where}: {error.instance!r} is none of {choices}.{hint}"
    else:
        what = error.schema.get("description", "")
        yield f"{where}: {error.message}." + (f" ({what})" if what else "")
