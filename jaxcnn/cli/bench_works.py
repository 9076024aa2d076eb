"""What `jaxcnn bench` measures, made of its arguments, in groups that are measured in turns."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcnn.cli import targets
from jaxcnn.cli.output import console
from jaxcnn.config import unknown

if TYPE_CHECKING:
    from jaxcnn.benchmark import Peak, Training
    from jaxcnn.cli.bench import Arguments

GROWING = ("batch", "width", "depth", "side", "members")
TURN_OF_PEERS = 0.1
"""Seconds that a measurement takes at least where processes take turns: what asking costs is little of it."""


def measured(arguments: "Arguments") -> Iterator[list[dict[str, Any]]]:
    """Measure what was asked for, a group at a time, and tell what is going on meanwhile."""
    import jax

    from jaxcnn import benchmark, lowering

    _prepare(arguments)
    lowering.enable(arguments.lowering)
    told = console(stderr=True)
    if arguments.work == "startup":

        def turn(number: int, turns: int) -> None:
            told.print(f"{number}/{turns}  five processes, one after another", style="dim")

        yield benchmark.measure_startup(told=turn)
        return
    if arguments.work == "peak":
        dtypes = ("float32", "bfloat16") if arguments.dtype == "float32" else (arguments.dtype,)
        yield benchmark.measure_peak(dtypes, seconds=arguments.seconds)[1]
        return
    if arguments.peers is not None:
        yield _beside_peers(arguments)
        return
    groups = _groups(arguments)
    if not groups:
        raise ValueError(f"--only (={arguments.only!r}): no case of `bench {arguments.work}` has this in its name")
    peak: Peak | None = None
    if arguments.roofline:
        told.print("measuring the device's peaks", style="dim")
        peak = benchmark.measure_peak((arguments.dtype,), seconds=min(arguments.seconds, 1.0))[0]
    for number, works in enumerate(groups, 1):
        told.print(f"{number}/{len(groups)}  {', '.join(works)}", style="dim")
        found = benchmark.run(works, seconds=arguments.seconds, peak=peak, seed=arguments.seed)
        yield found if jax.process_index() == 0 else []


def sizes(text: str) -> tuple[str, list[int]]:
    """Read a size and its values."""
    name, _, values = text.partition("=")
    if name not in GROWING:
        raise ValueError(unknown("size of --growth", name, GROWING))
    return name, different(f"--growth (={text!r})", values, f"{name}=8,16,32")


def different(flag: str, text: str, example: str) -> list[int]:
    """Read two different whole numbers or more."""
    numbers = [part.strip() for part in text.split(",")]
    if len(set(numbers)) < 2 or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in numbers):
        raise ValueError(f"{flag} must be at least two whole numbers, positive and different, such as {example}")
    return sorted({int(part) for part in numbers})


def peers(arguments: "Arguments") -> dict[str, Path]:
    """Find the interpreter of every peer that was asked for."""
    from jaxcnn import benchmark

    known = list(benchmark.PEERS)
    names = known if arguments.peers == "all" else [part.strip() for part in str(arguments.peers).split(",")]
    for name in names:
        if name not in known:
            raise ValueError(unknown("peer", name, (*known, "all")))
    return {name: benchmark.find_python(name, environments(arguments)) for name in dict.fromkeys(names)}


def environments(arguments: "Arguments") -> Path:
    """Return the folder of the peers' environments."""
    from jaxcnn.data.cache import root

    return Path(arguments.environments) if arguments.environments else root() / "peers"


def _prepare(arguments: "Arguments") -> None:
    """Set what must be set before a backend starts."""
    import jax

    if arguments.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    if arguments.work == "scale":
        from jaxcnn.training import distributed

        if distributed.initialize(arguments.coordinator, arguments.processes, arguments.process) > 1:
            return
        with contextlib.suppress(RuntimeError):  # a backend runs already, with the devices that it has
            jax.config.update("jax_num_cpu_devices", max(_counts(arguments)))


def _groups(arguments: "Arguments") -> list[dict[str, Any]]:
    """Return the works, those together that are measured in turns and compared."""
    from jaxcnn import benchmark

    if arguments.work in ("conv", "pool"):
        make = benchmark.convolutions if arguments.work == "conv" else benchmark.pools
        works = make(arguments.batch or 32, arguments.dtype, seed=arguments.seed, only=arguments.only)
        return [{name: work} for name, work in works.items()]
    if arguments.work == "data":
        return [benchmark.feeding(targets.shape(arguments.input), batch=arguments.batch or 128, seed=arguments.seed)]
    if arguments.work == "scale":
        return [_scaling(arguments)]
    if arguments.growth is None:
        return [_network_works(arguments)]
    name, values = sizes(arguments.growth)
    return [_network_works(arguments, growth=name, **{name: size}) for size in values]


