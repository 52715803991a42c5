"""Does a results folder hold what it says? ``python -m nmfcore.adapters.verify results/<name>``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nmfcore.adapters.verification import verify
from nmfcore.errors import NmfcoreError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 where everything holds."""
    parser = argparse.ArgumentParser(
        prog="python -m nmfcore.adapters.verify",
        description="Compute digests and losses of a finished sweep again and name what does not hold.",
    )
    parser.add_argument("folders", type=Path, nargs="+", help="results/<name>")
    status = 0
    for folder in parser.parse_args(arguments).folders:
        try:
            found = verify(folder)
        except NmfcoreError as error:
            print(error, file=sys.stderr)
            status = 1
            continue
        for note in found.notes:
            print(f"note: {note}")
        for file, sentence in found.defects.items():
            print(f"{folder / file}: {sentence}")
        if found.defects:
            status = 1
            print(
                f"{folder}: {len(found.defects)} files do not hold. Delete them and run the same command again: "
                "they are made anew."
            )
        else:
            print(f"{folder}: {found.n_files} files and {found.n_losses} losses hold.")
    return status


if __name__ == "__main__":
    sys.exit(main())
