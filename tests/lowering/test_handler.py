"""What the compiled handler refuses: it is called with raw pointers, and trusts no description."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import lowering
from jaxcnn.lowering.describe import FORWARD, INPUT_GRADIENT, KERNEL_GRADIENT, Refused
from jaxcnn.lowering.library import CONVOLUTION, load

HUGE, LEAST = 2**62, -(2**63)
X, KERNEL, Y = (2, 6, 6, 4), (3, 3, 4, 8), (2, 4, 4, 8)


def numbers(**changes: Any) -> list[int]:
    """The description of a plain 3x3 convolution, with changes."""
    parts: dict[str, Any] = {
        "kind": FORWARD, "rank": 2, "groups": 1, "loops": 1, "native": 0, "alone": 0,
        "lhs": [0, 3, 1, 2], "rhs": [3, 2, 0, 1], "out": [0, 3, 1, 2],
        "strides": [1, 1], "dilation": [1, 1], "low": [0, 0], "high": [0, 0],
    }  # fmt: skip
    flat = (np.atleast_1d(np.array(part, np.int64)) for part in {**parts, **changes}.values())
    return np.concatenate(list(flat)).tolist()


def call(description: list[int], x: Any = X, kernel: Any = KERNEL, y: Any = Y, dtype: Any = "float32") -> jax.Array:
    """Call the handler directly, and wait for it."""
    dtypes = [dtype] * 3 if isinstance(dtype, str) else dtype
    handler = jax.ffi.ffi_call(CONVOLUTION, jax.ShapeDtypeStruct(y, dtypes[2]))
    program = jax.jit(lambda x, k: handler(x, k, description=np.array(description, np.int64)))
    return program(jnp.ones(x, dtypes[0]), jnp.ones(kernel, dtypes[1])).block_until_ready()


@pytest.fixture(autouse=True)
def _onednn() -> Iterator[None]:
    assert lowering.enable("onednn").tier == "onednn", lowering.status().reason
    yield
    lowering.disable()


LENGTH, RANGE, FIT = "wrong length", "out of range", "do not fit"
DESCRIPTIONS = {
    "empty": ([], "too few numbers"),
    "five numbers": (numbers()[:5], "too few numbers"),
    "one too few": (numbers()[:-1], LENGTH),
    "one too many": ([*numbers(), 0], LENGTH),
    "kind too large": (numbers(kind=3), "unknown kind"),
    "kind below zero": (numbers(kind=-1), "unknown kind"),
    "rank 0": (numbers(rank=0), "1 to 3 spatial axes"),
    "rank 4": (numbers(rank=4), "1 to 3 spatial axes"),
    "rank huge": (numbers(rank=HUGE), "1 to 3 spatial axes"),
    "another rank": (numbers(rank=1), LENGTH),
    "no groups": (numbers(groups=0), RANGE),
    "groups below zero": (numbers(groups=LEAST), RANGE),
    "no loops": (numbers(loops=0), RANGE),
    "axes twice": (numbers(lhs=[0, 3, 1, 1]), "permutation"),
    "an axis too large": (numbers(rhs=[3, 2, 0, 4]), "permutation"),
    "an axis below zero": (numbers(out=[0, -1, 1, 2]), "permutation"),
    "an axis huge": (numbers(out=[0, HUGE, 1, 2]), "permutation"),
    "features for the batch": (numbers(lhs=[3, 0, 1, 2]), "differ"),
    "no stride": (numbers(strides=[1, 0]), RANGE),
    "stride below zero": (numbers(strides=[LEAST, 1]), RANGE),
    "stride huge": (numbers(strides=[HUGE, 1]), RANGE),
    "no dilation": (numbers(dilation=[0, 1]), RANGE),
    "dilation huge": (numbers(dilation=[HUGE, 1]), RANGE),
    "padding below zero": (numbers(low=[0, -1]), RANGE),
    "padding huge": (numbers(low=[0, HUGE], high=[0, -HUGE]), RANGE),
    "paddings that overflow": (numbers(low=[HUGE, 0], high=[HUGE, 0]), RANGE),
    "padding least": (numbers(high=[LEAST, 0]), RANGE),
    "padding that does not fit": (numbers(high=[1, 0]), FIT),
    "a stride that does not fit": (numbers(strides=[2, 1]), FIT),
    "a window larger than the map": (numbers(dilation=[3, 3]), FIT),
    "groups that do not divide": (numbers(groups=3), "divisible|differ"),
    "groups huge": (numbers(groups=HUGE), RANGE),
    "groups for a whole kernel": (numbers(groups=2), "differ"),
    "loops that do not divide": (numbers(loops=3), "divisible"),
    "loops huge": (numbers(loops=HUGE), RANGE),
    "loops for a whole kernel": (numbers(loops=2), "differ"),
    "an input gradient": (numbers(kind=INPUT_GRADIENT), "differ|do not fit"),
    "a kernel gradient": (numbers(kind=KERNEL_GRADIENT, high=[1, 0]), "differ|do not fit"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_wrong_description_is_an_error(name: str) -> None:
    description, words = DESCRIPTIONS[name]
    with pytest.raises(jax.errors.JaxRuntimeError, match=words):
        call(description)


ARRAYS = {
    "a map of another rank": ({"x": (2, 6, 6, 1, 4)}, "wrong rank"),
    "a kernel of another rank": ({"kernel": (3, 4, 8)}, "wrong rank"),
    "a scalar": ({"x": ()}, "wrong rank"),
    "another batch": ({"y": (3, 4, 4, 8)}, "batches differ"),
    "other inputs": ({"kernel": (3, 3, 5, 8)}, "input features differ"),
    "other outputs": ({"y": (2, 4, 4, 7)}, "output features differ"),
    "a larger result": ({"y": (2, 5, 4, 8)}, FIT),
    "a smaller result": ({"y": (2, 4, 3, 8)}, FIT),
    "a kernel larger than the map": ({"kernel": (7, 3, 4, 8)}, FIT),
    "integers": ({"dtype": "int32"}, "element type"),
    "booleans": ({"dtype": "bool"}, "element type"),
    "complex numbers": ({"dtype": "complex64"}, "element type"),
    "float8": ({"dtype": "float8_e4m3fn"}, "element type"),
    "a map of integers": ({"dtype": ("int32", "float32", "float32")}, "element type"),
    "types that do not mix": ({"dtype": ("float32", "bfloat16", "float16")}, "oneDNN"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_do_not_fit_are_an_error(name: str) -> None:
    arrays, words = ARRAYS[name]
    with pytest.raises(jax.errors.JaxRuntimeError, match=words):
        call(numbers(), **arrays)


PLANS = {
    "an empty map": [(0, 6, 6, 4), KERNEL, (0, 4, 4, 8)],
    "an empty result": [X, KERNEL, (2, 4, 0, 8)],
    "a map of another rank": [X[1:], KERNEL, Y],
    "2 GB": [(2**14, 130, 64, 4), KERNEL, (2**14, 128, 62, 8)],
    "sizes whose product overflows": [(2**31, 2**31, 2**31, 4), (3, 3, 4, 8), (2**31, 2**31 - 2, 2**31 - 2, 8)],
    "sizes that overflow to a small number": [(2**32, 2**32, 4, 4), (3, 3, 4, 8), (2**32, 2**32 - 2, 2, 8)],
    "the largest sizes": [(2**63 - 1,) * 4, (3, 3, 2**63 - 1, 8), (2**63 - 1, 2**63 - 3, 2**63 - 3, 8)],
    "sizes below zero": [(-2, 6, 6, 4), (3, 3, 4, 8), (-2, 4, 4, 8)],
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_of_impossible_sizes_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        load().plan(np.array(numbers(), np.int64), ["float32"] * 3, PLANS[name])


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_plan_of_a_wrong_description_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        load().plan(np.array(DESCRIPTIONS[name][0], np.int64), ["float32"] * 3, [X, KERNEL, Y])


def test_an_error_leaves_the_handler_working() -> None:
    with pytest.raises(jax.errors.JaxRuntimeError):
        call(numbers(strides=[0, 0]))
    np.testing.assert_array_equal(call(numbers()), np.full(Y, 36))


POOL = {"window": [2, 2], "strides": [2, 2], "dilation": [1, 1], "low": [0, 0]}
POOLS = {
    "a window of another rank": ({"window": [2]}, "do not fit"),
    "no window": ({"window": []}, "1 to 3 spatial axes"),
    "an empty window": ({"window": [2, 0]}, RANGE),
    "a window huge": ({"window": [HUGE, 2]}, RANGE),
    "too many taps": ({"window": [20, 20], "low": [19, 19]}, "too many taps|sees nothing"),
    "no stride": ({"strides": [0, 2]}, RANGE),
    "a stride huge": ({"strides": [HUGE, 2]}, RANGE),
    "a stride too large": ({"strides": [9, 2]}, "sees nothing"),
    "a dilation huge": ({"dilation": [1, HUGE]}, RANGE),
    "padding below zero": ({"low": [-1, 0]}, RANGE),
    "padding huge": ({"low": [HUGE, 0]}, RANGE),
    "another batch": ({"y": (3, 3, 3, 32)}, "keeps the batch"),
    "other channels": ({"y": (2, 3, 3, 64)}, "keeps the batch"),
    "integers": ({"dtype": "int32"}, "float32 or bfloat16"),
    "winners of another shape": ({"winner": (2, 3, 2, 32)}, "winners are bytes"),
}


@pytest.mark.parametrize("name", POOLS)
def test_a_wrong_pool_is_an_error(name: str) -> None:
    changes, words = POOLS[name]
    parts: dict[str, Any] = {**POOL, "y": (2, 3, 3, 32), "dtype": "float32", **changes}
    numbers = {key: np.array(parts[key], np.int64) for key in POOL}
    x = jnp.ones((2, 6, 6, 32), parts["dtype"])
    y = jax.ShapeDtypeStruct(parts["y"], x.dtype)
    winner = jax.ShapeDtypeStruct(parts.get("winner", y.shape), "uint8")
    pool = jax.ffi.ffi_call("jaxcnn_max_pool_winners", (y, winner))
    scatter = jax.ffi.ffi_call("jaxcnn_pool_scatter", jax.ShapeDtypeStruct(x.shape, x.dtype))
    with pytest.raises(jax.errors.JaxRuntimeError, match=words):
        jax.block_until_ready(jax.jit(lambda: pool(x, **numbers))())
    arrays = jnp.zeros(winner.shape, "uint8"), jnp.ones(y.shape, y.dtype)
    with pytest.raises(jax.errors.JaxRuntimeError, match=words):
        jax.block_until_ready(jax.jit(lambda: scatter(*arrays, **numbers))())


NORMS = {
    "a scale of another size": ({"scale": (7,)}, "one a channel"),
    "a scale of another rank": ({"scale": (1, 8)}, "one a channel"),
    "statistics of another size": ({"mean": (9,)}, "one a channel"),
    "a result of another shape": ({"y": (4, 7)}, "differ in shape"),
    "a result of another type": ({"result": "bfloat16"}, "differ in shape or type"),
    "integers": ({"dtype": "int32"}, "float32 or bfloat16"),
    "a scalar": ({"x": ()}, "axis of channels"),
    "an unknown activation": ({"activation": 3}, "an activation is 0"),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_wrong_batch_norm_is_an_error(name: str) -> None:
    changes, words = NORMS[name]
    parts: dict[str, Any] = {"x": (4, 8), "y": (4, 8), "scale": (8,), "mean": (8,), "dtype": "float32", **changes}
    vector = jax.ShapeDtypeStruct((8,), "float32")
    settings = {"epsilon": np.float32(1e-5), "activation": np.int32(parts.get("activation", 1))}
    y = jax.ShapeDtypeStruct(parts["y"], parts.get("result", parts["dtype"]))
    call = jax.ffi.ffi_call("jaxcnn_batch_norm", (y, jax.ShapeDtypeStruct(parts["mean"], "float32"), vector, vector))
    arrays = jnp.ones(parts["x"], parts["dtype"]), jnp.ones(parts["scale"]), jnp.ones(8)
    with pytest.raises(jax.errors.JaxRuntimeError, match=words):
        jax.block_until_ready(jax.jit(lambda: call(*arrays, **settings))())


BIASED_POOLS = {
    "another batch": ({"y": (3, 2, 3, 8)}, "2x2 window"),
    "a row too many": ({"y": (2, 3, 3, 8)}, "2x2 window"),
    "other channels": ({"y": (2, 2, 3, 7)}, "2x2 window"),
    "maxima of another rank": ({"y": (2, 2, 8)}, "two spatial axes"),
    "a map of another rank": ({"x": (2, 2, 5, 7, 8)}, "two spatial axes"),
    "a map of one row": ({"x": (2, 1, 7, 8), "y": (2, 1, 3, 8)}, "empty map"),
    "a bias of another size": ({"bias": (7,)}, "one value a channel"),
    "a bias of another rank": ({"bias": (1, 8)}, "one value a channel"),
    "winners of another shape": ({"winner": (2, 2, 3, 7)}, "winners are bytes"),
    "winners of another type": ({"index": "int32"}, "winners are bytes"),
    "maxima of another type": ({"result": "bfloat16"}, "differ"),
    "integers": ({"dtype": "int32"}, "float32 or bfloat16"),
}


@pytest.mark.parametrize("name", BIASED_POOLS)
def test_a_wrong_pool_with_a_bias_is_an_error(name: str) -> None:
    changes, words = BIASED_POOLS[name]
    parts: dict[str, Any] = {"x": (2, 5, 7, 8), "y": (2, 2, 3, 8), "bias": (8,), "dtype": "float32", **changes}
    x, bias = jnp.ones(parts["x"], parts["dtype"]), jnp.ones(parts["bias"], parts["dtype"])
    y = jax.ShapeDtypeStruct(parts["y"], parts.get("result", parts["dtype"]))
    winner = jax.ShapeDtypeStruct(parts.get("winner", y.shape), parts.get("index", "uint8"))
    pool = jax.ffi.ffi_call("jaxcnn_bias_relu_pool", (y, winner))
    with pytest.raises(jax.errors.JaxRuntimeError, match=words):
        jax.block_until_ready(jax.jit(lambda: pool(x, bias))())
    outputs = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in (x, bias)]
    back = jax.ffi.ffi_call("jaxcnn_bias_relu_pool_backward", outputs)
    maxima = jnp.ones(y.shape, y.dtype)
    with pytest.raises(jax.errors.JaxRuntimeError, match=words):
        jax.block_until_ready(jax.jit(lambda: back(maxima, jnp.zeros(winner.shape, winner.dtype), maxima))())


def test_another_gradient_of_a_pool_with_a_bias_is_an_error() -> None:
    outputs = [jax.ShapeDtypeStruct(shape, "float32") for shape in ((2, 5, 7, 8), (8,))]
    back = jax.ffi.ffi_call("jaxcnn_bias_relu_pool_backward", outputs)
    y, winner = jnp.ones((2, 2, 3, 8)), jnp.zeros((2, 2, 3, 8), "uint8")
    for dy in (jnp.ones((2, 2, 3, 7)), y.astype("bfloat16")):
        with pytest.raises(jax.errors.JaxRuntimeError, match="differ"):
            jax.block_until_ready(jax.jit(lambda dy=dy: back(y, winner, dy))())