def _network(
    arguments: "Arguments", *, side: int | None = None, batch: int | None = None, **changed: int
) -> tuple[Any, dict[str, Any], tuple[int, ...], int]:
    """Return a model, what tells it from others, the shape of its images, and how many there are in a batch."""
    from jaxcnn import models

    shape = targets.shape(arguments.input)
    shape = shape if side is None else (*(side for _ in shape[:-1]), shape[-1])
    options = {**arguments.model.options(), **changed}
    assert arguments.network is not None
    module = models.create(arguments.network, num_classes=10, input_shape=shape, rngs=arguments.seed, **options)
    return module, {"model": arguments.network, **options}, shape, batch or arguments.batch or 128


def _training(arguments: "Arguments", *, devices: int | None = None, **changed: int) -> "Training":
    from jaxcnn import benchmark, training

    module, facts, shape, batch = _network(arguments, **changed)
    mesh = None
    if devices is not None:
        import jax

        mesh, facts = training.make_mesh(f"data={devices}"), {**facts, "devices": devices}
        if jax.process_count() > 1:
            facts["processes"] = jax.process_count()
        batch *= devices if arguments.weak else 1
    options = {} if arguments.steps is None else {"steps": arguments.steps}
    return benchmark.Training(
        module, facts, shape, classes=10, batch=batch, dtype=arguments.dtype, mesh=mesh, **options
    )


def _network_works(
    arguments: "Arguments", *, growth: str | None = None, members: int | None = None, **changed: int
) -> dict[str, Any]:
    """Return what is measured of a model, at one size."""
    from dataclasses import replace

    from jaxcnn import benchmark

    if arguments.work == "infer":
        module, facts, shape, batch = _network(arguments, **changed)
        works = {"infer": benchmark.inference(module, facts, shape, batch=batch, dtype=arguments.dtype)}
    else:
        setting = _training(arguments, **changed)
        if arguments.work == "train":
            works = {"train": setting.scan()}
        elif arguments.work == "ensemble":
            works = setting.ensemble(members or arguments.members)
            works = works if growth is None else {"vmap": works["vmap"]}
        else:
            works = {"scan": setting.scan("epoch"), "loop": setting.loop(), "nnx.jit": setting.nnx_jit()}
    return {name: replace(work, growth=growth) for name, work in works.items()}


def _counts(arguments: "Arguments") -> list[int]:
    """Return how many devices are to share a batch."""
    return different("--devices", arguments.devices or "1,2,4,8", "1,2,4")


def _scaling(arguments: "Arguments") -> dict[str, Any]:
    """Return the same training on more and more devices; on all of them, where several processes share them."""
    import jax

    counts = _counts(arguments)
    if jax.process_count() > 1:
        if arguments.devices is not None:
            raise ValueError("--devices is for one process: several take all their devices")
        counts = [jax.device_count()]
    elif arguments.devices is None:
        counts = [count for count in counts if count <= jax.device_count()]
    batch, least = arguments.batch or 128, math.lcm(*counts)
    if not arguments.weak and batch % least:
        raise ValueError(
            f"--batch (={batch}) must be divisible by every number of devices, {', '.join(map(str, counts))}: take "
            f"{least * max(1, batch // least)}, or --weak for {batch} images on every device"
        )
    cores = os.cpu_count() or 1
    if jax.devices()[0].platform == "cpu" and max(counts) > cores:
        told = f"note: this machine's {cores} cores are divided into as many as {max(counts)} devices: none is added"
        console(stderr=True).print(told, style="yellow")
    return {
        f"{count} device{'s' if count > 1 else ''}": _training(arguments, devices=count).scan("scale")
        for count in counts
    }


def _beside_peers(arguments: "Arguments") -> list[dict[str, Any]]:
    """Measure a model here and in other libraries, in turns."""
    from jaxcnn import benchmark

    pythons, told = peers(arguments), console(stderr=True)
    setting = _training(arguments)
    if arguments.work == "train":
        ours, steps = setting.scan(), setting.steps
    else:
        module, facts, shape, batch = _network(arguments)
        ours, steps = benchmark.inference(module, facts, shape, batch=batch, dtype=arguments.dtype), None

    def starting(name: str) -> None:
        told.print(f"starting {benchmark.PEERS[name].title}, with the same parameters", style="dim")

    with benchmark.running(list(pythons), pythons, setting, told=starting) as processes:
        told.print(f"measuring in turns: jaxcnn, {', '.join(processes)}", style="dim")
        works = {"jaxcnn": ours, **benchmark.peer_works(processes, ours, steps=steps)}
        return benchmark.run(works, seconds=arguments.seconds, shortest=TURN_OF_PEERS, seed=arguments.seed)
