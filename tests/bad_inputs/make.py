"""Write the corpus of bad files, each with the message that it gets: ``python tests/bad_inputs/make.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bad_inputs.corpus import CASES

from nmfcore.adapters.readers import read_matrix
from nmfcore.errors import InputError


def main(folder: Path) -> None:
    for number, case in enumerate(CASES, 1):
        own = folder / f"{number:03d}"
        own.mkdir(parents=True)
        path = case.write(own)
        try:
            read_matrix(path, **case.arguments)
        except InputError as error:
            (own / "message").write_text(f"{case.name}\n{case.options}\n{error}\n")
        else:
            raise SystemExit(f"{path}: {case.name} was read without an error.")
    print(f"{len(CASES)} bad files in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
