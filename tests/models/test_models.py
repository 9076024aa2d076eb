"""One contract for every model and option."""

import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from references.tolerance import TOLERANCE

from jaxcnn import models, nn
from jaxcnn.models import resnet

PARAMETERS = [
    ("linear", 10, (32, 32, 3), {}, 30_730),
    ("mlp", 10, (28, 28, 1), {}, 118_282),
    ("mlp", 10, (28, 28, 1), {"width": 64, "depth": 1}, 50_890),
    ("lenet5", 10, (32, 32, 1), {}, 61_706),
    ("lenet5", 10, (28, 28, 1), {}, 61_706),
    ("lenet5", 10, (32, 32, 1), {"activation": "tanh", "pool": "avg"}, 61_706),
    ("small_cnn", 10, (8, 8, 1), {}, 58_474),
    ("small_cnn", 10, (28, 28, 1), {}, 289_130),
    ("group_cnn", 10, (28, 28, 1), {"width": 8}, 69_730),
    ("group_cnn", 10, (28, 28, 1), {"width": 8, "group": "p4m"}, 138_850),
    ("resnet9", 10, (32, 32, 3), {}, 6_573_130),
    ("resnet18", 1000, (224, 224, 3), {}, 11_689_512),
    ("resnet34", 1000, (224, 224, 3), {}, 21_797_672),
    ("resnet50", 1000, (224, 224, 3), {}, 25_557_032),
    ("resnet18", 10, (32, 32, 3), {"stem": "cifar"}, 11_173_962),
]
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
    "resnet9 options": (
        "resnet9",
        (8, 8, 3),
        {"width": 8, "norm": "group", "head": "flatten", "padding_mode": "replicate"},
    ),
    "resnet18 imagenet": ("resnet18", (32, 32, 3), {**SMALL, "pool": "avg"}),
    "resnet18 layer": ("resnet18", (16, 16, 3), {**CIFAR, "norm": "layer", "activation": "silu"}),
    "resnet50 cifar": ("resnet50", (16, 16, 3), {**CIFAR, "dropout": 0.1}),
}
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # to compile, not to run


class Case:
    """A small model (one block a stage, in a ResNet), its pure functions, and two images."""

    def __init__(self, name, input_shape, options):
        with mock.patch.dict(resnet.BLOCKS, dict.fromkeys(resnet.BLOCKS, (1, 1, 1, 1))):
            self.module = models.create(name, num_classes=5, input_shape=input_shape, **options)
        self.fn, self.params = nn.functionalize(self.module)
        self.apply, _, self.statistics = nn.split(self.module)
        self.x = jax.random.normal(jax.random.key(0), (2, *input_shape))
        self.run = functools.partial(jax.jit, compiler_options=QUICK)


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request):
    return Case(*request.param)


@pytest.mark.parametrize(("name", "num_classes", "input_shape", "options", "count"), PARAMETERS)
def test_parameter_counts(name, num_classes, input_shape, options, count):
    module = nnx.eval_shape(lambda: models.create(name, num_classes=num_classes, input_shape=input_shape, **options))
    fn, params = nn.functionalize(module)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
    images = jax.ShapeDtypeStruct((3, *input_shape), jnp.float32)
    assert jax.eval_shape(fn, params, images).shape == (3, num_classes)


def test_a_batch_is_its_images_one_by_one(case):
    outputs = case.run(case.fn)(case.params, case.x)
    assert (outputs.shape, outputs.dtype) == ((2, 5), case.x.dtype)
    assert np.isfinite(outputs).all()
    one_by_one = case.run(jax.vmap(case.fn, in_axes=(None, 0)))(case.params, case.x)
    np.testing.assert_allclose(one_by_one, outputs, rtol=1e-4, atol=1e-4)


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
            return -jax.nn.log_softmax(outputs)[:, 0].mean(), new

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


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet19", {}, "unknown model 'resnet19': did you mean 'resnet1?8?9?'"),
        ("small_cnn", {"widht": 8}, "unknown option of small_cnn 'widht': did you mean 'width'"),
        ("linear", {"width": 8}, r"unknown option of linear 'width': Known: \(none\)"),
        ("mlp", {"stem": "cifar"}, "unknown option of mlp 'stem'"),
        ("small_cnn", {"norm": "bacth"}, "unknown norm 'bacth': did you mean 'batch'"),
        ("small_cnn", {"pool": "average"}, "unknown pool 'average'"),
        ("small_cnn", {"head": "global"}, "unknown head 'global'"),
        ("small_cnn", {"activation": "rellu"}, "unknown activation 'rellu': did you mean 'relu'"),
        ("small_cnn", {"padding_mode": "wrap"}, "unknown `padding_mode` 'wrap'"),
        ("resnet18", {"stem": "small"}, "unknown stem 'small'"),
        ("mlp", {"depth": -1}, r"`depth` \(=-1\)"),
        ("small_cnn", {"width": 0}, r"`out_channels` \(=0\)"),
        ("small_cnn", {"dropout": 1.0}, r"`rate` \(=1.0\)"),
        ("small_cnn", {"num_classes": 0}, r"`num_classes` \(=0\)"),
        ("small_cnn", {"input_shape": (8, 8)}, r"`input_shape` \(=\(8, 8\)\) must be \(height, width, channels\)"),
        ("small_cnn", {"input_shape": (8, 0, 1)}, r"`input_shape` \(=\(8, 0, 1\)\)"),
        ("lenet5", {"input_shape": (4, 4, 1)}, r"lenet5 .* in layer conv1: `window` \(=5\).* does not fit"),
        ("lenet5", {"input_shape": (8, 8, 1)}, "in layer conv2"),
        ("resnet9", {"input_shape": (4, 4, 3)}, "in layer pool3"),
    ],
)
def test_bad_requests(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.create(name, **options)


def test_available_names_are_created():
    assert list(models.available()) == [
        "linear", "mlp", "lenet5", "small_cnn", "group_cnn", "resnet9", "resnet18", "resnet34", "resnet50",
    ]  # fmt: skip
    assert all(models.available().values())
