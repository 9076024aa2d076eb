"""Optimizers by name, through optax, with PyTorch's formulas."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from jaxcnn.config import OptimConfig, unknown
from jaxcnn.training.schedules import make_schedule


def make_optimizer(config: OptimConfig, *, steps_per_epoch: int, epochs: int) -> optax.GradientTransformation:
    """Build the optimizer that a config asks for, with its schedule, weight decay and clipping.

    The gradient g is scaled down to the global norm `clip`; then `weight_decay` d adds d p to it (adamw
    instead subtracts lr d p from the parameter), for parameters p of two axes or more: kernels, not biases
    or norms. Then, with m the `momentum`,

        sgd         p -= lr g
        momentum    v = m v + g;  p -= lr v
        nesterov    v = m v + g;  p -= lr (g + m v)
        adagrad     s += g^2;  p -= lr g / sqrt(s + 1e-20)
        adam, adamw a = 0.9 a + 0.1 g;  b = 0.999 b + 0.001 g^2;
                    p -= lr (a / (1 - 0.9^t)) / (sqrt(b / (1 - 0.999^t)) + 1e-8)

    which are PyTorch's; its adagrad adds 1e-10 outside the root (optax's own starts s at 0.1), and its
    clipping adds 1e-6 to the norm.

    Args:
        config: Name and settings.
        steps_per_epoch: Steps in an epoch, which schedules and warm-up are counted in.
        epochs: Epochs of the run.

    Returns:
        The optax transformation.

    Raises:
        ValueError: An unknown name, or a setting outside its range.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxcnn.config import OptimConfig
        >>> config = OptimConfig("sgd", lr=0.5, schedule="constant")
        >>> optimizer = make_optimizer(config, steps_per_epoch=10, epochs=1)
        >>> params = {"kernel": jnp.ones((2, 2))}
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
        >>> updates["kernel"].tolist()
        [[-0.5, -0.5], [-0.5, -0.5]]

    Reference:
        Sutskever et al., On the importance of initialization and momentum, 2013; Duchi et al., Adaptive
        Subgradient Methods, 2011; Kingma and Ba, Adam, 2015; Loshchilov and Hutter, Decoupled Weight Decay
        Regularization, 2019.
    """
    if config.name not in _OPTIMIZERS:
        raise ValueError(unknown("optimizer", config.name, _OPTIMIZERS))
    if not 0 <= config.momentum < 1:
        raise ValueError(f"`momentum` (={config.momentum}) must be from 0 to below 1")
    if config.weight_decay < 0:
        raise ValueError(f"`weight_decay` (={config.weight_decay}) must not be negative")
    if config.clip is not None and config.clip <= 0:
        raise ValueError(f"`clip` (={config.clip}) must be positive, or None for no clipping")
    schedule = make_schedule(config, steps_per_epoch=steps_per_epoch, epochs=epochs)
    transforms = []
    if config.clip is not None:
        transforms.append(optax.clip_by_global_norm(config.clip))
    if config.weight_decay and config.name != "adamw":
        transforms.append(optax.add_decayed_weights(config.weight_decay, mask=kernels))
    return optax.chain(*transforms, _OPTIMIZERS[config.name](config, schedule))


def kernels(params: Any) -> Any:
    """Return which parameters weight decay acts on: those of two axes or more.

    Args:
        params: Any pytree of arrays.

    Returns:
        A pytree of booleans of the same structure.

    Example:
        >>> import jax.numpy as jnp
        >>> kernels({"kernel": jnp.ones((3, 3, 1, 8)), "bias": jnp.ones(8)})
        {'bias': False, 'kernel': True}
    """
    return jax.tree.map(lambda p: p.ndim >= 2, params)


_OPTIMIZERS: dict[str, Callable[[OptimConfig, optax.Schedule], optax.GradientTransformation]] = {
    "sgd": lambda config, lr: optax.sgd(lr),
    "momentum": lambda config, lr: optax.sgd(lr, momentum=config.momentum),
    "nesterov": lambda config, lr: optax.sgd(lr, momentum=config.momentum, nesterov=True),
    "adagrad": lambda config, lr: optax.adagrad(lr, initial_accumulator_value=0.0, eps=1e-20),
    "adam": lambda config, lr: optax.adam(lr),
    "adamw": lambda config, lr: optax.adamw(lr, weight_decay=config.weight_decay, mask=kernels),
}
