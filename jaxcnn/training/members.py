"""Several networks in training that share one program, and the ways to run them."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcnn.functional.primitive import side_by_side
from jaxcnn.training.forward import Data
from jaxcnn.training.state import TrainState

Values = Mapping[str, Any]
"""What members differ in, by name: one number a member."""
Steps = Callable[[Values, TrainState, Any, Array, Any, Any], tuple[TrainState, dict[str, Array]]]
"""`steps(values, state, examples, order, start, count) -> (state, metrics)` of one member."""
Evaluate = Callable[[Values, Any, Any, Data], dict[str, Array]]
"""`evaluate(values, params, statistics, data) -> metrics` of one member."""


@dataclass(frozen=True)
class Plan:
    """A way to run members.

    Example:
        >>> [str(plan) for plan in (Plan("vmap"), Plan("map", 4), Plan("map"), Plan("one by one"), Plan("threads", 2))]
        ['vmap', 'lax.map of vmaps of 4', 'lax.map', 'one by one', '2 threads']
    """

    way: Literal["vmap", "map", "one by one", "threads"]
    """All together; some together, then the next, in one program; a call of one program for each, one after another, or
    by several threads of Python, side by side."""
    size: int = 1
    """Members together, of `map`; threads."""

    def __str__(self) -> str:
        if self.way == "map":
            return "lax.map" if self.size == 1 else f"lax.map of vmaps of {self.size}"
        return f"{self.size} threads" if self.way == "threads" else self.way

    @property
    def apart(self) -> bool:
        """Whether each member has a call of its own."""
        return self.way in ("one by one", "threads")


def plans(members: int, *, cores: int = 1) -> list[Plan]:
    """List the ways that differ for a number of members.

    Args:
        members: How many.
        cores: Of a CPU that trains; 1 of an accelerator, whose programs wait for each other.

    Returns:
        Plans, with chunks of 2, 8, 32 ... members, fewer than all of them.

    Example:
        >>> [str(plan) for plan in plans(4, cores=2)]
        ['one by one', '2 threads', 'lax.map', 'lax.map of vmaps of 2', 'vmap']
    """
    if members == 1:
        return [Plan("one by one")]
    threads = [Plan("threads", min(cores, members))] if cores > 1 else []
    chunks = [Plan("map", size) for size in (1, *(2**k for k in range(1, 32, 2))) if size < members]
    return [Plan("one by one"), *threads, *chunks, Plan("vmap")]


class Members:
    """The programs of several networks that differ in numbers, not in shape.

    A member that is not active stays as it is, bit for bit.

    Args:
        steps: Of one member, a pure function of arrays.
        evaluate: Of one member.
        values: What they differ in, an array of one number a member by name.
        count: How many there are.
        plan: How they are run.

    Example:
        >>> import optax
        >>> from jaxcnn import training
        >>> def apply(params, statistics, x, *, training, key):
        ...     return x * params, statistics
        >>> def steps(values, state, examples, order, start, count):
        ...     optimizer = optax.sgd(values["lr"])
        ...     made = training.make_train_steps(apply, optimizer, training.mean_squared_error, batch=1)
        ...     return made.program(state, examples, order, start, count)
        >>> def evaluate(values, params, statistics, data):
        ...     return {"loss": training.mean_squared_error(data[0] * params, data[1])}
        >>> members = Members(steps, evaluate, {"lr": np.array([0.0, 0.25])}, count=2, plan=Plan("vmap"))
        >>> states = [training.create_state(jnp.zeros(()), {}, optax.sgd(0.0), jax.random.key(k)) for k in range(2)]
        >>> data, orders = (jnp.ones((2, 1)), jnp.ones((2, 1))), jnp.array([[0, 1], [1, 0]])
        >>> held, metrics = members.train(members.hold(states), data, orders, start=0, count=1)
        >>> metrics["loss"].tolist(), [float(members.state(held, k).params) for k in range(2)]
        ([1.0, 1.0], [0.0, 0.5])
    """

    def __init__(self, steps: Steps, evaluate: Evaluate, values: Values, *, count: int, plan: Plan):
        self.values = {name: jnp.asarray(value) for name, value in values.items()}
        self.count, self.plan = count, plan
        if any(value.shape != (count,) for value in self.values.values()):
            raise ValueError(f"`values` must hold one number for each of the {count} members")
        size = {"vmap": count, "map": plan.size}.get(plan.way, 1)

        def train(states: TrainState, values: Values, orders: Array, active: Array, examples: Any, span: Any) -> Any:
            def one(member: Any) -> Any:
                state, values, order, active = member
                new, metrics = steps(values, state, examples, order, *span)
                return jax.tree.map(partial(jnp.where, active), new, state), metrics

            def one_alone(member: Any) -> Any:
                state, values, order, active = member

                def go(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
                    return steps(values, state, examples, order, *span)

                metrics = jax.eval_shape(go, state)[1]
                idle = jax.tree.map(lambda metric: jnp.zeros(metric.shape, metric.dtype), metrics)
                return jax.lax.cond(active, go, lambda state: (state, idle), state)

            return _over(one if size > 1 else one_alone, (states, values, orders, active), size, count)

        def measure(params: Any, statistics: Any, values: Values, data: Data) -> Any:
            members = (values, params, statistics)
            return _over(lambda member: evaluate(member[0], member[1], member[2], data), members, size, count)

        self._train = jax.jit(train, donate_argnums=0)
        self._measure = jax.jit(measure)
        self._one = jax.jit(
            lambda state, values, examples, order, span: steps(values, state, examples, order, *span),
            donate_argnums=0,
        )
        self._measure_one = jax.jit(evaluate)
        self._copy = jax.jit(partial(jax.tree.map, jnp.copy))
        self._take = jax.jit(lambda held, member: jax.tree.map(lambda leaf: leaf[member], held))

    def hold(self, states: Sequence[TrainState]) -> Any:
        """Bring members' states into the form that the plan keeps them in; they are copied."""
        if self.plan.apart:
            return [jax.tree.map(jnp.copy, state) for state in states]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

    def state(self, held: Any, member: int) -> TrainState:
        """Return a copy of one member's state."""
        return self._copy(held[member]) if self.plan.apart else self._take(held, np.int32(member))

    def train(
        self, held: Any, data: Data, orders: Array, *, start: int, count: int, active: Sequence[bool] | None = None
    ) -> tuple[Any, dict[str, Array]]:
        """Take steps with every member that is active.

        Args:
            held: What `hold` or `train` returned; its memory is given away.
            data: Inputs and targets, that all share.
            orders: `(members, examples)`: each member's own order.
            start: First batch.
            count: How many.
            active: Which members; None is all.

        Returns:
            What is held, and each metric as `(members,)`; of members that are not active it means nothing.
        """
        on = [True] * self.count if active is None else list(active)
        examples, span = (*data, None), (np.int32(start), np.int32(count))
        if not self.plan.apart:
            return self._train(held, self.values, orders, jnp.asarray(on), examples, span)
        held = list(held)

        def one(member: int, values: Values) -> dict[str, Array]:
            held[member], metrics = self._one(held[member], values, examples, orders[member], span)
            return metrics

        return held, self._each(one, [member for member in range(self.count) if on[member]])

    def evaluate(self, held: Any, data: Data) -> dict[str, Array]:
        """Measure every member: each metric as `(members, ...)`."""
        if not self.plan.apart:
            return self._measure(held.evaluated, held.statistics, self.values, data)

        def one(member: int, values: Values) -> dict[str, Array]:
            return self._measure_one(values, held[member].evaluated, held[member].statistics, data)

        return self._each(one, range(self.count))

    def bytes_needed(self, held: Any, data: Data, orders: Array) -> int | None:
        """Return what the compiled program takes beside its arguments; None where the device does not tell."""
        examples, span = (*data, None), (np.int32(0), np.int32(0))
        if self.plan.apart:
            values = {name: value[0] for name, value in self.values.items()}
            with side_by_side(self.plan.way == "threads"):
                lowered = self._one.lower(held[0], values, examples, orders[0], span)
        else:
            lowered = self._train.lower(held, self.values, orders, jnp.ones(self.count, bool), examples, span)
        told = lowered.compile().memory_analysis()
        at_once = self.plan.size if self.plan.way == "threads" else 1
        return None if told is None else at_once * int(told.temp_size_in_bytes + told.output_size_in_bytes)

    def _each(self, call: Callable[[int, Values], Mapping[str, Array]], members: Sequence[int]) -> dict[str, Array]:
        """Call for every member, and make one table of the metrics."""
        wide = bool(jax.config.read("jax_enable_x64"))  # which threads do not inherit where a context has set it

        def one(member: int) -> Mapping[str, Array]:
            with jax.enable_x64(wide), side_by_side(self.plan.way == "threads"):
                return call(member, {name: value[member] for name, value in self.values.items()})

        if self.plan.way == "one by one":
            rows = {member: one(member) for member in members}
        else:
            with ThreadPoolExecutor(self.plan.size) as pool:
                rows = dict(zip(members, pool.map(lambda m: jax.block_until_ready(one(m)), members), strict=True))
        names = next(iter(rows.values())) if rows else {}
        nothing = {name: jnp.zeros_like(value) for name, value in names.items()}
        return {name: jnp.stack([rows.get(k, nothing)[name] for k in range(self.count)]) for name in names}


def _over(fn: Callable[[Any], Any], members: Any, size: int, count: int) -> Any:
    """Apply a function to all members, so many of them together."""
    if size >= count:
        return jax.vmap(fn)(members)
    return jax.lax.map(fn, members, batch_size=size if size > 1 else None)
