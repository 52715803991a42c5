"""Scripts only unpack what Snakemake hands them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from conftest import REPOSITORY

SCRIPTS = sorted((REPOSITORY / "workflow/scripts").glob("*.py"))
RULES = sorted((REPOSITORY / "workflow/rules").glob("*.smk"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short_and_decides_nothing(script: Path) -> None:
    source = script.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 15
    decisions = (ast.If, ast.For, ast.While, ast.FunctionDef, ast.ClassDef, ast.Try)
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, decisions)]


def test_each_rule_has_the_script_of_its_name_and_a_log() -> None:
    named = {}
    for file in RULES:
        text = file.read_text(encoding="utf-8")
        assert text.startswith('"""'), f"{file.name} does not say what it is for"
        for name, body in re.findall(
            r"^ *(?:rule|checkpoint)(?: (\w+))?:\n(.*?)(?=^ *rule[ :]|\Z)", text, re.M | re.S
        ):
            # Rules made in a loop have names made of what they make, `unpack_…`, and one script, unpack_example.
            one_of_many = re.search(r'name:\s+f"(\w+)_\{(\w+)\}"', body)
            named[name or "_".join(one_of_many.groups())] = body
    assert set(named) == {script.stem for script in SCRIPTS}
    for name, body in named.items():
        assert f'"../scripts/{name}.py"' in body
        assert "log:" in body
