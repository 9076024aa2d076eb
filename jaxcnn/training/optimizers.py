"""Optimizers by name, through optax, with PyTorch's formulas."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxcnn import nn
from jaxcnn.config import OptimConfig, unknown
from jaxcnn.functional.traced import is_off, is_traced
from jaxcnn.training.groups import Group, parse_group
from jaxcnn.training.lookahead import lookahead
from jaxcnn.training.muon import keep_norms, muon, spherical_muon
from jaxcnn.training.schedules import make_schedule


def make_optimizer(
    config: OptimConfig, *, steps_per_epoch: int, epochs: int, frozen: Any = None
) -> optax.GradientTransformation:
    """Build the optimizer that a config asks for, with its schedule, weight decay, clipping and lookahead.

    The layers that `groups` name have settings of their own (of several that name one the last counts), but for
    clipping and lookahead, which are the network's. A group's own `weight_decay` acts on all parameters that it names.

    The gradient g is scaled down to the global norm `clip`. `weight_decay` d acts on parameters p of two axes or more:
    kernels, not biases or norms. As an L2 penalty it adds d p to g; decoupled it adds d p to the direction u below,
    apart from any moment. Then, with m the `momentum`, p -= lr u:

        sgd         u = g
        momentum    v = m v + g;  u = v
        nesterov    v = m v + g;  u = g + m v
        adagrad     s += g^2;  u = g / sqrt(s + 1e-20)
        rmsprop     s = 0.99 s + 0.01 g^2;  u = g / (sqrt(s) + 1e-8)
        adam, adamw a = 0.9 a + 0.1 g;  b = 0.999 b + 0.001 g^2;
                    u = (a / (1 - 0.9^t)) / (sqrt(b / (1 - 0.999^t)) + 1e-8)
        lion        u = sign(0.9 a + 0.1 g);  a = 0.99 a + 0.01 g
        lamb        w = adam's u with 1e-6, + d p;  u = w |p| / |w|, parameter by parameter (w where a norm is 0)
        muon        a = m a + (1 - m) g;  h = m a / (1 - m^(t+1)) + (1 - m) g / (1 - m^t);
                    u = 0.2 sqrt(larger side of h) h', h' the nearest orthogonal matrix to h, by five Newton-Schulz
                    steps; a kernel is the matrix of all its axes but the last against the last. Adam's u for what is
                    no kernel, so that one learning rate, of adamw's size, serves both
        spherical_muon
                    h as nesterov's u; u = h', by three Newton-Schulz steps; before p -= lr u a kernel is brought to
                    norm sqrt(outputs). Nesterov's u for what is no kernel

    Up to adamw they are PyTorch's; its adagrad adds 1e-10 outside the root (optax's own starts s at 0.1), and its
    clipping adds 1e-6 to the norm.

    Args:
        config: Name and settings.
        steps_per_epoch: Steps in an epoch, which schedules and warm-up are counted in.
        epochs: Epochs of the run.
        frozen: Pytree of booleans, the parameters to leave as they are (see `select`); None is none.

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
        Subgradient Methods, 2011; Tieleman and Hinton, RMSProp, 2012; Kingma and Ba, Adam, 2015; Loshchilov and Hutter,
        Decoupled Weight Decay Regularization, 2019; You et al., LAMB, 2020; Chen et al., Symbolic Discovery of
        Optimization Algorithms (Lion), 2023; Jordan et al., Muon, 2024; Liu et al., Muon is Scalable, 2025 (0.2).
    """
    groups = [parse_group(text) for text in config.groups]
    own = [_moves(group.config(config), steps_per_epoch, epochs, group) for group in groups]
    moves = _moves(config, steps_per_epoch, epochs)
    if groups:

        def label(*named: bool) -> str:
            return next((f"group{i}" for i in reversed(range(len(named))) if named[i]), "rest")

        def labels(params: Any) -> Any:
            return jax.tree.map(label, *[nn.select(params, [group.pattern]) for group in groups])

        moves = optax.partition({"rest": moves, **{f"group{i}": group for i, group in enumerate(own)}}, labels)
    if config.clip is not None:
        if config.clip <= 0:
            raise ValueError(f"`clip` (={config.clip}) must be positive, or None for no clipping")
        moves = optax.chain(optax.clip_by_global_norm(config.clip), moves)
    optimizer = lookahead(moves, every=config.lookahead, share=config.lookahead_share)
    if frozen is None or not any(jax.tree.leaves(frozen)):
        return optimizer
    labels = jax.tree.map(lambda still: "frozen" if still else "trained", frozen)
    return optax.partition({"frozen": optax.set_to_zero(), "trained": optimizer}, labels)


def _moves(
    config: OptimConfig, steps_per_epoch: int, epochs: int, group: Group | None = None
) -> optax.GradientTransformation:
    """Build decay, direction and learning rate of one group of layers."""
    if config.name not in _DIRECTIONS:
        raise ValueError(unknown("optimizer", config.name, _DIRECTIONS))
    if config.decay not in (None, "l2", "decoupled"):
        raise ValueError(unknown("decay", config.decay, ["l2", "decoupled"]))
    if not is_traced(config.momentum) and not 0 <= config.momentum < 1:
        raise ValueError(f"`momentum` (={config.momentum}) must be from 0 to below 1")
    if not is_traced(config.weight_decay) and config.weight_decay < 0:
        raise ValueError(f"`weight_decay` (={config.weight_decay}) must not be negative")
    schedule = make_schedule(config, steps_per_epoch=steps_per_epoch, epochs=(group and group.epochs) or epochs)
    if group and group.epochs:
        schedule = _ended(schedule, group.epochs * steps_per_epoch)
    decoupled = config.decay == "decoupled" or (config.decay is None and config.name in _DECOUPLED)
    everything = group is not None and "weight_decay" in group.settings
    decay = [optax.add_decayed_weights(config.weight_decay, mask=None if everything else kernels)]
    decay = [] if is_off(config.weight_decay) else decay
    return optax.chain(
        *([] if decoupled else decay),
        _DIRECTIONS[config.name](config),
        *(decay if decoupled else []),
        *([optax.scale_by_trust_ratio()] if config.name == "lamb" else []),
        optax.scale_by_learning_rate(schedule),
        *([keep_norms()] if config.name == "spherical_muon" else []),
    )


def _ended(schedule: optax.Schedule, end: int) -> optax.Schedule:
    return lambda step: jnp.where(jnp.asarray(step) < end, schedule(step), 0.0)


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


_DIRECTIONS: dict[str, Callable[[OptimConfig], optax.GradientTransformation]] = {
    "sgd": lambda config: optax.identity(),
    "momentum": lambda config: optax.trace(config.momentum),
    "nesterov": lambda config: optax.trace(config.momentum, nesterov=True),
    "adagrad": lambda config: optax.scale_by_rss(initial_accumulator_value=0.0, eps=1e-20),
    "rmsprop": lambda config: optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False),
    "adam": lambda config: optax.scale_by_adam(),
    "adamw": lambda config: optax.scale_by_adam(),
    "lion": lambda config: optax.scale_by_lion(b1=0.9, b2=0.99),
    "lamb": lambda config: optax.scale_by_adam(eps=1e-6),
    "muon": lambda config: muon(config.momentum),
    "spherical_muon": lambda config: spherical_muon(config.momentum),
}
_DECOUPLED = ("adamw", "lion", "lamb", "muon")
"""Those whose authors decay apart from the gradient."""
