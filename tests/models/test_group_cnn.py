"""The group CNN: its logits under turns and mirrors, in and outside of its group, and its size."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from references.arrays import normal

from jaxcnn import models, nn

GROUPS = {"p4": 4, "p4m": 8}


def network(size=(9, 9), **options):
    """A small network whose statistics, scales and offsets are not those of its birth."""
    module = models.create("group_cnn", num_classes=5, input_shape=(*size, 2), **{"width": 3, **options})
    apply, params, statistics = nn.split(module)
    params = jax.tree.map(lambda p: p + 0.1 * normal(p.size, p.shape, p.dtype), params)
    train = jax.jit(functools.partial(apply, training=True))
    for seed in range(2):
        _, statistics = train(params, statistics, normal(seed, (4, *size, 2)))
    return jax.jit(lambda x: apply(params, statistics, x, training=False)[0])


def turned(x, element):
    return jnp.rot90(jnp.flip(x, 2) if element >= 4 else x, element % 4, (1, 2))


@pytest.mark.parametrize(
    ("group", "size", "options"),
    [
        ("p4", (8, 8), {"padding_mode": "circular"}),
        ("p4", (7, 10), {"padding_mode": "reflect", "pool": "avg"}),
        ("p4", (16, 16), {"norm": "group", "width": 4, "head": "max"}),
        ("p4m", (9, 9), {}),
        ("p4m", (12, 12), {"norm": "layer", "activation": "silu"}),
        ("p4m", (10, 10), {"norm": "none", "padding_mode": "replicate", "activation": "tanh"}),
        ("p4m", (3, 3), {}),
    ],
)
def test_logits_are_invariant_under_the_group_alone(group, size, options):
    fn, x = network(size, group=group, **options), normal(7, (3, *size, 2))
    y = fn(x)
    spread = float(jnp.abs(y - y.mean(0)).max())
    assert spread > 1e-3  # not invariant under everything
    changes = [float(jnp.abs(fn(turned(x, h)) - y).max()) for h in range(8)]
    assert max(changes[: GROUPS[group]]) < 1e-5 * max(1, float(jnp.abs(y).max()))
    if group == "p4":
        assert min(changes[4:]) > 1e-3 * spread


def test_in_float64_invariance_is_of_rounding_alone():
    fn = network(group="p4m")
    with jax.enable_x64(True):
        x = normal(7, (3, 9, 9, 2), "float64")
        assert fn(x).dtype == "float64"
        assert max(float(jnp.abs(fn(turned(x, h)) - fn(x)).max()) for h in range(8)) < 1e-12


def test_a_plain_network_is_not_invariant():
    module = models.create("small_cnn", num_classes=5, input_shape=(8, 8, 2), width=4, head="avg")
    x = normal(7, (3, 8, 8, 2))
    assert float(jnp.abs(module(turned(x, 1)) - module(x)).max()) > 1e-3


def test_it_stays_invariant_while_it_learns():
    module = models.create("group_cnn", num_classes=4, input_shape=(6, 6, 1), width=4)
    apply, params, statistics = nn.split(module)
    x, targets, optimizer = normal(0, (16, 6, 6, 1)), jnp.arange(16) % 4, optax.adam(3e-2)

    @jax.jit
    def step(params, statistics, state):
        def loss(params):
            outputs, new = apply(params, statistics, x, training=True)
            return optax.softmax_cross_entropy_with_integer_labels(outputs, targets).mean(), new

        (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), statistics, state, value

    state, losses = optimizer.init(params), []
    for _ in range(40):
        params, statistics, state, value = step(params, statistics, state)
        losses.append(float(value))
    assert losses[-1] < 0.8 * losses[0]
    fn = jax.jit(lambda x: apply(params, statistics, x, training=False)[0])
    np.testing.assert_allclose(fn(turned(x, 1)), fn(x), rtol=1e-5, atol=1e-5 * float(jnp.abs(fn(x)).max()))


def parameters(name, size, **options):
    module = nnx.eval_shape(lambda: models.create(name, input_shape=(size, size, 1), **options))
    return sum(leaf.size for leaf in jax.tree.leaves(nn.functionalize(module)[1]))


def test_half_the_width_has_as_many_parameters_as_a_plain_network():
    for size, width in itertools.product((8, 28), (10, 12, 16)):
        ratio = parameters("small_cnn", size, width=2 * width, head="avg") / parameters("group_cnn", size, width=width)
        assert 1 < ratio < 1.02


def test_stages_fit_the_image():
    for size, stages in {3: 1, 7: 2, 8: 2, 12: 2, 13: 3, 28: 3}.items():
        module = nnx.eval_shape(lambda size=size: models.create("group_cnn", input_shape=(size, size, 1)))
        assert sum(child.startswith("stage") for child in module.names) == stages


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "p8"}, "unknown group 'p8'"),
        ({"head": "flatten"}, "unknown head 'flatten'"),
        ({"norm": "bacth"}, "unknown norm 'bacth'"),
        ({"pool": "min"}, "unknown pool 'min'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        models.create("group_cnn", input_shape=(8, 8, 1), **options)
