"""What a sweep survives: real faults injected into the real workflow, and a table of what came of them.

Every line of the table is counted here: a sweep is broken, then finished by the command that started it, and what it
then holds is compared, byte for byte, with a sweep that nothing disturbed.

Examples
--------
::

    python benchmarks/faults.py --quick           # a minute and a half
    python benchmarks/faults.py --only kill disk  # some sections
    python benchmarks/faults.py --write           # all of it, to docs/trust.md
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import functools
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.faulty_sweeps import (
    REPOSITORY,
    Done,
    Project,
    copy_repository,
    orphans,
    tiny_config,
    tiny_matrix,
)
from nmfcore.adapters import store
from nmfcore.adapters.environment import environment, versions
from nmfcore.adapters.verification import verify

TRUST = REPOSITORY / "docs/trust.md"
TMP = ".tmp"
LONGER_S = 20
"""What a tracking server in trouble may cost a sweep."""
FITS = 2 * 4
"""Runs of a sweep: ranks × seeds."""


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    fault, shown : str
        What was done, and what it shows.
    n, of : int
        In how many cases out of how many it came out as it should.
    detail : str
    """

    fault: str
    shown: str
    n: int
    of: int
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether it came out as it should every time."""
        return self.n == self.of > 0


@dataclass
class Bench:
    """Where sweeps run, how many of them, and what an undisturbed one gives."""

    place: Path
    quick: bool
    seed: int = 0
    failures: list[str] = field(default_factory=list)
    _made: int = 0

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.repository = copy_repository(self.place / "repository")
        self._references: dict[str, dict[str, str]] = {}
        self.seconds = 0.0
        self.leftovers = 0

    def project(self, config: dict[str, Any] | None = None, **options: Any) -> Project:
        """A new folder."""
        self._made += 1
        options = {"repository": self.repository, **options}
        return Project(self.place / f"{self._made:03d}", config or tiny_config(), **options)

    def reference(self, config: dict[str, Any] | None = None, matrix: str = "") -> dict[str, str]:
        """Hashes of an undisturbed sweep."""
        key = f"{config}{hash(matrix)}"
        if key not in self._references:
            project = self.project(config)
            if matrix:
                (project.folder / "matrix.tsv").write_text(matrix)
            done = project.run()
            if done.returncode:
                raise SystemExit(f"An undisturbed sweep failed:\n{done.text}")
            self._references[key] = project.hashes()
            if config is None and not matrix:
                self.seconds = done.seconds
                self.sound = project
            else:
                project.remove()
        return self._references[key]

    def finish(self, project: Project, what: str, expected: dict[str, str]) -> tuple[bool, Done]:
        """Run the same command again; return whether it ends well, with the bytes of an undisturbed sweep."""
        done = project.run()
        good = done.returncode == 0 and project.hashes() == expected and not holds_not(project)
        self.leftovers += sum(1 for _ in project.sweep.rglob(f".*{TMP}"))
        if good:
            project.remove()
        else:
            differing = {
                name
                for name in expected.keys() | project.hashes().keys()
                if expected.get(name) != project.hashes().get(name)
            }
            self.failures.append(
                f"{what}: exit {done.returncode}, {sorted(differing)[:4]}, {holds_not(project)}; see {project.folder}"
            )
        return good, done

    def times(self, full: int, quick: int) -> int:
        """How often, in the full and in the quick run."""
        return quick if self.quick else full


def holds_not(project: Project) -> dict[str, str]:
    """What `verify` says of the results."""
    return verify(project.sweep).defects


# ---------------------------------------------------------------- killed


def kill(bench: Bench) -> Iterator[Row]:
    """Kill −9 at random moments, and at the moments when files come to disk; several times in a row each sweep."""
    bench.reference()
    for what, alone, times in (
        ("snakemake and its jobs", False, 20),
        ("snakemake alone", True, 12),
    ):

        def strike(project: Project, alone: bool = alone) -> Done:
            return _at(bench.random.uniform(1.0, 0.5 * bench.seconds), alone, project)

        if not (alone and bench.quick):
            yield _killed(bench, what, strike, bench.times(times, 1))
    ways = ("fsync:{}:kill-job", "fsync:{}:kill-all", "replace:{}:kill-after")

    def at_file(project: Project) -> Done:
        way = ways[int(bench.random.integers(3))]
        return project.run(fault=way.format(int(bench.random.integers(1, 13))))

    yield _killed(bench, "jobs as their N-th file comes to disk", at_file, bench.times(20, 1))


def _at(moment: float, alone: bool, project: Project) -> Done:
    running = project.start()
    running.wait(float(moment))
    with contextlib.suppress(ProcessLookupError):
        (running.signal_one if alone else running.signal_all)(signal.SIGKILL)
    return running.end()


KILLS_IN_A_ROW = 5
BATCHES = 4


def _killed(bench: Bench, what: str, strike: Callable[[Project], Done], times: int) -> Row:
    """Kill sweeps so many times, each up to five times in a row, and let them finish."""
    good = repeated = struck = sweeps = 0
    while struck < times:
        project = bench.project()
        ends: list[Done] = []
        for _ in range(min(KILLS_IN_A_ROW, times - struck)):
            ends.append(strike(project))
            if ends[-1].returncode == 0:  # it was faster
                break
        kills = sum(end.returncode != 0 for end in ends)
        ok, last = bench.finish(project, f"kill {what}", bench.reference())
        struck, sweeps, good = struck + kills, sweeps + 1, good + kills * ok
        repeated += max(sum(end.finished_fits for end in [*ends, last]) - BATCHES, 0)
    return Row(
        f"kill −9 of {what}",
        "finished by the same command, same bytes",
        good,
        struck,
        f"{sweeps} sweeps, each killed up to {KILLS_IN_A_ROW} times in a row; finished batches of fits repeated: "
        f"{repeated}; half files left: {bench.leftovers}",
    )


def stop(bench: Bench) -> Iterator[Row]:
    """SIGTERM and SIGINT, as a batch system or Ctrl-C send them."""
    expected = bench.reference()
    for number, alone in ((signal.SIGTERM, True), (signal.SIGTERM, False), (signal.SIGINT, False)):
        moments = bench.random.uniform(1.5, 0.9 * bench.seconds, bench.times(3, 1))
        good = 0
        for moment in moments:
            project = bench.project()
            running = project.start()
            running.wait(float(moment))
            with contextlib.suppress(ProcessLookupError):
                (running.signal_one if alone else running.signal_all)(number)
            running.end()
            good += bench.finish(project, f"{number.name} at {moment:.2f}", expected)[0]
        yield Row(
            f"{number.name} to {'snakemake' if alone else 'snakemake and its jobs'}",
            "finished by the same command, same bytes",
            good,
            len(moments),
        )
        if bench.quick:
            return


# ---------------------------------------------------------------- disks


def disk(bench: Bench) -> Iterator[Row]:
    """A full disk, a failing one, and one that may not be written."""
    expected = bench.reference()
    numbers = bench.random.permutation(np.arange(1, 55))[: bench.times(6, 1)]
    good = half = 0
    for n in numbers:
        project = bench.project()
        failed = project.run(fault=f"{'fsync' if n % 2 else 'replace'}:{n}:fail")
        half += _half_files(project, expected) + (failed.returncode == 0)
        good += bench.finish(project, f"write error {n}", expected)[0]
    yield Row(
        "write error (EIO) at the N-th file",
        "no half file accepted, finished by the same command, same bytes",
        good if not half else 0,
        len(numbers),
        f"half files under their own names: {half}",
    )
    if not _can_mount(bench.place):
        return
    sizes = np.unique(np.geomspace(24, 1500, bench.times(6, 1) + 1).astype(int))[:-1]
    good = half = full = 0
    for size in sizes:
        project = bench.project()
        with _small_disk(project.folder / "results", f"size={size}k") as grow:
            filled = project.run()
            full += filled.returncode != 0
            half += _half_files(project, expected)
            grow("size=100m")
            good += _kept(bench.finish, project, f"disk of {size} KiB", expected)
    yield Row(
        "disk full",
        "no half file accepted, finished by the same command once there is room",
        good if not half else 0,
        len(sizes),
        f"disks of {sizes[0]} to {sizes[-1]} KiB, {full} of them too small; half files: {half}",
    )
    if bench.quick:
        return
    good = untouched = 0
    for moment in (None, 0.4, 0.7):
        project = bench.project()
        with _small_disk(project.folder / "results", "size=100m") as grow:
            if moment:
                _at(moment * bench.seconds, False, project)
            before = project.hashes()
            grow("ro")
            refused = project.run()
            untouched += (
                refused.returncode != 0
                and project.hashes() == before
                and "Read-only file system" in refused.text
            )
            grow("rw")
            good += _kept(bench.finish, project, f"read-only after {moment}", expected)
    yield Row(
        "results folder read-only",
        "said so, nothing changed; finished once it can be written",
        min(good, untouched),
        3,
    )


def _kept(finish: Callable[..., tuple[bool, Done]], project: Project, *rest: Any) -> bool:
    """Finish in a folder that is mounted: it cannot be removed yet."""
    remove, project.remove = project.remove, lambda: None  # type: ignore[method-assign]
    good = finish(project, *rest)[0]
    project.remove = remove  # type: ignore[method-assign]
    return good


def _half_files(project: Project, expected: dict[str, str]) -> int:
    """Files under their own names that are not those of an undisturbed sweep."""
    return sum(
        expected.get(name) != found
        for name, found in project.hashes().items()
        if not name.endswith(TMP)
    )


def _can_mount(place: Path) -> bool:
    (place / "mount").mkdir(exist_ok=True)
    refused = contextlib.suppress(OSError, subprocess.CalledProcessError)
    with refused, _small_disk(place / "mount", "size=64k"):
        return True
    print(
        "No small disks here (mounting needs root): the full and the read-only disk are left out."
    )
    return False


@contextlib.contextmanager
def _small_disk(place: Path, option: str) -> Iterator[Callable[[str], None]]:
    place.mkdir(exist_ok=True)

    def mount(*words: str) -> None:
        subprocess.run(["mount", *words, str(place)], check=True, capture_output=True)

    mount("-t", "tmpfs", "-o", option, "none")
    try:
        yield lambda changed: mount("-o", f"remount,{changed}")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


# ---------------------------------------------------------------- damage and change


def damage(bench: Bench) -> Iterator[Row]:
    """Flipped bytes and truncations, anywhere in the results."""
    bench.reference()
    sweep = bench.place / "damaged"
    shutil.copytree(bench.sound.sweep, sweep, copy_function=shutil.copy2)
    files = [
        p
        for p in sorted(sweep.rglob("*"))
        if p.is_file() and p.relative_to(sweep).parts[0] != "logs"
    ]
    for kind in ("a flipped byte", "a truncation"):
        found = 0
        places = bench.times(200, 30)
        for i in range(places):
            path = files[i % len(files)]
            content = bytearray(path.read_bytes())
            where = int(bench.random.integers(len(content)))
            sound = bytes(content)
            content[where] ^= int(bench.random.integers(1, 256))
            path.write_bytes(content if kind == "a flipped byte" else sound[:where])
            name = path.relative_to(sweep).as_posix()
            named = name in verify(sweep.with_name("damaged")).defects
            if not named:
                bench.failures.append(f"{kind} of {name} at {where} was not found")
            found += named
            path.write_bytes(sound)
        yield Row(
            f"{kind} in a result file",
            "found and named by `verify`",
            found,
            places,
            f"over {len(files)} files",
        )
    if bench.quick:
        return
    expected = bench.reference()
    good = 0
    targets = ("runs/rank-2/seeds-0-1.npz", "ranks/rank-1/summary.json", "prepared/matrix.npz")
    for target in targets:
        project = bench.project()
        shutil.rmtree(project.folder)
        shutil.copytree(bench.sound.folder, project.folder, copy_function=shutil.copy2)
        path = project.sweep / target
        stat = path.stat()
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        (project.sweep / "selection/recommendation.json").unlink()
        if target.endswith("npz"):
            (project.sweep / "ranks/rank-2/summary.json").unlink()
        refused = project.run()
        named = (
            refused.returncode != 0 and target in refused.text and "Traceback" not in refused.text
        )
        path.unlink()
        good += named and bench.finish(project, f"damaged {target}", expected)[0]
    yield Row(
        "a byte flipped silently under a sweep",
        "refused by name; after deleting the file the same command finishes, same bytes",
        good,
        len(targets),
    )


def change(bench: Bench) -> Iterator[Row]:
    """Input, settings or code changed between runs, records lost, clocks wrong."""
    matrix = tiny_matrix(4)
    settings = tiny_config(factorize={"seeds_per_job": 2, "tol": 1e-4})
    cases: list[tuple[str, str, dict[str, Any] | None, Callable[[Project], None]]] = [
        ("the .snakemake folder deleted", "", None, _forget),
        ("another matrix under the same name", matrix, None, _new_matrix),
        ("other settings", "", settings, lambda p: p.configure(settings)),
        ("other settings, .snakemake deleted", "", settings, lambda p: _forget_and(p, settings)),
        ("clock a day ahead until now", "", None, functools.partial(_shift, days=1)),
        ("clock a day behind until now", "", None, functools.partial(_shift, days=-1)),
    ]
    if bench.quick:
        cases = cases[:1]
    for what, other_matrix, config, act in cases:
        expected = bench.reference(config, other_matrix)
        good = repeated = 0
        shares = (0.6, None) if not bench.quick else (None,)
        for share in shares:
            bench.reference()
            project = bench.project()
            if share is None:
                shutil.rmtree(project.folder)
                shutil.copytree(bench.sound.folder, project.folder, copy_function=shutil.copy2)
                finished = 4
            else:
                finished = _at(share * bench.seconds, False, project).finished_fits
            act(project)
            ok, done = bench.finish(project, f"{what} at {share}", expected)
            good += ok
            if not other_matrix and config is None:
                repeated += max(finished + done.jobs["factorize"] - 4, 0)
        same = not other_matrix and config is None
        yield Row(
            f"{what}, after a kill or at the end",
            "the same command gives the bytes of a sweep that never knew otherwise",
            good,
            len(shares),
            f"finished fits repeated: {repeated}" if same else "",
        )
    if not bench.quick:
        yield _orphans_of_other_settings(bench, settings)
        yield _other_code(bench)


def _forget(project: Project) -> None:
    shutil.rmtree(project.folder / ".snakemake")


def _forget_and(project: Project, settings: dict[str, Any]) -> None:
    _forget(project)
    project.configure(settings)


def _new_matrix(project: Project) -> None:
    (project.folder / "matrix.tsv").write_text(tiny_matrix(4))


def _shift(project: Project, days: int) -> None:
    """Make all files as old as if the clock had been wrong when they were written."""
    for path in project.folder.rglob("*"):
        stat = path.stat()
        os.utime(path, (stat.st_atime + 86400 * days, stat.st_mtime + 86400 * days))


def _orphans_of_other_settings(bench: Bench, settings: dict[str, Any]) -> Row:
    """Jobs of a killed Snakemake go on, while the sweep is started again with other settings."""
    expected = bench.reference(settings)
    good, met = 0, 0
    shares = (0.3, 0.4, 0.5)
    for share in shares:
        project = bench.project()
        running = project.start()
        running.wait(share * bench.seconds)
        running.signal_one(signal.SIGKILL)
        running.end()
        met += bool(orphans(running.process.pid))
        project.configure(settings)
        good += bench.finish(project, f"orphans at {share}", expected)[0]
    return Row(
        "jobs of a killed snakemake still at work, settings changed meanwhile",
        "the same command gives the bytes of the new settings",
        good,
        len(shares),
        f"jobs were still at work in {met}",
    )


def _other_code(bench: Bench) -> Row:
    """A new version of the library between two runs repeats what depends on it."""
    library = copy_repository(bench.place / "library")
    project = bench.project(repository=library)
    first = project.run()
    source = library / "nmfcore/selection.py"
    source.write_text(source.read_text() + "\n# Another version.\n")
    second = project.run()
    right = Counter({"select": 1, "solve": 1, "report": 1, "record": 1, "all": 1})
    good = first.returncode == second.returncode == 0 and second.jobs == right
    code = store.read_json(project.sweep / "selection/recommendation.json")["provenance"]["code"]
    recorded = store.read_json(project.sweep / "provenance.json")["files"]
    good = good and recorded["selection/recommendation.json"]["code"] == code
    if not good:
        bench.failures.append(f"other code: {second.jobs}; see {project.folder}")
    return Row(
        "another version of the selection rule between runs",
        "the decision and what follows are made anew, nothing else",
        int(good),
        1,
    )


# ---------------------------------------------------------------- tracking


def tracking(bench: Bench) -> Iterator[Row]:
    """Two sweeps on one store, many cold writers, servers that die, hang or crawl."""
    bench.reference()
    yield _two_sweeps(bench)
    yield _cold_writers(bench)
    yield from _servers(bench)


@dataclass(frozen=True)
class Held:
    """What a store holds of fits: how many, how many twice, how many never ended."""

    fits: int
    twice: int
    running: int


def _held(database: Path) -> Held:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        runs = dict(
            connection.execute("SELECT run_uuid, status FROM runs WHERE lifecycle_stage = 'active'")
        )
        keys: dict[str, dict[str, str]] = {run: {} for run in runs}
        for run, key, value in connection.execute("SELECT run_uuid, key, value FROM tags"):
            if run in keys:
                keys[run][key] = value
    named = Counter(
        (tags.get("sweep", ""), tags.get("rank", ""), tags.get("seed", ""))
        for tags in keys.values()
    )
    fits = [name for name in named if name[2]]
    running = sum(status == "RUNNING" for status in runs.values())
    return Held(len(fits), sum(n - 1 for n in named.values()), running)


def _published_row(bench: Bench, fault: str, held: Held, expected: int, detail: str = "") -> Row:
    whole = held == Held(expected, 0, 0)
    if not whole:
        bench.failures.append(f"{fault}: {held}, expected {expected} fits")
    told = f"fits lost: {expected - held.fits}; twice: {held.twice}; never ended: {held.running}"
    return Row(
        fault,
        "all fits in the store, once and ended",
        expected if whole else min(held.fits, expected - 1),
        expected,
        f"{told}; {detail}" if detail else told,
    )


def _two_sweeps(bench: Bench) -> Row:
    project = bench.project(tiny_config(tracking={"enabled": True}))
    project.configure(tiny_config(name="other", tracking={"enabled": True}))
    both = [project.start(name=name) for name in ("tiny", "other")]
    ends = [running.end().returncode for running in both]
    held = _held(project.folder / "results/mlflow/mlflow.db")
    return _published_row(
        bench,
        "two sweeps at once on one new store",
        held,
        2 * FITS,
        f"exit codes {ends[0]} and {ends[1]}",
    )


def _cold_writers(bench: Bench) -> Row:
    project = bench.project()
    for i in range(8):
        shutil.copytree(bench.sound.sweep, project.folder / f"results/copy{i}")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "nmfcore.adapters.tracking", "publish"]
    writers = [
        subprocess.Popen(
            [*command, f"results/copy{i}"],
            cwd=project.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for i in range(8)
    ]
    said = [writer.communicate()[0].decode(errors="replace") for writer in writers]
    if any(writer.returncode for writer in writers):
        bench.failures.append("cold writers:\n" + "\n".join(said))
    held = _held(project.folder / "results/mlflow/mlflow.db")
    return _published_row(
        bench, "8 first writers at once on a store that is not there", held, 8 * FITS
    )


ANSWERS = 20
"""Of the server, after which it hangs while fits are being published."""


class Proxy:
    """Between the sweep and the server: passes on, refuses, hangs, or lets little through."""

    def __init__(self, target: int) -> None:
        self.target, self.mode = target, "pass"
        self.answered = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, mode: str) -> None:
        """Change how it behaves; to refuse also cuts what is open."""
        self.mode = mode
        if mode == "refuse":
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            client, _ = self._socket.accept()
            if self.mode == "refuse":
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            self._open += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                while self.mode == "hang":
                    time.sleep(0.1)
                if self.mode == "slow":
                    time.sleep(1.0)
                sink.sendall(content)
                self.answered += content.startswith(b"HTTP/")
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                time.sleep(0.1)
            yield port
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _servers(bench: Bench) -> Iterator[Row]:
    """The server behind a proxy that fails while fits are made, or while they are published."""
    reference = bench.reference()
    healthy = 0.0
    cases = [(mode, 0) for mode in ("pass", "refuse", "hang", "slow")] + [("hang", ANSWERS)]
    for i, (mode, after) in enumerate(cases):
        with _server(bench.place / f"server-{i}") as port:
            proxy = Proxy(port)
            uri = f"http://127.0.0.1:{proxy.port}"
            project = bench.project(tiny_config(tracking={"enabled": True, "uri": uri}))
            running = project.start()
            running.wait_for("(Rule: factorize)")
            while proxy.answered < after and running.process.poll() is None:
                time.sleep(0.05)
            proxy.set(mode)
            done = running.end()
            proxy.set("pass")
            if mode == "pass":
                healthy = done.seconds
            command = [sys.executable, "-m", "nmfcore.adapters.tracking", "publish"]
            later = subprocess.run(
                [*command, f"results/{project.config['name']}", "--uri", uri],
                cwd=project.folder,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                capture_output=True,
                text=True,
            )
            held = _held(bench.place / f"server-{i}/server.db")
        same = done.returncode == 0 and project.hashes() == reference and not later.returncode
        if not same:
            bench.failures.append(f"server {mode}: exit {done.returncode}, {later.stdout[-500:]}")
        extra = done.seconds - healthy
        what = {"refuse": "dies", "hang": "hangs", "slow": "takes 1 s a packet", "pass": "is well"}
        fault = (
            f"tracking server {what[mode]} {f'after {after} answers' if after else 'in mid-sweep'}"
        )
        yield _published_row(
            bench,
            f"{fault}, then `publish`",
            held if same else Held(0, 0, 0),
            FITS,
            f"sweep complete: {'yes' if same else 'no'}",
        )
        if mode != "pass":
            yield Row(
                fault,
                f"the sweep takes at most {LONGER_S} s longer than with a server that is well",
                int(extra <= LONGER_S),
                1,
                f"longer by {extra:.0f} s",
            )


# ---------------------------------------------------------------- the same answer again


def again(bench: Bench) -> Iterator[Row]:
    """Other numbers of cores, threads and batches, other kernels: the same bytes, or the same answer."""
    expected = bench.reference()
    good = 0
    for cores in ("1", "2", "4"):
        project = bench.project()
        done = project.start(options=("--cores", cores)).end()
        good += done.returncode == 0 and project.hashes() == expected
    yield Row("1, 2 and 4 cores", "same bytes", good, 3)
    jobs = ("factorize", "validate", "summarize", "solve_rank", "solve")
    cases: list[tuple[str, tuple[str, ...], dict[str, str], int]] = [
        ("2 threads a job", ("--set-threads", *(f"{job}=2" for job in jobs)), {}, 2),
        ("BLAS kernels of Haswell", (), {"OPENBLAS_CORETYPE": "Haswell"}, 2),
        ("BLAS kernels of Nehalem", (), {"OPENBLAS_CORETYPE": "Nehalem"}, 2),
        ("our kernels compiled for a generic processor", (), {"NUMBA_CPU_NAME": "generic"}, 2),
        ("batches of 1, 3 and 4 seeds", (), {}, 1),
        ("", (), {}, 3),
        ("", (), {}, 4),
    ]
    found: list[tuple[str, Difference]] = []
    for what, options, variables, per_job in cases:
        project = bench.project(tiny_config(factorize={"seeds_per_job": per_job}))
        done = project.start(options=options, variables=variables).end()
        if done.returncode:
            bench.failures.append(f"{what}: {done.text[-500:]}")
            continue
        found.append((what or found[-1][0], Difference.between(bench.sound, project)))
    for what in dict.fromkeys(name for name, _ in found):
        differences = [difference for name, difference in found if name == what]
        yield Row(
            what,
            "same recommendation, same labels of all samples",
            sum(d.same for d in differences),
            len(differences),
            f"largest difference of WH: {max(d.fit for d in differences):.1g} of the largest entry; "
            f"of a loss: {max(d.loss for d in differences):.1g} of itself",
        )


@dataclass(frozen=True)
class Difference:
    """How far two sweeps of the same settings lie apart.

    Attributes
    ----------
    same : bool
        Whether they recommend the same and label all samples alike.
    fit, loss : float
        Largest differences of WH and of losses, relative.
    """

    same: bool
    fit: float
    loss: float

    @classmethod
    def between(cls, a: Project, b: Project) -> Difference:
        """Compare two finished sweeps."""
        first, second = store.SweepFolder(a.sweep), store.SweepFolder(b.sweep)
        same = all(
            first.recommendation[key] == second.recommendation[key]
            for key in ("recommended_rank", "decision", "confidence")
        )
        fit = loss = 0.0
        for rank in first.ranks:
            x, y = first.runs(rank), second.runs(rank)
            same &= bool(
                (first.consensus(rank)["labels"] == second.consensus(rank)["labels"]).all()
            )
            products = x.W @ x.H, y.W @ y.H
            fit = max(fit, float(np.abs(products[0] - products[1]).max() / products[0].max()))
            loss = max(loss, float(np.abs(x.loss / y.loss - 1).max()))
        return cls(same, fit, loss)


# ---------------------------------------------------------------- the table

SECTIONS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "kill": kill,
    "stop": stop,
    "disk": disk,
    "damage": damage,
    "change": change,
    "again": again,
    "tracking": tracking,
}
QUICK = ("kill", "disk", "damage")


TITLES = {
    "kill": "Killed",
    "stop": "Stopped",
    "disk": "Disks",
    "damage": "Damage",
    "change": "Changes and clocks",
    "again": "The same answer again",
    "tracking": "Tracking",
}


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| what was done | what it shows | held | detail |", "|---|---|---|---|"]
    lines += [f"| {r.fault} | {r.shown} | {r.n} of {r.of} | {r.detail} |" for r in rows]
    return "\n".join(lines)


def trust_page(rows: dict[str, list[Row]], before: str) -> str:
    """The text of docs/trust.md: new tables of the sections that ran, the others as they were."""
    made = environment()
    programs = ", ".join(
        f"{name} {version}" for name, version in {"python": made["python"], **versions()}.items()
    )
    machine = f"{os.cpu_count()} cores ({made['cpu']}, {made['machine']})"
    sections = {title: text for title, _, text in (s.partition("\n") for s in before.split("## "))}
    parts = [
        """# What a sweep survives

