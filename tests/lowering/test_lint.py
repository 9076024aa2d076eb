"""The lint finds every slow convolution that was planted, and none in what the presets compile."""

from collections.abc import Iterator
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import pytest
from jax import Array, ShapeDtypeStruct, lax

from jaxcnn import lowering, models, nn, training
from jaxcnn.config import AugmentConfig, Config, ModelConfig, OptimConfig
from jaxcnn.lowering.lint import ONEDNN, findings
from jaxcnn.presets import PRESETS

NHWC, NCHW = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")
IMAGES = {"digits": (8, 8, 1), "fashion_mnist": (28, 28, 1)}


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    yield
    lowering.disable()


def conv(x, kernel, layout=NHWC, **options):
    rank = len(layout[0]) - 2
    options = {"window_strides": (1,) * rank, "padding": "SAME", **options}
    return lax.conv_general_dilated(x, kernel, dimension_numbers=layout, **options)


def gradient_steps(x: Array, kernel: Array, *, groups: int = 1, looped: bool = True) -> Array:
    def energy(kernel: Array) -> Array:
        with jax.named_scope("unit7"):
            return (conv(x, kernel, feature_group_count=groups) ** 2).sum()

    def step(kernel: Array, _: None) -> tuple[Array, None]:
        return kernel - jax.grad(energy)(kernel), None

    return lax.scan(step, kernel, None, length=3)[0] if looped else step(kernel, None)[0]


def forward_in_loop(x: Array, kernel: Array, *, layout=NCHW) -> Array:
    return lax.fori_loop(0, 3, lambda _, x: conv(x, kernel, layout), x)


def forward_in_branch(x: Array, kernel: Array) -> Array:
    return lax.cond(x.sum() > 0, lambda: conv(x, kernel, NCHW), lambda: x)


def branch_in_loop(x: Array, kernel: Array) -> Array:
    return lax.fori_loop(0, 3, lambda _, x: forward_in_branch(x, kernel), x)


SLOW = {  # tier, function, shapes, dtype, reason, in a loop, op_name
    "kernel gradient in a scan": (
        "xla", gradient_steps, ((4, 9, 9, 8), (3, 3, 8, 8)), "float32", "layout f01b_i01o->01bf", True, "jvp(unit7)",
    ),
    "NCHW in a fori_loop": (
        "xla", forward_in_loop, ((4, 8, 9, 9), (8, 8, 3, 3)), "float32", "layout bf01_oi01->bf01", True, "body/",
    ),
    "NCHW in a branch, bfloat16": (
        "xla", forward_in_branch, ((4, 8, 9, 9), (8, 8, 3, 3)), "bfloat16", "layout bf01_oi01->bf01", False, "branch_1",
    ),
    "NCHW in a branch in a fori_loop": (
        "xla", branch_in_loop, ((4, 8, 9, 9), (8, 8, 3, 3)), "float32", "layout bf01_oi01->bf01", True, "branch_1",
    ),
    "NCW in a fori_loop": (
        "xla", partial(forward_in_loop, layout=("NCW", "OIW", "NCW")), ((4, 8, 9), (8, 8, 3)), "float32",
        "layout bf0_oi0->bf0, not b0f_0io->b0f", True, "body/",
    ),
    "kernel gradient of a grouped convolution": (
        "xla", partial(gradient_steps, groups=2, looped=False), ((4, 9, 9, 32), (3, 3, 16, 32)), "float32",
        "2 batch groups", False, "transpose(jvp(unit7))",
    ),
    "the same in a scan": (
        "xla", partial(gradient_steps, groups=2), ((4, 9, 9, 32), (3, 3, 16, 32)), "float32",
        "2 batch groups", True, "transpose(jvp(unit7))",
    ),
    "kernel gradient of a depthwise convolution, which loses its name": (
        "xla", partial(gradient_steps, groups=16), ((4, 9, 9, 16), (3, 3, 1, 16)), "float32",
        "layout f01b_i01o->01bf", True, "transpose(jvp(unit7))",
    ),
    "depthwise": (
        "canonical", partial(conv, feature_group_count=16), ((4, 9, 9, 16), (3, 3, 1, 16)), "float32",
        "16 feature groups of 1 to 1 channels", False, "conv_general_dilated",
    ),
    "float64": (
        "canonical", partial(conv, layout=("NWC", "WIO", "NWC")), ((4, 9, 8), (3, 8, 8)), "float64",
        "dtype f64", False, "conv_general_dilated",
    ),
    "a kernel larger than the map": (
        "xla", conv, ((4, 2, 2, 8), (3, 3, 8, 8)), "float32", "the kernel is larger than", False, "conv_general",
    ),
    "four spatial axes": (
        "canonical", partial(conv, layout=("NABDEC", "ABDEIO", "NABDEC")), ((2, 5, 5, 1, 1, 8), (3, 3, 1, 1, 8, 8)),
        "float32", "4 spatial axes", False, "conv_general_dilated",
    ),
}  # fmt: skip

