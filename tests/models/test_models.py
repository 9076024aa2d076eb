"""One contract for every model and option."""

import contextlib
import functools
from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from references.tolerance import TOLERANCE

from jaxcnn import models, nn
from jaxcnn.models import convnext, densenet, mobilenet_v2, preact_resnet, registry, resnet, vgg

SMALL = {"width": 4}
CIFAR = {"width": 4, "stem": "cifar"}
CASES = {
    "linear": ("linear", (6, 5, 3), {}),
    "mlp": ("mlp", (6, 5, 3), {"width": 8, "dropout": 0.5}),
    "lenet5": ("lenet5", (28, 28, 1), {}),
    "lenet5 of 1998": ("lenet5", (32, 32, 1), {"activation": "tanh", "pool": "avg"}),
    "lenet5 options": (
        "lenet5",
        (16, 16, 2),
        {"norm": "batch", "head": "avg", "padding_mode": "circular", "padding": 1},
    ),
    "small_cnn": ("small_cnn", (8, 8, 1), SMALL),
    "small_cnn group": ("small_cnn", (10, 8, 2), {"width": 8, "norm": "group", "activation": "gelu", "head": "avg"}),
    "small_cnn layer": ("small_cnn", (9, 9, 1), {"width": 6, "norm": "layer", "activation": "silu", "pool": "avg"}),
    "small_cnn none": ("small_cnn", (8, 8, 1), {**SMALL, "norm": "none", "activation": "sigmoid", "head": "max"}),
    "small_cnn reflect": ("small_cnn", (8, 8, 1), {**SMALL, "padding_mode": "reflect", "dropout": 0.3}),
    "group_cnn": ("group_cnn", (8, 9, 2), {**SMALL, "group": "p4m", "dropout": 0.3}),
    "group_cnn options": (
        "group_cnn",
        (8, 8, 1),
        {**SMALL, "norm": "none", "activation": "tanh", "head": "max", "padding_mode": "circular", "pool": "avg"},
    ),
    "resnet9": ("resnet9", (16, 16, 3), SMALL),
    "airbench": ("airbench", (26, 26, 3), SMALL),
    "airbench96": ("airbench96", (26, 26, 3), SMALL),
    "resnet9 options": (
        "resnet9",
        (8, 8, 3),
        {"width": 8, "norm": "group", "head": "flatten", "padding_mode": "replicate"},
    ),
    "resnet18 imagenet": ("resnet18", (32, 32, 3), {**SMALL, "pool": "avg"}),
    "resnet18 layer": ("resnet18", (16, 16, 3), {**CIFAR, "norm": "layer", "activation": "silu"}),
    "resnet50 cifar": ("resnet50", (16, 16, 3), {**CIFAR, "dropout": 0.1}),
    "nin": ("nin", (8, 8, 3), {"width": 12, "pool": "avg", "init": "he_uniform"}),
    "all_cnn": ("all_cnn", (8, 8, 3), {**SMALL, "padding_mode": "circular", "head": "max"}),
    "vgg11": ("vgg11", (8, 8, 3), {"width": 2, "init": "orthogonal", "activation": "silu"}),
    "small_resnet": ("small_resnet", (8, 6, 3), {**SMALL, "drop_path": 0.3, "head": "flatten"}),
    "small_resnet signal": ("small_resnet", (19, 3), {**SMALL, "pool": "blur", "norm": "group", "dropout": 0.1}),
    "convnext": ("convnext_tiny", (16, 16, 3), {**SMALL, "dropout": 0.1}),
    "detector": ("detector", (8, 4, 3), {**SMALL, "dropout": 0.2}),
    "captioner": ("captioner", (8, 16, 3), {**SMALL, "dropout": 0.2}),
    "unet": ("unet", (4, 6, 3), {**SMALL, "depth": 1, "dropout": 0.2}),
}
MORE = {
    "densenet": ("densenet100", (9, 8, 3), SMALL),
    "mobilenet_v2": ("mobilenet_v2", (16, 16, 3), {"width": 8, "drop_path": 0.2}),
    "preact_resnet": ("preact_resnet20", (8, 8, 3), {**SMALL, "drop_path": 0.2, "pool": "blur", "head": "max"}),
    "alexnet": ("alexnet", (63, 71, 3), {"width": 2, "activation": "gelu"}),
    "alexnet cifar": ("alexnet", (8, 12, 3), {**CIFAR, "norm": "batch", "pool": "stride", "head": "max"}),
    "all_cnn pool": ("all_cnn", (8, 8, 3), {**SMALL, "pool": "max", "dropout": 0.1, "norm": "group"}),
    "vgg16 cifar": ("vgg16", (8, 8, 3), {**SMALL, "norm": "batch", "head": "avg", "pool": "blur"}),
    "plain network": ("small_resnet", (8, 8, 3), {**SMALL, "residual": False, "init": "dirac", "norm": "layer"}),
    "resnet9 paths": ("resnet9", (8, 8, 3), {**SMALL, "drop_path": 0.3, "pool": "stride", "init": "glorot_normal"}),
    "resnet101 plain": ("resnet101", (16, 16, 3), {**CIFAR, "residual": False, "init": "lecun_uniform"}),
    "preact_resnet plain": ("preact_resnet20", (8, 3), {**SMALL, "residual": False, "norm": "none"}),
    "wide_resnet": ("wrn16_4", (8, 8, 3), {**SMALL, "dropout": 0.3, "pool": "polyphase", "init": "glorot_uniform"}),
    "densenet options": ("densenet100", (8, 8, 3), {**SMALL, "dropout": 0.2, "pool": "polyphase", "norm": "layer"}),
    "mobilenet_v2 cifar": ("mobilenet_v2", (8, 8, 3), {"width": 8, "stem": "cifar", "pool": "blur", "norm": "none"}),
    "convnext cifar": ("convnext_tiny", (8, 8, 3), {**CIFAR, "pool": "polyphase", "drop_path": 0.2, "head": "max"}),
    "unet polyphase": ("unet", (8, 8, 3), {**SMALL, "depth": 1, "pool": "polyphase", "norm": "group"}),
    "unet volume": ("unet", (4, 4, 6, 1), {**SMALL, "depth": 1, "pool": "stride", "norm": "layer"}),
    "small_resnet volume": ("small_resnet", (8, 4, 8, 2), {**SMALL, "pool": "polyphase", "padding_mode": "circular"}),
}
"""Further options: in the campaign alone."""
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # to compile, not to run


