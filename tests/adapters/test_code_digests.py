from __future__ import annotations

from pathlib import Path

import pytest

from nmfcore.adapters import code_digests


def test_the_digest_of_code_follows_imports_and_templates_but_no_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_digests, "_PACKAGE", tmp_path)
    (tmp_path / "adapters/part/__pycache__").mkdir(parents=True)
    (tmp_path / "solvers").mkdir()
    sources = {
        "adapters/part/a.py": "import nmfcore.adapters.store\nfrom nmfcore.fit import solve\n",
        "fit.py": "def solve():\n    from nmfcore.solvers import fast\n",
        "solvers/__init__.py": "",
        "solvers/fast.py": "speed = 1\n",
        "apart.py": "",
        "adapters/store.py": "",
    }
    for name, text in sources.items():
        (tmp_path / name).write_text(text)

    def changes(name: str, text: str) -> bool:
        code_digests._imported.cache_clear()
        before = code_digests.code_digest("adapters/part")
        (tmp_path / name).write_text(text)
        code_digests._imported.cache_clear()
        return code_digests.code_digest("adapters/part") != before

    for name in ("adapters/part/a.py", "fit.py", "solvers/__init__.py", "solvers/fast.py"):
        assert changes(name, sources[name] + "# changed\n"), name
    assert changes("adapters/part/page.html.j2", "<p>")
    for name in ("apart.py", "adapters/store.py"):
        assert not changes(name, "# changed\n"), name
    for name in ("a.cpython-311.pyc", "kernels.nbi"):
        assert not changes(f"adapters/part/__pycache__/{name}", "x"), name
    code_digests._imported.cache_clear()
