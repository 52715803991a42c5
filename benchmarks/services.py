"""Servers on this machine for a while, on the loopback interface: PostgreSQL, MLflow, S3, and a SLURM of one node."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from nmfcore.adapters.tracking.dashboard import server_environment

HOST = "127.0.0.1"
_START_S = 180.0
_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class MissingServiceError(Exception):
    """A program is not installed, or may not be run here; the message says which."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_until(answers: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until an address answers, or raise where its process has ended."""
    direct = build_opener(ProxyHandler({}))
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            direct.open(answers, timeout=5).close()
            return
        time.sleep(0.2)
    raise MissingServiceError(f"{answers} did not answer")


def _as(user: str) -> list[str]:
    """How a command is run as another user: PostgreSQL and munge refuse to run as root."""
    if os.geteuid() != 0:
        return []
    runuser = shutil.which("runuser", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if runuser is None:
        raise MissingServiceError("runuser is not installed")
    return [runuser, "-u", user, "--"]


@contextlib.contextmanager
def postgres(place: Path) -> Iterator[str]:
    """A PostgreSQL server with an empty database for MLflow; its address.

    Raises
    ------
    MissingServiceError
        If PostgreSQL is not installed (Debian: `postgresql`).
    """
    if not _POSTGRES:
        raise MissingServiceError("PostgreSQL is not installed")
    programs, data, port = _POSTGRES[-1], place / "postgres", free_port()
    data.mkdir(parents=True)
    for folder in (place, *place.parents):
        if os.geteuid() == 0 and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    if os.geteuid() == 0:
        shutil.chown(data, "postgres")
    run = [*_as("postgres"), str(programs / "pg_ctl"), "-D", str(data), "-w"]
    initialise = [*_as("postgres"), str(programs / "initdb"), "-D", str(data), "-A", "trust"]
    subprocess.run([*initialise, "-U", "mlflow"], check=True, capture_output=True, cwd="/")
    options = f"-p {port} -c listen_addresses={HOST} -c unix_socket_directories={data}"
    start = [*run, "-l", str(data / "log"), "-o", options, "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd="/")
    try:
        yield f"postgresql://mlflow@{HOST}:{port}/postgres"
    finally:
        subprocess.run([*run, "-m", "fast", "stop"], check=True, capture_output=True, cwd="/")


@contextlib.contextmanager
def mlflow_server(
    place: Path, store: str, artifacts: str, variables: Mapping[str, str] | None = None
) -> Iterator[str]:
    """MLflow's server on a store, which hands artifacts on to their place; its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store]
    command += ["--artifacts-destination", artifacts, "--host", HOST, "--port", str(port)]
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "mlflow-server.log", "w") as log:
        server = subprocess.Popen(
            [*command, "--workers", "2"],
            cwd=place,
            env=server_environment() | dict(variables or {}),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(f"http://{HOST}:{port}/health", server)
        yield f"http://{HOST}:{port}"
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def s3(place: Path, bucket: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A server that speaks S3 with an empty bucket; its address, and the variables that clients need.

    Raises
    ------
    MissingServiceError
        If moto is not installed.
    """
    try:
        import boto3
        import moto.server  # noqa: F401
    except ImportError as error:
        raise MissingServiceError(f"{error.name} is not installed") from None
    port = free_port()
    address = f"http://{HOST}:{port}"
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "s3.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(f"{address}/moto-api/", server)
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
        client.create_bucket(Bucket=bucket)
        yield (
            address,
            {
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "us-east-1",
                "MLFLOW_S3_ENDPOINT_URL": address,
                "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "key",
                "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "secret",
                "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": address,
            },
        )
    finally:
        server.terminate()
        server.wait()


_SLURM_CONF = Path("/etc/slurm/slurm.conf")  # job steps look nowhere else
_SLURM = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldParameters=enable_configless
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# A job that takes more memory than it asked for is killed, without control groups, which containers rarely give.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
KillWait=2
MinJobAge=300
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def slurm(place: Path, memory_mb: int = 6000) -> Iterator[str]:
    """A SLURM whose only node is this machine; the name of the node.

    Raises
    ------
    MissingServiceError
        If it is not installed (Debian: `slurm-wlm`, `munge`), this is not root, or the machine has a SLURM already.
    """
    for program in ("munged", "slurmctld", "slurmd"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            raise MissingServiceError(f"{program} is not installed")
    if os.geteuid() != 0:
        raise MissingServiceError("a SLURM of one node is started by root only")
    if _SLURM_CONF.exists():
        raise MissingServiceError(f"{_SLURM_CONF} exists: this machine has a SLURM already")
    host = socket.gethostname().partition(".")[0]
    for folder in ("state", "spool"):
        (place / folder).mkdir(parents=True)
    _SLURM_CONF.parent.mkdir(exist_ok=True)
    text = _SLURM.format(host=host, place=place, cpus=os.cpu_count(), memory_mb=memory_mb)
    _SLURM_CONF.write_text(text)
    programs = {"env": os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}, "cwd": "/"}
    running: list[subprocess.Popen[bytes]] = []
    try:
        Path("/run/munge").mkdir(exist_ok=True)
        shutil.chown("/run/munge", "munge", "munge")
        for command in (
            [*_as("munge"), "munged", "--foreground"],
            ["slurmctld", "-D", "-i"],
            ["slurmd", "-D"],
        ):
            running.append(
                subprocess.Popen(
                    command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **programs
                )
            )
            time.sleep(1)
        _wait_until_idle(host, running)
        yield host
    finally:
        # Jobs outlive their node; where SLURM did not start, there is none.
        subprocess.run(["scancel", "--partition=all"], capture_output=True, timeout=60)
        time.sleep(3)
        for process in reversed(running):
            process.terminate()
            process.wait()
        _SLURM_CONF.unlink()


def _wait_until_idle(host: str, running: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and all(process.poll() is None for process in running):
        state = subprocess.run(
            ["sinfo", "-h", "-n", host, "-o", "%t"], capture_output=True, text=True
        )
        if state.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    raise MissingServiceError("the SLURM of one node did not start; its logs say why")
