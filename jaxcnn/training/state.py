"""All that a training run carries from one step to the next."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """The state of training: an immutable pytree that steps take and return.

    Example:
        >>> import jax, optax
        >>> from jaxcnn import training
        >>> params = {"kernel": jax.numpy.ones((4, 2))}
        >>> state = training.create_state(params, {}, optax.adam(1e-3), jax.random.key(0))
        >>> int(state.step)
        0
    """

    step: Int[Array, ""]
    """Steps taken since the start of the run."""
    params: Any
    """What the gradient moves."""
    statistics: Any
    """What the network updates itself: batch norm's running mean and variance."""
    opt_state: Any
    """The optimizer's state."""
    key: Array
    """The run's random key. It never changes: what is drawn depends on it and on `step` alone."""
    ema: Any = ()
    """Exponential moving average of the parameters; empty where none is kept."""

    @property
    def evaluated(self) -> Any:
        """The parameters to evaluate and to keep: their average where there is one."""
        return self.ema if jax.tree.leaves(self.ema) else self.params


def create_state(
    params: Any, statistics: Any, optimizer: optax.GradientTransformation, key: Array, *, ema: bool = False
) -> TrainState:
    """Return the state before the first step.

    The arrays are copied, since `train_steps` donates its state: the caller's own stay usable.

    Args:
        params: Parameters, any pytree.
        statistics: Running statistics, any pytree; empty where the network has none.
        optimizer: Initialises its state from the parameters.
        key: Random key of the order of the data, the augmentation and the dropout.
        ema: Keep a moving average of the parameters, for `make_train_steps(..., ema=decay)`. It starts at the
            parameters, not at zero, so that nothing divides it by 1 - decay^step: after n steps the first parameters
            have weight decay^n in it.

    Returns:
        A `TrainState` at step 0.

    Example:
        >>> import jax, optax
        >>> params = {"kernel": jax.numpy.ones((4, 2))}
        >>> state = create_state(params, {}, optax.sgd(0.1), jax.random.key(0))
        >>> state.params["kernel"].shape
        (4, 2)
    """
    # The dtype is given, so that no copy stays weakly typed: a weak type would compile a second program.
    params, statistics = jax.tree.map(lambda x: jnp.array(x, jnp.result_type(x)), (params, statistics))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        statistics=statistics,
        opt_state=optimizer.init(params),
        key=jnp.copy(key),
        ema=jax.tree.map(jnp.copy, params) if ema else (),
    )
