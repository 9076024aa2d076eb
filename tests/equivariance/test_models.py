"""Every registered model keeps what its docstring promises under shifts and turns, and nothing more.

With circular padding, a global head and sizes that their product divides, logits do not change under shifts by the
product of the strides; sampled by `pool="polyphase"`, under any. With other padding, a flatten, or sizes that leave a
remainder, there is no such shift.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
import pytest
from flax import nnx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jax import Array
from references import grouped_campaign
from references.arrays import normal

from jaxcnn import analysis, models, nn
from jaxcnn import equivariance as eq

QUICK = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
DENSE = ("linear", "mlp")
CUT = "lenet5"  # its second convolution has no padding: the circle is cut
RESNETS = ("resnet18", "resnet34", "resnet50")
HERE = (*DENSE, CUT, *RESNETS, "resnet9", "small_cnn", "group_cnn")
CIFAR = ("alexnet", "mobilenet_v2", "convnext_tiny")  # of which the stem for small images is taken
STRIDES = {
    **dict.fromkeys(("alexnet", "resnet101", "resnet152", "mobilenet_v2", "convnext_tiny"), 8),
    **dict.fromkeys(("vgg11", "vgg16", "vgg19"), 32),
    **dict.fromkeys(("nin", "all_cnn", "densenet100", "wrn16_4", "wrn28_10"), 4),
    **dict.fromkeys(("small_resnet", "resnet20", "resnet32", "resnet56", "resnet110"), 4),
    **dict.fromkeys(("preact_resnet20", "preact_resnet110"), 4),
}
"""The product of the strides of every other model with a head, as their papers have them."""
POOLS = {"group_cnn": ("max", "avg"), "lenet5": ("max", "avg")}
CHANNELS = 3


@pytest.fixture(autouse=True)
def _quick_to_compile() -> Iterator[None]:
    """Compile for less time than these small networks run."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@dataclasses.dataclass(frozen=True)
