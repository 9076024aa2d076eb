"""Rules of what computes on numbers: element by element, by reduction, by matrix product; and of constants."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxcnn.analysis.combine import pair
from jaxcnn.analysis.orbit import followed
from jaxcnn.analysis.reduction import reduce
from jaxcnn.analysis.rules import rule, shape_of
from jaxcnn.analysis.units import Axis, Units, Unknown
from jaxcnn.analysis.world import World

ELEMENTWISE = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp complex conj
    convert_element_type copy copy_p cos cosh device_put digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt
    igamma igammac igamma_grad_a imag integer_pow is_finite le lgamma log log1p logistic lt max min mul name ne neg
    nextafter not optimization_barrier or polygamma population_count pow pvary random_gamma_grad real reduce_precision
    regularized_incomplete_beta rem round rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin
    sinh sqrt square stop_gradient sub tan tanh xor zeta bitcast_convert_type
"""


@rule(*ELEMENTWISE.split())
def elementwise(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    if len(equation.outvars) > 1:  # an identity of several arrays
        return list(operands)
    result = pair(world, operands, shape_of(equation))
    winner = followed(equation.primitive.name, operands) if any(operand.winner for operand in operands) else None
    return [dataclasses.replace(result, winner=winner)]


@rule("bias_relu")
def biased(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    array, bias = operands
    *outer, _ = array.shape
    spread = bias.replace(shape=array.shape, axes=(*(world.uniform(size) for size in outer), *bias.axes))
    return [pair(world, [array, spread], array.shape)]


@rule("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "reduce_xor", "reduce")
def reduction(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    axes = equation.params.get("axes", equation.params.get("dimensions"))
    arrays = operands[: len(equation.outvars)]
    if any(operand.depends for operand in operands[len(arrays) :]):
        raise Unknown("an initial value that depends on the input")
    array = arrays[0] if len(arrays) == 1 else pair(world, arrays, arrays[0].shape)
    return [reduce(world, array, axes, symmetric=True)] * len(equation.outvars)


@rule("dot_general")
def dot(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    """A sum of products: of what is broadcast to one shape, over the axes that both have."""
    (left_summed, right_summed), (left_batch, right_batch) = equation.params["dimension_numbers"]
    left, right = operands
    shape = shape_of(equation)
    if not left.depends:
        return [_product(world, right, right_summed, right_batch, left, left_summed, left_batch, shape, last=True)]
    if not right.depends:
        return [_product(world, left, left_summed, left_batch, right, right_summed, right_batch, shape, last=False)]
    sizes = _joint_shape(left, right, left_summed, right_summed, left_batch, right_batch)
    left_front = [*left_batch, *_free(left, left_summed, left_batch)]
    right_front = [*right_batch, *_free(right, right_summed, right_batch)]
    a = _spread(world, left, left_front, left_summed, sizes, before=True)
    b = _spread(world, right, right_front, right_summed, sizes, before=False)
    both = pair(world, [a, b], a.shape)
    return [reduce(world, both, range(len(shape), len(a.shape)), symmetric=True)]


def _product(
    world: World,
    moving: Units,
    summed: Sequence[int],
    batch: Sequence[int],
    fixed: Units,
    fixed_summed: Sequence[int],
    fixed_batch: Sequence[int],
    shape: tuple[int, ...],
    *,
    last: bool,
) -> Units:
    """Return the product with a constant, whose numbers are different at every position."""
    whole = reduce(world, moving, summed, symmetric=False)
    kept = [place for place in range(len(moving.shape)) if place not in summed]
    axes = dict(zip(kept, whole.axes, strict=True))
    shared = []
    for place, other in zip(batch, fixed_batch, strict=True):
        same = all(axis.is_uniform for axis in fixed.axes[other])
        shared.append(axes[place] if same else _told_apart(world, axes[place], moving, place))
    mine = [axes[place] for place in kept if place not in batch]
    told = [fixed.axes[place] for place in _free(fixed, fixed_summed, fixed_batch)]
    theirs = [tuple(world.axis(axis.label) for axis in product) for product in told]
    order = [*shared, *theirs, *mine] if last else [*shared, *mine, *theirs]
    return whole.replace(shape=shape, axes=tuple(order))


def _told_apart(world: World, product: tuple[Axis, ...], array: Units, place: int) -> tuple[Axis, ...]:
    if any(not axis.is_still for axis in product):
        raise Unknown("a matrix product with different numbers at every position of a map")
    return world.distinct(array.shape[place])


def _free(array: Units, summed: Sequence[int], batch: Sequence[int]) -> list[int]:
    return [place for place in range(len(array.shape)) if place not in (*summed, *batch)]


def _joint_shape(left: Units, right: Units, ls: Any, rs: Any, lb: Any, rb: Any) -> dict[str, list[int]]:
    return {
        "batch": [left.shape[place] for place in lb],
        "left": [left.shape[place] for place in _free(left, ls, lb)],
        "right": [right.shape[place] for place in _free(right, rs, rb)],
        "summed": [left.shape[place] for place in ls],
    }


def _spread(
    world: World,
    array: Units,
    front: Sequence[int],
    summed: Sequence[int],
    sizes: dict[str, list[int]],
    *,
    before: bool,
) -> Units:
    """Return an array as (batch, left, right, summed), repeated along the axes that it has not got."""
    count = len(sizes["batch"])
    batch = [array.axes[place] for place in front[:count]]
    mine = [array.axes[place] for place in front[count:]]
    theirs = [world.uniform(size) for size in sizes["right" if before else "left"]]
    middle = [*mine, *theirs] if before else [*theirs, *mine]
    axes = (*batch, *middle, *(array.axes[place] for place in summed))
    shape = (*sizes["batch"], *sizes["left"], *sizes["right"], *sizes["summed"])
    return array.replace(shape=shape, axes=axes)


@rule("iota")
def iota(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    shape, place = shape_of(equation), equation.params["dimension"]
    result = world.constant(shape)
    axes = tuple(world.distinct(size) if axis == place else world.uniform(size) for axis, size in enumerate(shape))
    return [result.replace(axes=axes)]


@rule(
    "random_bits", "random_seed", "random_wrap", "random_unwrap", "random_fold_in", "random_gamma", "random_split",
    "random_clone", "threefry2x32", "rng_uniform", "rng_bit_generator", "create_token",
)  # fmt: skip
def random(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    if any(operand.depends for operand in operands):
        raise Unknown("random numbers whose key depends on the input")
    return [world.constant(out.aval.shape) for out in equation.outvars]
