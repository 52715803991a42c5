"""What MLflow is asked to do, kept in one place: connect, experiments, runs that always end."""

from __future__ import annotations

import getpass
import logging
import os
import signal
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from nmfcore.adapters.store import write_bytes
from nmfcore.adapters.tracking import views
from nmfcore.adapters.tracking.places import Destination, redact, sqlite_path

MAX_PARAM = 6000
MAX_TAG = 8000
_METRICS_A_CALL = 900
_PARAMS_A_CALL = 90
_PAGE = 1000
_USER = "mlflow.user"
_MEMORY = "/dev/shm"
# SQLite's write-ahead log needs memory that all writers share: never over a network.
_LOCAL = frozenset({"ext2/ext3", "xfs", "btrfs", "zfs", "tmpfs", "overlayfs"})

# Defaults make a client wait for minutes on a dead server; a person's own settings stay.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class Store:
    """A connected tracking store.

    Attributes
    ----------
    client : MlflowClient
    sweeps, fits : str
        Ids of the two experiments.
    """

    client: Any
    sweeps: str
    fits: str


def prepare_environment() -> None:
    """Set MLflow's switches that nobody set; to be called before MLflow is imported."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # MLflow would print the address of every run, and with it the password of the server's.
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"


def load_client() -> None:
    """Import MLflow, which takes seconds."""
    prepare_environment()
    import mlflow  # noqa: F401


def connect(destination: Destination) -> Store:
    """Connect to a store that has the current schema and both experiments."""
    client = _client(destination)
    sweeps, fits = destination.sweeps, destination.fits
    fits_id = _experiment(client, fits, destination.artifacts("fits"), views.fits_tags())
    sweeps_id = _experiment(client, sweeps, destination.artifacts("sweeps"), views.sweeps_tags())
    return Store(client, sweeps_id, fits_id)


# ---------------------------------------------------------------- schema


def _client(destination: Destination) -> Any:
    prepare_environment()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if destination.is_server:
        return MlflowClient(tracking_uri=destination.uri)
    with _quiet():
        path = sqlite_path(destination.uri)
        _flush_at_checkpoints(path)
        if path is None:
            # Another database: MLflow creates its tables on connecting, safe for one at a time.
            with destination.locked("schema"):
                return MlflowClient(tracking_uri=destination.uri)
        if not _is_filled(path):
            with destination.locked("schema"):
                if not _is_filled(path):
                    _create(path)
        try:
            return MlflowClient(tracking_uri=destination.uri)
        except MlflowException as error:
            if "out-of-date" not in str(error):
                raise
        with destination.locked("schema"):
            _upgrade(destination.uri, path)
        return MlflowClient(tracking_uri=destination.uri)


def _flush_at_checkpoints(path: Path | None) -> None:
    """Let SQLite flush its write-ahead log at checkpoints only, in this process.

    A power cut can then lose the last runs, never damage the store; what is lost can be published again.
    """
    if path is None or _file_system(path.parent) not in _LOCAL:
        return
    from sqlalchemy import Engine, event

    if not event.contains(Engine, "connect", _relax):
        event.listen(Engine, "connect", _relax)


def _relax(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=NORMAL")


def _is_filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _create(path: Path) -> None:
    """Create a store that is complete or absent: half a migration cannot be resumed.

    The migrations flush a thousand times; in memory that costs nothing.
    """
    from mlflow import MlflowClient

    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="nmfcore-", dir=memory) as folder:
        draft = Path(folder) / path.name
        MlflowClient(tracking_uri=f"sqlite:///{draft}")
        write_bytes(path, draft.read_bytes())
    if _file_system(path.parent) in _LOCAL:
        # A quarter of the flushes to disk, and the dashboard's reading delays no writer.
        with closing(sqlite3.connect(path, timeout=20)) as database:
            database.execute("PRAGMA journal_mode=WAL")


def _file_system(folder: Path) -> str:
    """Kind of file system as GNU stat names it; empty if it cannot tell."""
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def _upgrade(uri: str, path: Path) -> None:
    """Bring an older schema up to date, after a copy of the file as MLflow advises."""
    from mlflow.db import commands

    copy = path.with_name(f"{path.name}.before-upgrade")
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(copy)) as new:
        old.backup(new)
    commands.main(["upgrade", uri], standalone_mode=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the notices about dozens of migrations out of a person's terminal."""
    loggers = [logging.getLogger(name) for name in ("mlflow.store.db.utils", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# ---------------------------------------------------------------- experiments


def _experiment(client: Any, name: str, artifacts: str | None, tags: Mapping[str, str]) -> str:
    """Id of an experiment, created or, as no name can be used twice, restored."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifacts, dict(tags)))
        except MlflowException:
            # Another process may have been faster.
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        try:
            client.restore_experiment(experiment.experiment_id)
        except MlflowException:
            if client.get_experiment_by_name(name).lifecycle_stage == "deleted":
                raise
    _add_tags(client, experiment, tags)
    return str(experiment.experiment_id)


def ensure_tags(client: Any, experiment: str, tags: Mapping[str, str]) -> None:
    """Give an experiment tags that it does not have; what a person made of one stays."""
    _add_tags(client, client.get_experiment(experiment), tags)


def _add_tags(client: Any, experiment: Any, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if key not in experiment.tags:
            client.set_experiment_tag(experiment.experiment_id, key, value)


# ---------------------------------------------------------------- runs


def find(client: Any, experiment: str, tags: Mapping[str, str]) -> list[Any]:
    """All runs that carry the given tags, but for those of other users: a team may use a name twice."""
    query = " AND ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
    found: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment], query, max_results=_PAGE, page_token=token)
        found += [run for run in page if run.data.tags.get(_USER) in (None, user())]
        token = page.token
        if not token:
            return found


def user() -> str:
    """Name under which runs are published."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # nobody has that number here, as in many containers
        return str(os.getuid())


def settle(
    client: Any, runs: Iterable[Any], slot: str, keys: Mapping[str, str]
) -> tuple[set[str], int]:
    """Keep what is published already, delete what a crash or other settings left behind.

    Parameters
    ----------
    client : MlflowClient
    runs : iterable of Run
        Candidates.
    slot : str
        Tag that tells which of the wanted runs a candidate is.
    keys : mapping
        Key that the run of each slot must carry; candidates of other slots are left alone.

    Returns
    -------
    tuple of (set of str, int)
        Slots that need no publishing, and the number of deleted runs.
    """
    done: set[str] = set()
    deleted = 0
    for run in runs:
        place = run.data.tags.get(slot)
        if place not in keys:
            continue
        finished = run.info.status == "FINISHED" and run.data.tags.get("key") == keys[place]
        if finished and place not in done:
            done.add(place)
        else:
            client.delete_run(run.info.run_id)
            deleted += 1
    return done, deleted


@contextmanager
def ended_run(
    client: Any, experiment: str, name: str, tags: Mapping[str, str], start: int, end: int
) -> Iterator[str]:
    """Id of a new run that ends FINISHED, or FAILED whatever happens in between."""
    run_id = client.create_run(experiment, start, {**tags, _USER: user()}, name).info.run_id
    try:
        yield run_id
        client.set_terminated(run_id, "FINISHED", end)
    except BaseException:
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED", end)
        raise


@contextmanager
def orderly_termination() -> Iterator[None]:
    """Turn SIGTERM, which workflow engines send, into an exception that ends the open run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def log(client: Any, run_id: str, metrics: Sequence[Any], params: Mapping[str, object]) -> None:
    """Log any number of metrics and parameters in as few calls as the limits allow."""
    from mlflow.entities import Param

    entries = [Param(key, parameter_text(value)) for key, value in params.items()]
    first_metrics, first_params = metrics[:_METRICS_A_CALL], entries[:_PARAMS_A_CALL]
    client.log_batch(run_id, metrics=first_metrics, params=first_params)
    for some in _chunks(metrics[_METRICS_A_CALL:], _METRICS_A_CALL):
        client.log_batch(run_id, metrics=some)
    for some in _chunks(entries[_PARAMS_A_CALL:], _PARAMS_A_CALL):
        client.log_batch(run_id, params=some)


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def parameter_text(value: object) -> str:
    """Value of a parameter as people read it, without secrets and within MLflow's limit."""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return shortened(redact(text), MAX_PARAM) or "none"


def shortened(text: str, limit: int) -> str:
    """Text cut to a number of characters, visibly."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested settings as one level with dotted names; what is not set is left out."""
    pairs = (
        flattened(value, f"{prefix}{key}.").items()
        if isinstance(value, Mapping)
        else [(f"{prefix}{key}", value)]
        for key, value in settings.items()
    )
    return {key: value for key, value in chain.from_iterable(pairs) if value is not None}
