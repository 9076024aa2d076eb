"""Rules of what computes on numbers, element by element and by reduction; and of constants."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxcnn.analysis.combine import pair
from jaxcnn.analysis.orbit import followed, put_back, standing
from jaxcnn.analysis.reduction import reduce
from jaxcnn.analysis.rules import rule, shape_of
from jaxcnn.analysis.units import Units, Unknown
from jaxcnn.analysis.world import World

ELEMENTWISE = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp complex conj
    convert_element_type copy copy_p cos cosh device_put digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt
    igamma igammac igamma_grad_a imag integer_pow is_finite le lgamma log log1p logistic lt max min mul name ne neg
    nextafter not one_minus_square optimization_barrier or polygamma population_count pow pvary random_gamma_grad real
    reduce_precision regularized_incomplete_beta rem round rsqrt select_n shift_left shift_right_arithmetic
    shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh xor zeta bitcast_convert_type
"""


@rule(*ELEMENTWISE.split())
def elementwise(world: World, equation: Any, operands: Sequence[Units]) -> list[Units]:
    if len(equation.outvars) > 1:  # an identity of several arrays
        return list(operands)
    name, shape = equation.primitive.name, shape_of(equation)
    if name == "select_n" and operands[0].here:
        put = put_back(world, operands)
        if put is not None:
            return [put]
    result = pair(world, operands, shape)
    if not any(operand.winner for operand in operands):
        return [result]
    return [dataclasses.replace(result, winner=followed(name, operands), here=standing(name, operands, shape))]


@rule("bias_relu", "bias_gelu")
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
    idempotent = equation.primitive.name in ("reduce_max", "reduce_min", "reduce_and", "reduce_or")
    return [reduce(world, array, axes, symmetric=True, idempotent=idempotent)] * len(equation.outvars)


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
