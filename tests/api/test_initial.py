import dataclasses
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxcnn import api, data, nn
from jaxcnn.config import Config, ModelConfig, OptimConfig

SMALL = ModelConfig("small_cnn", width=4)


def images(classes, side=8):
    """Stripes of some widths, under noise."""
    generator = np.random.default_rng(0)
    targets = np.arange(60 * classes) % classes
    stripes = (np.arange(side) // (1 + targets[:, None]) % 2)[:, None, :, None] * 150
    inputs = (stripes + generator.integers(0, 80, (len(targets), side, side, 1))).astype(np.uint8)
    return data.from_arrays((inputs, targets), test=0.2, name=f"stripes{classes}")


@pytest.fixture(scope="module")
def config():
    return Config(epochs=1, batch=16, model=SMALL, optim=OptimConfig("adamw", lr=0.01, weight_decay=0.1))


@pytest.fixture(scope="module")
def source(config, tmp_path_factory):
    """A run on three classes."""
    return api.fit("small_cnn", images(3), config, out=tmp_path_factory.mktemp("source") / "run")


def arrays(run):
    """All parameters and statistics of a run's last checkpoint, by name."""
    facts = run.facts
    module = api.problem.make_module(run.config, None, facts["input_shape"], len(facts["classes"]))
    _, params, statistics = nn.split(module)
    both = run.restore_network(run.latest_step(), params, statistics)
    return {nn.path_of(keys): np.asarray(leaf) for tree in both for keys, leaf in jax.tree.leaves_with_path(tree)}


def test_fine_tuning_keeps_what_is_frozen_and_learns_a_new_head(source, config, tmp_path):
    tuned = dataclasses.replace(config, init=str(source.path), fresh=("head",), freeze=("stage1", "stage2/unit1/*"))
    run = api.fit("small_cnn", images(4), tuned, out=tmp_path / "run")
    before, after = arrays(source), arrays(run)
    for name in before:
        frozen = name.startswith(("stage1/", "stage2/unit1/"))
        assert frozen == (before[name].shape == after[name].shape and np.array_equal(before[name], after[name])), name
    assert after["head/dense/kernel"].shape[-1] == 4
    assert [leaf for leaf in before if leaf.endswith("norm/mean")]
    assert run.config.freeze == tuned.freeze


def test_a_run_begins_with_what_another_ended_with(source, config, tmp_path):
    still = dataclasses.replace(config, init=str(source.path), optim=OptimConfig("sgd", lr=0.0), select="last")
    run = api.fit("small_cnn", images(3), still, out=tmp_path / "run")
    before, after = arrays(source), arrays(run)
    for name in before:
        if not name.endswith(("mean", "variance")):
            np.testing.assert_array_equal(before[name], after[name])


@pytest.mark.parametrize("separator", ["/", "."])
def test_a_safetensors_file_is_as_good(source, config, tmp_path, separator):
    file = tmp_path / "network.safetensors"
    save_file({name.replace("/", separator): array for name, array in arrays(source).items()}, file)
    module = api.problem.make_module(source.config, None, (8, 8, 1), 3)
    _, params, statistics = nn.split(module)
    placed = api.initial.load_initial(file, params, statistics)
    expected = api.initial.load_initial(source.path, params, statistics)
    for one, other in zip(jax.tree.leaves(placed), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_needs_its_source_only_to_begin(source, config, tmp_path):
    copy = tmp_path / "source"
    shutil.copytree(source.path, copy)
    tuned = dataclasses.replace(config, init=str(copy))
    api.fit("small_cnn", images(3), tuned, out=tmp_path / "run")
    shutil.rmtree(copy)
    longer = dataclasses.replace(tuned, epochs=2)
    assert api.fit("small_cnn", images(3), longer, out=tmp_path / "run").result["epochs"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, r"head/dense/kernel is \(32, 3\) there, \(32, 4\) here.*--fresh head/dense$"),
        ({"model": ModelConfig("small_cnn", width=8)}, r"and \d+ more. It seems another network's: give the model and"),
        (
            {"model": ModelConfig("lenet5", padding_mode="circular")},
            r"it has no conv1/bias, .* another network's",
        ),
        (
            {"fresh": ("stage?/unit1", "head"), "freeze": ("head",)},
            "both name head/dense/bias, head/dense/kernel: ",
        ),
        ({"fresh": ("haed",)}, "'haed' names no layer and no parameter: they begin with head, stage1, stage2"),
        ({"freeze": ("conv9",)}, "'conv9' names no layer"),
        ({"freeze": ("*",)}, r"`freeze` \(=\*\) leaves no parameter to train"),
        ({"fresh": ("*",)}, r"nothing: `fresh` \(=\*\) draws anew all that both have, head/dense/bias, .*: name fewer"),
        ({"init": "nowhere"}, r"`init` \(=nowhere\) must be the folder of a run, or a .safetensors file"),
        ({"init": None, "fresh": ("head",)}, r"`fresh` \(=head\) draws anew what `init` gives"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_nothing(source, config, tmp_path, change, message):
    tuned = dataclasses.replace(config, **{"init": str(source.path), **change})
    dataset = images(4, side=28 if tuned.model.name == "lenet5" else 8)
    with pytest.raises(ValueError, match=message):
        api.fit(tuned.model.name, dataset, tuned, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_of_other_names_is_told_from_a_network_that_differs(source, tmp_path):
    file = tmp_path / "network.safetensors"
    save_file({"features.0.weight": np.zeros(3, np.float32)}, file)
    _, params, statistics = nn.split(api.problem.make_module(source.config, None, (8, 8, 1), 3))
    with pytest.raises(ValueError, match="no array of this network: it has features/0/weight; the network, head/dense"):
        api.initial.load_initial(file, params, statistics)


def test_a_file_of_which_nothing_is_taken_is_told(source, tmp_path):
    file = tmp_path / "head.safetensors"
    save_file({name: array for name, array in arrays(source).items() if name.startswith("head/")}, file)
    _, params, statistics = nn.split(api.problem.make_module(source.config, None, (8, 8, 1), 3))
    with pytest.raises(ValueError, match=r"network nothing: `fresh` \(=head\) draws anew all that both have"):
        api.initial.load_initial(file, params, statistics, fresh=("head",))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda array: np.full_like(array, np.nan), "head/dense/bias holds NaN or infinity"),
        (lambda array: array.astype(np.int8), "head/dense/bias is int8; expected floats"),
    ],
)
def test_arrays_that_are_no_parameters_are_refused(source, tmp_path, spoil, message):
    file = tmp_path / "network.safetensors"
    whole = arrays(source)
    save_file({**whole, "head/dense/bias": spoil(np.asarray(whole["head/dense/bias"]))}, file)
    _, params, statistics = nn.split(api.problem.make_module(source.config, None, (8, 8, 1), 3))
    with pytest.raises(ValueError, match=message):
        api.initial.load_initial(file, params, statistics)


def test_a_damaged_file_is_named(source, config, tmp_path):
    file = tmp_path / "network.safetensors"
    file.write_bytes(b"\x10\0\0\0\0\0\0\0nothing of this")
    with pytest.raises(ValueError, match=r"network.safetensors is damaged, or no .safetensors file"):
        api.initial.load_initial(file, {}, {})
