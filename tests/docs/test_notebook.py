"""The notebook runs, and its cells give what is printed in it."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from typing import Any

import pytest
from conftest import REPOSITORY

NOTEBOOK = json.loads((REPOSITORY / "docs/notebook.ipynb").read_text("utf-8"))


def run(source: str, names: dict[str, Any]) -> tuple[str, Any]:
    """What a cell prints, and the value of its last line."""
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "notebook", "exec"), names)
        value = eval(compile(last, "notebook", "eval"), names) if last else None
    return printed.getvalue(), value


def words(text: str) -> str:
    """The text without its numbers, the digits of which move with every improvement of a solver."""
    return re.sub(r"[−+-]?[\d.]+|NaN|\s+", " ", text).strip()


def test_every_cell_gives_what_is_written_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict[str, Any] = {}
    n_compared = 0
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] != "code":
            continue
        printed, value = run("".join(cell["source"]), names)
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                assert words(printed) == words("".join(output["text"]))
            elif "image/png" not in output["data"]:
                assert words(repr(value)) == words("".join(output["data"]["text/plain"]))
            n_compared += 1
    assert n_compared >= 8
    assert names["result"].recommendation.rank == 3
    assert (names["cosines"].max(axis=1) > 0.99).all()
