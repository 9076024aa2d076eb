"""Which of oneDNN's implementations convolutions get: never the naive reference, which is hundreds of times slower."""

import itertools

import jax
import pytest
from jax import ShapeDtypeStruct

from jaxcnn import functional as F
from jaxcnn import lowering
from jaxcnn.lowering.library import Library

NARROW = list(itertools.product((1, 4, 8, 12, 16), (4, 8, 12, 16), (2, 3), (1, 2, 3)))
"""Input and output channels, window and stride: channels that do not fill a vector."""


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_narrow_convolution_is_left_to_the_reference(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []
    plan = Library.plan

    def noted(self, *description) -> str:
        planned.append(plan(self, *description))
        return planned[-1]

    monkeypatch.setattr(Library, "plan", noted)
    lowering.enable("onednn")
    slow = {}
    for inputs, outputs, window, stride in NARROW:
        x = ShapeDtypeStruct((8, 14, 14, inputs), dtype)
        kernel = ShapeDtypeStruct((window, window, inputs, outputs), dtype)

        def conv(x, kernel, stride=stride):
            return F.conv(x, kernel, strides=stride)

        def gradients(x, kernel, dy, conv=conv):
            return jax.vjp(conv, x, kernel)[1](dy)

        planned.clear()
        jax.jit(conv).lower(x, kernel)
        jax.jit(gradients).lower(x, kernel, jax.eval_shape(conv, x, kernel))
        assert len(planned) >= 3
        if reference := [name for name in planned if name.startswith("ref")]:
            slow[inputs, outputs, window, stride] = reference
    assert slow == {}
