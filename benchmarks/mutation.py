"""Would the tests notice? Small changes to the numeric core and the selection, and how many make a test fail.

mutmut changes one thing at a time (a sign, a bound, a constant, a word) and runs the tests that come near it. What
survives is listed with its change; `benchmarks/survivors.toml` says of those that were looked at why they may live.

Examples
--------
::

    pip install mutmut==3.8.1                # into the environment; nothing else needs it
    python benchmarks/mutation.py selection  # one module, minutes
    python benchmarks/mutation.py --write    # all, to docs/mutation.md
    python benchmarks/mutation.py --place /tmp/mutants --minutes 20 solution  # go on another time
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs/mutation.md"
SURVIVORS = REPOSITORY / "benchmarks/survivors.toml"

# The tests that are about a module: the others would only take longer.
TESTS = {
    "consensus": ("test_consensus.py",),
    "criteria": ("test_criteria.py",),
    "selection": ("test_selection.py", "test_selection_words.py"),
    "solution": ("test_solution_parts.py", "test_solution.py", "test_solution_evidence.py"),
}
_CONFIGURATION = """\
[mutmut]
source_paths = nmfcore
only_mutate = nmfcore/{module}.py
also_copy =
    tests
    pyproject.toml
pytest_add_cli_args =
    -x
    -q
    -p
    no:cacheprovider
pytest_add_cli_args_test_selection =
{tests}
"""
# mutmut runs the tests several times in one process, which Hypothesis takes for a mistake.
_HYPOTHESIS = """
from hypothesis import HealthCheck

