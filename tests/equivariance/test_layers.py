"""Every layer that we ship keeps its promise under shifts inside its domain, and breaks it outside.

The domains are those of `references.domains`, from the definition of what a layer reads; that `analysis` tells the same
of each case is a test of its own.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import gcd
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from jax import Array
from references import grouped_campaign
from references.arrays import normal
from references.domains import Domain, scatter
from references.drawn_case import Case, Chooser
from references.layer_cases import CASES, NO_LAYERS

from jaxcnn import analysis, functional, nn
from jaxcnn import equivariance as eq

DTYPES = ("float32", "bfloat16", "float64")
POOLS = ("AvgPool", "LpPool", "MaxPool", "MinPool")
SAYS_LESS: dict[str, tuple[Callable[[Domain], bool], str]] = {
    "AdaptivePool": (lambda d: d.size % d.outputs > 0, "bins of different sizes are told apart, though they repeat"),
    "AntialiasedActivation": (lambda d: True, "rounding errors in a matrix, where others are 0, count as numbers"),
    "BlurPool": (
        lambda d: d.outputs == 2,
        "two windows that borders fold may mirror each other; numbers are not compared",
    ),
    "PolyphasePool": (lambda d: d.interior != "equivariant", "what new content does to a choice has no rule"),
    "polyphase_unpool": (lambda d: True, "the zeros around what was chosen have no rule"),
    **dict.fromkeys(
        POOLS, (lambda d: d.tied, "windows on a circle are compared from their largest gap: the first of two")
    ),
}
"""Where `analysis` promises less than is kept, and why; it must never promise more."""
QUICK = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
LAYERS = pytest.mark.parametrize("name", CASES)


def test_every_layer_has_a_row() -> None:
    rows = {row for row in CASES if row in nn.__all__} | {function for _, names in CASES.values() for function in names}
    public = {*nn.__all__, *functional.__all__}
    assert rows | NO_LAYERS.keys() == public
    assert not rows & NO_LAYERS.keys()


@LAYERS
@settings(QUICK, max_examples=8)
@given(st.data())
def test_analysis_says_the_same(name: str, data: st.DataObject) -> None:
    compare(name, drawn(name, data.draw))


@LAYERS
@settings(QUICK, max_examples=2)
@given(st.data())
def test_inside_the_domain_it_holds(name: str, data: st.DataObject) -> None:
    case = drawn(name, data.draw)
    claims = inside(case)
    assume(claims)
    check(case, data.draw(st.sampled_from(sorted(claims))), claims, data.draw(st.sampled_from(DTYPES)))


@LAYERS
@settings(QUICK, max_examples=2)
@given(st.data())
def test_outside_the_domain_it_fails(name: str, data: st.DataObject) -> None:
    case = drawn(name, data.draw)
    claims = outside(case)
    assume(claims)
    refute(case, data.draw(st.sampled_from(sorted(claims))), claims, data.draw(st.sampled_from(DTYPES)))


def drawn(name: str, draw: Any, ranks: Sequence[int] = (1, 2)) -> Case:
    """Draw a case that the layer takes."""
    try:
        case = CASES[name][0](Chooser(draw, ranks))
        result = jax.eval_shape(case.fn, case.params, abstract(case))
    except ValueError:  # padding that a mode cannot make, windows that do not fit: other tests'
        assume(False)
        raise
    sizes = [None if axis is None else result.shape[axis] for axis in case.outputs]
    assert all(n is None or n == d.outputs for n, d in zip(sizes, case.domains, strict=True)), case.told
    return case


def abstract(case: Case, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(case.shape, dtype)


def test_what_is_next_to_an_interior_may_hold_as_well() -> None:
    """Between the positions of a spread map there are constants, which stay what they are: no fault of the margin."""
    domain = scatter(4, window=3, stride=2, dilation=2, low=0, outputs=12)
    case = Case(lambda params, x: x, (), (4, 1), (-2,), (-2,), (domain,), "")
    assert domain.margins == {(4, 5)}
    assert not {"low", "high"} & {name.split()[0] for name in outside(case)}


# What the analysis says.


def compare(name: str, case: Case) -> list[str]:
    """Assert that the analysis tells a case's domains; return what it does not tell."""
    told = analysis.trace(case.fn, case.params, abstract(case), spatial_axes=case.axes).outputs[0]
    less = []
    for axis, claim, domain, output in zip(case.axes, told.axes, case.domains, case.outputs, strict=True):
        for kind, found, theory in (
            ("circular", around(claim.circular, domain), (domain.circular, domain.lattice, True)),
            ("interior", within(claim.interior, domain), (domain.interior, *domain.inside, True)),
        ):
            where = f"{case.told}: axis {axis}, {kind}: analysis {claim}, theory {domain}"
            if found[0] != theory[0] and found[0] in ("unknown", "position-dependent"):
                less.append(f"less: {name}, {kind}")
                assert name in SAYS_LESS, where
                assert SAYS_LESS[name][0](domain), where
            elif kind == "interior" and found[0] == "equivariant" != theory[0]:  # by chance: few units, mirrored ones
                contract = claim.interior
                assert domain.answers(contract.lattice, contract.step, contract.margin or (0, 0)), where
            else:
                assert found == theory, where
        if claim.contract.kind == "equivariant":
            assert claim.axis == len(told.shape) + (output or 0), case.told
    return less


