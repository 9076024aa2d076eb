"""Facts written by hand, of networks that everybody knows, and wrong ones next to them."""

import dataclasses
import math
from fractions import Fraction
from typing import Any

from references.network_layers import Conv, Pool, TilePool
from references.network_moves import Flip, GlobalPool, Pad, Position, Roll, Slice, Upsample
from references.random_networks import Network


@dataclasses.dataclass(frozen=True)
class Contract:
    kind: str
    lattice: int = 0
    step: int = 0
    margin: tuple[int, int] | None = None

    @property
    def guarantees(self) -> bool:
        return self.kind in ("equivariant", "invariant", "orbit")


@dataclasses.dataclass(frozen=True)
class Axis:
    axis: int | None
    receptive_field: int | None
    field: tuple[Fraction, Fraction] | None
    jump: Fraction | None
    padding: tuple[int, int]
    units: int
    circular: Contract
    interior: Contract

    @property
    def padded(self) -> tuple[int, ...]:
        return (*range(self.padding[0]), *range(self.units - self.padding[1], self.units))


@dataclasses.dataclass(frozen=True)
class Facts:
    shape: tuple[int, ...]
    axes: tuple[Axis, ...]


BROKEN = Contract("position-dependent")


def equivariant(lattice: int, step: int = 1, margin: tuple[int, int] | None = None) -> Contract:
    return Contract("equivariant", lattice, step, margin)


def ends(first: int, last: int | str) -> tuple[Fraction, Fraction]:
    return Fraction(first), Fraction(last)


def axis(field: tuple[Any, int], jump: str | int, padding: tuple[int, int], units: int, *contracts: Contract) -> Axis:
    first, last = map(Fraction, field)
    size = math.floor(last) - math.ceil(first) + 1
    return Axis(0, size, (first, last), Fraction(jump), padding, units, *contracts)


