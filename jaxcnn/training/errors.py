"""What can go wrong while a network trains, with what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax


class NonFiniteLossError(FloatingPointError):
    """The loss, or what was measured on the validation set, became infinite or NaN.

    Example:
        >>> raise NonFiniteLossError(epoch=2, step=37)
        Traceback (most recent call last):
        jaxcnn.training.errors.NonFiniteLossError: the loss is not finite at step 37 of epoch 2: ...
    """

    def __init__(self, *, epoch: int, step: int | None = None, name: str = "loss", first: str | None = None):
        where = f"after epoch {epoch}" if step is None else f"at step {step} of epoch {epoch}"
        cause = f" (the first that is not: {first})" if first else ""
        super().__init__(
            f"the {name} is not finite {where}{cause}: lower `lr`, raise `warmup` or set "
            "`clip`; in the first steps, look for NaN in the inputs and for labels outside the classes"
        )
        self.epoch = epoch
        self.step = step
        self.name = name

    def began_at(self, first: str) -> "NonFiniteLossError":
        """Return the same error that also names what was the first not to be finite."""
        return NonFiniteLossError(epoch=self.epoch, step=self.step, name=self.name, first=first)


class OutOfMemoryError(MemoryError):
    """A batch does not fit in the memory of the device.

    Example:
        >>> raise OutOfMemoryError("batch", 128)
        Traceback (most recent call last):
        jaxcnn.training.errors.OutOfMemoryError: out of memory with `batch` (=128): try `batch` 64
    """

    def __init__(self, name: str, size: int | None = None):
        if size is None:
            message = f"out of memory with this `{name}`: try half of it"
        elif size > 1:
            message = f"out of memory with `{name}` (={size}): try `{name}` {size // 2}"
        else:
            message = f"out of memory with `{name}` (={size}): take a smaller model or smaller inputs"
        super().__init__(message)


@contextmanager
def explain_out_of_memory(name: str, size: int | None = None) -> Iterator[None]:
    """Turn a device's out-of-memory error into one that says which batch size to try.

    Args:
        name: The argument that sets how many examples are computed at once.
        size: Its value, where it is known.

    Returns:
        A context manager.

    Raises:
        OutOfMemoryError: The body ran out of the device's memory.

    Example:
        >>> with explain_out_of_memory("batch", 128):
        ...     pass
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise OutOfMemoryError(name, size) from error
