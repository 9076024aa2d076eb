"""What a trace refuses, and fields where a map is cut and put together in another order."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import analysis
from jaxcnn import functional as F
from jaxcnn.analysis.rules import RULES

X = jax.ShapeDtypeStruct((24, 2), jnp.float32)


def turned(x: Any) -> Any:
    """Each window of four beside itself, rolled by one; then a sum over three neighbours."""
    y = x.reshape(-1, 4, 2)
    y = (y + jnp.roll(y, 1, 1)).reshape(-1, 2)
    return F.conv(y, jnp.ones((3, 2, 1), y.dtype), padding=0)


def swapped(x: Any) -> Any:
    return F.conv(jnp.concatenate([x[8:16], x[:8], x[16:]]), jnp.ones((3, 2, 1), x.dtype), padding=0)


def mirrored(x: Any) -> Any:
    return jnp.concatenate([x, x[::-1]])


@pytest.mark.parametrize("fn", [turned, swapped, mirrored])
def test_a_field_holds_what_every_unit_sees(fn: Any) -> None:
    """Every unit of the interior, that is: beyond a seam the field goes on as if the map did."""
    (facts,) = analysis.trace(fn, X, spatial_axes=(0,)).outputs[0].axes
    seen = np.abs(jax.jacobian(fn)(jnp.ones(X.shape))).sum((1, 3)) > 0
    widths = []
    low, high = facts.interior.margin
    for unit in range(low, len(seen) - high):
        places = np.flatnonzero(seen[unit])
        widths.append(np.ptp(places) + 1)
        assert facts.field[0] + unit * facts.jump <= places[0]
        assert places[-1] <= facts.field[1] + unit * facts.jump
    assert facts.receptive_field == max(widths)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((), {}, "needs the input"),
        (([jnp.ones(3)],), {}, "must be one array, got list"),
        ((3.0,), {}, "must be one array, got float"),
        ((jnp.ones((4, 4, 1)),), {"spatial_axes": 1}, "must be a sequence of positions"),
        ((jnp.ones((4, 4, 1)),), {"spatial_axes": (3,)}, "names axis 3, but x has 3 axes"),
        ((jnp.ones((4, 4, 1)),), {"spatial_axes": (1, -2)}, "names an axis twice"),
        ((jnp.ones((0, 4, 1)),), {}, "no elements"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as told:
        analysis.trace(lambda *args: args[-1], *arguments, **options)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("names", [(), (len,)])
def test_a_rule_without_a_name_is_refused(names: Any) -> None:
    before = dict(RULES)
    with pytest.raises(TypeError, match="names of primitives"):
        analysis.rule(*names)
    assert before == RULES
