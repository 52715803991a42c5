"""The dashboard of the embedded store: MLflow's server, lean and on this machine only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from nmfcore.adapters.tracking import views
from nmfcore.adapters.tracking.places import Destination, sqlite_path
from nmfcore.adapters.tracking.records import (
    Store,
    connect,
    orderly_termination,
    prepare_environment,
)
from nmfcore.errors import ResultError

_HOST = "127.0.0.1"
_PORT = 5000
_PORTS_TRIED = 20
_START_S = 180.0  # on a busy machine; it is over at once where the server stops
_LATEST = 5


def serve(destination: Destination, port: int | None = None) -> int:
    """Start the server, print the links that open the right views, and wait until it is stopped.

    Parameters
    ----------
    destination : Destination
        An embedded store that exists.
    port : int, optional
        By default 5000, or the next free one.

    Raises
    ------
    ResultError
        If there is no store yet, or the port is taken.
    """
    path = sqlite_path(destination.uri)
    if path is None or not path.is_file():
        raise ResultError(
            f"{path}: no tracking store yet; run a sweep with tracking enabled first."
        )
    port = free_port(range(_PORT, _PORT + _PORTS_TRIED)) if port is None else free_port([port])
    store = connect(destination)
    log = destination.home / "server.log"
    with open(log, "w") as output:
        server = subprocess.Popen(
            server_command(destination, port),
            env=server_environment(),
            cwd=destination.home,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        with orderly_termination():
            _wait_until_ready(server, port, log)
            print("\n".join(links(destination, store, port)), flush=True)
            return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()


def server_command(destination: Destination, port: int) -> list[str]:
    """Command that starts a server with as little as it can do with."""
    options = {
        "--backend-store-uri": destination.uri,
        "--artifacts-destination": str(destination.home / "artifacts"),
        "--host": _HOST,
        "--port": str(port),
        "--workers": "1",
    }
    return [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        *(part for pair in options.items() for part in pair),
    ]


def server_environment() -> dict[str, str]:
    """Environment without telemetry and without job processes, which cost 2 GB."""
    prepare_environment()
    return os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def links(destination: Destination, store: Store, port: int) -> list[str]:
    """Lines that say where to look: the sweeps, the fits, the latest decisions, and what can be compared."""
    home = f"http://{_HOST}:{port}/"
    latest = list(store.client.search_runs([store.sweeps], "", max_results=_LATEST))
    rows = [
        ("all sweeps", views.sweeps_path(store.sweeps)),
        ("all fits", views.fits_path(store.fits)),
    ]
    for run in latest:
        tags, run_id = run.data.tags, run.info.run_id
        rows += [
            (_decision(tags), views.run_path(store.sweeps, run_id)),
            ("· report", views.run_path(store.sweeps, run_id, "artifacts/report.html")),
            ("· fits by rank", views.fits_of_sweep_path(store.fits, tags.get("sweep", ""))),
        ]
    rows += _comparisons(store, latest)
    width = max(len(title) for title, _ in rows)
    lines = [f"  {title:<{width}}  {home}{path}" for title, path in rows]
    return ["", *lines, "", f"  {destination.uri} · Ctrl-C stops the server", ""]


def _decision(tags: Mapping[str, str]) -> str:
    return f"{tags.get('sweep')}: rank {tags.get('recommended_rank')} ({tags.get('confidence')})"


def _comparisons(store: Store, runs: Sequence[Any]) -> list[tuple[str, str]]:
    """Links for sweeps of the same file: their curves in one place, their settings side by side."""
    alike = defaultdict(list)
    for run in runs:
        alike[run.data.tags.get("source_sha256")].append(run)
    rows = []
    for source, found in alike.items():
        if source and len(found) > 1:
            names = ", ".join(sorted(str(run.data.tags.get("sweep")) for run in found))
            ids = [run.info.run_id for run in found]
            rows += [
                (f"compare {names}", views.comparison_path(store.sweeps, source)),
                ("· settings side by side", views.settings_path(store.sweeps, ids)),
            ]
    return rows


def free_port(candidates: range | list[int]) -> int:
    """First port that nobody listens on.

    Raises
    ------
    ResultError
        If all are taken.
    """
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
    raise ResultError(f"port {candidates[0]} is taken; choose another one with --port.")


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    direct = build_opener(ProxyHandler({}))
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ResultError(f"the MLflow server stopped at once; {log} says why.")
        try:
            direct.open(f"http://{_HOST}:{port}/health", timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    raise ResultError(f"the MLflow server did not start within {_START_S:.0f} s; see {log}.")
