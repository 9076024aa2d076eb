"""Single convolutions by jaxcnn, its lowering on: one compiled program each, no gradient runs the forward."""

import dataclasses
from functools import partial

import conv_cases
import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import functional as F
from jaxcnn import lowering, runs


def make(case, dtype, direction, arrays):
    """Compile one convolution, or one of its gradients."""
    x, kernel, gradient = (jnp.asarray(arrays[name], dtype) for name in ("input", "kernel", "gradient"))
    options = {"strides": case.strides, "padding": case.padding, "dilation": case.dilation, "groups": case.groups}
    conv = partial(F.conv_transpose if case.transposed else F.conv, **options)

    def input_gradient(kernel, gradient):
        return jax.linear_transpose(lambda x: conv(x, kernel), x)(gradient)[0]

    def kernel_gradient(x, gradient):
        return jax.linear_transpose(lambda kernel: conv(x, kernel), kernel)(gradient)[0]

    function, operands = {
        "forward": (conv, (x, kernel)),
        "input": (input_gradient, (kernel, gradient)),
        "kernel": (kernel_gradient, (x, gradient)),
    }[direction]
    program = jax.jit(function).lower(*operands).compile()
    return lambda: jax.block_until_ready(program(*operands)), lambda result: np.asarray(result, np.float32)


def facts() -> dict:
    """Return versions and the lowering in use."""
    about = runs.environment()
    return {name: about[name] for name in ("packages", "python", "commit", "flags")} | {
        "lowering": dataclasses.asdict(lowering.status())
    }


if __name__ == "__main__":
    lowering.enable()
    conv_cases.work(make, facts)
