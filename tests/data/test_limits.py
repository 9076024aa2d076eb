import numpy as np
import pytest

from jaxcnn import data
from jaxcnn.config import DataConfig
from jaxcnn.data.policy import check_options


@pytest.mark.parametrize("largest", [2001, 2 * 10**9])
def test_labels_that_number_no_classes_are_told(largest):
    labels = np.array([0, 1, largest] * 20)
    with pytest.raises(ValueError, match=rf"labels go up to {largest} in 60 examples: number the classes from 0"):
        data.from_arrays((np.zeros((60, 4, 4, 1), np.uint8), labels))


@pytest.mark.parametrize("size", [0, 8193, 100_000])
def test_sizes_are_those_that_images_may_have(size):
    with pytest.raises(ValueError, match=rf"`data.size` \(={size}\) must be a whole number of pixels, from 1 to 8192"):
        check_options(DataConfig("folder:images", size=size))
