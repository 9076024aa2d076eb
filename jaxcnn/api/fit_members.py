"""Many networks trained as one program, each a run of its own on disk."""

import dataclasses
import math
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import data as datasets
from jaxcnn import training
from jaxcnn.api.keeping import Keeper, Kept
from jaxcnn.api.member_programs import MemberPrograms
from jaxcnn.api.members import get, grouped
from jaxcnn.api.plans import Chosen
from jaxcnn.api.problem import plain, settled
from jaxcnn.config import Config, DataConfig
from jaxcnn.runs import Run, is_run, new_folder


@dataclass(frozen=True)
class Planned:
    """A group's plan is chosen: the first event of each group.

    Example:
        >>> Planned((0, 1), Chosen(training.Plan("vmap"), {}, remembered=False), parameters=10).members
        (0, 1)
    """

    members: tuple[int, ...]
    """Positions of its configs."""
    chosen: Chosen
    """How they are run."""
    parameters: int
    """Of one network."""


@dataclass(frozen=True)
class MembersEpoch:
    """An epoch of a group is done.

    Example:
        >>> MembersEpoch(1, {0: {"epoch": 1}}, seconds=0.5).epoch
        1
    """

    epoch: int
    """From 1."""
    rows: Mapping[int, dict[str, Any]]
    """What was measured, by the position of each member that took part: the row of its metrics.jsonl."""
    seconds: float
    """Wall time of all of them."""


@dataclass(frozen=True)
class MemberEnded:
    """A member has ended: by its last epoch, by early stopping, or because its loss was not finite.

    Example:
        >>> MemberEnded(3, Run(Path("sweep/003")), None, "the loss is not finite").result is None
        True
    """

    member: int
    """Position of its config."""
    run: Run
    """Where it is written."""
    result: dict[str, Any] | None
    """What result.json holds; None where it failed."""
    failed: str | None = None
    """Why it has none."""


Event = Planned | MembersEpoch | MemberEnded


def fit_members(
    model: str,
    data: datasets.Dataset | DataConfig | str,
    configs: Sequence[Config],
    *,
    out: str | Path | None = None,
    plan: training.Plan | None = None,
) -> list[Run]:
    """Train a network by each of several configs, those that differ in numbers alone as one compiled program.

    Members of one program may differ in `seed` (parameters, order, augmentation, dropout), learning rate, momentum,
    weight decay, label smoothing, dropout and the strength of what augments. Configs that differ in anything else are
    trained one group after another. Each member is a run of its own, in `OUT/000`, `OUT/001`, ...: to load, evaluate,
    verify or train on. Which way a group runs fastest (vmap, `lax.map`, chunks, one after another) is measured once
    on a machine. The same call goes on where one was stopped or killed, from the ends of epochs.

    A member whose loss is not finite ends there, without a result; the others go on.

    Args:
        model: A registered name.
        data: A name, a `DataConfig`, or a data set of your own.
        configs: What each member is told.
        out: Folder of all runs; by default a new `checkpoints/DATE_NAME`.
        plan: How members are run; None measures.

    Returns:
        The runs, in the order of the configs.

    Raises:
        ValueError: No configs, one that does not fit, or a folder that holds other runs.

    Example:
        >>> import tempfile
        >>> from jaxcnn.config import OptimConfig
        >>> rates = (0.001, 0.01)
        >>> configs = [Config(epochs=1, optim=OptimConfig(lr=lr)) for lr in rates]
        >>> runs = fit_members("linear", "synthetic", configs, out=tempfile.mkdtemp(), plan=training.Plan("vmap"))
        >>> [run.config.optim.lr for run in runs], sorted(runs[0].result)[:3]
        ([0.001, 0.01], ['accuracy', 'compile_s', 'epoch'])
    """
    runs: dict[int, Run] = {}
    for event in fit_members_events(model, data, configs, out=out, plan=plan):
        if isinstance(event, MemberEnded):
            runs[event.member] = event.run
    return [runs[member] for member in sorted(runs)]