CLEAN = {  # tier, function, shapes, dtype
    "layouts in the entry computation": ("xla", partial(conv, layout=NCHW), ((4, 8, 9, 9), (8, 8, 3, 3)), "float32"),
    "a kernel gradient there": (
        "xla", partial(gradient_steps, looped=False), ((4, 9, 9, 8), (3, 3, 8, 8)), "float32",
    ),
    "canonical in a loop": ("canonical", forward_in_loop, ((4, 8, 9, 9), (8, 8, 3, 3)), "float32"),
    "canonical in a branch": ("canonical", forward_in_branch, ((4, 8, 9, 9), (8, 8, 3, 3)), "bfloat16"),
    "a kernel gradient in a scan": ("canonical", gradient_steps, ((4, 9, 9, 8), (3, 3, 8, 8)), "float32"),
    "groups of many channels": (
        "canonical", partial(conv, feature_group_count=2), ((4, 9, 9, 32), (3, 3, 16, 32)), "float32",
    ),
    "a transposed convolution": (
        "xla", partial(conv, lhs_dilation=(2, 2), padding=((1, 1), (1, 1))), ((4, 9, 9, 8), (2, 2, 8, 8)), "float32",
    ),
    "bfloat16 and three axes": (
        "xla", partial(conv, layout=("NDHWC", "DHWIO", "NDHWC")), ((2, 5, 5, 5, 8), (3, 3, 3, 8, 8)), "bfloat16",
    ),
    "complex64": ("xla", conv, ((4, 9, 9, 8), (3, 3, 8, 8)), "complex64"),
    "no convolution": ("xla", jnp.matmul, ((4, 4), (4, 4)), "float32"),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_planted(name: str) -> None:
    tier, fn, shapes, dtype, reason, in_loop, op_name = SLOW[name]
    lowering.enable(tier)
    with jax.enable_x64():
        finding, *others = lowering.lint(fn, *(ShapeDtypeStruct(shape, dtype) for shape in shapes))
    assert finding.reason.startswith(reason)
    assert finding.in_loop is in_loop
    assert op_name in finding.op_name
    assert all(finding.macs >= other.macs for other in others)
    assert "\n" not in str(finding)
    assert finding.reason in str(finding)
    assert finding.advice in str(finding)


@pytest.mark.parametrize("name", CLEAN)
def test_silent(name: str) -> None:
    tier, fn, shapes, dtype = CLEAN[name]
    lowering.enable(tier)
    assert lowering.lint(fn, *(ShapeDtypeStruct(shape, dtype) for shape in shapes)) == ()


def test_advice_of_a_layout_is_the_cure() -> None:
    args = ShapeDtypeStruct((4, 9, 9, 8), "float32"), ShapeDtypeStruct((3, 3, 8, 8), "float32")
    (finding,) = lowering.lint(gradient_steps, *args)
    assert "lowering.enable()" in finding.advice
    assert finding.shapes == ("f32[4,9,9,8]", "f32[4,9,9,8]", "f32[3,3,8,8]")
    assert finding.macs == 3 * 3 * 8 * 8 * 4 * 9 * 9


def test_takes_what_lower_and_compile_return() -> None:
    args = jnp.ones((4, 8, 9, 9)), jnp.ones((8, 8, 3, 3))
    jitted = jax.jit(forward_in_loop)
    expected = lowering.lint(forward_in_loop, *args)
    assert len(expected) == 1
    assert lowering.lint(jitted, *args) == expected
    assert lowering.lint(jitted.lower(*args)) == expected
    assert lowering.lint(jitted.lower(*args).compile()) == expected
    assert lowering.lint(jitted, x=args[0], kernel=args[1]) == expected
    with pytest.raises(TypeError, match="lowered already"):
        lowering.lint(jitted.lower(*args), *args)


HLO = """HloModule jit_f, is_scheduled=true

%fused (p0: f64[4,9,9,8], p1: f64[3,3,8,8]) -> f64[4,9,9,8] {{
  %p0 = f64[4,9,9,8]{{3,2,1,0}} parameter(0)
  %p1 = f64[3,3,8,8]{{3,2,1,0}} parameter(1)
  ROOT %conv.1 = f64[4,9,9,8]{{3,2,1,0}} convolution(%p0, %p1), window={{size=3x3 pad=1_1x1_1{window}}}, {labels}
}}

ENTRY %main (x: f64[4,9,9,8], k: f64[3,3,8,8]) -> f64[4,9,9,8] {{
  %x = f64[4,9,9,8]{{3,2,1,0}} parameter(0), metadata={{op_name="x"}}
  %k = f64[3,3,8,8]{{3,2,1,0}} parameter(1), metadata={{op_name="k"}}
  ROOT %fusion = f64[4,9,9,8]{{3,2,1,0}} fusion(%x, %k), kind={kind}, calls=%fused, metadata={{op_name="jit(f)/conv"}}
}}
"""


def test_reads_text() -> None:
    """What cannot be had from JAX on every version: a fusion of a library, a reversed window."""
    labels = "dim_labels=b01f_01io->b01f"
    library = HLO.format(window="", labels=labels, kind="kCustom")
    assert findings(library) == ()
    (naive,) = findings(HLO.format(window="", labels=labels, kind="kLoop"))
    assert (naive.instruction, naive.computation, naive.op_name) == ("conv.1", "fused", "jit(f)/conv")
    assert naive.reason.startswith("dtype f64")
    (reversed_,) = findings(HLO.format(window=" rhs_reversal=1x1", labels=labels, kind="kCustom"))
    assert reversed_.reason.startswith("a reversed window")


def compiled_findings(config: Config, shape: tuple[int, int, int]) -> tuple[lowering.Finding, ...]:
    """Lint the program that `jaxcnn train` compiles, without LLVM's optimisations, which the HLO does not show."""
    module = models.create(config.model.name, num_classes=10, input_shape=shape, rngs=0, **config.model.options())
    apply, params, statistics = nn.split(module)
    optimizer = training.make_optimizer(config.optim, steps_per_epoch=4, epochs=config.epochs)
    train_steps = training.make_train_steps(
        apply, optimizer, training.cross_entropy, metrics={"accuracy": training.accuracy},
        prepare=lambda x: x.astype("float32") / 255, augment=training.make_augment(config.augment, classes=10),
        batch=config.batch, dtype=config.dtype, accumulate=config.optim.accumulate, steps_per_epoch=4,
    )  # fmt: skip
    state = training.create_state(params, statistics, optimizer, jax.random.key(0))
    n, number = 4 * config.batch, ShapeDtypeStruct((), "int32")
    data = ShapeDtypeStruct((n, *shape), "uint8"), ShapeDtypeStruct((n,), "int32")
    lowered = train_steps.program.lower(state, data, ShapeDtypeStruct((n,), "int32"), number, number)
    return lowering.lint(lowered.compile(compiler_options={"xla_backend_optimization_level": 0}))


def test_presets_train_without_a_finding() -> None:
    for name, shape in IMAGES.items():
        lowering.enable("canonical")
        assert compiled_findings(PRESETS[name], shape) == (), name


SLOW_BY_XLA = ("vgg16", "mobilenet_v2", "convnext_tiny")
"""Depthwise layers and 3x3 kernels on maps of 2x2: no layout makes XLA's own convolution fast there."""
SIDES = {"mnist": (28, 28, 1), "resnet50": (224, 224, 3), "convnext_tiny": (224, 224, 3)}


@pytest.mark.campaign
@pytest.mark.parametrize("tier", ["onednn", "canonical"])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_trains_without_a_finding(name: str, tier: Literal["onednn", "canonical"]) -> None:
    shape = IMAGES.get(PRESETS[name].data.name) or SIDES.get(name, (32, 32, 3))
    lowering.enable(tier)
    found = compiled_findings(PRESETS[name], shape)
    if tier == "canonical" and name in SLOW_BY_XLA:
        assert {finding.advice for finding in found} == {ONEDNN}
    else:
        assert found == ()


def test_a_residual_network_trains_without_a_finding_and_not_under_xla() -> None:
    model = ModelConfig("resnet18", width=8, stem="cifar")
    config = Config(model=model, batch=4, optim=OptimConfig("nesterov"), augment=AugmentConfig(flip="random"))
    found = compiled_findings(config, (32, 32, 3))
    assert len(found) > 20
    assert all(finding.in_loop and finding.reason.startswith("layout") for finding in found)
    assert any("(stage2))/block0/conv1" in finding.op_name for finding in found)
    lowering.enable("canonical")
    assert compiled_findings(config, (32, 32, 3)) == ()
