"""Publish what is pending, or open the dashboard: ``python -m nmfcore.adapters.tracking``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nmfcore.adapters.tracking.dashboard import serve
from nmfcore.adapters.tracking.following import run_follower
from nmfcore.adapters.tracking.places import Destination
from nmfcore.adapters.tracking.publishing import configured_place, publish_folder
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

    following = commands.add_parser("follow", help="what the workflow starts beside a sweep")
    following.set_defaults(run=_follow)

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
    uri, experiment = options.uri, options.experiment
    if uri is None:
        uri, named = configured_place(root)
        experiment = experiment or named
    destination = Destination.of(uri, experiment, root.parent)
    report = publish_folder(root, destination)
    print(f"{root.name}: {report.line}", file=sys.stderr if report.pending else sys.stdout)
    return 1 if report.pending else 0


def _follow(_options: argparse.Namespace) -> int:
    run_follower()
    return 0


def _dashboard(options: argparse.Namespace) -> int:
    return serve(Destination.of(None, options.experiment, options.results), options.port)


if __name__ == "__main__":
    sys.exit(main())
