"""Exponents, of powers that are known."""

import numpy as np
import pytest

from jaxcnn import benchmark


@pytest.mark.parametrize("exponent", [0.0, 0.8, 2.0])
def test_a_power_is_found_within_its_interval(exponent: float) -> None:
    rng = np.random.default_rng(0)
    sizes, held = np.array([1, 4, 16, 64, 256]), 0
    for _ in range(40):
        times = sizes[:, None] ** exponent * np.exp(rng.normal(0, 0.1, (5, 15)))
        found = benchmark.fit_growth(sizes, times, sizes**2)
        assert found.exponent == pytest.approx(exponent, abs=0.05)
        expected = np.polyfit(np.log(sizes), np.log(np.median(times, 1)), 1)[0]
        assert found.exponent == pytest.approx(expected, abs=1e-9)
        assert found.flops_exponent == pytest.approx(2)
        held += found.low <= exponent <= found.high
    assert held >= 34


@pytest.mark.parametrize(("sizes", "times"), [([1], 1), ([1, 1], 2), ([0, 1], 2), ([1, 2], 3)])
def test_what_has_no_growth(sizes: list[int], times: int) -> None:
    with pytest.raises(ValueError, match="growth needs two different positive sizes or more"):
        benchmark.fit_growth(sizes, [[1.0, 1.0]] * times, [1.0] * len(sizes))


def test_what_is_no_power_is_told() -> None:
    """1, 2 and 1 at sizes 1, 2 and 4: the middle one lies 4 ** (1 / 3) over any power's line."""
    grown = benchmark.fit_growth([1, 2, 4], [[1.0], [2.0], [1.0]], [1, 2, 4])
    assert grown.exponent == pytest.approx(0, abs=1e-9)
    assert grown.misfit == pytest.approx(4 ** (1 / 3))
    assert "a time is up to 59 % off" in grown.told("batch")
    assert benchmark.fit_growth([1, 2, 4], [[1.0], [2.0], [4.0]], [1, 2, 4]).misfit == pytest.approx(1)