@contextlib.contextmanager
def shallow():
    """Make few stages of one block each, two where a kind of block has no other place."""
    entries = {
        "densenet100": partial(densenet.densenet, 1),
        "preact_resnet20": partial(preact_resnet.preact_resnet, 1),
        "wrn16_4": partial(preact_resnet.preact_resnet, 1, 2),
    }
    with (
        mock.patch.dict(resnet.BLOCKS, dict.fromkeys(resnet.BLOCKS, (1, 1, 1, 1))),
        mock.patch.dict(vgg.UNITS, dict.fromkeys(vgg.UNITS, (1, 2))),
        mock.patch.dict(convnext.BLOCKS, {"tiny": (1, 2)}),
        mock.patch.object(mobilenet_v2, "STAGES", ((1, 16, 1, 1), (6, 24, 2, 2))),
        mock.patch.dict(
            registry.MODELS, {name: registry.MODELS[name]._replace(build=build) for name, build in entries.items()}
        ),
    ):
        yield


class Case:
    """A small model, its pure functions, two images, and another one's parameters."""

    def __init__(self, name, input_shape, options):
        with shallow():
            self.module, self.other = (
                models.create(name, num_classes=5, input_shape=input_shape, rngs=seed, **options) for seed in (0, 1)
            )
        self.fn, self.params = nn.functionalize(self.module)
        self.apply, _, self.statistics = nn.split(self.module)
        self.others = nn.functionalize(self.other)[1]
        self.x = jax.random.normal(jax.random.key(0), (2, *input_shape))
        maps = {"unet": input_shape[:-1], "detector": [size // 4 for size in input_shape[:-1]], "captioner": [5]}
        self.shape = (2, *maps.get(name, ()), 5)
        self.run = functools.partial(jax.jit, compiler_options=QUICK)

    @functools.cached_property
    def forward(self):
        return self.run(self.fn)


@pytest.fixture(
    scope="module",
    params=[*CASES.values(), *(pytest.param(case, marks=pytest.mark.campaign) for case in MORE.values())],
    ids=[*CASES, *MORE],
)
def case(request):
    return Case(*request.param)


def test_parameters_and_images_one_by_one(case):
    """A map over two sets of parameters, each with an image of its own, is what each gives for its batch."""
    outputs = case.forward(case.params, case.x)
    assert (outputs.shape, outputs.dtype) == (case.shape, case.x.dtype)
    assert np.isfinite(outputs).all()
    others = case.forward(case.others, case.x)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), case.params, case.others)
    one_by_one = case.run(jax.vmap(case.fn))(both, case.x)
    np.testing.assert_allclose(one_by_one, [outputs[0], others[1]], rtol=1e-4, atol=1e-4)


def test_saved_and_loaded(case, tmp_path):
    """Parameters in a file are all of a network: two of the same name and options differ in nothing else."""
    np.savez(tmp_path / "leaves.npz", *jax.tree.leaves(case.others))
    with np.load(tmp_path / "leaves.npz") as file:
        loaded = jax.tree.unflatten(jax.tree.structure(case.params), list(file.values()))
    nnx.update(case.module, loaded)
    graphs, leaves = zip(*(nnx.split(module) for module in (case.module, case.other)), strict=True)
    assert graphs[0] == graphs[1]
    jax.tree.map(np.testing.assert_array_equal, *map(nnx.to_pure_dict, leaves))


