"""Claims about a network's result against what brute force has measured: each is confirmed, its negation refuted.

A claim is any object with the fields of `jaxcnn.analysis.Facts`; nothing of that package is imported.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from references.shifts import Truth


@dataclass(frozen=True)
class Beyond:
    """What units see along an axis of an input that goes on at both ends.

    Attributes:
        sees: `(positions, units)`, as `Truth.dependence` has it.
        before: How many of the positions come before the first that there was.
        complete: Whether all layers' maps went on, so that all is seen that there is to see.
        seams: Whether a layer joined what was apart: a roll did, or a window that went round a map that is no whole
            circle of the input.
    """

    sees: np.ndarray
    before: int
    complete: bool
    seams: bool = False


Larger = Callable[[int | None], Beyond | None]
"""Along one axis of the input, from the axis of the result along which its positions run; None if not known."""


@dataclass
class Verdict:
    """What came of comparing claims with the truth."""

    checked: Counter[str] = field(default_factory=Counter)
    """Claims compared, by kind. `... (no unit to see it)`: of those, how many have no unit that could refute them."""
    wrong: list[str] = field(default_factory=list)
    """Claims that are not true, or less than the truth, in words."""

    def add(self, kind: str, faults: list[str]) -> None:
        self.checked[kind] += 1
        self.wrong += [f"{kind}: {fault}" for fault in faults]


def examine(facts: Any, truth: Truth, *, folds: bool = False, larger: Sequence[Larger] = ()) -> Verdict:
    """Compare the facts of one array with its measurements.

    Args:
        facts: What is claimed.
        truth: What was measured.
        folds: Border positions may hold copies of inner ones (rolls, circular, reflecting or replicating padding):
            then a unit outside the interior may look beyond its receptive field.
        larger: Along each axis, what units see where the map goes on; empty if not known.

    Returns:
        What was checked and what is wrong.
    """
    verdict = Verdict()
    assert facts.shape == truth.shape, f"shape: claimed {facts.shape}, is {truth.shape}"
    for i, claim in enumerate(facts.axes):
        found = Verdict()
        _receptive_field(found, claim, truth, i, folds, larger[i] if larger else None)
        _circular(found, claim, truth, i)
        _interior(found, claim, truth, i, folds)
        _padding(found, claim, truth, i)
        verdict.checked += found.checked
        verdict.wrong += [f"axis {i}: {fault}" for fault in found.wrong]
    return verdict


def interval(claim: Any, unit: int) -> tuple[Fraction, Fraction]:
    """Where the input positions lie that a unit sees, as claimed; they may lie beyond the input."""
    moved = unit * Fraction(claim.jump or 0)
    return claim.field[0] + moved, claim.field[1] + moved


def _receptive_field(verdict: Verdict, claim: Any, truth: Truth, i: int, folds: bool, larger: Larger | None) -> None:
    """Compare receptive fields.

    No unit depends on a position outside its interval; where the network folds borders, this is said only of inner
    units: those that saw no padding, that the claimed interior holds, and whose interval lies inside the input.

    The interval is tight: over all units, the first position seen comes within less than one position of its begin, and
    the last of its end: exactly there, where these are whole numbers. The widest sees as many positions as claimed.
    Inner units may not show it, since borders hide what the others see, and after an up-sampling neighbours differ in
    how their windows lie. Then all are asked where the map goes on at both ends, and must. This refutes no claim of
    another place where the network folds borders, nor one without an interior where it joins what was apart, which
    holds what is seen across a seam: a larger map has its seam, and its borders, elsewhere.
    """
    if claim.receptive_field is None:
        return
    sees = truth.dependence(i, claim.axis)
    if claim.receptive_field == 0:
        verdict.add("constant", [f"depends on {np.flatnonzero(sees.any(1))}"] if sees.any() else [])
        return
    n, units = sees.shape
    first, last = 0, units
    if claim.interior.kind == "equivariant":
        first, last = claim.interior.margin[0], units - claim.interior.margin[1]
    elif folds:
        first, last = 0, 0
    inner = set(range(first, last)) - set(claim.padded if claim.axis is not None else range(claim.padding[0]))
    hulls = _hulls(sees)
    whole = [unit for unit in inner if 0 <= math.ceil(interval(claim, unit)[0]) <= interval(claim, unit)[1] < n]
    shown = {unit: hulls[unit] for unit in whole if unit in hulls}
    faults, loose = _outside(claim, shown if folds else hulls), _inside(claim, shown)
    if not faults and loose:
        beyond = larger and larger(claim.axis)
        asked = len(whole) == units
        if beyond:
            shown = _hulls(beyond.sees, beyond.before)
            outside = _outside(claim, shown)
            moved = (folds and outside) or (beyond.seams and claim.interior.kind != "equivariant")
            asked = asked or (beyond.complete and not moved)
            loose = outside or _inside(claim, shown)
        if asked:
            faults = loose
        elif loose:
            verdict.checked["receptive field (no unit to see it)"] += 1
    verdict.add("receptive field", faults[:2])


Hulls = dict[int, tuple[int, int]]


def _hulls(sees: np.ndarray, before: int = 0) -> Hulls:
    """Return the first and the last position that units see; those that see none are left out."""
    seen = {unit: np.flatnonzero(column) - before for unit, column in enumerate(sees.T)}
    return {unit: (int(positions[0]), int(positions[-1])) for unit, positions in seen.items() if len(positions)}


def _outside(claim: Any, hulls: Hulls) -> list[str]:
    """Say which units see more than is claimed."""
    faults = []
    for unit, (low, high) in hulls.items():
        begin, end = interval(claim, unit)
        if not begin <= low <= high <= end:
            faults.append(f"unit {unit}, claimed {begin}..{end}, sees {low}..{high}")
        elif high - low + 1 > claim.receptive_field:
            faults.append(f"claimed {claim.receptive_field} (jump {claim.jump}): unit {unit} sees {low}..{high}")
    return faults


def _inside(claim: Any, hulls: Hulls) -> list[str]:
    """Say whether all units see less than is claimed."""
    what = f"claimed {claim.receptive_field} (jump {claim.jump})"
    if not hulls:
        return [f"{what}: no unit sees any"]
    ends = [(low, high, *interval(claim, unit)) for unit, (low, high) in hulls.items()]
    before, after = (min(low - begin for low, _, begin, _ in ends), min(end - high for _, high, _, end in ends))
    widest = max(high - low + 1 for low, high in hulls.values())
    if max(before, after) >= 1:
        return [f"{what}: all units stay {before}, {after} inside of it"]
    return [f"{what}: the widest unit sees {widest}"] if widest < claim.receptive_field else []


def _circular(verdict: Verdict, claim: Any, truth: Truth, i: int) -> None:
    """Compare what rolls do: every multiple of the lattice as claimed, and no other roll."""
    contract, n = claim.circular, truth.positions(i)
    if contract.kind == "unknown":
        return
    unchanged = truth.invariant(i)
    rolls = None if claim.axis is None else truth.rolls(i, claim.axis)
    faults: list[str] = []
    if contract.kind == "position-dependent":
        free = [p for p in range(1, n) if unchanged[p]]
        if rolls is not None:
            free += [p for p in range(1, n) if rolls.all(0)[p].any()]
        faults = [f"a roll by {free[0]} is matched"] if free else []
        verdict.add("circular position-dependent", faults)
        return
    group = math.gcd(contract.lattice, n)
    multiples = {m * contract.lattice % n: m for m in range(n // group)}
    if contract.kind == "invariant":
        matched = {p: bool(unchanged[p]) for p in range(n)}
        right = matched
    elif rolls is None:
        verdict.add(f"circular {contract.kind}", ["claimed, but no axis carries positions"])
        return
    elif contract.kind == "orbit":
        right = {p: bool(rolls[:, p].any(1).all()) for p in range(n)}
        matched = right
    else:
        rolls = rolls.all(0)
        matched = {p: bool(rolls[p].any()) for p in range(n)}
        right = {p: bool(rolls[p, m * contract.step % rolls.shape[1]]) for p, m in multiples.items()}
    broken = [p for p in multiples if not right[p]]
    finer = [p for p in range(1, n) if matched[p] and (p < contract.lattice or p not in multiples)]
    if broken:
        faults.append(f"claimed on {contract.lattice}Z, step {contract.step}: a roll by {broken[0]} breaks it")
    elif finer:
        faults.append(f"claimed on {contract.lattice}Z only: a roll by {finer[0]} is matched, too")
    verdict.add(f"circular {contract.kind}", faults)


def _interior(verdict: Verdict, claim: Any, truth: Truth, i: int, folds: bool) -> None:
    """Compare what shifts with unknown content do.

    Every multiple of the lattice moves the units inside the margins as claimed. No smaller shift moves all of them.
    The margins are tight: one unit more at either border is not what it was before the shift by the lattice. Where no
    guarantee is claimed, no shift by p makes any unit j (that depends on the input) another unit j' for all inputs,
    except at borders by chance, where a maximum does not mind the order of its values: not where both saw padding, nor
    for one unit alone in a network that folds borders.
    """
    contract, n = claim.interior, truth.positions(i)
    if contract.kind == "unknown":
        return
    kind = f"interior {contract.kind}"
    if claim.axis is None:
        if contract.guarantees:
            unmoved = not truth.depends[i].any()
            verdict.add(kind, [] if contract.kind == "invariant" and unmoved else ["claimed, but the input matters"])
        else:
            verdict.add(kind, [] if truth.depends[i].any() else ["the result is constant"])
        return
    pairs = truth.kept_pairs(i, claim.axis)  # (p, j, j')
    units = pairs.shape[1]
    varies = truth.dependence(i, claim.axis).any(0)
    if contract.kind == "position-dependent":
        if truth.padded is not None:
            at_border = truth.padding(i, claim.axis)
            pairs = pairs & ~(at_border[:, None] & at_border)
        pairs = pairs & varies[:, None]
        if folds:
            neighbours = np.zeros_like(pairs)
            neighbours[:, 1:, 1:] = pairs[:, :-1, :-1]
            neighbours[:, :-1, :-1] |= pairs[:, 1:, 1:]
            pairs = pairs & neighbours
        free = np.argwhere(pairs[1:])
        faults = [] if not len(free) else [f"shifts by {free[0][0] + 1} make unit {free[0][1]} unit {free[0][2]}"]
        verdict.add(kind, faults)
        return
    (low, high), lattice, step = contract.margin or (0, 0), contract.lattice, contract.step
    if contract.kind == "invariant":
        broken = [p for p in range(lattice, n, lattice) if not np.diagonal(pairs[p])[low : units - high].all()]
        verdict.add(kind, [f"a shift by {broken[0]} changes it"] if broken else [])
        return
    faults = []
    inside = range(low, units - high)
    for m in range(1, (n - 1) // lattice + 1):
        bad = [j for j in inside if j + m * step in inside and not pairs[m * lattice, j, j + m * step]]
        if bad:
            faults = [f"margin {low}..{high}: a shift by {m * lattice} does not make unit {bad[0]} {bad[0] + m * step}"]
            break
    if len(inside) <= abs(step) or lattice >= n:
        faults.append(f"margin {low}..{high} of {units} units, step {step} on {lattice}Z: empty")
    if not faults:
        faults = _tight(pairs, varies, contract, inside)
    verdict.add(kind, faults)


def _tight(pairs: np.ndarray, varies: np.ndarray, contract: Any, inside: range) -> list[str]:
    """Whether a smaller shift, or a smaller margin, would do as well."""
    units, lattice, step = len(varies), contract.lattice, contract.step
    for p in range(1, lattice):
        for q in range(1 - len(inside), len(inside)):
            moved = [j for j in inside if j + q in inside]
            if any(varies[j] for j in moved) and all(pairs[p, j, j + q] for j in moved):
                return [f"claimed on {lattice}Z: a shift by {p} moves the interior by {q}, too"]
    faults, reach = [], abs(step)
    borders = [(inside.start - 1, inside.start - 1 + reach), (inside.stop - reach, inside.stop)]
    for side, (one, other) in zip(("low", "high"), borders, strict=True):
        if one < 0 or other >= units:
            continue
        before, after = (one, other) if step > 0 else (other, one)
        if pairs[lattice, before, after]:
            faults.append(f"margin {contract.margin}: the {side} one could be smaller")
    return faults


def _padding(verdict: Verdict, claim: Any, truth: Truth, i: int) -> None:
    """Compare which units see padding: a change of its value changes those that are named, and no other."""
    if truth.padded is None or claim.receptive_field is None:
        return
    changed = truth.padding(i, claim.axis)
    low, high = claim.padding
    if claim.axis is None:
        fits = bool(changed.any()) == bool(low or high)
        verdict.add("padding", [] if fits else [f"claimed {claim.padding}, changes the result: {changed.any()}"])
        return
    units, named = len(changed), np.zeros(len(changed), bool)
    named[list(claim.padded)] = True
    runs = (units, units) if named.all() else (int(named.argmin()), int(named[::-1].argmin()))
    faults = [] if runs == (low, high) else [f"claimed {low}..{high}, but of {units} names {claim.padded}"]
    faults += [f"claimed {low}..{high} of {units}, changes unit {unit}" for unit in np.flatnonzero(changed & ~named)]
    faults += [f"claimed {low}..{high} of {units}, leaves unit {unit}" for unit in np.flatnonzero(named & ~changed)]
    verdict.add("padding", faults[:1])