class Model:
    """A registered model with its options, for images of some sizes."""

    name: str
    sizes: tuple[int, int]
    options: tuple[tuple[str, Any], ...] = ()

    def build(self) -> tuple[Callable[[Any, Array], Array], Any, Any]:
        """Return it as a function of its parameters, drawn, and an image."""
        options = dict(self.options)
        shape = (*self.sizes, CHANNELS)
        module = nnx.eval_shape(lambda: models.create(self.name, num_classes=5, input_shape=shape, **options))
        apply, params, statistics = nn.split(module)
        leaves, tree = jax.tree.flatten((params, statistics))
        drawn = [_drawn(number, leaf) for number, leaf in enumerate(leaves)]
        params, statistics = jax.tree.unflatten(tree, drawn)
        return lambda params, x: apply(params, statistics, x, training=False)[0], params, normal(0, shape)

    @property
    def halvings(self) -> int:
        """How often it halves its maps."""
        if self.name in RESNETS:
            return 3 if dict(self.options)["stem"] == "cifar" else 5
        if self.name == "resnet9":
            return 3
        side, stages = min(self.sizes), 1  # three stages, if maps have 4 pixels
        while stages < 3 and (side := -(-side // 2) if self.name == "group_cnn" else side // 2) >= 4:
            stages += 1
        return stages

    def lattice(self, size: int) -> int | None:
        """Of which shifts along an axis its logits do not change: the multiples; None where there is none."""
        options = dict(self.options)
        if self.name in (*DENSE, CUT) or options["padding_mode"] != "circular" or options["head"] == "flatten":
            return None
        if any(n % 2**self.halvings for n in ([size] if options["pool"] != "polyphase" else self.sizes)):
            return None
        if options["pool"] == "polyphase":
            return 1
        lattice = 2 ** (self.halvings - self.evens(size))
        return lattice if lattice < size else None

    def evens(self, size: int) -> bool:
        """Tell whether two positions become one by equal weights, or by their maximum: it does not mind their order."""
        return size == 2**self.halvings and (self.name not in RESNETS or dict(self.options)["pool"] == "blur")


def _drawn(number: int, leaf: Any) -> Array:
    """Draw a parameter or a statistic, so that signals keep their size and variances are positive."""
    fan_in = 1 if leaf.ndim < 2 else leaf.size // leaf.shape[-1]
    values = normal(number, leaf.shape) * fan_in**-0.5
    return 0.5 + abs(values) if leaf.ndim < 2 else values


@st.composite
def built(draw, name: str, **fixed: Any) -> Model:
    """Draw a model's options and image."""
    if name in DENSE:
        return Model(name, (draw(st.integers(4, 9)), draw(st.integers(4, 9))))
    chosen: dict[str, Any] = {
        "padding_mode": draw(st.sampled_from(["circular", "zeros", "reflect", "replicate"])),
        "norm": draw(st.sampled_from(["batch", "group", "layer", "none"])),
        "activation": draw(st.sampled_from(["relu", "gelu", "tanh"])),
        "pool": draw(st.sampled_from(POOLS.get(name, ("max", "avg", "blur", "polyphase")))),
        "head": draw(st.sampled_from(["avg", "max"] if name == "group_cnn" else ["avg", "max", "flatten"])),
    }
    if name != CUT:
        chosen["width"] = 2 if name != "small_cnn" else 4
    if name in RESNETS:
        chosen["stem"] = draw(st.sampled_from(["cifar", "imagenet"]))
    if name == "group_cnn":
        chosen["group"] = draw(st.sampled_from(["p4", "p4m"]))
    chosen |= fixed
    halved = {"group_cnn": 4, "small_cnn": 4, "resnet9": 8, CUT: 8}.get(name, 8)
    multiple = 32 if chosen.get("stem") == "imagenet" else halved
    least = {"circular": max(8, multiple), "zeros": max(8, multiple)}.get(chosen["padding_mode"], 2 * multiple)
    least = 16 if name == CUT else least
    sizes = tuple(multiple * draw(st.integers(-(-least // multiple), max(16, 2 * multiple) // multiple)) for _ in "hw")
    if chosen["pool"] == "polyphase":
        sizes = sizes if max(sizes) == min(sizes) or name in RESNETS else (16, 16)
    elif draw(st.booleans()) and not fixed:  # a remainder
        sizes = (sizes[0], sizes[1] + draw(st.integers(1, multiple - 1)))
    return Model(name, sizes, tuple(chosen.items()))


@pytest.mark.parametrize("name", HERE)
@settings(QUICK, max_examples=3)
@given(st.data())
def test_analysis_says_the_same(name: str, data: st.DataObject) -> None:
    compare(data.draw(built(name)))


def compare(model: Model) -> None:
    """Assert that the analysis tells a model's promise."""
    fn, params, x = model.build()
    told = analysis.trace(fn, params, jax.ShapeDtypeStruct(x.shape, x.dtype)).outputs[0]
    for size, claim in zip(model.sizes, told.axes, strict=True):
        lattice = model.lattice(size)
        if model.evens(size) and model.name in RESNETS and not claim.circular.guarantees:
            continue  # it takes a filter's weights for different numbers, and so promises less
        if lattice:
            assert (claim.circular.kind, claim.circular.lattice) == ("invariant", lattice), model
        else:
            assert not claim.circular.guarantees, model
        assert not claim.interior.guarantees, model


INVARIANT = [name for name in HERE if name not in (*DENSE, CUT)]
SLOW = ("resnet34", "resnet50")  # to compile: in the campaign alone
MEASURED = [name for name in INVARIANT if name not in SLOW]


@pytest.mark.parametrize("name", MEASURED)
@settings(QUICK, max_examples=1)
@given(st.data())
def test_inside_the_domain_logits_do_not_change(name: str, data: st.DataObject) -> None:
    holds(data.draw(promising(name)))


def promising(name: str) -> st.SearchStrategy[Model]:
    """Draw a model that promises something along both axes."""
    fixed = {"padding_mode": "circular", **({"stem": "cifar"} if name in RESNETS else {})}
    heads = st.sampled_from(["avg", "max"])
    drawn = heads.flatmap(lambda head: built(name, **fixed, head=head))
    return drawn.filter(lambda model: all(map(model.lattice, model.sizes)))


def holds(model: Model) -> None:
    """Assert that no shift by the lattice changes the logits."""
    fn, params, x = model.build()
    down, right = (model.lattice(size) or 0 for size in model.sizes)
    lattices = [(down, 0), (0, right), (3 * down, right)]
    shifts = 12 if down == right == 1 else lattices
    eq.assert_invariant(lambda x: fn(params, x), x, shifts=shifts)


@pytest.mark.parametrize("name", [*DENSE, CUT, *MEASURED])
@settings(QUICK, max_examples=1)
@given(st.data())
def test_outside_the_domain_they_do(name: str, data: st.DataObject) -> None:
    refuted(data.draw(breaking(name)), data.draw(st.integers(0, 1)))


def breaking(name: str) -> st.SearchStrategy[Model]:
    """Draw a model that promises nothing along some axis, or not all shifts."""
    fixed = {"stem": "cifar"} if name in RESNETS else {}
    return built(name, **fixed).filter(lambda model: set(map(model.lattice, model.sizes)) != {1})


def refuted(model: Model, axis: int) -> None:
    """Assert that shifts outside the domain, of one axis, do not all leave the logits as they are."""
    fn, params, x = model.build()
    axis = axis if model.lattice(model.sizes[axis]) != 1 else 1 - axis
    amounts = range(1, min(model.lattice(model.sizes[axis]) or 4, 4))
    shifts = [(amount, 0) if axis == 0 else (0, amount) for amount in amounts]
    with pytest.raises(AssertionError, match="not invariant"):
        eq.assert_invariant(lambda x: fn(params, x), x, shifts=shifts)


ACTIONS = {"p4": [eq.Rot90(turns) for turns in (1, 2)], "p4m": [eq.Rot90(1), eq.Flip((-2,))]}


@settings(QUICK, max_examples=2)
@given(built("group_cnn"), st.integers(0, 1))
def test_turns_do_not_change_the_logits_of_group_cnn(model: Model, number: int) -> None:
    turning(model, number)


def turning(model: Model, number: int) -> None:
    """Assert that a group's elements change no logit."""
    fn, params, x = model.build()
    action = ACTIONS[dict(model.options)["group"]][number]
    error = eq.invariance_error(lambda x: fn(params, x), x, action)
    assert error <= eq.rounding(fn, params, x), model


@pytest.mark.parametrize(
    ("model", "action"),
    [
        (Model("group_cnn", (8, 8), (("group", "p4"), ("width", 2))), eq.Flip((-2,))),
        (Model("small_cnn", (8, 8), (("head", "avg"), ("width", 2))), eq.Rot90(1)),
    ],
    ids=["a mirror of p4", "a turn of small_cnn"],
)
def test_other_turns_do(model: Model, action: eq.Action) -> None:
    fn, params, x = model.build()
    assert eq.invariance_error(lambda x: fn(params, x), x, action) > 100 * eq.rounding(fn, params, x)


def other(name: str, size: int, **options: Any) -> Model:
    """Return one of `STRIDES`, narrow."""
    stem = {"stem": "cifar"} if name in (*CIFAR, "resnet101", "resnet152") else {}
    return Model(name, (size, size), tuple({"width": 4, "head": "avg", **stem, **options}.items()))


DEEP = (
    "resnet56",
    "resnet110",
    "preact_resnet110",
    "resnet101",
    "resnet152",
    "densenet100",
    "vgg16",
    "vgg19",
    "wrn28_10",
)
OTHERS = [pytest.param(name, marks=pytest.mark.campaign if name in DEEP else ()) for name in STRIDES]


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_model_promises_the_product_of_its_strides(name: str) -> None:
    size = max(2 * STRIDES[name], 32 if name == "convnext_tiny" else 16)  # its last windows are 7x7
    for padding_mode, pool, lattice in (
        ("circular", None, STRIDES[name]),
        ("circular", "polyphase", 1),
        ("zeros", None, None),
    ):
        chosen = {} if pool is None else {"pool": pool}
        fn, params, x = other(name, size, padding_mode=padding_mode, **chosen).build()
        told = analysis.trace(fn, params, jax.ShapeDtypeStruct(x.shape, x.dtype)).outputs[0]
        for claim in told.axes:
            expected = ("invariant", lattice) if lattice else ("position-dependent", 0)
            assert (claim.circular.kind, claim.circular.lattice) == expected, (padding_mode, pool)
            assert not claim.interior.guarantees


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_u_net_moves_as_its_input_by_what_it_halves(depth: int) -> None:
    """Its logits are a map: they move by as much as the image, which the first shift that is none of them refutes."""
    lattice, size = 2**depth, 2 ** (depth + 1)
    options = (("width", 4), ("depth", depth), ("padding_mode", "circular"))
    fn, params, x = Model("unet", (size, size), options).build()
    for claim in analysis.trace(fn, params, jax.ShapeDtypeStruct(x.shape, x.dtype)).outputs[0].axes:
        assert (claim.circular.kind, claim.circular.lattice, claim.circular.step) == ("equivariant", lattice, lattice)
    eq.assert_equivariant(lambda x: fn(params, x), x, shifts=[(lattice, 0), (0, lattice)])
    with pytest.raises(AssertionError, match="not equivariant"):
        eq.assert_equivariant(lambda x: fn(params, x), x, shifts=[(lattice // 2, 0)])


def test_inside_a_u_net_moves_as_its_input_whatever_comes_in() -> None:
    fn, params, x = Model("unet", (224, 32), (("width", 2), ("depth", 4))).build()
    tall, wide = analysis.trace(fn, params, jax.ShapeDtypeStruct(x.shape, x.dtype)).outputs[0].axes
    assert str(tall.interior) == "interior 94..94 on 16Z"
    assert not wide.interior.guarantees  # no position is so far from both borders
    eq.assert_equivariant(lambda x: fn(params, x), x, mode="interior", shifts=[(16, 0)], margin=((94, 94), 0))


def test_a_u_net_of_polyphase_pools_moves_with_every_shift() -> None:
    """What was sampled by the data is put back where it came from: derived, and measured."""
    options = (("width", 2), ("depth", 2), ("padding_mode", "circular"), ("pool", "polyphase"))
    fn, params, x = Model("unet", (8, 8), options).build()
    told = analysis.trace(fn, params, jax.ShapeDtypeStruct(x.shape, x.dtype))
    assert [str(axis.circular) for axis in told.outputs[0].axes] == ["equivariant", "equivariant"]
    assert told.unknown == {}
    eq.assert_equivariant(lambda x: fn(params, x), x)


# The whole: a hundred times as many.

GROUPS, EACH = 20, 5
COMMAND = "pytest -m campaign -n0 tests/equivariance/test_models.py"


@pytest.mark.campaign
def test_hundreds_of_models() -> None:
    keys = [f"{name} {group}" for group in range(GROUPS) for name in HERE]
    result = grouped_campaign.run("equivariance_models", COMMAND, keys, count)
    assert result["wrong"] == []


def count(key: str) -> tuple[Counter[str], list[str]]:
    """Compare, check and refute a group of models of one name."""
    name, group = key.split()
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    tests: list[tuple[str, Any, Callable[[Model], None]]] = [("compared", built(name), compare)] * 4
    if name in INVARIANT:
        tests.append(("held", promising(name), holds))
    tests += [("refuted", breaking(name), lambda model: refuted(model, number % 2))]
    if name == "group_cnn":
        tests.append(("turned", built(name), lambda model: turning(model, number % 2)))
    for number in range(int(group) * EACH, (int(group) + 1) * EACH):
        for place, (kind, strategy, test) in enumerate(tests):
            model = grouped_campaign.drawn(number + 1000 * place, lambda draw, s=strategy: draw(s))
            counts[kind] += 1
            try:
                test(model)
            except (Exception, pytest.fail.Exception) as error:
                wrong.append(f"{kind}: {model}: {type(error).__name__}: {str(error)[:300]}")
        jax.clear_caches()
    return counts, wrong
