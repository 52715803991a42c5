"""The entry points: publish a batch, a sweep or a folder, and never fail a sweep by it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nmfcore.adapters.store import SweepFolder, find_run_files, read_json, write_json
from nmfcore.adapters.tracking.fits import Fit, read_fits
from nmfcore.adapters.tracking.patience import FILE_S, SERVER_S, OutOfTime, Patience
from nmfcore.adapters.tracking.places import Destination, TrackingUnavailableError, redact
from nmfcore.adapters.tracking.records import (
    Store,
    connect,
    ended_run,
    ensure_tags,
    find,
    load_client,
    log,
    orderly_termination,
    settle,
    shortened,
)
from nmfcore.errors import ResultError

# Requests that it takes to find what a store holds, and to publish a fit.
_FIND, _FIT = 1, 3
_LONGEST_REASON = 600


@dataclass(frozen=True)
class PublishReport:
    """What publishing did.

    Attributes
    ----------
    published : int
        Runs that were published now.
    skipped : int
        Runs that the store held already.
    replaced : int
        Outdated or broken runs that were deleted.
    pending : str or None
        Why something could not be published; None if all was.
    """

    published: int = 0
    skipped: int = 0
    replaced: int = 0
    pending: str | None = None

    def __add__(self, other: PublishReport) -> PublishReport:
        return PublishReport(
            self.published + other.published,
            self.skipped + other.skipped,
            self.replaced + other.replaced,
            self.pending or other.pending,
        )

    @property
    def line(self) -> str:
        """One sentence for a terminal or a log."""
        parts = [f"{self.published} published", f"{self.skipped} already there"]
        if self.replaced:
            parts.append(f"{self.replaced} outdated or unfinished replaced")
        return ", ".join(parts) + (f"; pending: {self.pending}" if self.pending else "")


@dataclass
class _Work:
    """Publishing under way: what was done so far, and how long it may still take."""

    patience: Patience
    done: PublishReport = field(default_factory=PublishReport)

    def count(self, published: int = 0, skipped: int = 0, replaced: int = 0) -> None:
        self.done += PublishReport(published, skipped, replaced)


def _attempt(
    destination: Destination, budget: float | None, act: Callable[[Store, _Work], None]
) -> PublishReport:
    """Publish as far as possible: whatever goes wrong is a reason to try later, never an error."""
    if budget is None:
        budget = SERVER_S if destination.is_server else FILE_S
    work = _Work(Patience(budget))
    try:
        with orderly_termination(), work.patience.enforced():
            destination.check()
            with work.patience.paused():
                load_client()
            act(connect(destination), work)
    except OutOfTime:
        where = redact(destination.uri)
        return replace(work.done, pending=f"the tracking store {where} is too slow, or hangs")
    except TrackingUnavailableError as error:
        return replace(work.done, pending=str(error))
    except Exception as error:
        return replace(work.done, pending=_reason(error, destination.uri))
    return work.done


def _reason(error: Exception, uri: str) -> str:
    """One sentence without secrets; MLflow tells a lost connection at length."""
    text = " ".join(redact(f"{type(error).__name__}: {error}", uri).split())
    if text.startswith("MlflowException: API request to"):
        how = "does not answer in time" if "timed out" in text else "stopped answering"
        return f"the tracking store {redact(uri)} {how}"
    return shortened(text, _LONGEST_REASON)


# ---------------------------------------------------------------- publish


def initialise(destination: Destination) -> PublishReport:
    """Create or upgrade the store's schema and its two experiments; quick where both exist.

    Any number of processes may do so at once.
    """
    return _attempt(destination, None, lambda _store, _work: None)


def publish_fits(
    batches: Sequence[str | Path],
    destination: Destination,
    sweep_name: str,
    budget: float | None = None,
) -> PublishReport:
    """Publish finished batches, one run for every (rank, seed).

    Parameters
    ----------
    batches : sequence of path
        `runs/rank-<k>/seeds-<a>-<b>.npz`, with their tables beside them.
    destination : Destination
    sweep_name : str
    budget : float, optional
        Seconds that a store in trouble may take more than one that is well, before the rest is left pending.
        Default: a few for a server, minutes for a file.
    """

    def act(store: Store, work: _Work) -> None:
        for npz in batches:
            fits = read_fits(Path(npz), sweep_name)
            if fits:
                _publish_fits(store, destination, fits, work)

    return _attempt(destination, budget, act)


def publish_sweep(
    folder: SweepFolder, destination: Destination, budget: float | None = None
) -> PublishReport:
    """Publish a finished sweep as one run: curves over the ranks, decision, figures and report.

    Parameters
    ----------
    folder : SweepFolder
    destination : Destination
    budget : float, optional
        As for `publish_fits`.
    """
    return _attempt(
        destination, budget, lambda store, work: _publish_sweep(store, destination, folder, work)
    )


def publish_folder(root: str | Path, destination: Destination) -> PublishReport:
    """Publish everything of `results/<name>/` that is finished and not published yet."""
    folder = SweepFolder(root)

    def act(store: Store, work: _Work) -> None:
        for file in find_run_files(folder.root):
            _publish_fits(store, destination, read_fits(file.npz, folder.name), work)
        if (folder.root / "selection/recommendation.json").is_file():
            _publish_sweep(store, destination, folder, work)

    return _attempt(destination, math.inf, act)


def _publish_fits(store: Store, destination: Destination, fits: Sequence[Fit], work: _Work) -> None:
    place = {name: fits[0].tags[name] for name in ("sweep", "rank")}
    with destination.locked(f"{place['sweep']}-rank-{place['rank']}"):
        client, experiment = store.client, store.fits
        keys = {fit.tags["seed"]: fit.key for fit in fits}
        done, deleted = settle(client, find(client, experiment, place), "seed", keys)
        work.count(skipped=len(done), replaced=deleted)
        work.patience.allow(_FIND)
        for fit in fits:
            if fit.tags["seed"] in done:
                continue
            work.patience.check()
            with ended_run(client, experiment, fit.name, fit.tags, fit.start, fit.end) as run_id:
                log(client, run_id, _metrics(fit.metrics, fit.end), fit.params)
            work.count(published=1)
            work.patience.allow(_FIT)
        if destination.is_server and len(done) < len(fits):
            # A request that a busy server answered too late was sent twice.
            settle(client, find(client, experiment, place), "seed", keys)
            work.patience.allow(_FIND)


def _publish_sweep(
    store: Store, destination: Destination, folder: SweepFolder, work: _Work
) -> None:
    from nmfcore.adapters.tracking import views
    from nmfcore.adapters.tracking.models import publish_model, upload
    from nmfcore.adapters.tracking.sweeps import dataset_input, note, read_sweep

    record = read_sweep(folder)
    with destination.locked(f"{record.name}-sweep"):
        client, experiment = store.client, store.sweeps
        place = {"sweep": record.name}
        keys = {record.name: record.tags["key"]}
        runs = find(client, experiment, place)
        done, deleted = settle(client, runs, "sweep", keys)
        work.count(skipped=len(done), replaced=deleted)
        if done:
            kept = next(run for run in runs if run.data.tags.get("key") == record.tags["key"])
            publish_model(client, folder, kept.info.run_id, work.patience)
            return
        run = ended_run(client, experiment, record.name, record.tags, record.start, record.end)
        with run as run_id:
            text = note(folder, experiment, run_id, store.fits)
            client.set_tag(run_id, "mlflow.note.content", text)
            ensure_tags(client, store.fits, views.sweep_view(record.name))
            source = record.tags["source_sha256"]
            ensure_tags(client, experiment, views.comparison_view(source, record.source))
            log(client, run_id, _metrics(record.metrics, record.end), record.params)
            client.log_inputs(run_id, [dataset_input(folder)])
            upload(client, run_id, folder.root, record.files, "", work.patience)
            publish_model(client, folder, run_id, work.patience)
        work.count(published=1)


def _metrics(points: Iterable[tuple[str, float, int]], timestamp: int) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(name, value, timestamp, step) for name, value, step in points]


# ---------------------------------------------------------------- for the workflow


def track_fits(
    batches: Sequence[str | Path],
    uri: str | None,
    experiment: str | None,
    results_root: str | Path,
    sweep_name: str,
    marker: str | Path,
) -> PublishReport:
    """Publish finished batches and write the marker whatever happens.

    Parameters
    ----------
    batches : sequence of path
        `runs/rank-<k>/seeds-<a>-<b>.npz`.
    uri, experiment : str or None
        The configuration's `tracking.uri` and `tracking.experiment`.
    results_root : path
        The folder that holds all sweeps.
    sweep_name : str
    marker : path
        JSON file to write: `published` (runs that the store holds), `pending` (null or why), and where: `uri`
        (without secrets) and `experiment`, null where the configuration says nothing.
    """
    destination = Destination.of(uri, experiment, results_root)
    report = publish_fits(batches, destination, sweep_name)
    return _marked(report, marker, sweep_name, uri, experiment, results_root)


def track_sweep(
    folder: SweepFolder,
    uri: str | None,
    experiment: str | None,
    results_root: str | Path,
    marker: str | Path,
) -> PublishReport:
    """Publish a finished sweep and write the marker whatever happens.

    Parameters
    ----------
    folder : SweepFolder
    uri, experiment, results_root, marker
        As for `track_fits`.
    """
    report = publish_sweep(folder, Destination.of(uri, experiment, results_root))
    return _marked(report, marker, folder.name, uri, experiment, results_root)


def later_command(
    sweep_name: str, uri: str | None, experiment: str | None, results_root: str | Path
) -> str:
    """Command that publishes what is pending; a password in the address has to be filled in."""
    words = ["python", "-m", "nmfcore.adapters.tracking", "publish"]
    words.append(str(Path(results_root) / sweep_name))
    words += ["--uri", redact(uri)] if uri else []
    words += ["--experiment", experiment] if experiment else []
    return shlex.join(words)


def _marked(
    report: PublishReport,
    marker: str | Path,
    sweep_name: str,
    uri: str | None,
    experiment: str | None,
    results_root: str | Path,
) -> PublishReport:
    if report.pending is not None:
        later = later_command(sweep_name, uri, experiment, results_root)
        report = replace(report, pending=f"{report.pending}; publish later with: {later}")
    write_json(
        marker,
        {
            "published": report.published + report.skipped,
            "pending": report.pending,
            "uri": redact(uri) if uri else None,
            "experiment": experiment,
        },
    )
    return report


def configured_place(root: Path) -> tuple[str | None, str | None]:
    """`tracking.uri` and `tracking.experiment` of a sweep, as its last publishing job wrote them.

    Parameters
    ----------
    root : path
        `results/<name>`.

    Raises
    ------
    ResultError
        If the address had a secret, which is kept nowhere.
    """
    markers = sorted((root / "tracking").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    if not markers:
        return None, None
    place = read_json(markers[-1])
    uri: str | None = place.get("uri")
    if uri is not None and "***" in uri:
        raise ResultError(f"{uri}: its secret is kept nowhere; name the whole address with --uri.")
    return uri, place.get("experiment")
