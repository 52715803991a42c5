import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nmfcore

REPOSITORY = Path(nmfcore.__file__).resolve().parents[1]
CORE = sorted(
    info.name
    for info in pkgutil.walk_packages(nmfcore.__path__, "nmfcore.")
    if not info.name.startswith("nmfcore.adapters")
)
OUTER = ("pandas", "matplotlib", "mlflow", "sklearn", "snakemake", "nmfcore.adapters")


def run_fresh(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_library_and_every_module_of_its_core_load_nothing_of_the_outer_rings():
    loaded = run_fresh(
        f"import importlib, sys\n"
        f"for name in ['nmfcore', *{CORE}]: importlib.import_module(name)\n"
        "print(*sys.modules)"
    ).split()
    assert "nmfcore.solvers.kernels" in loaded
    assert not [name for name in loaded if name.startswith(OUTER)]


def test_a_whole_sweep_loads_nothing_of_them_either():
    loaded = run_fresh(
        "import sys, numpy, nmfcore\n"
        "V = numpy.random.default_rng(0).gamma(1, size=(12, 10))\n"
        "nmfcore.sweep(V, ranks=[1, 2], seeds=2, n_folds=2, n_starts=1)\n"
        "print(*sys.modules)"
    ).split()
    assert not [name for name in loaded if name.startswith(OUTER)]


def test_what_the_rules_import_waits_neither_for_the_compiler_nor_for_pandas():
    rules = [file.read_text() for file in sorted((REPOSITORY / "workflow/rules").glob("*.smk"))]
    imports = re.findall(r"^from nmfcore.*", "\n".join(rules), re.MULTILINE)
    assert len(imports) > 5
    loaded = run_fresh("\n".join(["import sys", *imports, "print(*sys.modules)"])).split()
    assert not {"numba", "pandas", "matplotlib", "mlflow", "scipy.optimize"} & {*loaded}


def test_after_the_warm_up_no_fit_compiles_anything():
    printed = run_fresh(
        "import numpy, scipy.sparse as sparse\n"
        "from nmfcore.warm_up import warm_up\n"
        "from nmfcore.solvers import kernels, kl_kernels, mu_kernels\n"
        "from nmfcore import factorize\n"
        "from nmfcore.cross_validation import cross_validate\n"
        "def compiled():\n"
        "    return {(m.__name__, n): len(k.signatures) for m in (kernels, kl_kernels, mu_kernels)\n"
        "            for n, k in vars(m).items() if hasattr(k, 'signatures')}\n"
        "warm_up()\n"
        "before = compiled()\n"
        "V = numpy.random.default_rng(0).gamma(1, size=(260, 240))\n"
        "thin = sparse.csr_array(V * (V > 4))\n"
        "for dtype in ('float32', 'float64'):\n"
        "    for matrix in (V, numpy.asfortranarray(V), thin, thin.tocoo()):\n"
        "        factorize(matrix, 2, range(2), max_iter=8, dtype=dtype)\n"
        "        cross_validate(matrix, 2, 2, 1, max_iter=8, dtype=dtype)\n"
        "print(before == compiled(), before[kernels.__name__, 'sweep'])"
    )
    same, least = printed.split()
    assert same == "True"
    assert int(least) >= 2


def test_public_names_are_there_and_documented():
    for name in nmfcore.__all__:
        assert getattr(nmfcore, name).__doc__, name
    assert isinstance(nmfcore.__version__, str)


@pytest.mark.parametrize("name", CORE)
def test_examples_in_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_the_public_functions_have_examples():
    for function in (nmfcore.factorize, nmfcore.sweep):
        assert ">>>" in function.__doc__