def around(contract: analysis.Contract, domain: Domain) -> tuple[str, int, bool]:
    """Return a circular contract, and whether its step is one of the domain's."""
    moves = contract.kind == "equivariant"
    right = not moves or contract.step % domain.outputs in domain.steps
    return contract.kind, contract.lattice, right


def within(contract: analysis.Contract, domain: Domain) -> tuple[str, int, int, bool]:
    """Return an interior contract, and whether its margins are the domain's."""
    right = contract.kind != "equivariant" or contract.margin in domain.margins
    return contract.kind, contract.lattice, contract.step, right


# What is measured.

Claims = dict[str, Callable[[Callable[[Array], Array], Array], None]]


def inside(case: Case) -> Claims:
    """Return what must hold: all axes at once, as far as they can be asserted of together."""
    found: Claims = {}
    tolerance = 0 if case.bits else None
    rows = list(zip(case.axes, case.outputs, case.domains, strict=True))
    kinds = {domain.circular for *_, domain in rows}
    if "orbit" in kinds:
        axes, outputs, _ = zip(*rows, strict=True)
        found["orbit"] = lambda fn, x: eq.assert_equivariant(
            fn, x, spatial_axes=axes, output_axes=outputs, up_to_roll=True
        )
        return found
    moving = [(axis, output, step) for axis, output, d in rows if output is not None and (step := _stride(d))]
    for part in [moving] if len({output for _, output, _ in moving}) == len(moving) else [[row] for row in moving]:
        if part:
            axes, outputs, steps = zip(*part, strict=True)
            found[f"circular {axes}"] = lambda fn, x, axes=axes, outputs=outputs, steps=steps: eq.assert_equivariant(
                fn, x, spatial_axes=axes, output_axes=outputs, strides=steps, tolerance=tolerance
            )
    still = [(axis, d) for axis, _, d in rows if d.circular == "invariant"]
    if still:
        axes = tuple(axis for axis, _ in still)
        every = [tuple(d.lattice * k for _, d in still) for k in range(1, 4)]
        every = "all" if all(d.lattice == 1 for _, d in still) else every
        found[f"invariant {axes}"] = lambda fn, x: eq.assert_invariant(
            fn, x, spatial_axes=axes, shifts=every, tolerance=tolerance
        )
    for axis, output, domain in rows:
        if _room(domain):
            margin = sorted(domain.margins)[0]
            found[f"interior {axis}"] = lambda fn, x, axis=axis, output=output, d=domain, margin=margin: _interior(
                fn, x, axis, output, d, margin
            )
    return found


def outside(case: Case) -> Claims:
    """Return what must not hold: a shift between those of the lattice, one position more, or no answer at all."""
    found: Claims = {}
    for axis, output, domain in zip(case.axes, case.outputs, case.domains, strict=True):
        lattice = domain.lattice or domain.size
        if output is not None and lattice > 1 and domain.circular != "orbit":
            off = [t for t in range(1, domain.size) if t % lattice]
            for t in {off[0], off[-1]}:
                found[f"between {axis} {t}"] = lambda fn, x, axis=axis, output=output, t=t: eq.assert_equivariant(
                    fn, x, spatial_axes=(axis,), output_axes=(output,), shifts=[t], up_to_roll=True
                )
        if domain.circular in ("equivariant", "orbit"):
            found[f"still {axis}"] = lambda fn, x, axis=axis: eq.assert_invariant(fn, x, spatial_axes=(axis,))
        if output is None:
            found[f"new content {axis}"] = lambda fn, x, axis=axis: _unmoved(fn, x, axis)
        elif domain.interior == "equivariant" and len(domain.margins) == 1:
            ((low, high),) = domain.margins
            for side, margin in (("low", (low - 1, high)), ("high", (low, high - 1))):
                held = min(margin) < 0 or domain.answers(*domain.inside, margin)  # the next units may be constants
                if not held and _room(domain):
                    found[f"{side} {axis}"] = lambda fn, x, a=axis, o=output, d=domain, m=margin: _interior(
                        fn, x, a, o, d, m
                    )
        elif domain.circular == "equivariant" and _stride(domain) == 1 and domain.outputs > 2:
            found[f"interior {axis}"] = lambda fn, x, axis=axis, output=output: eq.assert_equivariant(
                fn, x, mode="interior", spatial_axes=(axis,), output_axes=(output,), margin=0
            )
    return found


