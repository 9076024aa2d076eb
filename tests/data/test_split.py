import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn.data.split import held_out, stratified_order


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 2**31), st.floats(0.01, 0.99))
def test_every_prefix_is_webster_s_apportionment(counts: list[int], seed: int, share: float) -> None:
    targets = np.repeat(np.arange(len(counts)), counts)
    order = stratified_order(np.random.default_rng(seed).permutation(targets), seed=seed)
    assert sorted(order) == list(range(len(targets)))

    # Seats go one by one to the class of the largest quotient n_c / (2 s_c + 1); equal quotients in any order.
    held = max(1, round(share * len(targets)))
    order = stratified_order(targets, seed=seed)
    seats = np.bincount(targets[order[:held]], minlength=len(counts))
    gained = [n / (2 * s - 1) for n, s in zip(counts, seats, strict=True) if s]
    waiting = [n / (2 * s + 1) for n, s in zip(counts, seats, strict=True) if s < n]
    assert not waiting or min(gained) >= max(waiting) - 1e-9


def test_balanced_classes_give_balanced_prefixes() -> None:
    targets = np.arange(1000) % 10
    order = stratified_order(targets)
    assert np.bincount(targets[order[:100]]).tolist() == [10] * 10
    assert np.bincount(targets[order[100:]]).tolist() == [90] * 10


def test_the_order_is_fixed_for_ever() -> None:
    assert stratified_order(np.arange(12) % 3).tolist() == [11, 3, 1, 2, 6, 7, 8, 0, 4, 10, 5, 9]


def test_another_seed_is_another_order() -> None:
    targets = np.arange(100) % 10
    assert not np.array_equal(stratified_order(targets), stratified_order(targets, seed=1))


@pytest.mark.parametrize("targets", [np.linspace(0, 1, 9), np.ones((9, 4, 4), int)])
def test_what_are_no_classes_is_shuffled(targets: np.ndarray) -> None:
    assert sorted(stratified_order(targets)) == list(range(9))


@pytest.mark.parametrize("share", [0, 1, -0.5, 2, float("nan")])
def test_a_share_lies_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match=r"`validation` \(=.*strictly between"):
        held_out(100, share)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_both_sides_of_a_split_have_examples(share: float) -> None:
    with pytest.raises(ValueError, match="both sides need at least one"):
        held_out(10, share)
