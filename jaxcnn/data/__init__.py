"""Named data sets, and your own arrays, as three splits with class names and preprocessing."""

from jaxcnn.data.arrange import from_arrays
from jaxcnn.data.check import check, check_split
from jaxcnn.data.dataset import Dataset, Split, describe
from jaxcnn.data.preprocessing import Preprocessing
from jaxcnn.data.registry import available, load, prepare, state
from jaxcnn.data.split import stratified_order

__all__ = [
    "Dataset",
    "Preprocessing",
    "Split",
    "available",
    "check",
    "check_split",
    "describe",
    "from_arrays",
    "load",
    "prepare",
    "state",
    "stratified_order",
]
