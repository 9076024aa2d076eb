"""What layers give for an image: their maps, by name."""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax import Array

from jaxcnn.explain.opened import open_layers


def layers(fn: Callable[[Array], Array], x: Array | jax.ShapeDtypeStruct) -> dict[str, tuple[int, ...]]:
    """List the layers of a function, as `analysis.summarize` names them; nothing runs.

    Args:
        fn: A function of images that returns an entry for each.
        x: Images, `(images, *spatial, channels)`.

    Returns:
        Shapes of the layers' outputs, by name.

    Raises:
        TypeError: See `feature_maps`.
        ValueError: See `feature_maps`.

    Example:
        >>> layers(lambda x: jax.nn.relu(2 * x).mean((1, 2)), jax.ShapeDtypeStruct((1, 4, 4, 3), "float32"))
        {'mul1': (1, 4, 4, 3), 'relu1': (1, 4, 4, 3), 'global_avg_pool1': (1, 3)}
    """
    opened = open_layers(fn, x)
    return {name: opened.shape(number) for name, number in opened.places.items()}


def feature_maps(fn: Callable[[Array], Array], x: Array, layers: Sequence[str] | None = None) -> dict[str, Array]:
    """Compute what layers give, for any JAX function: it needs no hooks and no other return value.

    Args:
        fn: A function of images that returns an entry for each, such as `lambda x: fn(params, x)`.
        x: Images, `(images, *spatial, channels)`.
        layers: Names, as `layers` lists them; None is all.

    Returns:
        Outputs by name.

    Raises:
        TypeError: Images that are no floating-point array, or a result that is not one array.
        ValueError: A layer that there is not, or images without positions.

    Example:
        >>> import jax.numpy as jnp
        >>> maps = feature_maps(lambda x: jax.nn.relu(x - 1).sum((1, 2)), jnp.full((1, 2, 2, 1), 3.0), ["relu1"])
        >>> maps["relu1"].ravel().tolist()
        [2.0, 2.0, 2.0, 2.0]
    """
    opened = open_layers(fn, x)
    names = list(opened.places) if layers is None else list(layers)
    wanted = [opened.place(name) for name in names]
    run = jax.jit(lambda x, arrays: opened.values({opened.program.input: x}, arrays, wanted))
    return dict(zip(names, run(x, opened.arrays), strict=True))


def features(fn: Callable[[Array], Array], images: np.ndarray | Array, layer: str, *, batch: int = 256) -> np.ndarray:
    """Compute one layer's output for many images: the vectors that `nearest` compares.

    Args:
        fn: See `feature_maps`.
        images: `(images, *spatial, channels)`.
        layer: Its name.
        batch: Images at once.

    Returns:
        `(images, features)`, float32: all that the layer gives for an image, in one row.

    Raises:
        TypeError: See `feature_maps`.
        ValueError: See `feature_maps`; or a batch below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> features(lambda x: jax.nn.relu(x).sum((1, 2)), jnp.ones((5, 2, 2, 3)), "relu1", batch=2).shape
        (5, 12)
    """
    if batch < 1:
        raise ValueError(f"`batch` (={batch}) must be at least 1")
    size = min(batch, max(len(images), 1))
    opened = open_layers(fn, jax.ShapeDtypeStruct((size, *images.shape[1:]), images.dtype))
    wanted = [opened.place(layer)]
    run = jax.jit(lambda x, arrays: opened.values({opened.program.input: x}, arrays, wanted)[0])
    rows = []
    for start in range(0, len(images), size):
        part = np.asarray(images[start : start + size])
        missing = size - len(part)  # the last ones are filled up, so that one program serves all
        given = np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)]) if missing else part
        rows.append(np.asarray(run(given, opened.arrays), np.float32)[: len(part)].reshape(len(part), -1))
    return np.concatenate(rows) if rows else np.zeros((0, int(np.prod(opened.shape(wanted[0])[1:]))), np.float32)