def fit_members_events(
    model: str,
    data: datasets.Dataset | DataConfig | str,
    configs: Sequence[Config],
    *,
    out: str | Path | None = None,
    names: Sequence[str] | None = None,
    plan: training.Plan | None = None,
    until: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[training.Plan], Any] = lambda plan: None,
) -> Generator[Event, None, None]:
    """Do what `fit_members` does, and yield what happens.

    Args:
        model: See `fit_members`.
        data: See `fit_members`.
        configs: See `fit_members`.
        out: See `fit_members`.
        names: Folders of the members in `out`; None numbers them.
        plan: See `fit_members`.
        until: Pause members after this many epochs of theirs, to go on by another call; None is none.
        stop: Asked at the end of every epoch; where it says so, all ends there, to go on by the same call.
        told: Called with each plan before it is tried.

    Returns:
        A generator: for each group a `Planned`, then `MembersEpoch`, and a `MemberEnded` for each member.

    Raises:
        ValueError: See `fit_members`.

    Example:
        >>> import tempfile
        >>> configs = [Config(epochs=1, seed=seed) for seed in range(2)]
        >>> plan = training.Plan("one by one")
        >>> events = fit_members_events("linear", "synthetic", configs, out=tempfile.mkdtemp(), plan=plan)
        >>> [type(event).__name__ for event in events]
        ['Planned', 'MembersEpoch', 'MemberEnded', 'MemberEnded']
    """
    if not configs:
        raise ValueError("`configs` must be at least one")
    settled_configs = [settled(config, model, data) for config in configs]
    for config in settled_configs:
        for name in ("mesh", "data.memory", "init", "save_every"):
            if get(config, name) is not None:
                raise ValueError(f"`{name}` (={get(config, name)}) is not for members of one program")
    dataset = data if isinstance(data, datasets.Dataset) else datasets.load(settled_configs[0].data)
    datasets.check(dataset)
    groups = grouped(settled_configs)
    programs = [MemberPrograms([settled_configs[member] for member in members], dataset) for members in groups]
    folder = Path(out) if out is not None else new_folder(f"{dataset.name}-{len(configs)}")
    for members, group in zip(groups, programs, strict=True):
        places = [folder / (names[member] if names else f"{member:03d}") for member in members]
        for event in _train(group, places, plan, until, stop, told):
            yield _renumbered(event, members)
        if stop():
            return


def _renumbered(event: Event, members: Sequence[int]) -> Event:
    """Put the positions of all configs in the place of those in a group."""
    match event:
        case Planned():
            return dataclasses.replace(event, members=tuple(members))
        case MembersEpoch():
            return dataclasses.replace(event, rows={members[at]: row for at, row in event.rows.items()})
        case MemberEnded():
            return dataclasses.replace(event, member=members[event.member])


def _train(
    group: MemberPrograms,
    places: Sequence[Path],
    plan: training.Plan | None,
    until: int | None,
    stop: Callable[[], bool],
    told: Callable[[training.Plan], Any],
) -> Generator[Event, None, None]:
    """Train the members of one group, each from where it stands."""
    configs, facts, mode = group.configs, datasets.describe(group.dataset), group.course.mode
    runs = [
        Run.open(place) if is_run(place) else Run.create(place, config, facts)
        for place, config in zip(places, configs, strict=True)
    ]
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(run.locked())
        found = [run.resume(config, facts) for run, config in zip(runs, configs, strict=True)]
        progress, ended = [resumption.progress for resumption in found], [run.result is not None for run in runs]
        for run, now in zip(runs, progress, strict=True):
            if now.step:
                raise ValueError(
                    f"{run.path} stands within epoch {now.epoch + 1}: members go on from the ends of epochs. "
                    f"Go on with `jaxcnn train --out {run.path}`, or delete it"
                )

        def going() -> list[bool]:
            return [
                not over and not _is_done(now, config) and (until is None or now.epoch < until)
                for over, now, config in zip(ended, progress, configs, strict=True)
            ]

        for at, run in enumerate(runs):
            if ended[at]:
                yield MemberEnded(at, run, run.result)
        began, compile_s, held, members = time.perf_counter(), 0.0, None, None
        keeper, unsaved = Keeper(runs, mode=mode), set[int]()

        def save(which: Collection[int], *, all_members: bool) -> None:
            if members is not None:
                keeper.write({at: Kept(progress[at], members.state(held, at)) for at in which}, all_members=all_members)
            unsaved.difference_update(which)

        train, validation = (jax.device_put(tuple(split)) for split in (group.dataset.train, group.dataset.validation))
        if any(going()):
            chosen = group.choose(plan, train, told)
            parameters = sum(leaf.size for leaf in jax.tree.leaves(group.problem.params))
            yield Planned(tuple(range(len(runs))), chosen, parameters)
            members = group.members(chosen.plan)
            states = [
                course.begin() if resumption.step is None else run.restore(resumption.step, course.begin())
                for run, course, resumption in zip(runs, group.courses, found, strict=True)
            ]
            compiling = time.perf_counter()  # no step is taken: the call compiles
            held, _ = members.train(members.hold(states), train, group.orders([0] * len(runs)), start=0, count=0)
            jax.block_until_ready(held)
            compile_s = time.perf_counter() - compiling
        while True:
            for at in [at for at, now in enumerate(progress) if not ended[at] and _is_done(now, configs[at])]:
                ended[at] = True
                yield MemberEnded(at, runs[at], _finish(group, runs[at], at, time.perf_counter() - began, compile_s))
            on = going()
            if members is None or not any(on):
                return
            if stop():
                save(sorted(unsaved), all_members=True)
                return
            clock = time.perf_counter()
            epoch = min(now.epoch for now, is_on in zip(progress, on, strict=True) if is_on)
            active = [is_on and now.epoch == epoch for now, is_on in zip(progress, on, strict=True)]
            held, rows, failures = _epoch(group, members, held, train, validation, progress, active)
            seconds = time.perf_counter() - clock
            for at, row in rows.items():
                progress[at] = progress[at].after_epoch(row["validation"][group.problem.monitor], mode)
                times = {"epoch": epoch + 1, "step": row["step"], "seconds": seconds, "members": len(rows)}
                runs[at].record(row, times)
                keeper.note(at, progress[at], partial(members.state, held, at))
            for at in failures:
                keeper.write_best(at)
            unsaved.update(rows)
            due, still = keeper.is_due(), going()
            save([at for at in sorted(unsaved) if due or not still[at]], all_members=due)
            if rows:
                yield MembersEpoch(epoch + 1, rows, seconds)
            for at, failed in failures.items():
                ended[at] = True
                yield MemberEnded(at, runs[at], None, failed)


