"""Where numbers stop being finite: the steps up to it are taken again, and the last one is run layer by layer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import training
from jaxcnn.api.course import Course
from jaxcnn.equivariance.program import program
from jaxcnn.equivariance.rows import rows_of


def locate(error: training.NonFiniteLossError, state: training.TrainState, course: Course) -> str:
    """Find what was the first not to be finite.

    Args:
        error: What a run ended with.
        state: Of a checkpoint before that; it is donated.
        course: What steps are taken with.

    Returns:
        A few words: a parameter, the images, a layer of the network, or the loss.
    """
    images, config = course.dataset.train.inputs, course.config
    goal = (error.epoch - 1) * course.steps + (course.steps if error.step is None else error.step - 1)
    order = jnp.zeros(0, jnp.int32)
    while True:
        done = int(state.step)
        epoch, start = divmod(done, course.steps)
        order = course.order(state.key, epoch)
        if done >= goal:
            break
        end = min(course.steps, start + course.chunk, start + goal - done)
        for data, examples, first in course.feed(order, [(start, end)]):
            state, _ = course.train_steps(state, data, examples, start=first, count=end - start)
    for name, tree in (("parameter", state.evaluated), ("statistic", state.statistics)):
        for path, leaf in jax.tree.leaves_with_path(tree):
            if not _finite(leaf):
                return f"the {name} {_path(path)}, after the step before it"
    if error.step is None:
        return _on_validation(state, course)
    index = order[start * config.batch : (start + 1) * config.batch]
    batch = jnp.asarray(images[np.asarray(index)])
    augment_key, key = jax.random.split(jax.random.fold_in(state.key, state.step))
    if course.augment is not None:
        targets = jnp.asarray(course.dataset.train.targets[np.asarray(index)])
        batch = course.augment(augment_key, training.Batch(batch, targets, index, jnp.int32(epoch))).inputs
    if not _finite(batch):
        return "the images of its batch"
    return first_layer(lambda x: course.network(state.params, state.statistics, x, training=True, key=key)[0], batch)


def _on_validation(state: training.TrainState, course: Course) -> str:
    def outputs(x: jax.Array) -> Any:
        return course.network(state.evaluated, state.statistics, x, training=False, key=None)[0]

    quick, validation, size = jax.jit(outputs), course.dataset.validation.inputs, course.config.eval_batch
    for start in range(0, len(validation), size):
        images = jnp.asarray(validation[start : start + size])
        if not _finite(images):
            return f"the validation images from the {start}th on"
        if not _finite(quick(images)):
            return first_layer(outputs, images)
    return "the loss itself"


def first_layer(fn: Callable[[Any], Any], x: jax.Array) -> str:
    """Name the first layer of a network whose output is not finite.

    Args:
        fn: The network.
        x: A batch of inputs.

    Returns:
        Its name, operation and output shape; `the loss itself` where all outputs are finite.

    Example:
        >>> first_layer(lambda x: jnp.tanh(jnp.log(x)), jnp.zeros((2, 4, 4, 1)))
        'layer log1 (log, output 2x4x4x1)'
    """
    listed = program(fn, x)
    rows = rows_of(listed, x.ndim - 2)
    for row, output in zip(rows, listed.run(x, [row.output for row in rows]), strict=True):
        if not _finite(output):
            return f"layer {row.name} ({row.op}, output {'x'.join(map(str, output.shape))})"
    return "the loss itself"


def _finite(tree: Any) -> bool:
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]
    return all(bool(jnp.isfinite(leaf).all()) for leaf in floats)


def _path(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
