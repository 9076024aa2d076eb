"""Models that sample so that shifts are kept: circular, and with a global head, none changes the logits."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from references.resample import all_rolls

from jaxcnn import models, nn

CIFAR = {"stem": "cifar"}
MODELS = {
    "resnet18": ("resnet18", CIFAR),
    "resnet50": ("resnet50", {**CIFAR, "head": "max"}),
    "resnet9": ("resnet9", {"norm": "group"}),
    "small_cnn": ("small_cnn", {"head": "avg"}),
    "small_resnet": ("small_resnet", {}),
    "nin": ("nin", {"width": 12}),
}
MORE = {
    "alexnet": ("alexnet", {**CIFAR, "head": "avg"}),
    "all_cnn": ("all_cnn", {}),
    "vgg11": ("vgg11", {"head": "avg", "size": 32}),
    "preact_resnet20": ("preact_resnet20", {"head": "max"}),
    "wrn16_4": ("wrn16_4", {}),
    "densenet100": ("densenet100", {}),
    "mobilenet_v2": ("mobilenet_v2", {"width": 8, "stem": "cifar"}),
    "convnext_tiny": ("convnext_tiny", {**CIFAR, "size": 32}),
    "plain": ("resnet20", {"residual": False}),
}
"""In the campaign alone: they are slow to compile."""
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # to compile, not to run
ROUNDING = 1e-5  # of the largest logit; what a shift of an inequivariant network changes is over 1e-2


def create(name: str, size: int = 16, **options: Any) -> nn.Module:
    settings = {"width": 4, "padding_mode": "circular", "pool": "polyphase", **options}
    return models.create(name, num_classes=5, input_shape=(size, size, 3), **settings)


def worst(module: nn.Module, *images: np.ndarray, batch: int = 64) -> float:
    """The largest change of a logit under any circular shift, of the largest logit (of 1, where all are less)."""
    fn, params = nn.functionalize(module)
    compiled = functools.partial(jax.jit, compiler_options=QUICK)(fn)
    changes = []
    for x in images:
        rolls = all_rolls(x)
        logits = np.concatenate([compiled(params, rolls[i : i + batch]) for i in range(0, len(rolls), batch)])
        changes.append(np.abs(logits - logits[0]).max() / np.abs(logits).max(initial=1))
    return float(max(changes))


def image(size: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((size, size, 3)).astype("float32")


def trained(module: nn.Module, x: np.ndarray, steps: int = 3) -> nn.Module:
    """A module after a few steps of gradient descent in training mode, its statistics moved."""
    apply, params, statistics = nn.split(module)
    x = jnp.asarray(x)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def step(params: Any, statistics: Any) -> Any:
        def loss(params: Any) -> Any:
            outputs, new = apply(params, statistics, x, training=True)
            return -jax.nn.log_softmax(outputs)[jnp.arange(len(x)), jnp.arange(len(x)) % 5].mean(), new

        gradients, statistics_after = jax.grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients), statistics_after

    for _ in range(steps):
        params, statistics = step(params, statistics)
    nnx.update(module, _merged(params, statistics))
    return module


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    names = {**one, **other}
    return {
        name: _merged(one.get(name, {}), other.get(name, {})) if isinstance(names[name], dict) else names[name]
        for name in names
    }


@pytest.mark.parametrize("name", [*MODELS, *(pytest.param(name, marks=pytest.mark.campaign) for name in MORE)])
def test_no_circular_shift_changes_the_logits(name: str) -> None:
    model, options = {**MODELS, **MORE}[name]
    assert worst(create(model, **options), image(options.get("size", 16))) < ROUNDING


def test_a_segmentation_moves_as_its_image_does() -> None:
    fn, params = nn.functionalize(create("unet", size=8, depth=2))
    x = image(8)
    classes = functools.partial(jax.jit, compiler_options=QUICK)(fn)(params, all_rolls(x))
    shifts = [(i, j) for i in range(8) for j in range(8)]
    back = np.stack([np.roll(y, (-i, -j), (0, 1)) for y, (i, j) in zip(classes, shifts, strict=True)])
    np.testing.assert_array_equal(all_rolls(x)[9], np.roll(x, shifts[9], (0, 1)))
    assert np.abs(back - back[0]).max() / np.abs(back).max() < ROUNDING


@pytest.mark.parametrize("change", [{"pool": "max"}, {"pool": "blur"}, {"padding_mode": "zeros"}], ids=str)
def test_others_change_them(change: dict[str, str]) -> None:
    assert worst(create("small_cnn", **{"head": "avg", **change}), image()) > 100 * ROUNDING


def test_training_keeps_it() -> None:
    x = np.stack([image(seed=seed) for seed in range(8)])
    assert worst(trained(create("resnet18", **CIFAR), x), x[1]) < ROUNDING


def test_images_whose_phases_tie() -> None:
    patterns = (np.zeros((16, 16, 1)), np.ones((16, 16, 1)), np.indices((16, 16, 1)).sum(0) % 2, np.eye(16)[..., None])
    images = [np.broadcast_to(x, (16, 16, 3)).astype("float32") for x in patterns]
    assert worst(create("small_cnn", head="avg"), *images) < ROUNDING
    assert worst(create("resnet18", **CIFAR), *images) < ROUNDING


@pytest.mark.parametrize("pool", ["blur", "polyphase"])
@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("resnet18", 64, {}),
        ("resnet18", 32, CIFAR),
        ("resnet34", 32, CIFAR),
        ("resnet50", 64, {}),
        ("resnet9", 32, {}),
        ("small_cnn", 32, {}),
        ("lenet5", 32, {"width": None}),
    ],
)
@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_checkpoints_of_the_plain_network_fit(
    name: str, size: int, options: dict, padding_mode: str, pool: str
) -> None:
    if (name, pool, padding_mode) == ("lenet5", "polyphase", "zeros"):
        options = {**options, "padding": 2}
    options = {k: v for k, v in {"width": 4, **options, "padding_mode": padding_mode}.items() if v is not None}
    shapes = []
    for kind in (pool, "max"):
        module = nnx.eval_shape(
            lambda kind=kind: models.create(name, input_shape=(size, size, 3), pool=kind, **options)
        )
        leaves = jax.tree.leaves_with_path(nn.functionalize(module)[1])
        shapes.append({jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves})
    assert shapes[0] == shapes[1]


def test_body_and_shortcut_are_sampled_at_one_phase() -> None:
    move = nn.Activation(lambda x: jnp.roll(x, 1, 0))  # what the body alone would sample at another phase
    block = models.residual.PolyphaseResidual(
        shortcut=nn.Identity(), activation=nn.Identity(), before=move, sample=nn.PolyphasePool()
    )
    x = jnp.asarray(image(8))
    sampled, index = nn.PolyphasePool().choose(x)
    np.testing.assert_array_equal(block(x), sampled + nn.PolyphasePool()(jnp.roll(x, 1, 0), index=index))


def test_a_size_that_the_strides_do_not_divide_is_named() -> None:
    with pytest.raises(ValueError, match=r"in layer stage3/pool/sample: `strides` \(=2\) must divide .* \(7, 7\)"):
        create("small_cnn", size=28)


@pytest.mark.campaign
def test_all_shifts_of_32x32() -> None:
    x = np.stack([image(32, seed) for seed in range(4)])
    module = create("resnet18", size=32, width=16, **CIFAR)
    assert worst(module, x[0], batch=128) < ROUNDING
    assert worst(trained(module, x), x[0], batch=128) < ROUNDING
    plain = create("resnet18", size=32, width=16, pool="max", **CIFAR)
    assert worst(plain, x[0], batch=128) > 100 * ROUNDING