def check(case: Case, claim: str, claims: Claims, dtype: str) -> None:
    """Assert a claim of a random map."""
    with jax.enable_x64(dtype == "float64"):
        claims[claim](lambda x: case.fn(case.params, x), normal(1, case.shape, dtype))


def refute(case: Case, claim: str, claims: Claims, dtype: str) -> None:
    """Assert that a claim is refuted, by what it measures."""
    sharp = claim.split()[0] in ("between", "still")  # statistics of a whole map change by less than bfloat16 rounds
    with jax.enable_x64(dtype == "float64"):
        x = normal(1, case.shape, dtype if sharp or dtype != "bfloat16" else "float32")
        with pytest.raises(AssertionError, match="error"):
            claims[claim](lambda x: case.fn(case.params, x), x)


def _stride(domain: Domain) -> Fraction | None:
    """Return by how much the input shifts where the output shifts by 1; None where no fraction tells it."""
    if domain.circular != "equivariant":
        return None
    steps = [step for step in sorted(domain.steps) if step and gcd(domain.lattice, step) == 1]
    return Fraction(domain.lattice, steps[0]) if steps else None


def _room(domain: Domain) -> bool:
    """Tell whether a shift by the lattice leaves something to compare inside the margins."""
    if domain.interior != "equivariant" or gcd(*domain.inside) > 1:
        return False
    left = domain.outputs - sum(sorted(domain.margins)[0])
    return left > domain.inside[1] and domain.size > domain.inside[0]


def _interior(fn: Any, x: Array, axis: int, output: int | None, domain: Domain, margin: tuple[int, int]) -> None:
    assert output is not None
    eq.assert_equivariant(
        fn,
        x,
        mode="interior",
        spatial_axes=(axis,),
        output_axes=(output,),
        strides=Fraction(*domain.inside),
        margin=[margin],
    )


def _unmoved(fn: Callable[[Array], Array], x: Array, axis: int) -> None:
    """Assert that a shift that brings in a value, larger than all, changes nothing."""
    error = float(jax.jit(lambda x: eq.invariance_error(fn, x, eq.Shift(1, 9.0, spatial_axes=(axis,))))(x))
    assert error <= eq.rounding(fn, x), f"error {error}"


# The whole: a hundred times as many, of rank 3 too.

GROUPS, EACH = 20, 10
COMMAND = "pytest -m campaign -n0 tests/equivariance/test_layers.py"


@pytest.mark.campaign
def test_thousands_of_cases() -> None:
    keys = [f"{name} {group}" for group in range(GROUPS) for name in CASES]  # all layers soon
    result = grouped_campaign.run("equivariance_layers", COMMAND, keys, count)
    assert result["wrong"] == []


def count(key: str) -> tuple[Counter[str], list[str]]:
    """Compare, check and refute a group of cases of one layer."""
    name, group = key.split()
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for number in range(int(group) * EACH, (int(group) + 1) * EACH):
        for extra in range(4):  # to compare costs little
            case = grouped_campaign.drawn(number + 1000 * extra, lambda draw: drawn(name, draw, (1, 2, 3)))
            _noted(counts, wrong, "compared", case, lambda case=case: counts.update(compare(name, case)))
        pick = np.random.default_rng(number)
        dtype = DTYPES[pick.integers(len(DTYPES))]
        for kind, claims, test in (("held", inside(case), check), ("refuted", outside(case), refute)):
            if claims:
                claim = sorted(claims)[pick.integers(len(claims))]
                counts[f"{kind}: {claim.split()[0]}, {dtype}"] += 1
                _noted(counts, wrong, kind, case, lambda t=test, c=case, k=claim, of=claims, d=dtype: t(c, k, of, d))
        jax.clear_caches()
    return counts, wrong


def _noted(counts: Counter[str], wrong: list[str], kind: str, case: Case, test: Callable[[], Any]) -> None:
    """Run a test, count it, and note its failure."""
    counts[kind] += 1
    try:
        test()
    except (Exception, pytest.fail.Exception) as error:
        wrong.append(f"{kind}: {case.told}: {type(error).__name__}: {str(error)[:300]}")
