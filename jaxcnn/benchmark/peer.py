"""Peers: other libraries that train and evaluate the same network, each in a process and an environment of its own."""

import contextlib
import dataclasses
import functools
import json
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import nn
from jaxcnn.benchmark.description import describe, parameters
from jaxcnn.benchmark.networks import LEARNING_RATE, MOMENTUM, Training, scaled
from jaxcnn.benchmark.works import Work

SCRIPTS = Path(__file__).parent / "peers"
CHECKED_STEPS = 3
"""The loss of the last is compared: it comes after two updates."""
LONGEST_START = 600.0
"""Seconds after which a peer that does not get ready is ended."""
TOLERANCE = {"float32": 2e-4, "bfloat16": 4e-2}
"""Of the largest output, by which another library's outputs may differ: it adds in another order."""
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "2147483648",
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_ARENA_MAX": "1",
}
"""What `jaxcnn.lowering` sets for its own process: freed memory is kept. PyTorch gains by it as we do."""


@dataclass(frozen=True)
class Peer:
    """Another library, in one of its ways to train.

    Example:
        >>> PEERS["torch"].packages
        ('torch', 'numpy')
    """

    title: str
    """In tables."""
    script: str
    """Of the folder `peers`."""
    environment: str
    """Folder of the virtual environment that it runs in."""
    packages: tuple[str, ...]
    """Which it needs there."""
    way: str = "step"
    """What the script is told."""


PEERS = {
    "torch": Peer("PyTorch, eager", "torch_peer.py", "torch", ("torch", "numpy"), "eager"),
    "torch-compiled": Peer("PyTorch, compiled", "torch_peer.py", "torch", ("torch", "numpy"), "compiled"),
    "nnx": Peer("Flax NNX", "nnx_peer.py", "flax", ("jax", "flax", "optax")),
    "linen": Peer("Flax Linen", "linen_peer.py", "flax", ("jax", "flax", "optax")),
    "equinox": Peer("Equinox", "equinox_peer.py", "equinox", ("jax", "equinox", "optax")),
    "keras": Peer("Keras 3", "keras_peer.py", "keras", ("jax", "keras")),
}


class PeerError(RuntimeError):
    """A peer that cannot be run, that failed, or whose network is another one.

    Example:
        >>> raise PeerError("torch computes another network")
        Traceback (most recent call last):
        jaxcnn.benchmark.peer.PeerError: torch computes another network
    """


def find_python(peer: str, folder: str | Path) -> Path:
    """Find the interpreter of a peer's environment.

    Args:
        peer: Its name in `PEERS`.
        folder: Of the environments, one for each library.

    Returns:
        The interpreter.

    Raises:
        PeerError: There is none; it tells how to make one.

    Example:
        >>> find_python("torch", "nowhere")
        Traceback (most recent call last):
        jaxcnn.benchmark.peer.PeerError: torch needs an environment: python -m venv nowhere/torch && nowhere/torch/b...
    """
    asked = PEERS[peer]
    home = Path(folder) / asked.environment
    for place in ("bin/python", "Scripts/python.exe"):
        if (home / place).exists():
            return (home / place).absolute()
    pinned = [f"jax=={jax.__version__}" if name == "jax" else name for name in asked.packages]
    raise PeerError(
        f"{peer} needs an environment: python -m venv {home} && {home}/bin/python -m pip install {' '.join(pinned)}"
    )


