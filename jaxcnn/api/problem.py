"""What is to be learned, by which network: a config, data and a user's own functions brought together."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxcnn import data as datasets
from jaxcnn import models, nn, training
from jaxcnn.config import Config, DataConfig, ModelConfig
from jaxcnn.runs import Run, score_name
from jaxcnn.training.whitening import MOST_IMAGES

Measure = Callable[[Any, Any], Any]
"""A loss or a metric: a pure function of (outputs, targets)."""
Augment = Callable[[jax.Array, jax.Array], jax.Array]
"""A pure function of (key, raw inputs)."""


DENSE_METRICS = {
    "detection": ("f1", training.detection_f1),
    "instances": ("panoptic_quality", training.panoptic_quality),
}
"""What is measured where a loss is of maps of things."""


class Problem(NamedTuple):
    """A network, a loss, and what is measured."""

    apply: Callable[..., Any]
    params: Any
    statistics: Any
    frozen: Any
    """Booleans: which of the parameters training leaves as they are."""
    loss: Measure
    metrics: dict[str, Measure]
    """Scalars, measured on every batch and on the validation set."""
    details: dict[str, Measure]
    """Measured beside them at the end."""
    monitor: str
    """The metric whose validation value chooses the best epoch."""


def pose(
    config: Config,
    dataset: datasets.Dataset,
    model: nn.Module | str,
    loss: Measure | None,
    metrics: dict[str, Measure] | None,
    input_shape: Sequence[int] | None = None,
) -> Problem:
    """Put the defaults where the user gave nothing, and take the network apart.

    A network that was made for inputs of another shape than the data's is made for these: `input_shape`.
    """
    targets, classes = dataset.train.targets, len(dataset.classes)
    details: dict[str, Measure] = {}
    dense = config.loss.name in training.DENSE
    if loss is None and dense != dataset.things:
        kind = "maps of things" if dataset.things else "no maps of things, as those of the data scenes:digits are"
        fitting = ", ".join(training.DENSE) if dataset.things else "cross_entropy"
        raise ValueError(
            f"`loss.name` (={config.loss.name!r}) does not fit {dataset.name}, whose targets are {kind}: take {fitting}"
        )
    if loss is None:
        if not classes:
            raise ValueError(f"{dataset.name} has no classes, so that it needs a `loss` of your own")
        if dataset.things:  # those of the split with the fullest image: none is left out
            targets = max((split.targets for split in dataset.splits.values()), key=np.max)
        loss = training.make_loss(config.loss, targets, classes)
        if metrics is None and dense:
            name, metric = DENSE_METRICS[config.loss.name]
            most = training.most_things(targets, classes)
            metrics = {name: partial(metric, classes=classes, most=most)}
        elif metrics is None and config.loss.name == "multi_label":
            metrics = {"accuracy": training.label_accuracy}
        elif metrics is None:
            metrics = {"accuracy": training.accuracy}
            if targets.ndim == 2:  # rows of labels, such as sentences
                metrics["exact_match"] = training.exact_match
            details = {"per_class_accuracy": training.per_class_accuracy}
    metrics = dict(metrics or {})
    outputs = training.output_channels(config.loss, classes) if classes else math.prod(targets.shape[1:])
    shape = dataset.input_shape if input_shape is None else input_shape
    module = make_module(config, None if isinstance(model, str) else model, shape, outputs)
    nn.freeze(module, config.freeze)
    apply, params, statistics = nn.split(module)
    apply = training.with_views(apply, config.views)
    if config.whiten is not None:
        params = _whitened(params, config.whiten, dataset)
    frozen = nn.select(params, config.freeze)
    if all(jax.tree.leaves(frozen)):
        raise ValueError(f"`freeze` (={' '.join(config.freeze)}) leaves no parameter to train")
    if details:
        x = jax.ShapeDtypeStruct((1, *dataset.input_shape), config.dtype)
        shape = jax.tree.map(jnp.shape, jax.eval_shape(partial(apply, training=False), params, statistics, x)[0])
        if shape != (1, *targets.shape[1:], classes):
            told = "the loss multi_label is for several labels an image, and argmax makes one of them a class"
            raise ValueError(
                f"`model` gives outputs of shape {shape} for one image; expected {(1, *targets.shape[1:], classes)} "
                f"logits, for targets of shape {targets.shape}" + (f": {told}" if targets.ndim == 2 else "")
            )
    monitor = score_name(metrics) or "loss"
    return Problem(apply, params, statistics, frozen, loss, metrics, details, monitor)


def _whitened(params: Any, layer: str, dataset: datasets.Dataset) -> Any:
    """Return parameters with the kernel of one layer drawn from the training images."""
    chosen = nn.select(params, [f"{layer}/kernel"])
    if sum(jax.tree.leaves(chosen)) != 1:
        raise ValueError(f"`whiten` (={layer!r}) must name one layer with a kernel")
    images = np.asarray(dataset.preprocessing(dataset.train.inputs[:MOST_IMAGES]))
    return jax.tree.map(
        lambda is_it, leaf: jnp.asarray(training.whitening_kernel(images, leaf.shape), leaf.dtype) if is_it else leaf,
        chosen, params,
    )  # fmt: skip


def make_module(config: Config, model: nn.Module | None, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Return the user's own module, or create the one that the config names."""
    if model is not None:
        return model
    if ":" in config.model.name:
        raise ValueError(f"the run's model {config.model.name} is not jaxcnn's: pass it in Python, as `model=`")
    options = config.model.options()
    return models.create(
        config.model.name, num_classes=outputs, input_shape=tuple(input_shape), rngs=config.seed, **options
    )


