import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcnn import training


def spread(counts):
    """The difference between the most and the least."""
    return max(counts) - min(counts)


@settings(deadline=None, max_examples=15)
@given(
    sizes=st.sampled_from([(1, 30, 9), (5, 5, 5, 5), (40, 0, 2), (7,)]),
    batch=st.sampled_from([1, 4, 7]),
    last_batch=st.sampled_from(["drop", "wrap"]),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 3),
)
def test_classes_and_their_examples_come_equally_often(sizes, batch, last_batch, seed, epoch):
    targets = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype("int32")
    order = training.balanced_order(
        jax.random.key(seed), targets, len(sizes), batch, epoch=epoch, last_batch=last_batch
    )
    assert order.dtype == "int32"
    assert order.size == training.steps_per_epoch(len(targets), batch, last_batch) * batch
    times = np.bincount(order, minlength=len(targets))
    by_class = [times[targets == label] for label in range(len(sizes)) if sizes[label]]
    assert spread([each.sum() for each in by_class]) <= 1
    assert all(spread(each) <= 1 for each in by_class)


def test_each_epoch_and_each_key_has_its_order_and_gives_it_again():
    targets = np.repeat(np.arange(3), [10, 20, 30])

    def drawn(seed, epoch):
        return tuple(training.balanced_order(jax.random.key(seed), targets, 3, 4, epoch=epoch).tolist())

    cases = [(seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len({drawn(*case) for case in cases}) == len(cases)
    assert [drawn(*case) for case in cases] == [drawn(*case) for case in cases]


def test_what_is_left_over_falls_to_all_alike():
    """Which classes come once more, which examples do, and where each comes, differ from epoch to epoch."""
    targets = np.repeat(np.arange(4), [3, 5, 6, 8])  # 22 places for 4 classes: two come 5 times, two 6 times
    orders = [np.asarray(training.balanced_order(jax.random.key(0), targets, 4, 2, epoch=e)) for e in range(400)]
    more = np.array([np.bincount(targets[order], minlength=4) == 6 for order in orders])
    assert (more.sum(1) == 2).all()
    assert (abs(more.mean(0) - 0.5) < 0.1).all()
    times = np.array([np.bincount(order, minlength=22) for order in orders]).mean(0)
    for label in range(4):
        assert spread(times[targets == label]) < 0.2
    first = np.bincount(targets[[order[0] for order in orders]], minlength=4) / 400
    assert (abs(first - 0.25) < 0.08).all()


def test_targets_that_are_no_labels_are_named():
    for targets in (np.zeros(4), np.zeros((4, 2), int)):
        with pytest.raises(ValueError, match=r"`targets` are .* of shape .*; to balance takes labels, \(n,\)"):
            training.balanced_order(jax.random.key(0), targets, 2, 2, epoch=0)
