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
