import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import training

FEATURES, CLASSES = 5, 3
METRICS = {
    "loss": training.cross_entropy,
    "accuracy": training.accuracy,
    "matrix": training.confusion_matrix,
    "recall": training.per_class_accuracy,
}


def apply(params, statistics, x, *, training, key):
    assert not training
    assert key is None
    return (x - statistics.astype(x.dtype)) @ params.astype(x.dtype), statistics + 1


def example(n):
    random = np.random.default_rng(n)
    params = jnp.asarray(random.normal(size=(FEATURES, CLASSES)), jnp.float32)
    inputs = jnp.asarray(random.normal(size=(n, FEATURES)), jnp.float32)
    return params, jnp.float32(0.5), (inputs, jnp.asarray(random.integers(0, CLASSES, n)))


@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 11])
def test_evaluation_is_exact_for_any_number_of_examples(n):
    params, statistics, data = example(n)
    evaluate = training.make_evaluate(apply, metrics=METRICS, batch=4)
    got = evaluate(params, statistics, data)
    outputs = (data[0] - statistics) @ params
    for name, metric in METRICS.items():
        np.testing.assert_allclose(got[name], metric(outputs, data[1]), rtol=1e-5, atol=1e-6)
    predict = training.make_predict(apply, batch=4)
    np.testing.assert_allclose(predict(params, statistics, data[0]), outputs, rtol=1e-5, atol=1e-6)


def test_one_compilation_serves_every_evaluation(compilations):
    evaluate = training.make_evaluate(apply, metrics=METRICS, batch=4)
    params, statistics, data = example(11)
    compilations.reset()
    evaluate(params, statistics, data)
    assert len(compilations.names) == 1
    evaluate(params, statistics, data)
    assert len(compilations.names) == 1


def test_outputs_may_be_a_pytree():
    def two_heads(params, statistics, x, *, training, key):
        return {"sum": x.sum(-1), "same": x}, statistics

    inputs = example(7)[2][0]
    outputs = training.make_predict(two_heads, batch=3)({}, {}, inputs)
    assert jnp.array_equal(outputs["same"], inputs)
    assert outputs["sum"].shape == (7,)


def test_inputs_are_prepared_and_cast_and_outputs_are_float32():
    def network(params, statistics, x, *, training, key):
        assert x.dtype == jnp.bfloat16
        return x, statistics

    images = jnp.arange(6, dtype=jnp.uint8)[:, None]
    predict = training.make_predict(network, prepare=lambda x: x / 2, batch=4, dtype="bfloat16")
    outputs = predict({}, {}, images)
    assert outputs.dtype == jnp.float32
    assert outputs[:, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]


def test_sizes_below_one_are_errors():
    with pytest.raises(ValueError, match=r"`batch` \(=0\) must be positive"):
        training.make_evaluate(apply, metrics=METRICS, batch=0)
    params, statistics, data = example(4)
    with pytest.raises(ValueError, match="at least one example to evaluate, got 0"):
        training.make_evaluate(apply, metrics=METRICS, batch=2)(params, statistics, jax.tree.map(lambda x: x[:0], data))