settings.register_profile("mutation", settings(), suppress_health_check=list(HealthCheck))
settings.load_profile("mutation")
"""
_MUTMUT = (sys.executable, "-m", "mutmut")
_AT_ONCE = 100
_LIVES = (0, 33, 5)
"""No test failed, or none comes near."""
_NOTICED = 1


@dataclass(frozen=True)
class Survivor:
    """A change that no test noticed.

    Attributes
    ----------
    function, before, after : str
        Where, and the line before and after.
    reason : str or None
        Why it may live, if it was looked at.
    """

    function: str
    before: str
    after: str
    reason: str | None = None


@dataclass(frozen=True)
class Score:
    """What became of the changes to a module.

    Attributes
    ----------
    module : str
    n_mutants : int
        Changes that were tried.
    survivors : list of Survivor
    n_untried : int
        Changes that were left out for lack of time: the last ones of a shuffled list.
    """

    module: str
    n_mutants: int
    survivors: list[Survivor]
    n_untried: int = 0

    @property
    def killed(self) -> int:
        """How many were noticed."""
        return self.n_mutants - len(self.survivors)


def mutate(module: str, place: Path, processes: int, minutes: float | None = None) -> Score:
    """Run mutmut on a copy of the library and its tests.

    Parameters
    ----------
    module : str
    place : path
        Folder for the copy. What an earlier run there found noticed stays so; the rest is tried again: a busy machine
        may be to blame for what ran out of time.
    processes : int
    minutes : float, optional
        Time after which what is still untried is left out. The order is random; what lived an earlier time
        comes last, and counts as living until then.
    """
    place.mkdir(parents=True, exist_ok=True)
    for part in ("nmfcore", "tests"):
        shutil.rmtree(place / part, ignore_errors=True)
        shutil.copytree(REPOSITORY / part, place / part, copy_function=shutil.copy2)
    with (place / "tests/conftest.py").open("a") as conftest:
        conftest.write(_HYPOTHESIS)
    # Which tests come near a change, asked again of the tests as they are now.
    (place / "mutants/mutmut-stats.json").unlink(missing_ok=True)
    shutil.copy2(REPOSITORY / "pyproject.toml", place)
    tests = "\n".join(f"    tests/core/{name}" for name in TESTS[module])
    (place / "setup.cfg").write_text(_CONFIGURATION.format(module=module, tests=tests))
    meta = place / f"mutants/nmfcore/{module}.py.meta"
    # Makes the changes, forgets those of functions that are others now, and tries none.
    _mutmut(place, "run", "--max-children", "1", "none.such")
    held = _codes(meta)
    names = [name for name, code in held.items() if code != _NOTICED]
    random.Random(0).shuffle(names)
    names.sort(key=lambda name: held[name] is not None)  # last what lived an earlier time
    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    for first in range(0, len(names), _AT_ONCE):
        if time.monotonic() >= end:
            break
        _mutmut(place, "run", "--max-children", str(processes), *names[first : first + _AT_ONCE])
    codes = _codes(meta)
    untried = sum(code is None for code in codes.values())
    if untried == len(codes) or (untried and minutes is None):
        said = (place / "log").read_text(errors="replace")[-2000:]
        raise SystemExit(f"{module}: mutmut did not finish:\n{said}")
    reasons = _reasons(module)
    survivors = []
    for name in (n for n, code in codes.items() if code in _LIVES):
        shown = subprocess.run(
            [*_MUTMUT, "show", name], cwd=place, capture_output=True, text=True
        ).stdout
        before, after = (_lines(shown, sign) for sign in "-+")
        function = name.rpartition(".")[2].rpartition("__mutmut_")[0].removeprefix("x_")
        function = function.replace("xǁ", "").replace("ǁ", ".")
        survivors.append(Survivor(function, before, after, reasons.get((function, before, after))))
    return Score(module, len(codes) - untried, survivors, untried)


def _mutmut(place: Path, *words: str) -> None:
    # Hypothesis then tries the same examples for every change.
    variables = {**os.environ, "CI": "true"}
    with (place / "log").open("a") as log:
        subprocess.run([*_MUTMUT, *words], cwd=place, stdout=log, stderr=log, env=variables)


def _codes(meta: Path) -> dict[str, int | None]:
    """Exit status of the tests for each change; None where it was not tried."""
    codes: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
    return codes


def _lines(diff: str, sign: str) -> str:
    changed = [
        line[1:].strip()
        for line in diff.splitlines()
        if line.startswith(sign) and not line.startswith(sign * 3)
    ]
    return " ".join(changed)


def _place_of(survivor: Survivor) -> tuple[str, str, str]:
    return survivor.function, survivor.before, survivor.after


def _reasons(module: str) -> dict[tuple[str, str, str], str]:
    """Reasons of survivors that were looked at, by what was changed."""
    if not SURVIVORS.exists():
        return {}
    known = tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get(module, [])
    return {(k["function"], k["before"], k["after"]): k["reason"] for k in known}


def page(scores: list[Score]) -> str:
    """The text of docs/mutation.md."""
    lines = [
        "| module | changes tried | noticed | score | looked at and let live | not tried |",
        "|---|---|---|---|---|---|",
    ]
    for s in scores:
        known = sum(survivor.reason is not None for survivor in s.survivors)
        lines.append(
            f"| `nmfcore.{s.module}` | {s.n_mutants} | {s.killed} | {s.killed / s.n_mutants:.1%} | {known} of "
            f"{len(s.survivors)} | {s.n_untried} |"
        )
    reasons = Counter(
        (s.module, survivor.reason) for s in scores for survivor in s.survivors if survivor.reason
    )
    why = [f"| `{module}` | {n} | {reason} |" for (module, reason), n in reasons.most_common()]
    return "\n".join(
        [
            "# Would the tests notice?",
            "",
            f"Written by `python benchmarks/mutation.py --write` on {datetime.date.today():%Y-%m-%d} with mutmut "
            f"{metadata.version('mutmut')}, Python {sys.version.split()[0]}.",
            "Each change alters one thing in a module, and the tests about that module are run; messages count",
            "like numbers. Some may not have been tried yet, for lack of time.",
            "",
            *lines,
            "",
            "Why survivors may live (`benchmarks/survivors.toml` names each):",
            "",
            "| module | changes | reason |",
            "|---|---|---|",
            *why,
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("modules", nargs="*", help=", ".join(TESTS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--least", type=float, default=0.9, help="score below which to fail")
    parser.add_argument(
        "--place", type=Path, help="work in folders here, and go on with what is there"
    )
    parser.add_argument("--minutes", type=float, help="time for each module; the rest is not tried")
    parser.add_argument("--write", action="store_true", help="renew docs/mutation.md")
    options = parser.parse_args()
    if unknown := set(options.modules) - TESTS.keys():
        parser.error(f"no such module: {', '.join(sorted(unknown))}; choose {', '.join(TESTS)}")
    scores = []
    for module in options.modules or TESTS:
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            place = (options.place or Path(folder)) / module
            score = mutate(module, place, options.processes, options.minutes)
        scores.append(score)
        for survivor in score.survivors:
            if survivor.reason is None:
                print(f"{module}.{survivor.function}\n  - {survivor.before}\n  + {survivor.after}")
        for known in sorted(_reasons(module).keys() - {_place_of(s) for s in score.survivors}):
            if not score.n_untried:
                print(
                    f"{module}.{known[0]}: noticed, or no longer made; not to be listed\n  - {known[1]}\n  + {known[2]}"
                )
        share = score.killed / score.n_mutants
        print(
            f"{module}: {score.killed} of {score.n_mutants} noticed, {share:.1%}; {score.n_untried} not tried",
            flush=True,
        )
    if options.write:
        PAGE.write_text(page(scores), encoding="utf-8")
    return 0 if all(s.killed >= options.least * s.n_mutants for s in scores) else 1


if __name__ == "__main__":
    sys.exit(main())
