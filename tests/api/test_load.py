import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jaxcnn import api, data
from jaxcnn.config import Config, ModelConfig
from jaxcnn.runs import Run


@pytest.fixture(scope="module")
def run(make_net, dataset, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return api.fit(make_net(), dataset, config, out=tmp_path_factory.mktemp("api") / "run")


def test_what_is_loaded_is_what_was_measured(run: Run, make_net, dataset: data.Dataset) -> None:
    loaded = api.load(run.path, model=make_net(seed=5))
    logits = loaded.fn(loaded.params, loaded.preprocessing(dataset.test.inputs))
    accuracy = np.mean(np.argmax(logits, -1) == dataset.test.targets)
    assert accuracy == pytest.approx(run.result["accuracy"])
    assert loaded.classes == ("0", "1", "2")


def test_evaluation_repeats_the_result_exactly(run: Run, make_net, dataset: data.Dataset) -> None:
    measured = api.evaluate(run, model=make_net(seed=5), data=dataset)
    assert measured.items() <= run.result.items()
    validation = api.evaluate(run, split="validation", model=make_net(), data=dataset)
    best = run.metrics()[run.result["epoch"] - 1]["validation"]
    assert {name: validation[name] for name in best} == pytest.approx(best)


def test_a_registered_model_needs_nothing_but_the_folder(tmp_path: Path) -> None:
    config = Config(model=ModelConfig("mlp", width=8), epochs=1)
    run = api.fit("mlp", "digits", config, out=tmp_path)
    assert api.evaluate(tmp_path).items() <= run.result.items()
    fn, params, preprocessing, classes = api.load(tmp_path)
    assert fn(params, preprocessing(np.zeros((2, 8, 8, 1), np.uint8))).shape == (2, len(classes))


def test_what_does_not_fit_is_told(run: Run, make_net, dataset: data.Dataset) -> None:
    with pytest.raises(ValueError, match="is not jaxcnn's: pass it in Python, as `model=`"):
        api.load(run)
    with pytest.raises(ValueError, match=r"`params/head/bias` is float32\[3\] there, float32\[4\] is expected"):
        api.load(run, model=make_net(classes=4))
    with pytest.raises(ValueError, match="unknown split 'tests': did you mean 'test'"):
        api.evaluate(run, split="tests", model=make_net(), data=dataset)
    with pytest.raises(
        ValueError, match=r"the run was trained on data of your own \(stripes\): pass them .* as `data=`"
    ):
        api.evaluate(run, model=make_net())
    other = dataclasses.replace(dataset, classes=("a", "b", "c"))
    with pytest.raises(ValueError, match=r"the data are not those .* classes differ"):
        api.evaluate(run, model=make_net(), data=other)


def test_other_data_of_the_same_classes_are_prepared_as_the_runs_own(tmp_path: Path) -> None:
    """On images of four times the size and half the light, by a network without a flatten; counted here by hand."""
    config = Config(model=ModelConfig("small_cnn", width=8, head="avg"), epochs=2)
    run, digits = api.fit("small_cnn", "digits", config, out=tmp_path / "avg"), data.load("digits")
    images, targets = (np.concatenate(arrays) for arrays in zip(*digits.splits.values(), strict=True))
    large = np.kron(images // 2, np.ones((1, 2, 2, 1), np.uint8))
    other = data.from_arrays((large, targets), name="large")
    assert other.preprocessing != run.preprocessing
    fn, params, preprocessing, _ = api.load(run)
    accuracy = np.mean(np.argmax(fn(params, preprocessing(other.test.inputs)), -1) == other.test.targets)
    measured = api.evaluate(run, on=other)
    assert measured["accuracy"] == pytest.approx(accuracy)
    assert measured["examples"] == len(other.test.inputs)
    assert api.evaluate(run, on="digits") == api.evaluate(run)
    with pytest.raises(
        ValueError, match=r"synthetic does not fit .*: its classes are \('pattern 0', .*\.\.\.\), expected"
    ):
        api.evaluate(run, on="synthetic")
    with pytest.raises(ValueError, match=r"grey does not fit .*: its channels are 2, expected 1"):
        api.evaluate(run, on=data.from_arrays((large.repeat(2, -1), targets), name="grey"))
    with pytest.raises(ValueError, match=r"its targets are 'maps of things', expected 'no maps of things'"):
        api.evaluate(run, on="scenes:digits")
    flat = api.fit(
        "small_cnn", "digits", Config(model=ModelConfig("small_cnn", width=8), epochs=1), out=tmp_path / "flat"
    )
    with pytest.raises(
        ValueError, match=r"large does not fit .*: its inputs are \(16, 16, 1\), and .* \(8, 8, 1\) takes no others"
    ):
        api.evaluate(flat, on=other)
