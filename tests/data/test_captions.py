"""Captions: what a sentence says is on the canvas, and held-out pairs are in the test alone."""

import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.data.captions import held_out, sentence, vocabulary

WORDS = vocabulary("digits")


@pytest.fixture(scope="module")
def captioned():
    digits = data.load("digits").train
    return digits, data.make_captions(digits, count=200, seed=5, held=False)


def pieces(image: np.ndarray, known: dict[bytes, int]) -> list[tuple[int, int, int]]:
    """Return class and place of every known 8x8 image on a canvas."""
    places = np.argwhere(np.ones((57, 57), bool))
    return [(known[part], i, j) for i, j in places.tolist() if (part := image[i : i + 8, j : j + 8].tobytes()) in known]


def test_sentences_are_true(captioned):
    digits, split = captioned
    known = {image.tobytes(): int(label) for image, label in zip(*digits, strict=True)}
    for image, target in zip(*split, strict=True):
        number, noun, relation, other_number, other_noun = (WORDS[word] for word in target)
        found = pieces(image, known)
        groups = []
        for count, thing in ((number, noun), (other_number, other_noun)):
            label = int(thing.rstrip("s"))
            places = np.array([(i, j) for of, i, j in found if of == label])
            assert len(places) == {"a": 1, "two": 2}[count], sentence(WORDS, target)
            assert thing.endswith("s") == (count == "two")
            groups.append(places)
        axis = {"above": 0, "left of": 1}[relation]
        assert groups[0][:, axis].max() + 8 <= 32 <= groups[1][:, axis].min()
        # In no other way does one group lie beside the other: their middles are nearer along the other axis.
        middles = [group.mean(0) for group in groups]
        assert abs(middles[0] - middles[1])[1 - axis] < abs(middles[0] - middles[1])[axis]


def test_all_that_is_drawn_is_told(captioned):
    digits, split = captioned
    known = {image.tobytes(): int(label) for image, label in zip(*digits, strict=True)}
    counts = [len(pieces(image, known)) for image in split.inputs]
    told = [int(target[0]) + int(target[3]) + 2 for target in split.targets]
    assert counts == told
    assert set(counts) == {2, 3, 4}
    assert set(split.targets[:, 2].tolist()) == {2, 3}


def test_pairs_of_the_test_are_its_own():
    dataset = data.load("captions:digits")
    assert dataset.classes == WORDS
    first = {
        name: {tuple(((target[[1, 4]] - 4) % 10).tolist()) for target in split.targets}
        for name, split in dataset.splits.items()
    }
    every = {(a, b) for a in range(10) for b in range(10) if a != b}
    assert first["test"] == {pair for pair in every if held_out(*pair)}
    assert first["train"] == every - first["test"]
    assert first["validation"] <= first["train"]
    # Every word is in sentences of training.
    assert set(np.unique(dataset.train.targets)) == set(range(24))
    assert int(dataset.train.inputs.astype(np.int64).sum()) == 22523782


def test_what_has_no_words_is_told():
    with pytest.raises(ValueError, match="`captions:synthetic`: expected one of captions:digits, captions:mnist"):
        data.load("captions:synthetic")
    large = data.Split(np.zeros((20, 32, 32, 1), np.uint8), np.arange(20, dtype=np.int32) % 10)
    with pytest.raises(ValueError, match="of at most 28x28; got 32x32"):
        data.make_captions(large, count=1, seed=0, held=False)
