"""The configuration: complete, checked, and documented key by key."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import REPOSITORY

from nmfcore.adapters.config import load_config
from nmfcore.cross_validation import cross_validate
from nmfcore.errors import ConfigError, InputError
from nmfcore.factorization import factorize
from nmfcore.problem import pose
from nmfcore.selection import SelectionRule
from nmfcore.solvers.registry import SOLVERS, choose_solver
from nmfcore.sweeping import sweep

SCHEMA_FILE = REPOSITORY / "workflow/schemas/config.schema.yaml"
SCHEMA = yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8"))
README = REPOSITORY / "config/README.md"
CONFIGS = [REPOSITORY / "config/config.yaml", *sorted(REPOSITORY.glob("config/examples/*.yaml"))]
LEAST = {"name": "x", "input": {"path": "a.tsv"}}


def load(**changes: Any) -> dict[str, Any]:
    return load_config({**LEAST, **changes}, SCHEMA_FILE)


def properties(
    schema: dict[str, Any], where: str = ""
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Dotted key, its schema, and whether it must be given; at every level."""
    for branch in (schema, *schema.get("oneOf", ())):
        for key, part in branch.get("properties", {}).items():
            yield f"{where}{key}", part, key in branch.get("required", ())
            yield from properties(part, f"{where}{key}.")


KEYS = list(properties(SCHEMA))


# ---------------------------------------------------------------- the schema


@pytest.mark.parametrize(("key", "schema", "required"), KEYS, ids=[key for key, *_ in KEYS])
def test_every_key_is_described_and_has_a_default_or_must_be_given(
    key: str, schema: dict[str, Any], required: bool
) -> None:
    assert re.match(r"\S.*[.)]$", schema["description"])
    assert required != ("default" in schema)


def test_no_object_takes_unknown_keys() -> None:
    def objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for branch in (schema, *schema.get("oneOf", ())):
            if branch.get("type") == "object":
                yield branch
            for part in branch.get("properties", {}).values():
                yield from objects(part)

    assert all(part["additionalProperties"] is False for part in objects(SCHEMA))


def test_every_default_is_valid_and_loading_is_idempotent() -> None:
    complete = load()
    assert load_config(copy.deepcopy(complete), SCHEMA_FILE) == complete


@pytest.mark.skipif(not README.exists(), reason="config/README.md is not written yet")
def test_the_readme_explains_the_keys_of_the_schema_and_no_others() -> None:
    explained = set(re.findall(r"^[|#*\- ]*`([\w.]+)`", README.read_text("utf-8"), re.MULTILINE))
    known = {key for key, *_ in KEYS}
    leaves = {key for key in known if not any(other.startswith(f"{key}.") for other in known)}
    assert leaves - explained == set()
    assert explained - known == set()


@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: path.stem)
def test_the_configurations_in_the_repository_are_valid(file: Path) -> None:
    config = load_config(yaml.safe_load(file.read_text(encoding="utf-8")), SCHEMA_FILE)
    assert config["ranks"][0] == 1, "without rank 1 nobody can see that there is no structure"


@pytest.mark.parametrize(
    ("section", "function", "names"),
    [
        ("factorize", factorize, {}),
        ("validate.cross_validation", cross_validate, {"folds": "n_folds", "starts": "n_starts"}),
        ("select", SelectionRule, {}),
        ("factorize", sweep, {}),
        ("validate.cross_validation", sweep, {"folds": "n_folds", "starts": "n_starts"}),
    ],
)
def test_the_library_has_the_same_defaults(
    section: str, function: Callable[..., Any], names: dict[str, str]
) -> None:
    defaults: Any = load()
    for key in section.split("."):
        defaults = defaults[key]
    parameters = inspect.signature(function).parameters
    if function is sweep and section != "factorize":
        defaults = {key: defaults[key] for key in ("folds", "starts", "fraction")}
    # The library takes an object for the penalties, none by default.
    defaults = {key: value for key, value in defaults.items() if key != "penalties"}
    for key, value in defaults.items():
        parameter = parameters.get(names.get(key, key))
        if parameter is not None and parameter.default is not inspect.Parameter.empty:
            assert parameter.default == value, f"{section}.{key}"


