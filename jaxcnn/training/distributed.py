"""Several processes as one run: who they are, and what happens when one of them is gone."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

import jax


class Launcher(NamedTuple):
    """What starts processes, and the environment variables in which it tells each which one it is."""

    name: str
    detection: str | None
    """JAX's name of it, for JAX to find the first process's address; None: it has none."""
    processes: str | None
    process: str
    present: str
    """The variable that is set in each of its processes, and nowhere else."""


LAUNCHERS = (
    Launcher("SLURM", "slurm", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_STEP_NODELIST"),
    Launcher("Open MPI", "ompi", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_RANK"),
    Launcher("Kubernetes", None, None, "JOB_COMPLETION_INDEX", "JOB_COMPLETION_INDEX"),
)

HEARTBEAT_SECONDS = 20
"""A process that was not heard of for so long is gone, and the others end."""

GRACE_SECONDS = 1.0
"""The first process ends so much after the others: where it is gone before them, JAX aborts them with a stack trace."""

_LOST = ("Gloo", "NCCL", "coordination", "heartbeat", "Socket closed", "Connection reset", "Connection closed")
"""In the errors of operations that another process took part in."""


class LostProcessError(RuntimeError):
    """Another process of the run is gone, or has failed.

    Example:
        >>> str(LostProcessError("connection reset by peer")).split(":")[0]
        'another process of this run is gone (connection reset by peer)'
    """

    def __init__(self, reason: str):
        super().__init__(
            f"another process of this run is gone ({reason}): its own message, if there is one, says why; "
            "start the run again to go on, on as many processes as there are"
        )


class Processes(NamedTuple):
    """Which of how many processes this one is.

    Example:
        >>> Processes("10.0.0.1:1234", total=2, this=0, launcher=None).total
        2
    """

    coordinator: str | None
    """Address of the first process; None: JAX asks the launcher."""
    total: int
    this: int
    launcher: Launcher | None
    """What started it, where that was asked."""


def find(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> Processes | None:
    """Tell which of the run's processes this is, by what is given and, for the rest, what the launcher says.

    SLURM's `srun` and Open MPI's `mpirun` say all that is needed (Open MPI 5 not the address). A Kubernetes job with
    `completionMode: Indexed` says which process this is; `processes` has to be given, and the address unless the
    `kubernetes` package is installed. Alone, such a job is not taken for one run: it may as well be many.

    Args:
        coordinator: `HOST:PORT` of the first process.
        processes: How many there are.
        process: Which one this is, from 0.
        environment: Variables that launchers set.

    Returns:
        None where this process is the only one.

    Raises:
        ValueError: Something is missing, or does not fit.

    Example:
        >>> variables = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}
        >>> find("node1:1234", environment=variables)[:3]
        ('node1:1234', 4, 3)
        >>> find(environment={}) is None
        True
    """
    launcher = next((known for known in LAUNCHERS if known.present in environment), None)
    if launcher is not None and launcher.processes is None and processes is None:
        launcher = None
    if launcher is not None:
        processes = _number(environment, launcher.processes) if processes is None and launcher.processes else processes
        process = _number(environment, launcher.process) if process is None else process
    if processes == 1 or (processes is None and coordinator is None and process is None):
        return None
    if processes is None or process is None or (coordinator is None and launcher is None):
        given = {"coordinator": coordinator, "processes": processes, "process": process}
        missing = ", ".join(f"`{name}`" for name, value in given.items() if value is None)
        raise ValueError(
            "a run of several processes needs `coordinator` (HOST:PORT of the first), `processes` (how many) and "
            f"`process` (which, from 0); missing: {missing}"
        )
    if processes < 1:
        raise ValueError(f"`processes` (={processes}) must be at least 1")
    if not 0 <= process < processes:
        raise ValueError(f"`process` (={process}) must be from 0 to below `processes` (={processes})")
    if coordinator is not None:
        host, _, port = coordinator.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
            raise ValueError(f"`coordinator` (={coordinator!r}) must be HOST:PORT, such as node1:1234")
    return Processes(coordinator, processes, process, launcher)


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"the environment variable {name} must be a number, got {value!r}")
    return int(value)


def initialize(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    seconds: int = 300,
) -> int:
    """Make this process one of the run's, before the first use of a device; a single process is left as it is.

    When one of them is killed, the next operation that it takes part in fails in the others (see `together`). Where
    not even that is told, as when a machine loses power, JAX ends them with a message and SIGABRT, within about twice
    `HEARTBEAT_SECONDS`.

    Args:
        coordinator: See `find`, like the next three.
        processes: How many there are.
        process: Which one this is.
        environment: Variables that launchers set.
        seconds: How long to wait for the others at the start.

    Returns:
        The number of processes.

    Raises:
        ValueError: As `find`, or an address that JAX cannot learn from the launcher.

    Example:
        >>> initialize(environment={})
        1
    """
    found = find(coordinator, processes, process, environment=environment)
    if found is None:
        return 1
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Its handler would take SIGTERM away from the command, which saves and ends on it.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            found.coordinator,
            found.total,
            found.this,
            cluster_detection_method=found.launcher.detection if found.launcher else "deactivate",
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except ValueError as error:
        raise ValueError(
            f"the address of the first process could not be learnt ({error}): give `coordinator`, HOST:PORT"
        ) from error
    return found.total


@contextmanager
def together() -> Iterator[None]:
    """Tell in one line that another process is gone, where an operation with it fails.

    Raises:
        LostProcessError: For what JAX raises then; alone, and for other errors, they pass as they are.

    Example:
        >>> with together():
        ...     total = jax.numpy.ones(3).sum()
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if jax.process_count() == 1 or not any(word in str(error) for word in _LOST):
            raise
        raise LostProcessError(str(error).splitlines()[0]) from error


def leave(code: int) -> NoReturn:
    """End this process; one of several at once, without JAX's wait for the others, who may never come.

    The connections that break end the others, if they go on: see `together`. A process that has done all its work
    returns from its program instead, and waits.

    Args:
        code: The exit code.

    Raises:
        SystemExit: Where this is the only process.
    """
    if jax.process_count() == 1:
        raise SystemExit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    if jax.process_index() == 0:
        time.sleep(GRACE_SECONDS)
    os._exit(code)
