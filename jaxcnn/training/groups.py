"""Layers that move otherwise than the rest: settings of an optimizer for those that a pattern names."""

from dataclasses import replace
from typing import Any, NamedTuple, get_args

from jaxcnn.config import OptimConfig, Optimizer, unknown

_NUMBERS = ("rate", "lr", "momentum", "weight_decay", "warmup", "power", "step_factor")
_WHOLE = ("epochs", "step_epochs")
_NAMES = ("name", "decay", "schedule")


class Group(NamedTuple):
    """Layers, and what is otherwise for them.

    Example:
        >>> Group("head", {"lr": 0.1}).epochs is None
        True
    """

    pattern: str
    """Names layers or parameters, see `nn.select`."""
    settings: dict[str, Any]
    """Fields of `OptimConfig`."""
    rate: float = 1.0
    """Multiple of the learning rate."""
    epochs: int | None = None
    """Length of the schedule; the layers stay as they are after it. None is the whole run."""

    def config(self, rest: OptimConfig) -> OptimConfig:
        """Return the settings of these layers, where the others have `rest`."""
        own = replace(rest, **self.settings)
        return replace(own, lr=own.lr * self.rate)


def parse_group(text: str) -> Group:
    """Read `PATTERN: FIELD=VALUE ...`.

    Args:
        text: Such as `*/bias: rate=64` or `whiten/bias: name=nesterov lr=0.1 epochs=3`.

    Returns:
        The group.

    Raises:
        ValueError: Another form, a field that groups do not have, or a value that is not its.

    Example:
        >>> parse_group("whiten/bias: lr=0.5 epochs=3")
        Group(pattern='whiten/bias', settings={'lr': 0.5}, rate=1.0, epochs=3)
    """
    pattern, _, told = text.partition(":")
    fields = [part.partition("=") for part in told.split()]
    if not pattern.strip() or not fields or not all(sign for _, sign, _ in fields):
        raise ValueError(
            f"`groups` (={text!r}) must be PATTERN: FIELD=VALUE ..., such as '*/bias: rate=64' or 'head: lr=0.1'"
        )
    values: dict[str, Any] = {}
    for field, _, value in fields:
        if field not in (*_NUMBERS, *_WHOLE, *_NAMES):
            raise ValueError(f"`groups` (={text!r}): " + unknown("field", field, [*_NUMBERS, *_WHOLE, *_NAMES]))
        if field == "name" and value not in get_args(Optimizer):
            raise ValueError(f"`groups` (={text!r}): " + unknown("optimizer", value, get_args(Optimizer)))
        try:
            values[field] = value if field in _NAMES else int(value) if field in _WHOLE else float(value)
        except ValueError:
            kind = "a whole number" if field in _WHOLE else "a number"
            raise ValueError(f"`groups` (={text!r}): {field} must be {kind}, got {value!r}") from None
    rate, epochs = values.pop("rate", 1.0), values.pop("epochs", None)
    if not rate >= 0 or (epochs is not None and epochs < 1):
        raise ValueError(f"`groups` (={text!r}): rate must not be negative, and epochs at least 1")
    return Group(pattern.strip(), values, rate, epochs)
