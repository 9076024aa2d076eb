"""What is measured: a program, its arguments, and what one call of it does and costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from jaxcnn.analysis import trace
from jaxcnn.analysis.costs import program_cost, total
from jaxcnn.benchmark.record import make_record
from jaxcnn.benchmark.roofline import Peak, place
from jaxcnn.benchmark.statistics import Ratio, ratio
from jaxcnn.benchmark.timing import SHORTEST, Samples, alternate, compile_stages


@dataclass(frozen=True)
class Work:
    """Something to measure.

    Example:
        >>> import jax.numpy as jnp
        >>> work = Work({"name": "double", "dtype": "float32"}, lambda x: x * 2, (jnp.ones(3),))
        >>> work.facts["name"]
        'double'
    """

    facts: Mapping[str, Any]
    """What tells it from other work: its `name`, shapes, `dtype` ..."""
    fn: Callable[..., Any]
    """A pure function of `args`, or one that is jitted."""
    args: tuple[Any, ...]
    """Arrays."""
    per_call: Mapping[str, float] = field(default_factory=dict)
    """What a call does, by the name of its rate, such as `images_per_s`."""
    carries: bool = False
    """Whether the first result takes the place of the first argument in the next call, which donates it."""
    costed: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
    """Function and abstract arguments whose costs are those of a call, where `fn` is not to be read itself; the last
    argument is one array."""
    times: int = 1
    """How often a call does what is costed."""
    costs: Mapping[str, int] | None = None
    """`macs`, `flops` and `bytes` of a call, where they are known beforehand."""
    ready: Callable[[], Any] | None = None
    """Called as it is, where the work compiles its own programs: `fn` is then for its costs alone."""
    growth: str | None = None
    """Which of its facts is varied, where it is one of a row of sizes."""
    library: str = "jaxcnn"
    """Whose program it is."""
    peer: Callable[[], dict[str, Any]] | None = None
    """Tells of the process of another library, once it has been measured."""


def run(
    works: Mapping[str, Work],
    *,
    seconds: float = 3.0,
    shortest: float = SHORTEST,
    peak: Peak | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Compile works, measure them in turns, and record each with its ratio to the first.

    Args:
        works: By name; the first is what the others are compared with.
        seconds: About how long to measure each.
        shortest: Seconds that one measurement takes at least.
        peak: Of the device, for the roofline.
        seed: That drew their numbers, for the record.

    Returns:
        A record each, in order.

    Example:
        >>> import jax.numpy as jnp
        >>> work = Work({"name": "double", "dtype": "float32"}, lambda x: x * 2, (jnp.ones(3),), {"numbers_per_s": 3})
        >>> (record,) = run({"double": work}, seconds=0.05)
        >>> record["costs"]["flops"], record["rates"]["numbers_per_s"]["median"] > 0
        (3, True)
    """
    programs = {
        name: compile_stages(work.fn, *work.args, donate=(0,) if work.carries else ())
        for name, work in works.items()
        if work.ready is None
    }
    calls = {name: work.ready or _call(programs[name][0], work) for name, work in works.items()}
    samples = alternate(calls, seconds=seconds, shortest=shortest)
    records = []
    for name, work in works.items():
        program, stages = programs.get(name, (None, None))
        costs = _costs(work) | ({} if program is None else program_cost(program))
        records.append(
            make_record(
                work.facts,
                samples[name],
                library=work.library,
                growth=work.growth,
                peer=None if work.peer is None else work.peer(),
                stages=stages,
                costs=costs,
                per_call=work.per_call,
                ratios=_ratios(name, samples),
                roofline=_placed(peak, work, costs, samples[name]),
                seed=seed,
            )
        )
    return records


def _call(program: Callable[..., Any], work: Work) -> Callable[[], Any]:
    if not work.carries:
        return lambda: program(*work.args)
    rest = work.args[1:]
    held = [jax.tree.map(lambda leaf: leaf.copy(), work.args[0])]  # a call donates it

    def call() -> Any:
        held[0], *results = program(held[0], *rest)
        return held[0], results

    return call


def _costs(work: Work) -> dict[str, int | None]:
    """Count what a call costs; nothing where its program cannot be read."""
    if work.costs is not None:
        return dict(work.costs)
    fn, args = work.costed or (work.fn, work.args)
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), args)
    counted = total(trace(fn, *abstract, spatial_axes=()).steps)
    arguments = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(abstract))
    results = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(fn, *abstract)))
    return {
        "macs": counted.macs * work.times,
        "flops": counted.flops * work.times,
        "bytes": (arguments + results) * work.times,
    }


def _ratios(name: str, samples: Mapping[str, Samples]) -> dict[str, Ratio]:
    """Compare one with the first, or the first with all others: how many times as long the other took."""
    first = next(iter(samples))
    others = [other for other in samples if other != first] if name == first else [first]
    return {other: ratio(samples[other].seconds, samples[name].seconds) for other in others}


def _placed(peak: Peak | None, work: Work, costs: Mapping[str, int | None], samples: Samples) -> dict[str, Any] | None:
    dtype, flops, moved = str(work.facts.get("dtype")), costs["flops"], costs["bytes"]
    if peak is None or dtype not in peak.flops_per_s or not flops or not moved:
        return None
    seconds = sorted(samples.seconds)[len(samples.seconds) // 2]
    return place(peak, dtype, flops=flops, moved=moved, seconds=seconds)


def struct(*shape: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    """Return an abstract array.

    Args:
        *shape: Its sizes.
        dtype: Of its elements.

    Returns:
        The shape and the type.

    Example:
        >>> struct(2, 3).shape
        (2, 3)
    """
    return jax.ShapeDtypeStruct(shape, dtype)


def draw(seed: int, *structs: Any) -> list[jax.Array]:
    """Draw normal arrays.

    Args:
        seed: Of all of them.
        *structs: Shapes and types.

    Returns:
        An array each.

    Example:
        >>> [array.shape for array in draw(0, struct(2, 3), struct(4))]
        [(2, 3), (4,)]
    """
    keys: Sequence[Any] = list(jax.random.split(jax.random.key(seed), len(structs)))
    return [jax.random.normal(key, s.shape, s.dtype) for key, s in zip(keys, structs, strict=True)]