Written by `python benchmarks/faults.py --write`; every figure is counted by that program. It runs small real sweeps (2
ranks × 4 seeds, with cross-validation, solutions, figures and report) and breaks them in the way that the first column
says. Then the command that started a sweep is run again, and nothing else is done. *Same bytes* means that all result
files are equal to those of a sweep that nothing disturbed (but for measured seconds and logs), and that
`python -m nmfcore.adapters.verify` finds nothing wrong.

Bytes are promised to be the same for the same versions of everything on one kind of processor. A file that somebody
changes *and* seals anew is found only as far as it can be computed again: matrix, losses, tables, decision.
"""
    ]
    for name, title in TITLES.items():
        if name in rows:
            told = f"{datetime.date.today():%Y-%m-%d}; {machine}; {programs}."
            parts.append(f"## {title}\n\n{table(rows[name])}\n\n{told}\n")
        elif title in sections:
            parts.append(f"## {title}\n{sections[title].rstrip()}\n")
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few faults of some sections")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS))
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and places")
    parser.add_argument("--keep", type=Path, help="work here and keep what failed")
    parser.add_argument("--write", action="store_true", help="renew docs/trust.md")
    options = parser.parse_args()
    chosen = options.only or (QUICK if options.quick else list(SECTIONS))
    rows: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        bench = Bench(options.keep or Path(folder), options.quick, options.seed)
        for name in chosen:
            rows[name] = []
            for row in SECTIONS[name](bench):
                rows[name].append(row)
                print(f"{row.n} of {row.of}  {row.fault}: {row.shown}. {row.detail}", flush=True)
    for failure in bench.failures:
        print(failure, file=sys.stderr)
    if options.write:
        before = TRUST.read_text(encoding="utf-8") if TRUST.exists() else ""
        TRUST.write_text(trust_page(rows, before), encoding="utf-8")
    return 0 if all(row.holds for found in rows.values() for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
