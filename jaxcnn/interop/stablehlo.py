"""A network as a program that runs wherever JAX does, without jaxcnn."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import export

from jaxcnn import lowering

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""Devices that one program serves."""


def to_stablehlo(
    fn: Callable[[jax.Array], Any],
    input_shape: Sequence[int],
    *,
    dtype: Any = "float32",
    platforms: Sequence[str] = PLATFORMS,
) -> bytes:
    """Serialise a function of a batch, whatever the number of its examples, with all arrays that it holds.

    `jax.export.deserialize(content).call(x)` runs it, in a process that knows nothing of jaxcnn; JAX promises to read
    it for six months at least.

    Args:
        fn: A pure function of `(examples, *input_shape)`, such as `lambda x: fn(params, preprocessing(x))`.
        input_shape: Of one example.
        dtype: Of its numbers.
        platforms: Devices that it is to run on.

    Returns:
        The serialised program: StableHLO, and the shapes and types of what it takes and gives.

    Raises:
        ValueError: The lowering is on, whose custom calls no other process knows; or fn asks how many examples there
            are, so that no one program serves all numbers of them.

    Example:
        >>> import jax.numpy as jnp
        >>> _ = lowering.disable()
        >>> content = to_stablehlo(lambda x: 2 * x.sum((1, 2, 3)), (4, 4, 1))
        >>> export.deserialize(bytearray(content)).call(jnp.ones((3, 4, 4, 1))).tolist()
        [32.0, 32.0, 32.0]
    """
    if (tier := lowering.status().tier) != "xla":
        raise ValueError(f"the lowering is on ({tier}), and its custom calls do not serialise: call lowering.disable()")
    (examples,) = export.symbolic_shape("examples")
    x = jax.ShapeDtypeStruct((examples, *input_shape), dtype)
    try:
        exported = export.export(jax.jit(fn), platforms=tuple(platforms))(x)
    except Exception as error:  # JAX has no public name for what it raises of a size that is a symbol
        if type(error).__name__ != "InconclusiveDimensionOperation" and "_DimExpr" not in str(error):
            raise
        what = str(error).strip().partition("\n")[0]
        raise ValueError(f"`fn` needs to know how many examples there are: {what}") from error
    return bytes(exported.serialize())