def _epoch(
    group: MemberPrograms,
    members: training.Members,
    held: Any,
    train: Any,
    validation: Any,
    progress: Sequence[training.Progress],
    active: Sequence[bool],
) -> tuple[Any, dict[int, dict[str, Any]], dict[int, str]]:
    """Train every active member for an epoch, and measure it: what is held, rows by member, and who failed."""
    course, epochs = group.course, [now.epoch for now in progress]
    orders, sums, bad = group.orders(epochs), {}, {}
    going = list(active)
    for start in range(0, course.steps, course.chunk):
        count = min(course.chunk, course.steps - start)
        held, metrics = members.train(held, train, orders, start=start, count=count, active=going)
        found = jax.device_get(metrics)
        first = found.pop("first_bad_step")
        for name, values in found.items():
            sums[name] = sums.get(name, 0.0) + np.asarray(values, float) * count / course.steps
        for at in [at for at, on in enumerate(going) if on and first[at] >= 0]:
            step = int(first[at]) - epochs[at] * course.steps + 1
            bad[at] = f"the loss of step {step} of epoch {epochs[at] + 1} is not finite"
            going[at] = False
        if not any(going):
            break
    measured = jax.device_get(members.evaluate(held, validation))
    rows = {}
    for at in [at for at, on in enumerate(going) if on]:
        if not math.isfinite(measured["loss"][at]):
            bad[at] = f"the validation loss of epoch {epochs[at] + 1} is not finite"
            continue
        step = (epochs[at] + 1) * course.steps
        rows[at] = {
            "epoch": epochs[at] + 1,
            "step": step,
            "lr": float(group.courses[at].schedule(step - 1)),
            "train": plain({name: values[at] for name, values in sums.items()}),
            "validation": plain({name: values[at] for name, values in measured.items()}),
        }
    return held, rows, bad


def _is_done(now: training.Progress, config: Config) -> bool:
    """Tell a member that has done all its epochs, or has given up."""
    return now.epoch >= config.epochs or now.has_given_up(config.patience)


def _finish(group: MemberPrograms, run: Run, at: int, seconds: float, compile_s: float) -> dict[str, Any]:
    """Measure what a member chose on the test set, as `fit` does, and write its result."""
    problem, step = group.problems[at], run.chosen_step()
    params, statistics = run.restore_network(step, problem.params, problem.statistics)
    values = {name: jnp.asarray(values[at]) for name, values in group.values.items()}
    split = tuple(group.dataset.splits["test"])
    measured = plain(jax.device_get(group.test(values, params, statistics, split)))
    where = {"split": "test", "examples": len(split[0]), "epoch": run.progress(step).epoch, "step": step}
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    cost = {"epochs": len(run.metrics()), "parameters": parameters, "compile_s": compile_s, "seconds": seconds}
    result = where | measured | {**cost, "members": len(group.configs)}
    run.finish(result)
    return result