class PeerProcess:
    """A peer's running process, which is asked by a line of JSON and answers by one.

    Args:
        peer: Its name in `PEERS`.
        python: The interpreter.
        task: The first line, see `peers/worker.py`.

    Raises:
        PeerError: It did not start; the message holds the last line of what it said.
    """

    def __init__(self, peer: str, python: Path, task: Mapping[str, Any]):
        self.peer = peer
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KERAS_"))}
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed with the process
        try:
            self.process = subprocess.Popen(
                [str(python), str(SCRIPTS / PEERS[peer].script)],
                env=environment | MALLOC, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said, text=True,
            )  # fmt: skip
        except OSError as error:
            self.said.close()
            raise PeerError(f"{peer} cannot be started: {python}: {error.strerror or error}") from error
        patience = threading.Timer(LONGEST_START, self.process.kill)
        patience.start()
        try:
            self._write(task)
            if (answer := self._read()) != {"ready": True}:
                raise PeerError(
                    f"{peer} answered {str(answer)[:80]}, not that it is ready: is {python} its interpreter?"
                )
        except BaseException:
            self.close()
            raise
        finally:
            patience.cancel()

    def ask(self, do: str, **options: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer.

        Args:
            do: What: `logits`, `train`, `infer` or `facts`.
            **options: `steps` of `train`.

        Returns:
            The answer.

        Raises:
            PeerError: The process failed.
        """
        self._write({"do": do, **options})
        return self._read()

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.said):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()

    def _write(self, told: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer, which is missing, tells why
            self.process.stdin.write(json.dumps(told) + "\n")
            self.process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.said.seek(0)
            lines = [text for text in self.said.read().splitlines() if text.strip()]
            errors = [text for text in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", text)]
            why = (errors or lines or ["it said nothing"])[-1]
            raise PeerError(f"{self.peer} failed (exit {self.process.returncode}): {why}")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = line
        if not isinstance(answer, dict):
            raise PeerError(f"{self.peer} answered {line.strip()[:80]!r}, which is no answer: is that its interpreter?")
        return answer


@contextlib.contextmanager
def running(
    names: Sequence[str], pythons: Mapping[str, Path], setting: Training, *, told: Any = None
) -> Iterator[dict[str, PeerProcess]]:
    """Start peers with a network that is in training here, and see that theirs is the same.

    Equal parameters must give equal outputs, in evaluation, for the first batch; and equal losses in the first steps,
    where nothing is dropped at random.

    Args:
        names: Of `PEERS`.
        pythons: An interpreter for each.
        setting: The network here, with its images.
        told: Called with a peer's name before it starts.

    Returns:
        A context of the processes by name, which end with it.

    Raises:
        PeerError: A peer that failed, or whose network computes something else.
        ValueError: A network that peers cannot build, or a dtype that they do not compute in.

    Example:
        >>> from jaxcnn.models import create
        >>> model = create("linear", input_shape=(8, 8, 1))
        >>> setting = Training(model, {"model": "linear"}, (8, 8, 1), classes=10, batch=4, dtype="float32")
        >>> pythons = {}  # {"torch": find_python("torch", FOLDER)}
        >>> with running(list(pythons), pythons, setting) as processes:
        ...     print(peer_works(processes, setting.scan(), steps=setting.steps))
        {}
    """
    if setting.dtype not in TOLERANCE:
        raise ValueError(f"--dtype (={setting.dtype}) must be {' or '.join(TOLERANCE)} with peers")
    layers = describe(setting.module)
    images, labels = (np.asarray(array) for array in setting.data)
    batches = np.asarray(scaled(jnp.asarray(images))).reshape(setting.steps, setting.batch, *images.shape[1:])
    steps = min(CHECKED_STEPS, setting.steps)
    outputs, loss = _ours(setting, steps)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = f"{folder}/arrays.npz"
        named: dict[str, Any] = {f"parameter:{name}": array for name, array in parameters(setting.module).items()}
        np.savez(file, images=batches, labels=labels.reshape(setting.steps, setting.batch), **named)
        task = {
            "network": layers, "dtype": setting.dtype, "learning_rate": LEARNING_RATE, "momentum": MOMENTUM,
            "arrays": file,
        }  # fmt: skip
        started = {}
        for name in names:
            if told is not None:
                told(name)
            started[name] = PeerProcess(name, pythons[name], {**task, "way": PEERS[name].way})
            stack.callback(started[name].close)
            _compare(started[name], outputs, loss, steps=steps, tolerance=TOLERANCE[setting.dtype])
        yield started


def _ours(setting: Training, steps: int) -> tuple[np.ndarray, float]:
    """Return our outputs for the first batch, and the loss of the last of the first steps."""
    fn, params = nn.functionalize(setting.module)
    images = scaled(setting.data[0][: setting.batch]).astype(setting.dtype)
    outputs = np.asarray(jax.jit(fn)(params, images), np.float32)
    return outputs, setting.last_loss(steps)


def _compare(peer: PeerProcess, outputs: np.ndarray, loss: float, *, steps: int, tolerance: float) -> None:
    theirs = np.asarray(peer.ask("logits")["logits"], np.float32)
    largest = float(np.abs(outputs).max())
    if theirs.shape != outputs.shape:
        raise PeerError(f"{peer.peer} computes outputs of shape {theirs.shape}; expected {outputs.shape}")
    off = float(np.abs(theirs - outputs).max())
    if not off <= tolerance * largest:
        raise PeerError(
            f"{peer.peer} computes another network: from equal parameters, outputs differ by {off:.2g} of {largest:.2g}"
        )
    last = peer.ask("train", steps=steps)["loss"]
    if not abs(last - loss) <= tolerance * max(abs(loss), 1):
        raise PeerError(
            f"{peer.peer} trains otherwise: after {steps} steps its loss is {last:.6g}, and ours {loss:.6g}"
        )


def peer_works(peers: Mapping[str, PeerProcess], ours: Work, *, steps: int | None = None) -> dict[str, Work]:
    """Return the works of peers beside one of ours.

    Args:
        peers: Of `running`.
        ours: Training or inference here: what a call does and costs.
        steps: Of training, in a call; None for inference.

    Returns:
        Works by the peers' names.

    Example:
        >>> from jaxcnn.benchmark import Work
        >>> peer_works({}, Work({"name": "nap"}, abs, ()))  # {} for `running(...)`
        {}
    """
    works = {}
    for name, process in peers.items():
        call = (
            functools.partial(process.ask, "infer")
            if steps is None
            else functools.partial(process.ask, "train", steps=steps)
        )
        works[name] = dataclasses.replace(ours, library=name, ready=call, peer=functools.partial(process.ask, "facts"))
    return works