def settled(config: Config, model: nn.Module | str, data: datasets.Dataset | DataConfig | str) -> Config:
    """Write the model and the data that were given into the config, for the record, and check all three."""
    if not isinstance(config, Config):
        raise TypeError(f"`config` is {_kind(config)}; expected a jaxcnn.config.Config, such as Config(epochs=3)")
    if not isinstance(model, nn.Module | str):
        raise TypeError(
            f"`model` is {_kind(model)}; expected a registered name (see jaxcnn.models.available()) or an instance of "
            "a jaxcnn.nn.Module"
        )
    if not isinstance(data, datasets.Dataset | DataConfig | str):
        raise TypeError(
            f"`data` is {_kind(data)}; expected a name, a DataConfig, or a data set, which "
            "jaxcnn.data.from_arrays((inputs, targets)) makes of arrays"
        )
    _check_values(config)
    if isinstance(model, str):
        config = replace(config, model=replace(config.model, name=model))
    else:
        config = replace(config, model=ModelConfig(f"{type(model).__module__}:{type(model).__qualname__}"))
    if isinstance(data, DataConfig):
        return replace(config, data=data)
    name = data if isinstance(data, str) else data.name
    return replace(config, data=replace(config.data, name=name))


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"


def _check_values(config: Config) -> None:
    for name in ("epochs", "batch", "eval_batch", "chunk"):
        size = getattr(config, name)
        if type(size) is not int or size < 1:
            raise ValueError(f"`{name}` (={size!r}) must be at least 1, and whole")
    for name, least in (("save_every", 1), ("keep_last", 1), ("keep_best", 0)):
        size = getattr(config, name)
        if size is not None and (type(size) is not int or size < least):
            raise ValueError(f"`{name}` (={size!r}) must be at least {least}, and whole")
    if config.fresh and config.init is None:
        raise ValueError(
            f"`fresh` (={' '.join(config.fresh)}) draws anew what `init` gives: name a run or a file there"
        )
    if config.data.memory is not None and not 0 < config.data.memory < math.inf:
        raise ValueError(f"`data.memory` (={config.data.memory}) must be a positive number of megabytes")
    if type(config.seed) is not int or not 0 <= config.seed < 2**32:
        raise ValueError(f"`seed` (={config.seed!r}) must be a whole number from 0 to 2**32 - 1")
    for name, hint in get_type_hints(Config).items():
        value = getattr(config, name)
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise ValueError(f"`{name}` (={value!r}) must be one of {', '.join(get_args(hint))}")


def make_evaluate(
    config: Config, dataset: datasets.Dataset, problem: Problem, metrics: dict[str, Measure], mesh: Mesh | None
) -> Any:
    """Build the one program that measures, for validation, test and `jaxcnn evaluate` alike."""
    return training.make_evaluate(
        problem.apply, metrics={"loss": problem.loss, **metrics}, prepare=dataset.preprocessing,
        batch=config.eval_batch, dtype=config.dtype, mesh=mesh,
    )  # fmt: skip


def chosen(run: Run, problem: Problem, mesh: Mesh | None = None) -> tuple[int, Any, Any]:
    """Return the step, the parameters and the statistics of the checkpoint that a run chose, as it is on disk."""
    step = run.chosen_step()
    target = training.place(mesh, (problem.params, problem.statistics), "state")
    return step, *run.restore_network(step, *target)


def measure(
    run: Run,
    dataset: datasets.Dataset,
    problem: Problem,
    split: str,
    network: tuple[int, Any, Any],
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Evaluate what a run has `chosen`, on any devices."""
    step, params, statistics = network
    evaluate = make_evaluate(run.config, dataset, problem, problem.metrics | problem.details, mesh)
    data = training.place(mesh, tuple(dataset.splits[split]), "data")
    measured = plain(jax.device_get(evaluate(params, statistics, data)))
    where = {"split": split, "examples": len(data[0]), "epoch": run.progress(step).epoch, "step": step}
    return where | measured


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return metrics as JSON can hold them."""
    return {name: np.asarray(value).tolist() for name, value in values.items()}
