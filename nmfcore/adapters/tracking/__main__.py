"""Publish what is pending, or open the dashboard: ``python -m nmfcore.adapters.tracking``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nmfcore.adapters.store import SweepFolder
from nmfcore.adapters.tracking.dashboard import serve
from nmfcore.adapters.tracking.places import Destination
from nmfcore.adapters.tracking.publishing import publish_folder
from nmfcore.errors import NmfcoreError, ResultError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nmfcore.adapters.tracking")
    commands = parser.add_subparsers(required=True)

    publish = commands.add_parser("publish", help="publish everything of a sweep that is pending")
    publish.add_argument("folder", type=Path, help="results/<name>")
    publish.add_argument(
        "--uri", help="tracking store; as the sweep's configuration says if left out"
    )
    publish.add_argument("--experiment", help="prefix of the experiments' names")
    publish.set_defaults(run=_publish)

    dashboard = commands.add_parser("dashboard", help="open the embedded store in a browser")
    dashboard.add_argument("results", type=Path, nargs="?", default=Path("results"))
    dashboard.add_argument("--port", type=int, help="5000, or the next free one, if left out")
    dashboard.add_argument("--experiment", help="prefix of the experiments' names")
    dashboard.set_defaults(run=_dashboard)

    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except NmfcoreError as error:
        print(error, file=sys.stderr)
        return 1
    return status


def _publish(options: argparse.Namespace) -> int:
    root: Path = options.folder.resolve()
    if not root.is_dir():
        raise ResultError(f"{options.folder}: no such folder; name one such as results/leukemia.")
    configured = _configured(root)
    destination = Destination.of(
        options.uri or configured.get("uri"),
        options.experiment or configured.get("experiment"),
        root.parent,
    )
    report = publish_folder(root, destination)
    print(f"{root.name}: {report.line}", file=sys.stderr if report.pending else sys.stdout)
    return 1 if report.pending else 0


def _configured(root: Path) -> dict[str, str | None]:
    """`tracking` of the sweep's configuration; empty while the sweep is unfinished."""
    if not (root / "selection/recommendation.json").is_file():
        return {}
    tracking: dict[str, str | None] = SweepFolder(root).settings.get("tracking") or {}
    return tracking


def _dashboard(options: argparse.Namespace) -> int:
    return serve(Destination.of(None, options.experiment, options.results), options.port)


if __name__ == "__main__":
    sys.exit(main())
