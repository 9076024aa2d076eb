"""Peers: that each trains the same network, that another one is found out, and that a failure is one line."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx

from jaxcnn import benchmark, models, nn
from jaxcnn.benchmark import peer
from jaxcnn.models.residual import PadChannels, Residual, Subsample

HERE = ("nnx", "linen", "equinox")
"""Peers whose libraries the tests' environment has."""


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    """A folder of environments that are this one."""
    for name in {peer.PEERS[name].environment for name in HERE}:
        python = tmp_path / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
    return tmp_path


def network() -> nn.Module:
    """Every kind of layer that peers build."""
    rngs = nnx.Rngs(0)
    return nn.Sequential(
        conv1=nn.Conv(3, 8, (3, 3), padding=1, use_bias=False, rngs=rngs),
        norm1=nn.BatchNorm(8),
        activation1=nn.Activation("relu"),
        pool1=nn.MaxPool((3, 3), strides=2, padding=1),
        residual=Residual(
            conv=nn.Conv(8, 16, (3, 3), strides=2, padding=1, groups=2, rngs=rngs),
            norm=nn.BatchNorm(16),
            shortcut=nn.Sequential(sample=Subsample(2), pad=PadChannels(16)),
            activation=nn.Activation("tanh"),
        ),
        conv2=nn.Conv(16, 8, (3, 3), padding=2, dilation=2, rngs=rngs),
        activation2=nn.Activation("sigmoid"),
        pool2=nn.AvgPool((2, 2)),
        flatten=nn.Flatten(),
        dense=nn.Dense(32, 10, rngs=rngs),
    )


def setting(module: nn.Module | None = None, dtype: str = "float32", steps: int = 3) -> benchmark.Training:
    module = network() if module is None else module
    return benchmark.Training(module, {"model": "test"}, (16, 16, 3), classes=10, batch=4, dtype=dtype, steps=steps)


def started(names: Any, folder: Path, work: benchmark.Training) -> Any:
    return benchmark.running(names, {name: benchmark.find_python(name, folder) for name in names}, work)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_peers_train_the_same_network_and_are_measured(environments: Path, dtype: str) -> None:
    """`running` compares outputs and losses; the records are of what was asked for."""
    work = setting(dtype=dtype)
    with started(HERE, environments, work) as processes:
        works = {"jaxcnn": work.scan(), **benchmark.peer_works(processes, work.scan(), steps=3)}
        records = benchmark.run(works, seconds=0.01)
        logits = np.asarray(processes["nnx"].ask("logits")["logits"])
    assert logits.shape == (4, 10)
    assert [record["library"] for record in records] == ["jaxcnn", *HERE]
    assert set(records[0]["ratios"]) == set(HERE)
    assert records[0]["peer"] is None
    assert {"flax", "jax", "optax"} < set(records[1]["peer"]["packages"])
    assert all(record["peer"]["peak_rss_bytes"] > 1e7 for record in records[1:])
    assert all(record["rates"]["images_per_s"]["median"] > 0 for record in records)


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["lenet5", "small_cnn", "resnet9", "resnet20", "vgg11"])
def test_every_peer_trains_every_kind_of_model(name: str) -> None:
    """Needs the environments that `jaxcnn bench peers` tells of."""
    from jaxcnn.data.cache import root

    shape = (28, 28, 1) if name == "lenet5" else (32, 32, 3)
    options = {"dropout": 0.0} if name == "vgg11" else {}
    module = models.create(name, num_classes=10, input_shape=shape, **options)
    work = benchmark.Training(module, {"model": name}, shape, classes=10, batch=8, dtype="float32", steps=3)
    with started(list(benchmark.PEERS), root() / "peers", work) as processes:
        assert set(processes) == set(benchmark.PEERS)


def test_inference_is_asked_for(environments: Path) -> None:
    work = setting()
    ours = benchmark.inference(work.module, {"model": "test"}, (16, 16, 3), batch=4, dtype="float32")
    with started(["linen"], environments, work) as processes:
        records = benchmark.run({"jaxcnn": ours, **benchmark.peer_works(processes, ours)}, seconds=0.01)
    assert [record["work"]["name"] for record in records] == ["infer", "infer"]


def test_another_network_is_found_out(environments: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One kernel is a hundredth larger."""
    told = peer.parameters

    def changed(module: nn.Module) -> Any:
        return {name: array * (1.01 if name == "conv1.kernel" else 1) for name, array in told(module).items()}

    monkeypatch.setattr(peer, "parameters", changed)
    with pytest.raises(benchmark.PeerError, match=r"linen computes another network: .* differ by"):
        started(["linen"], environments, setting()).__enter__()


@pytest.mark.parametrize(("name", "value"), [("LEARNING_RATE", 0.1), ("MOMENTUM", 0.0)])
def test_another_training_is_found_out(
    environments: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    monkeypatch.setattr(peer, name, value)
    with pytest.raises(benchmark.PeerError, match="nnx trains otherwise: after 3 steps its loss is"):
        started(["nnx"], environments, setting()).__enter__()


def test_a_peer_that_fails_is_told_by_its_error(environments: Path) -> None:
    python = environments / "flax" / "bin" / "python"
    python.write_text("#!/bin/sh\necho 'noise' >&2\necho 'ModuleNotFoundError: No module named flax' >&2\nexit 3\n")
    with pytest.raises(benchmark.PeerError, match=r"linen failed \(exit 3\): ModuleNotFoundError: No module named"):
        started(["linen"], environments, setting()).__enter__()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo noise; cat > /dev/null", "linen answered 'noise', which is no answer"),
        ("echo '[]'; cat > /dev/null", r"linen answered '\[\]', which is no answer"),
        ("echo '{}'; cat > /dev/null", "linen answered {}, not that it is ready"),
        ("sleep 60", "linen failed"),
    ],
)
def test_another_program_is_not_taken_for_a_peer(
    environments: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    monkeypatch.setattr(peer, "LONGEST_START", 0.5)
    (environments / "flax" / "bin" / "python").write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(benchmark.PeerError, match=told):
        started(["linen"], environments, setting()).__enter__()


def test_an_interpreter_that_cannot_be_run_is_told(environments: Path) -> None:
    (environments / "flax" / "bin" / "python").chmod(0o644)
    with pytest.raises(benchmark.PeerError, match=r"linen cannot be started: .*bin/python: Permission denied"):
        started(["linen"], environments, setting()).__enter__()


def test_an_environment_that_is_missing_is_told_with_the_commands_that_make_it(tmp_path: Path) -> None:
    with pytest.raises(benchmark.PeerError, match=r"keras needs an environment: python -m venv .*keras && .* keras"):
        benchmark.find_python("keras", tmp_path)


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match=r"--dtype \(=float16\) must be float32 or bfloat16 with peers"):
        started([], Path(), setting(dtype="float16")).__enter__()