# ---------------------------------------------------------------- completing


def test_what_is_left_out_or_blank_has_its_default() -> None:
    complete = load(select=None, factorize={"tol": 1e-4}, seeds=None)
    assert complete["ranks"] == list(range(1, 9))
    assert complete["seeds"] == 50
    assert complete["select"] == load()["select"]
    assert complete["factorize"] == {**load()["factorize"], "tol": 1e-4}
    assert complete["validate"]["cross_validation"]["folds"] == 10


def test_null_means_without_where_the_schema_says_so() -> None:
    assert load(validate={"cross_validation": None})["validate"]["cross_validation"] is None
    # As `--config validate={cross_validation: null}` gives it.
    assert load(validate={"cross_validation": "null"})["validate"]["cross_validation"] is None


def test_the_given_configuration_is_not_changed() -> None:
    given = {**LEAST, "ranks": ["3", "1"], "factorize": {"tol": "1e-4"}}
    before = copy.deepcopy(given)
    load_config(given, SCHEMA_FILE)
    assert given == before


@pytest.mark.parametrize(
    ("given", "ranks"),
    [
        ({"min": 2, "max": 4}, [2, 3, 4]),
        ({"max": 2}, [1, 2]),
        ({"min": "2", "max": "3"}, [2, 3]),
        ([5, 1, 3], [1, 3, 5]),
        (["2", "1"], [1, 2]),
    ],
)
def test_ranks_become_an_ascending_list(given: Any, ranks: list[int]) -> None:
    assert load(ranks=given)["ranks"] == ranks


@pytest.mark.parametrize("tol", ["1e-6", "1E-6", "0.000001", 1e-6])
def test_numbers_that_yaml_takes_for_text_are_numbers(tol: Any) -> None:
    assert load(factorize={"tol": tol})["factorize"]["tol"] == 1e-6


def test_whole_numbers_stay_whole() -> None:
    config = load(seeds=6.0)
    assert config["seeds"] == 6
    assert isinstance(config["seeds"], int)


