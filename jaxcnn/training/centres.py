"""Maps of centres: what they are to be, and their loss.

Reference: Law and Deng, CornerNet, 2018 (the loss); Zhou, Wang and Krähenbühl, Objects as Points, 2019.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int


def draw_centres(
    there: Bool[Array, "*batch most"],
    label: Int[Array, "*batch most"],
    cell: Float[Array, "*batch most 2"],
    spread: Float[Array, "*batch most 2"],
    *,
    sizes: tuple[int, int],
    classes: int,
) -> Float[Array, "*batch rows columns classes"]:
    """Draw a bump at each thing's cell: 1 there, and falling off as a normal density.

    Args:
        there: Which things there are.
        label: Their classes.
        cell: Row and column, whole numbers.
        spread: Standard deviations down and across, in cells.
        sizes: Rows and columns of the map.
        classes: Number of classes, each of which has a map.

    Returns:
        The highest bump at every cell.

    Example:
        >>> there, label, cell = jnp.array([True]), jnp.array([0]), jnp.array([[1., 2.]])
        >>> draw_centres(there, label, cell, jnp.ones((1, 2)), sizes=(2, 4), classes=1)[1, :, 0].round(2).tolist()
        [0.14..., 0.61..., 1.0, 0.61...]
    """
    rows, columns = (
        jnp.exp(-0.5 * jnp.square((jnp.arange(size) - cell[..., axis, None]) / spread[..., axis, None]))
        for axis, size in enumerate(sizes)
    )

    def draw(bump: Array, thing: tuple[Array, ...]) -> tuple[Array, None]:
        is_there, of, row, column = thing
        one = jnp.where(is_there, 1.0, 0.0)[..., None, None] * row[..., :, None] * column[..., None, :]
        return jnp.maximum(bump, one[..., None] * jax.nn.one_hot(of, classes)[..., None, None, :]), None

    # One thing after another: all at once would be `most` times the maps.
    each = tuple(jnp.moveaxis(x, there.ndim - 1, 0) for x in (there, label, rows, columns))
    bump, _ = lax.scan(draw, jnp.zeros((*there.shape[:-1], *sizes, classes)), each)
    return bump


def centre_loss(logits: Float[Array, "*shape"], bump: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Return the focal loss of centres, which forgives cells near one.

    With p the probability of a centre and b the bump, `-(1 - p)^2 log p` where b is 1, `-(1 - b)^4 p^2 log(1 - p)`
    elsewhere.

    Args:
        logits: For each class that a centre is here.
        bump: Of `draw_centres`.

    Returns:
        The sum.

    Example:
        >>> round(float(centre_loss(jnp.array([0., 20.]), jnp.array([0., 1.]))), 4)
        0.1733
    """
    log_p, log_q = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    return -jnp.where(bump == 1, jnp.exp(2 * log_q) * log_p, (1 - bump) ** 4 * jnp.exp(2 * log_p) * log_q).sum()
