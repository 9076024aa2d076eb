"""What `geometry` says of sizes that no type checker has seen: the checks of this package's types are stripped here."""

import inspect

import pytest

from jaxcnn.functional import window


@pytest.mark.parametrize("value", [1.5, None, "2", (1.5, 1)])
def test_sizes_are_whole_numbers(value) -> None:
    with pytest.raises(ValueError, match=r"`strides` \(=.*\) must be"):
        inspect.unwrap(window.per_axis)("strides", value, 2)


@pytest.mark.parametrize("padding", [1.5, None, (1.5, 1), ((1, 1.5), 1)])
def test_padding_is_whole_numbers(padding) -> None:
    with pytest.raises(ValueError, match=r"`padding` \(=.*\) must be VALID, SAME, SAME_LOWER, an int"):
        inspect.unwrap(window.padding_amounts)(padding, (8, 8), (3, 3), (1, 1))
