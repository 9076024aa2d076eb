from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import losses as reference

from jaxcnn import training

RANDOM = np.random.default_rng(0)
METRICS = [
    training.accuracy,
    training.top_k_accuracy,
    training.confusion_matrix,
    training.per_class_accuracy,
]


def example(batch, *, levels=None):
    """Outputs of 6 classes, of which `levels` distinct values make ties; labels that may lie outside."""
    outputs = RANDOM.normal(size=(*batch, 6)) if levels is None else RANDOM.integers(0, levels, (*batch, 6))
    return outputs.astype("float32"), RANDOM.integers(-1, 7, batch)


@pytest.mark.parametrize("levels", [None, 3, 1])
@pytest.mark.parametrize("batch", [(1,), (40,), (3, 4, 5)])
def test_metrics_are_those_of_numpy(batch, levels):
    outputs, targets = example(batch, levels=levels)
    measures = {
        "accuracy": training.accuracy,
        "counts": training.confusion_matrix,
        "recall": training.per_class_accuracy,
        **{k: partial(training.top_k_accuracy, k=k) for k in (1, 2, 5, 6)},
    }
    got = jax.jit(lambda y, t: [measure(y, t) for measure in measures.values()])(outputs, targets)
    got = dict(zip(measures, got, strict=True))
    assert float(got["accuracy"]) == pytest.approx(reference.top_k_accuracy(outputs, targets, 1))
    for k in (1, 2, 5, 6):
        assert float(got[k]) == pytest.approx(reference.top_k_accuracy(outputs, targets, k))
    counts = reference.confusion_matrix(outputs, targets)
    assert np.array_equal(got["counts"], counts)
    recall = [row[c] / row.sum() if row.sum() else np.nan for c, row in enumerate(counts)]
    np.testing.assert_allclose(got["recall"], recall, rtol=1e-6)


def test_accuracy_of_shares_is_that_of_the_largest():
    outputs, _ = example((40,))
    shares = RANDOM.dirichlet(np.ones(6), 40).astype("float32")
    expected = training.accuracy(jnp.asarray(outputs), jnp.asarray(shares.argmax(axis=1)))
    assert training.accuracy(jnp.asarray(outputs), jnp.asarray(shares)) == expected


def test_label_accuracy_needs_a_truth_for_every_label():
    with pytest.raises(ValueError, match=r"outputs' shape \(2, 3\), got \(2,\)"):
        training.label_accuracy(jnp.ones((2, 3)), jnp.ones(2))


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_compile_and_check_shapes(metric):
    outputs, targets = (jnp.asarray(array) for array in example((20,)))
    np.testing.assert_array_equal(jax.jit(metric)(outputs, targets), metric(outputs, targets))
    with pytest.raises(ValueError, match=r"`targets` must have shape \(20,\)"):
        metric(outputs, targets[:-1])


@pytest.mark.parametrize("k", [0, 7])
def test_top_k_needs_k_classes(k):
    outputs, targets = (jnp.asarray(array) for array in example((20,)))
    with pytest.raises(ValueError, match=rf"`k` \(={k}\) must be from 1 to the number of classes \(=6\)"):
        training.top_k_accuracy(outputs, targets, k=k)