@pytest.mark.parametrize("name", ["lenet5", "small_cnn", "resnet18 imagenet"])
def test_compiled_equals_eager(name):
    case = Case(*CASES[name])
    outputs = case.module(case.x)
    np.testing.assert_array_equal(case.fn(case.params, case.x), outputs)
    np.testing.assert_allclose(jax.jit(case.fn)(case.params, case.x), outputs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_half_precision_stays_so_and_statistics_do_not(case, training):
    x = jax.ShapeDtypeStruct(case.x.shape, jnp.bfloat16)
    outputs, statistics = jax.eval_shape(
        lambda x: case.apply(case.params, case.statistics, x, training=training, key=jax.random.key(0)), x
    )
    assert outputs.dtype == jnp.bfloat16
    assert {leaf.dtype.name for leaf in jax.tree.leaves(statistics)} <= {"float32"}


def test_every_parameter_learns_and_statistics_move(case):
    @case.run
    def gradient(params, statistics):
        def loss(params):
            outputs, new = case.apply(params, statistics, case.x, training=True, key=jax.random.key(1))
            return -jax.nn.log_softmax(outputs)[..., 0].mean(), new

        return jax.grad(loss, has_aux=True)(params)

    gradients, statistics = gradient(case.params, case.statistics)
    for path, leaf in jax.tree.leaves_with_path(gradients):
        assert np.isfinite(leaf).all(), path
        assert (leaf != 0).any(), path
    for old, new in zip(jax.tree.leaves(case.statistics), jax.tree.leaves(statistics), strict=True):
        assert (old != new).any()


def test_every_parameter_has_a_scope(case):
    equations = jax.make_jaxpr(case.fn)(case.params, case.x).eqns
    scopes = {str(equation.source_info.name_stack) for equation in equations}
    owners = {"/".join(key.key for key in path[:-1]) for path, _ in jax.tree.leaves_with_path(case.params)}
    assert owners <= scopes


def test_scopes_of_a_resnet():
    module = nnx.eval_shape(lambda: models.create("resnet50", input_shape=(32, 32, 3)))
    fn, params = nn.functionalize(module)
    equations = jax.make_jaxpr(fn)(params, jnp.zeros((1, 32, 32, 3))).eqns
    convolutions = [str(e.source_info.name_stack) for e in equations if e.primitive.name == "conv_general_dilated"]
    assert len(convolutions) == 53
    assert {"conv1", "stage2/block0/conv1", "stage2/block0/shortcut/conv", "stage4/block2/conv3"} <= set(convolutions)


@pytest.mark.parametrize(("name", "strided"), [("resnet18", "conv1"), ("resnet34", "conv1"), ("resnet50", "conv2")])
def test_strides_stand_where_torchvision_has_them(name, strided):
    module = nnx.eval_shape(lambda: models.create(name, width=4))
    for stage in (module.stage2, module.stage3, module.stage4):
        convolutions = {name: layer.strides for name, layer in vars(stage.block0).items() if name.startswith("conv")}
        assert convolutions == {name: 2 if name == strided else 1 for name in convolutions}
        assert stage.block0.shortcut.conv.strides == 2
        assert stage.block1.conv1.strides == 1


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
@pytest.mark.parametrize(
    ("name", "size", "stride", "options"),
    [
        ("small_cnn", 16, 8, SMALL),
        ("resnet9", 16, 8, SMALL),
        ("resnet50", 16, 8, CIFAR),
        ("resnet18", 64, 32, SMALL),
        ("all_cnn", 16, 4, SMALL),
        ("small_resnet", 16, 4, SMALL),
        ("convnext_tiny", 16, 2, CIFAR),
    ],
)
def test_circular_padding_and_a_global_pool_give_shift_invariance(name, size, stride, options, padding_mode):
    case = Case(name, (size, size, 3), {**options, "head": "avg", "padding_mode": padding_mode})
    image = case.x[0]
    outputs = case.run(case.fn)(case.params, jnp.stack([image, jnp.roll(image, (stride, -stride), (0, 1))]))
    invariant = np.allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-4)
    assert invariant == (padding_mode == "circular")


def test_bfloat16_is_near_float32():
    case = Case("small_cnn", (8, 8, 1), SMALL)
    run = case.run(case.fn)
    half = run(case.params, case.x.astype(jnp.bfloat16)).astype(jnp.float32)
    np.testing.assert_allclose(half, run(case.params, case.x), rtol=0.1, atol=5 * TOLERANCE["bfloat16"]["atol"])


@pytest.mark.parametrize(("name", "sizes"), [("small_cnn", {4: 1, 7: 1, 8: 2, 15: 2, 16: 3, 28: 3, 64: 3})])
def test_stages_fit_the_image(name, sizes):
    for size, stages in sizes.items():
        module = nnx.eval_shape(lambda size=size: models.create(name, input_shape=(size, size, 1)))
        assert sum(child.startswith("stage") for child in module.names) == stages


def test_a_seed_is_a_network():
    leaves = [
        jax.tree.leaves(nn.functionalize(models.create("lenet5", rngs=rngs, input_shape=(28, 28, 1)))[1])
        for rngs in (3, nnx.Rngs(3), 4)
    ]
    same, other = ([bool((a == b).all()) for a, b in zip(leaves[0], more, strict=True)] for more in leaves[1:])
    assert all(same)
    assert not all(other)