# ---------------------------------------------------------------- refusing


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sedes": 3}, "top level: unknown key 'sedes'; did you mean 'seeds'?"),
        ({"zzz": 3}, "unknown key 'zzz'; known are name, input"),
        ({"factorize": {"tolerance": 1}}, "factorize: unknown key 'tolerance'"),
        ({"input": {"pth": "x"}}, "input: unknown key 'pth'; did you mean 'path'?"),
        ({"input": {"pth": "x"}}, "input: path must be given."),
        ({"input": None}, "input: None"),
        ({"name": "a/b"}, "name: 'a/b'"),
        ({"name": "../up"}, "name: '../up'"),
        ({"name": ""}, "name: ''"),
        ({"name": "mlflow"}, "name: 'mlflow'"),
        ({"ranks": [2, 3, 2]}, "ranks: 2 stands more than once; name every rank once."),
        ({"ranks": ["2", "2"]}, "ranks: 2 stands more than once"),
        ({"ranks": [{"min": 1}, {"min": 1}]}, "ranks: {'min': 1} stands more than once"),
        ({"ranks": [None, "a", None, "a"]}, "ranks: None, a stands more than once"),
        ({"ranks": [0, 1]}, "ranks.0: 0 is less than the minimum of 1"),
        ({"ranks": []}, "ranks: []"),
        ({"ranks": {"mni": 1, "max": 3}}, "ranks: unknown key 'mni'; did you mean 'min'?"),
        ({"ranks": {"min": 2}}, "ranks: max must be given."),
        ({"ranks": {"min": 5, "max": 3}}, "ranks: min 5 is larger than max 3."),
        ({"ranks": "1-8"}, "ranks: '1-8' cannot be used. (Ranks to try"),
        ({"seeds": 0}, "seeds: 0 is less than the minimum of 1"),
        ({"seeds": "many"}, "seeds: 'many'"),
        ({"seeds": 2.5}, "seeds: 2.5"),
        ({"factorize": {"loss": "frobenuis"}}, "Did you mean 'frobenius'?"),
        ({"factorize": {"tol": 0}}, "factorize.tol: 0"),
        ({"factorize": {"tol": float("nan")}}, "factorize.tol: nan is not a finite number."),
        ({"select": {"max_standard_errors": float("inf")}}, "inf is not a finite number."),
        (
            {"validate": {"cross_validation": {"folds": 10, "fraction": 0.2}}},
            "10 folds of 0.2 of the cells exceed the matrix; set fraction to at most 0.1.",
        ),
        ({"validate": {"cross_validation": {"fold": 5}}}, "did you mean 'folds'?"),
        ({"validate": {"cross_validation": False}}, "validate.cross_validation: False"),
        ({"ranks": {"min": 1, "max": 3506134883.0}}, "ranks.max: 3506134883 is greater than"),
        ({"ranks": [2, 10**12]}, "ranks.1: 1000000000000 is greater than the maximum of 10000"),
        ({"seeds": {"min": 20, "max": 10}}, "seeds: min 20 is larger than max 10."),
        ({"seeds": {"min": 20}}, "seeds: max must be given."),
        ({"seeds": {"min": 2, "max": 4, "until": 0}}, "seeds.until: 0"),
        (
            {"seeds": {"min": 2, "max": 4}, "validate": {"permutation": {}}},
            "validate.permutation: permuted copies get as many seeds as the matrix",
        ),
        ({"seeds": 10**9}, "seeds: 1000000000 is greater than"),
        (
            {"factorize": {"loss": "kullback-leibler", "solver": "hals"}},
            "factorize.solver: hals minimises frobenius only, not kullback-leibler; set it to auto",
        ),
        ({"factorize": {"loss": 0.5, "solver": "cd"}}, "cd minimises kullback-leibler only, not 0"),
        ({"factorize": {"loss": 1, "device": "cuda"}}, "cuda takes the loss frobenius"),
        ({"factorize": {"solver": "mu", "device": "cuda"}}, "cuda takes the loss frobenius"),
        ({"factorize": {"penalties": {"l1_H": 1}, "device": "cuda"}}, "cuda takes no penalties"),
        ({"tracking": {"enabled": "perhaps"}}, "tracking.enabled: 'perhaps'"),
    ],
)
def test_what_cannot_be_used_is_said_in_words(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(**change)
    assert words in str(error.value)


def test_all_mistakes_are_said_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        load(sedes=3, name="a/b", factorize={"tol": -1})
    assert [line.split(":")[0].strip() for line in str(error.value).splitlines()[1:]] == [
        "top level",
        "factorize.tol",
        "name",
    ]


@pytest.mark.parametrize(("given", "expected"), [("auto", "auto"), ("20", 20), (30, 30)])
def test_seeds_per_job_is_a_number_or_auto_however_it_was_typed(given, expected):
    assert load(factorize={"seeds_per_job": given})["factorize"]["seeds_per_job"] == expected


def test_seeds_per_job_in_other_words_is_refused():
    with pytest.raises(ConfigError, match="seeds_per_job: 'atuo' is none of auto"):
        load(factorize={"seeds_per_job": "atuo"})


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "change",
    [
        {"ranks": ENDLESS},
        {"ranks": [ENDLESS, ENDLESS]},
        {"ranks": ["&0 [*0]", "&0 [*0]"]},
        {"select": {"rank": "&a {b: *a}"}},
    ],
)
def test_what_holds_itself_by_an_alias_is_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"{next(iter(change))}: holds itself"):
        load(**change)


def test_what_an_alias_merely_repeats_is_taken() -> None:
    step = {"step": "clip", "upper": 3.0}
    assert load(prepare=[step, step])["prepare"][0] == load(prepare=[dict(step)])["prepare"][0]


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@pytest.mark.parametrize("loss", ["frobenius", 2, "kullback-leibler", 1.0, "itakura-saito", 0.5])
def test_a_solver_is_refused_where_the_library_refuses_it(solver: str, loss: str | float) -> None:
    def refused(act: Callable[[], object]) -> bool:
        try:
            act()
        except (ConfigError, InputError):
            return True
        return False

    problem = pose(np.ones((3, 4)), loss=loss)
    by_the_library = refused(lambda: choose_solver(problem, solver))
    assert refused(lambda: load(factorize={"loss": loss, "solver": solver})) == by_the_library
