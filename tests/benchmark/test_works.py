"""Works: that they compute what they say, what they are said to cost, and that their programs are the real ones."""

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references.tolerance import TOLERANCE

from jaxcnn import benchmark, models
from jaxcnn import functional as F
from jaxcnn.benchmark import operations, works


@pytest.mark.parametrize("name", operations.CONVOLUTIONS)
def test_gradients_are_those_of_the_convolution(name: str) -> None:
    """Against autodiff of a sum, whose cotangent is drawn the same."""
    case = operations.CONVOLUTIONS[name]
    found = benchmark.convolutions(1, "float32", only=f"{name} ")
    kernel, x = found[f"{name} forward"].args
    dy = found[f"{name} input gradient"].args[1]

    def total(x: jax.Array, kernel: jax.Array) -> jax.Array:
        y = F.conv(x, kernel, padding="SAME", strides=case.strides, dilation=case.dilation, groups=case.groups)
        return jnp.sum(y * dy)

    expected = jax.grad(total, (0, 1))(x, kernel)
    for direction, gradient in zip(("input", "kernel"), expected, strict=True):
        work = found[f"{name} {direction} gradient"]
        scale = float(jnp.abs(gradient).max())
        np.testing.assert_allclose(jax.jit(work.fn)(*work.args) / scale, gradient / scale, **TOLERANCE["float32"])


def test_costs_of_a_convolution_by_hand() -> None:
    """Two images of 32x32, 64 channels to 256: every direction has the same products."""
    for work in benchmark.convolutions(2, "float32", only="1x1").values():
        costs = works._costs(work)
        assert costs["macs"] == 2 * 32 * 32 * 64 * 256
        arrays = {"x": 2 * 32 * 32 * 64, "y": 2 * 32 * 32 * 256, "kernel": 64 * 256}
        assert costs["bytes"] == 4 * sum(arrays.values())


def test_a_gradient_embeds_no_array() -> None:
    """A constant of the size of a batch would be part of the program."""
    for work in benchmark.convolutions(4, "float32", only="3x3, small").values():
        assert jax.make_jaxpr(work.fn)(*work.args).consts == []


def setting(**options: Any) -> benchmark.Training:
    module = models.create("lenet5", input_shape=(28, 28, 1))
    return benchmark.Training(module, {"model": "lenet5"}, (28, 28, 1), classes=10, batch=4, dtype="float32", steps=3)


def test_ways_to_take_an_epochs_steps_end_alike() -> None:
    """One program, one by one, and by nnx.jit: after the same steps the last losses are the same."""
    ways = setting()
    scan = ways.scan("epoch")
    state, metrics = jax.jit(scan.fn)(*scan.args)
    loop, nnx_jit = ways.loop().ready, ways.nnx_jit().ready
    assert loop is not None
    assert nnx_jit is not None
    losses = nnx_jit()
    np.testing.assert_allclose(metrics["loss"], np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(loop()["loss"], losses[-1], rtol=1e-5)
    assert int(state.step) == 3


def test_members_of_an_ensemble_take_the_steps_of_one() -> None:
    """They begin alike here: by vmap, by map and one by one, each ends as a network alone does."""
    ways = setting()
    alone, _ = jax.jit(ways.scan().fn)(*ways.scan().args)
    works_of = ways.ensemble(3)
    threads = [f"{min(cores, 3)} threads"] if (cores := os.cpu_count() or 1) > 1 else []
    assert list(works_of) == ["vmap", "map", "one by one", *threads]
    for way in ("vmap", "map"):
        states, metrics = jax.jit(works_of[way].fn)(*works_of[way].args)
        assert metrics["loss"].shape == (3,)
        for expected, leaf in zip(jax.tree.leaves(alone.params), jax.tree.leaves(states.params), strict=True):
            np.testing.assert_allclose(leaf, np.broadcast_to(expected, leaf.shape), **TOLERANCE["float32"])
    for way in ("one by one", *threads):
        call = works_of[way].ready
        assert call is not None
        states, _ = call()
        assert len(states) == 3
        for state in states:
            for expected, leaf in zip(jax.tree.leaves(alone.params), jax.tree.leaves(state.params), strict=True):
                np.testing.assert_allclose(leaf, expected, **TOLERANCE["float32"])
    assert {work.per_call["images_per_s"] for work in works_of.values()} == {3 * 3 * 4}
    assert {work.times for work in works_of.values()} == {9}


def test_every_way_to_feed_brings_the_same_batches() -> None:
    feeds = benchmark.feeding((8, 8, 3), batch=4, steps=10)
    last = {name: work.ready() for name, work in feeds.items() if work.ready is not None}
    resident, streamed, augmented = last["resident"], last["streamed"], last["augmented"]
    np.testing.assert_array_equal(streamed[0][1], resident[0])  # the second batch of the last span of eight
    np.testing.assert_array_equal(streamed[1][1], resident[1])
    np.testing.assert_array_equal(augmented.targets, resident[1])
    assert not np.array_equal(augmented.inputs, resident[0])


def test_a_work_that_carries_its_state_goes_on_and_leaves_its_arguments() -> None:
    work = benchmark.Work({"name": "count"}, lambda n: (n + 1, n * 2), (jnp.int32(5),), carries=True, costs={})
    program, _ = benchmark.compile_stages(work.fn, *work.args, donate=(0,))
    call = works._call(program, work)
    assert [[int(part) for part in jax.tree.leaves(call())] for _ in range(3)] == [[6, 10], [7, 12], [8, 14]]
    assert int(work.args[0]) == 5


def test_a_training_step_costs_three_forward_passes_of_its_layers_but_the_first() -> None:
    """The input gradient of the first layer is not computed."""
    module = models.create("mlp", input_shape=(8, 8, 1), width=16, depth=1)
    work = benchmark.Training(module, {}, (8, 8, 1), classes=10, batch=4, dtype="float32", steps=2).scan()
    assert works._costs(work)["macs"] == 2 * 4 * (2 * 64 * 16 + 3 * 16 * 10)


def test_a_run_records_ratios_both_ways_and_the_roof() -> None:
    found = benchmark.run(
        {name: benchmark.Work({"name": name, "dtype": "float32"}, fn, (jnp.ones(64),)) for name, fn in
         (("double", lambda x: 2 * x), ("sine", jnp.sin), ("none", lambda x: x))},
        seconds=0.02, peak=benchmark.Peak({"float32": 1e12}, 1e10),
    )  # fmt: skip
    double, sine, none = found
    assert list(double["ratios"]) == ["sine", "none"]
    assert list(sine["ratios"]) == ["double"]
    assert sine["ratios"]["double"]["median"] == pytest.approx(1 / double["ratios"]["sine"]["median"], rel=0.2)
    assert double["roofline"]["bound"] == "memory"
    assert none["roofline"] is None
    assert double["costs"]["xla_peak_bytes"] >= 512
    assert {len(record["samples_s"]) for record in found} == {double["seconds"]["n"]}


def test_startup_tells_of_a_process_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxcnn.benchmark import startup

    monkeypatch.setattr(startup, "HELP", "raise SystemExit('broken')")
    with pytest.raises(RuntimeError, match="the process of 'help' ended with 1: broken"):
        benchmark.measure_startup(["help"], repeats=1)
