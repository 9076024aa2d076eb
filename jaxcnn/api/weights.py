"""A run's network as a file of weights, and such a file measured."""

import dataclasses
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import data as datasets
from jaxcnn import interop, nn
from jaxcnn.api.initial import arrays_of
from jaxcnn.api.problem import make_evaluate, plain, pose
from jaxcnn.config import Config, DataConfig, LossConfig, ModelConfig, unknown
from jaxcnn.data import Preprocessing
from jaxcnn.runs import Run

_MORE = 3  # names that a message tells, of many


def save_weights(run: Run | str | Path, path: str | Path) -> int:
    """Write the network that a run chose as a .safetensors file.

    Names are the layers' paths, layouts ours: kernels `(*window, in_channels // groups, out_channels)`. Beside them
    stand the model and its options, the classes, and how images are prepared: all that `evaluate_weights` needs.

    Args:
        run: The run, or its folder.
        path: The file, which there must not be yet.

    Returns:
        How many numbers it holds.

    Raises:
        ValueError: It is not a run, or has no checkpoint, or its model is not ours.
        FileExistsError: There is such a file.

    Example:
        >>> import tempfile
        >>> from jaxcnn.api import fit
        >>> folder = tempfile.mkdtemp()
        >>> run = fit("linear", "synthetic", Config(epochs=1), out=f"{folder}/run")
        >>> save_weights(run, f"{folder}/linear.safetensors")
        30730
        >>> evaluate_weights(f"{folder}/linear.safetensors", data="synthetic")["accuracy"] == run.result["accuracy"]
        True
    """
    run = run if isinstance(run, Run) else Run.open(run)
    config, facts = run.config, run.facts
    arrays = {name: np.asarray(array) for name, array in arrays_of(run).items()}
    told = {
        "model": dataclasses.asdict(config.model),
        "loss": dataclasses.asdict(config.loss),
        "views": config.views,
        "dtype": config.dtype,
        **{name: facts[name] for name in ("input_shape", "classes", "preprocessing")},
    }
    interop.write_weights(arrays, path, told)
    return sum(array.size for array in arrays.values())


def evaluate_weights(
    path: str | Path,
    *,
    data: datasets.Dataset | DataConfig | str,
    model: ModelConfig | str | None = None,
    split: str = "test",
) -> dict[str, Any]:
    """Measure the network whose weights a .safetensors file holds.

    Args:
        path: The file; names are the layers' paths, as `jaxcnn summary` lists them.
        data: Data of its classes. Where the file does not say how images are prepared, they are as training on these
            data would prepare them.
        model: The network; None where the file says it, as one of `save_weights` does.
        split: "test", "validation" or "train".

    Returns:
        `loss`, the metrics, `split` and `examples`.

    Raises:
        ValueError: No model, or one whose arrays are not those of the file, or data that do not fit it.
        FileNotFoundError: There is no such file.

    Example:
        >>> import tempfile
        >>> from jaxcnn import models
        >>> _, params, _ = nn.split(models.create("linear", num_classes=10, input_shape=(32, 32, 3), rngs=0))
        >>> file = f"{tempfile.mkdtemp()}/drawn.safetensors"
        >>> interop.write_weights({nn.path_of(keys): leaf for keys, leaf in jax.tree.leaves_with_path(params)}, file)
        >>> evaluate_weights(file, data="synthetic", model="linear")["accuracy"] < 0.5
        True
    """
    arrays, facts = interop.read_weights(path)
    config, preprocessing = _told(path, facts, model)
    dataset = datasets.load(data) if not isinstance(data, datasets.Dataset) else data
    if split not in dataset.splits:
        raise ValueError(unknown("split", split, dataset.splits))
    classes = list(facts.get("classes", dataset.classes))
    if classes != list(dataset.classes):
        raise ValueError(
            f"{dataset.name} does not fit {path}: its classes are {shortened(dataset.classes)}, expected "
            f"{shortened(tuple(classes))}"
        )
    if preprocessing is not None:
        dataset = dataclasses.replace(dataset, preprocessing=preprocessing)
    problem = pose(config, dataset, config.model.name, None, None, facts.get("input_shape"))
    params, statistics = _placed(path, config.model.name, arrays, (problem.params, problem.statistics))
    evaluate = make_evaluate(config, dataset, problem, problem.metrics | problem.details, None)
    examples = dataset.splits[split]
    measured = plain(jax.device_get(evaluate(params, statistics, jax.tree.map(jnp.asarray, tuple(examples)))))
    return {"split": split, "examples": len(examples.targets), **measured}


def _told(path: str | Path, facts: dict[str, Any], model: ModelConfig | str | None) -> tuple[Config, Any]:
    """Return what a file and its user say of its network, and how it takes images."""
    if model is None and "model" not in facts:
        raise ValueError(f"{path} does not say what network it is of: name the `model`")
    try:
        if model is None:
            model = ModelConfig(**facts["model"])
        elif isinstance(model, str):
            model = ModelConfig(model)
        kept = {name: facts[name] for name in ("views", "dtype") if name in facts}
        config = Config(model=model, loss=LossConfig(**facts.get("loss", {})), **kept)
        preprocessing = Preprocessing(**facts["preprocessing"]) if "preprocessing" in facts else None
    except TypeError as error:
        raise ValueError(f"{path} says of its network what this jaxcnn does not know: {error}") from error
    return config, preprocessing


def _placed(path: str | Path, model: str, arrays: dict[str, Any], trees: tuple[Any, Any]) -> tuple[Any, Any]:
    """Put a file's arrays in the place of a network's own: all of them, and no others."""
    own = {nn.path_of(keys): leaf for tree in trees for keys, leaf in jax.tree.leaves_with_path(tree)}
    problems = [f"it has no {_listed(lacking)}"] if (lacking := sorted(own.keys() - arrays.keys())) else []
    if left := sorted(arrays.keys() - own.keys()):
        problems.append(f"it has {_listed(left)}, which the network has not")
    problems += [
        f"{name} is {np.shape(arrays[name])} there, {leaf.shape} here"
        for name, leaf in own.items()
        if name in arrays and np.shape(arrays[name]) != leaf.shape
    ][:_MORE]
    problems += [
        f"{name} is {array.dtype}, expected floats"
        for name, array in arrays.items()
        if not jnp.issubdtype(array.dtype, jnp.floating)
    ][:_MORE]
    if problems:
        raise ValueError(f"{path} does not fit {model}: {'; '.join(problems)}")

    def place(keys: Any, leaf: Any) -> Any:
        return jnp.asarray(arrays[nn.path_of(keys)], leaf.dtype)

    params, statistics = (jax.tree.map_with_path(place, tree) for tree in trees)
    return params, statistics


def _listed(names: list[str]) -> str:
    more = len(names) - _MORE
    return ", ".join(names[:_MORE]) + (f" and {more} more" if more > 0 else "")
