"""Benchmarks: what is measured, how, what it is compared with, and how it is written down."""

from jaxcnn.benchmark.compare import compare, fallen, ratios_of, read_bounds, title
from jaxcnn.benchmark.feeding import feeding
from jaxcnn.benchmark.growth import Growth, fit_growth
from jaxcnn.benchmark.networks import Training, inference
from jaxcnn.benchmark.operations import convolutions, pools
from jaxcnn.benchmark.peak import measure_peak
from jaxcnn.benchmark.record import append, environment, make_record, read
from jaxcnn.benchmark.roofline import Peak, place
from jaxcnn.benchmark.startup import measure_startup
from jaxcnn.benchmark.statistics import Drift, Ratio, drift, quantity, ratio
from jaxcnn.benchmark.timing import Samples, Stages, alternate, compile_stages, measure
from jaxcnn.benchmark.works import Work, run

__all__ = [
    "Drift",
    "Growth",
    "Peak",
    "Ratio",
    "Samples",
    "Stages",
    "Training",
    "Work",
    "alternate",
    "append",
    "compare",
    "compile_stages",
    "convolutions",
    "drift",
    "environment",
    "fallen",
    "feeding",
    "fit_growth",
    "inference",
    "make_record",
    "measure",
    "measure_peak",
    "measure_startup",
    "place",
    "pools",
    "quantity",
    "ratio",
    "ratios_of",
    "read",
    "read_bounds",
    "run",
    "title",
]