POOLED = Axis(None, 12, (Fraction(0), Fraction(11)), None, (0, 0), 1, Contract("invariant", 1), BROKEN)
N, M = 12, 9
KNOWN = {
    "zero padding": ([Conv()], axis((-1, 1), 1, (1, 1), N, BROKEN, equivariant(1, 1, (1, 1)))),
    "twice": ([Conv(), Conv()], axis((-2, 2), 1, (2, 2), N, BROKEN, equivariant(1, 1, (2, 2)))),
    "valid": ([Conv(padding="VALID")], axis((0, 2), 1, (0, 0), N - 2, BROKEN, equivariant(1, 1, (0, 0)))),
    "circular": ([Conv(mode="circular")], axis((-1, 1), 1, (0, 0), N, equivariant(1), equivariant(1, 1, (1, 1)))),
    "circular, by two": (
        [Conv(mode="circular", strides=(2, 2))],
        axis((0, 2), 2, (0, 0), N // 2, equivariant(2), equivariant(2, 1, (0, 1))),
    ),
    "pool": ([Pool()], axis((0, 1), 2, (0, 0), N // 2, equivariant(2), equivariant(2, 1, (0, 0)))),
    "overlapping pool": (
        [Pool(window=(3, 3), padding=((1, 0), (1, 0)))],
        axis((-1, 1), 2, (1, 0), N // 2, BROKEN, equivariant(2, 1, (1, 0))),
    ),
    "tiles of tiles": (
        [TilePool(), TilePool("avg")], axis((0, 3), 4, (0, 0), N // 4, equivariant(4), equivariant(4, 1, (0, 0))),
    ),
    "dilated": (
        [Conv(dilation=(2, 2), padding="VALID")],
        axis((0, 4), 1, (0, 0), N - 4, BROKEN, equivariant(1, 1, (0, 0))),
    ),
    "rolled": ([Roll("h", 3)], axis((-3, -3), 1, (0, 0), N, equivariant(1), equivariant(1, 1, (3, 0)))),
    "flipped": ([Flip("h")], axis((N - 1, N - 1), -1, (0, 0), N, equivariant(1, -1), equivariant(1, -1, (0, 0)))),
    "repeated": (
        [Upsample("h", 2)], axis(("-1/2", 0), "1/2", (0, 0), 2 * N, equivariant(1, 2), equivariant(1, 2, (0, 0))),
    ),
    "sliced": ([Slice("h", 1, 0, 3)], axis((1, 1), 3, (0, 0), N // 3, equivariant(3), equivariant(3, 1, (0, 0)))),
    "padded": ([Pad(((2, 1), (0, 0)))], axis((-2, -2), 1, (2, 1), N + 3, BROKEN, equivariant(1, 1, (2, 1)))),
    "position": ([Position("h")], axis((0, 0), 1, (0, 0), N, BROKEN, BROKEN)),
    "pooled": ([GlobalPool()], POOLED),
}  # fmt: skip


# Of these, the map is too small for a unit that sees what is claimed and no padding, or for one of each kind that an
# up-sampling makes. What it hides is seen only where it goes on.
HIDDEN = {
    "dilated thrice": (
        Network((9, M, 1), (Conv(dilation=(2, 2)),) * 3),
        Axis(0, 13, ends(-6, 6), Fraction(1), (9, 9), 9, BROKEN, BROKEN),
    ),
    "cropped after it was repeated": (  # of both repetitions the same is seen: one shows the field's begin, one its end
        Network((9, M, 1), (Pool(), Conv(strides=(2, 2), padding=((1, 1), (1, 1))), Upsample(), Slice(start=2))),
        Axis(0, 6, ends(0, 7), Fraction(2), (0, 0), 2, BROKEN, BROKEN),
    ),
    "tiles of every third": (
        Network((20, M, 1), (
            Conv(window=(2, 1), padding="VALID"), Pool(window=(3, 3), padding=((1, 1), (1, 1)), dilation=(2, 1)),
            Conv(window=(2, 3), strides=(3, 1), holes=(2, 1), padding=((1, 1), (1, 1))), TilePool("min", (3, 3)),
        )),
        Axis(0, 12, ends(-2, 10), Fraction(9), (1, 0), 2, BROKEN, BROKEN),
    ),
    "spread after every third": (
        Network((13, M, 1), (
            Slice("h", 2, 2, 3), Conv(window=(4, 1), strides=(3, 1), holes=(2, 1), padding=((2, 0), (0, 0))),
        )),
        Axis(0, 4, ends(-1, "7/2"), Fraction(9, 2), (1, 0), 2, BROKEN, BROKEN),
    ),
}  # fmt: skip


def with_contract(claim: Axis, which: str, **changes: Any) -> Axis:
    return dataclasses.replace(claim, **{which: dataclasses.replace(getattr(claim, which), **changes)})


def mutations(claim: Axis) -> dict[str, Axis]:
    """Wrong claims next to a right one."""
    low, high = claim.padding
    (first, last), size = claim.field, claim.receptive_field
    made = {
        "wider": dataclasses.replace(claim, receptive_field=size + 2, field=(first - 1, last + 1)),
        "longer": dataclasses.replace(claim, receptive_field=size + 1, field=(first, last + 1)),
        "moved": dataclasses.replace(claim, field=(first + 1, last + 1)),
        "only said wider": dataclasses.replace(claim, receptive_field=size + 1),
        "a constant": dataclasses.replace(claim, receptive_field=0),
        "rolls: invariant": dataclasses.replace(claim, circular=Contract("invariant", 1)),
        "rolls: constant": dataclasses.replace(claim, interior=Contract("invariant", 1, 0, (0, 0))),
    }
    if size > 1:
        made["narrower"] = dataclasses.replace(claim, receptive_field=size - 1, field=(first, last - 1))
    if claim.axis is None:
        made["padded"] = dataclasses.replace(claim, padding=(1, 1))
        made["lattice"] = with_contract(claim, "circular", lattice=2)
        made["rolls: nothing"] = dataclasses.replace(claim, circular=BROKEN)
        del made["wider"], made["rolls: invariant"]  # both are true of it: there is nothing further to see
        del made["longer"]
        return made
    for name, padding in {
        "low padding + 1": (low + 1, high), "low padding - 1": (low - 1, high),
        "high padding + 1": (low, high + 1), "high padding - 1": (low, high - 1),
    }.items():  # fmt: skip
        if 0 <= min(padding) <= max(padding) <= claim.units:
            made[name] = dataclasses.replace(claim, padding=padding)
    made["jump"] = dataclasses.replace(claim, jump=claim.jump * 2)
    for which in ("circular", "interior"):
        contract = getattr(claim, which)
        margin = {} if which == "circular" else {"margin": (low, high)}
        if contract.kind == "position-dependent":
            made[f"{which}: something"] = with_contract(claim, which, kind="equivariant", lattice=1, step=1, **margin)
            continue
        made[f"{which}: nothing"] = dataclasses.replace(claim, **{which: BROKEN})
        twice = {"lattice": contract.lattice * 2, "step": contract.step * 2}
        made[f"{which}: lattice * 2"] = with_contract(claim, which, **twice)
        made[f"{which}: step + 1"] = with_contract(claim, which, step=contract.step + 1)
        if contract.lattice > 1:
            made[f"{which}: lattice 1"] = with_contract(claim, which, lattice=1)
        if which == "interior":
            below, above = contract.margin
            for name, margin in {
                "low margin + 1": (below + 1, above), "low margin - 1": (below - 1, above),
                "high margin + 1": (below, above + 1), "high margin - 1": (below, above - 1),
            }.items():  # fmt: skip
                if min(margin) >= 0:
                    made[name] = with_contract(claim, which, margin=margin)
    return made
