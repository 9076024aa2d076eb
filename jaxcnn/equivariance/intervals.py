"""The exact confidence interval of a share that was counted."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import betainc


def binomial_interval(successes: float, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact confidence interval of a probability, from independent trials.

    Clopper and Pearson's: all p under which neither so few nor so many successes have less than (1 - level) / 2. The
    ends are quantiles of beta distributions, `I_low(s, n - s + 1) = (1 - level) / 2` and
    `I_high(s + 1, n - s) = (1 + level) / 2`, found by bisection in float64.

    Args:
        successes: How many there were; a mean of shares times the number of trials may be given, a fraction.
        trials: Of how many.
        level: The probability that the interval holds the true one, at least.

    Returns:
        The ends.

    Raises:
        ValueError: Numbers that are no count of trials.

    Example:
        >>> [round(end, 4) for end in binomial_interval(95, 100)]
        [0.8872, 0.9836]

    Reference:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", 1934.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"`successes` (={successes}) must be 0 to `trials` (={trials}), which is at least 1")
    if not 0 < level < 1:
        raise ValueError(f"`level` (={level}) must be between 0 and 1, as in 0.95")
    tail = (1 - level) / 2
    with jax.enable_x64(True):
        low = 0.0 if successes == 0 else float(_quantile(tail, successes, trials - successes + 1))
        high = 1.0 if successes == trials else float(_quantile(1 - tail, successes + 1, trials - successes))
    return low, high


@jax.jit
def _quantile(share: Array, a: Array, b: Array) -> Array:
    """Return where the beta distribution has a share below."""

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        below = betainc(jnp.float64(a), jnp.float64(b), middle) < share
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, 60, halve, (jnp.float64(0), jnp.float64(1)))
    return (low + high) / 2
