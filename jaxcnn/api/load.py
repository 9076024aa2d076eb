"""From a run's folder back to its network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxcnn import data as datasets
from jaxcnn import nn, training
from jaxcnn.api.problem import Measure, chosen, make_module, measure, pose
from jaxcnn.config import DataConfig, unknown
from jaxcnn.runs import Run


class Loaded(NamedTuple):
    """A trained network.

    Example:
        >>> Loaded(lambda params, x: params * x, 2.0, lambda x: x / 255, ("cat", "dog")).classes
        ('cat', 'dog')
    """

    fn: Callable[[Any, jax.Array], Any]
    """`fn(params, inputs) -> outputs`, pure, in evaluation mode."""
    params: Any
    """Its parameters, nested dicts of arrays."""
    preprocessing: Callable[[Any], Any]
    """Stored images, such as bytes, to the inputs that the network was trained on."""
    classes: tuple[str, ...]
    """Names of the outputs; empty where they are no classes."""


def load(run: Run | str | Path, *, model: nn.Module | None = None) -> Loaded:
    """Load the network that a run chose.

    Args:
        run: The run, or its folder.
        model: A module of the same structure, where the run trained one of your own; its values do not matter.

    Returns:
        `(fn, params, preprocessing, classes)`, with `fn(params, preprocessing(images))` the logits of a classifier.

    Raises:
        ValueError: It is not a run, it has no checkpoint, or `model` does not fit it.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> from jaxcnn.api import fit
        >>> from jaxcnn.config import Config
        >>> run = fit("linear", "synthetic", Config(epochs=1), out=tempfile.mkdtemp())
        >>> fn, params, preprocessing, classes = load(run)
        >>> fn(params, preprocessing(jnp.zeros((5, 32, 32, 3), "uint8"))).shape, len(classes)
        ((5, 10), 10)
    """
    run = run if isinstance(run, Run) else Run.open(run)
    facts = run.facts
    outputs = training.output_channels(run.config.loss, len(facts["classes"]))
    module = make_module(run.config, model, facts["input_shape"], outputs)
    apply, params, statistics = nn.split(module)
    params, statistics = run.restore_network(run.chosen_step(), params, statistics)

    def fn(params: Any, x: jax.Array) -> Any:
        return apply(params, statistics, jnp.asarray(x), training=False)[0]

    return Loaded(fn, params, run.preprocessing, tuple(facts["classes"]))


def evaluated(run: Run | str | Path, *, model: nn.Module | None = None) -> Callable[[Any], Any]:
    """Return what a run's evaluation computes from images: prepared, and averaged over the views that it asks for.

    Args:
        run: The run, or its folder.
        model: As of `load`.

    Returns:
        A pure function from `(examples, *input_shape)`, prepared images, to the network's outputs, in float32.

    Raises:
        ValueError: See `load`.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> from jaxcnn.api import fit
        >>> from jaxcnn.config import Config
        >>> outputs = evaluated(fit("linear", "synthetic", Config(epochs=1), out=tempfile.mkdtemp()))
        >>> outputs(jnp.zeros((5, 32, 32, 3))).shape
        (5, 10)
    """
    run = run if isinstance(run, Run) else Run.open(run)
    loaded = load(run, model=model)
    apply = training.with_views(
        lambda params, statistics, x, *, training, key=None: (loaded.fn(params, x), statistics), run.config.views
    )
    return lambda x: apply(loaded.params, {}, x, training=False, key=None)[0]


def evaluate(
    run: Run | str | Path,
    *,
    split: str = "test",
    model: nn.Module | None = None,
    data: datasets.Dataset | None = None,
    on: datasets.Dataset | DataConfig | str | None = None,
    loss: Measure | None = None,
    metrics: dict[str, Measure] | None = None,
) -> dict[str, Any]:
    """Measure the network that a run chose, by the very program that measured it when training ended.

    Or measure it `on` other images of the same classes, which are prepared as those that it was trained on: of another
    size, where the network is fully convolutional; of another source.

    Args:
        run: The run, or its folder.
        split: "test", "validation" or "train".
        model: The module, where the run trained one of your own.
        data: The data set, where it was one of your own.
        on: Another data set, or its name, in the place of the run's own.
        loss: The loss, where it was one of your own.
        metrics: The metrics, where they were your own.

    Returns:
        `loss`, the metrics, `split`, `examples`, and the `epoch` and `step` of the parameters.

    Raises:
        ValueError: It is not a run, it has no checkpoint, or what was given does not fit it.

    Example:
        >>> import tempfile
        >>> from jaxcnn.api import fit
        >>> from jaxcnn.config import Config
        >>> run = fit("linear", "synthetic", Config(epochs=1), out=tempfile.mkdtemp())
        >>> evaluate(run)["accuracy"] == run.result["accuracy"]
        True
    """
    run = run if isinstance(run, Run) else Run.open(run)
    config = run.config
    if on is None and data is None and config.data.name.partition(":")[0] not in datasets.available():
        raise ValueError(
            f"the run was trained on data of your own ({config.data.name}): pass them in Python, as `data=`"
        )
    if on is None:
        dataset = data or datasets.load(config.data)
        run.check_data(datasets.describe(dataset))
    else:
        dataset = _of_the_kind(run, on if isinstance(on, datasets.Dataset) else datasets.load(on))
    if split not in dataset.splits:
        raise ValueError(unknown("split", split, dataset.splits))
    own_shape = tuple(run.facts["input_shape"])
    try:
        problem = pose(config, dataset, model or config.model.name, loss, metrics, own_shape)
    except ValueError as error:
        if own_shape == dataset.input_shape:
            raise
        raise ValueError(
            f"{dataset.name} does not fit {run.path}: its inputs are {dataset.input_shape}, and a network that was "
            f"trained on {own_shape} takes no others: {error}"
        ) from error
    return measure(run, dataset, problem, split, chosen(run, problem))


def _of_the_kind(run: Run, dataset: datasets.Dataset) -> datasets.Dataset:
    """Return other data, prepared as a run's own, if its network can be measured on them."""
    facts, kinds = run.facts, ("no maps of things", "maps of things")
    for what, own, other in (
        ("classes", tuple(facts["classes"]), tuple(dataset.classes)),
        ("spatial axes", len(facts["input_shape"]) - 1, len(dataset.input_shape) - 1),
        ("channels", facts["input_shape"][-1], dataset.input_shape[-1]),
        ("targets", kinds[run.config.loss.name in training.DENSE], kinds[dataset.things]),
    ):
        if own != other:
            raise ValueError(
                f"{dataset.name} does not fit {run.path}: its {what} are {shortened(other)}, expected {shortened(own)}"
            )
    return replace(dataset, preprocessing=run.preprocessing)
