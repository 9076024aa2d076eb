"""Outputs and metrics of a whole split: compiled, and exact for any number of examples."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from jaxcnn.training.forward import Apply, Data, Metrics, Prepare, forward, identity
from jaxcnn.training.mesh import check_batch, constrain


def make_predict(
    apply: Apply, *, prepare: Prepare = identity, batch: int, dtype: str = "float32", mesh: Mesh | None = None
) -> jax.stages.Wrapped:
    """Build `predict(params, statistics, inputs) -> outputs`, one compiled program for a number of inputs.

    The last batch ends with the last example and overlaps the one before it, so that nothing is padded and
    every output is that of a real example. `training=False` reaches the network.

    On a mesh every device computes its share of each batch, and the outputs are gathered. The inputs are to lie whole
    on every device (`place(mesh, inputs, "data")`); where they are too few to share evenly, the last is repeated.

    Args:
        apply: The network, `apply(params, statistics, x, *, training, key) -> (outputs, statistics)`.
        prepare: Raw inputs to floats.
        batch: Examples computed at once; results depend on it by rounding only.
        dtype: What activations are computed in.
        mesh: The devices that share each batch, see `make_mesh`; None is one device.

    Returns:
        The jitted function; its outputs are float32, for all the inputs in their order.

    Raises:
        ValueError: A batch that is not positive or cannot be shared evenly; from the function, inputs without any
            example.

    Example:
        >>> import jax.numpy as jnp
        >>> predict = make_predict(lambda p, s, x, *, training, key: (x * p, s), batch=2)
        >>> predict(jnp.float32(10), {}, jnp.arange(5.0)).tolist()
        [0.0, 10.0, 20.0, 30.0, 40.0]
    """
    check_batch("batch", batch, mesh)
    network = forward(apply, prepare=prepare, dtype=dtype, mesh=mesh)
    devices = 1 if mesh is None else mesh.size

    @jax.jit
    def predict(params: Any, statistics: Any, inputs: Array) -> Any:
        n = inputs.shape[0]
        if n == 0:
            raise ValueError("expected at least one example to evaluate, got 0")
        size = min(batch, n + -n % devices)
        if size > n:
            inputs = jnp.take(inputs, jnp.arange(size), axis=0, mode="clip")
        starts = jnp.minimum(jnp.arange(0, n, size), len(inputs) - size)

        def one_batch(start: Array) -> Any:
            examples = constrain(mesh, jax.lax.dynamic_slice_in_dim(inputs, start, size), "batch")
            outputs = network(params, statistics, examples, training=False, key=None)[0]
            return constrain(mesh, outputs, "data")

        def joined(outputs: Array) -> Array:
            whole = outputs[:-1].reshape(-1, *outputs.shape[2:])
            return jnp.concatenate([whole, outputs[-1][len(whole) + size - n :]]) if size <= n else outputs[0][:n]

        return constrain(mesh, jax.tree.map(joined, jax.lax.map(one_batch, starts)), "data")

    return predict


def make_evaluate(
    apply: Apply,
    *,
    metrics: Metrics,
    prepare: Prepare = identity,
    batch: int,
    dtype: str = "float32",
    mesh: Mesh | None = None,
) -> jax.stages.Wrapped:
    """Build `evaluate(params, statistics, data) -> metrics`, one compiled program for a number of examples.

    The outputs of all examples are computed in batches; then each metric is applied once, to all of them. So
    a metric need not be a mean over examples (a weighted loss or a confusion matrix is exact too).

    Args:
        apply: The network, `apply(params, statistics, x, *, training, key) -> (outputs, statistics)`.
        metrics: Functions of (outputs, targets) by name.
        prepare: Raw inputs to floats.
        batch: Examples computed at once; results depend on it by rounding only.
        dtype: What activations are computed in.
        mesh: The devices that share each batch, see `make_predict`.

    Returns:
        The jitted function.

    Raises:
        ValueError: A batch that is not positive or cannot be shared evenly; from the function, data without any
            example.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxcnn import training
        >>> evaluate = make_evaluate(
        ...     lambda p, s, x, *, training, key: (x @ p, s), metrics={"accuracy": training.accuracy}, batch=2
        ... )
        >>> data = jnp.eye(3), jnp.array([0, 1, 1])
        >>> round(float(evaluate(jnp.eye(3), {}, data)["accuracy"]), 4)
        0.6667
    """
    predict = make_predict(apply, prepare=prepare, batch=batch, dtype=dtype, mesh=mesh)

    @jax.jit
    def evaluate(params: Any, statistics: Any, data: Data) -> dict[str, Array]:
        inputs, targets = data
        outputs = predict(params, statistics, inputs)
        return constrain(mesh, {name: metric(outputs, targets) for name, metric in metrics.items()}, "data")

    return evaluate
