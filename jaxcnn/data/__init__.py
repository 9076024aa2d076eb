"""Named data sets, and your own arrays, as three splits with class names and preprocessing."""

from jaxcnn.data.arrange import from_arrays
from jaxcnn.data.captions import make_captions, sentence, vocabulary
from jaxcnn.data.check import check, check_split
from jaxcnn.data.dataset import Dataset, Split, describe
from jaxcnn.data.policy import ImagePolicy
from jaxcnn.data.preprocessing import Preprocessing
from jaxcnn.data.registry import available, checking, load, prepare, prepared_folder, preparing, state
from jaxcnn.data.scenes import make_scenes
from jaxcnn.data.source import Preparing
from jaxcnn.data.split import stratified_order

__all__ = [
    "Dataset",
    "ImagePolicy",
    "Preparing",
    "Preprocessing",
    "Split",
    "available",
    "check",
    "check_split",
    "checking",
    "describe",
    "from_arrays",
    "load",
    "make_captions",
    "make_scenes",
    "prepare",
    "prepared_folder",
    "preparing",
    "sentence",
    "state",
    "stratified_order",
    "vocabulary",
]
