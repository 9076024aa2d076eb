"""Benchmarks: what is measured, how, what it is compared with, and how it is written down."""

from jaxcnn.benchmark.compare import compare, fallen, ratios_of, read_bounds, title
from jaxcnn.benchmark.description import describe, parameters
from jaxcnn.benchmark.energy import energy_meter
from jaxcnn.benchmark.feeding import feeding
from jaxcnn.benchmark.growth import Growth, fit_growth, growth_of
from jaxcnn.benchmark.networks import Training, inference
from jaxcnn.benchmark.operations import convolutions, pools
from jaxcnn.benchmark.page import interval_text, table, time_text, write_page
from jaxcnn.benchmark.peak import measure_peak
from jaxcnn.benchmark.peer import PEERS, PeerError, find_python, peer_works, running
from jaxcnn.benchmark.record import append, environment, make_record, read
from jaxcnn.benchmark.roofline import Peak, place
from jaxcnn.benchmark.starts import StartError, Starts, merge, without
from jaxcnn.benchmark.startup import measure_startup
from jaxcnn.benchmark.statistics import (
    LEAST_STARTS,
    Drift,
    Ratio,
    drift,
    quantity,
    ratio,
    ratio_between_starts,
    ratio_over_starts,
)
from jaxcnn.benchmark.timing import Samples, Stages, alternate, compile_stages, measure
from jaxcnn.benchmark.works import Work, run

__all__ = [
    "LEAST_STARTS",
    "PEERS",
    "Drift",
    "Growth",
    "Peak",
    "PeerError",
    "Ratio",
    "Samples",
    "Stages",
    "StartError",
    "Starts",
    "Training",
    "Work",
    "alternate",
    "append",
    "compare",
    "compile_stages",
    "convolutions",
    "describe",
    "drift",
    "energy_meter",
    "environment",
    "fallen",
    "feeding",
    "find_python",
    "fit_growth",
    "growth_of",
    "inference",
    "interval_text",
    "make_record",
    "measure",
    "measure_peak",
    "measure_startup",
    "merge",
    "parameters",
    "peer_works",
    "place",
    "pools",
    "quantity",
    "ratio",
    "ratio_between_starts",
    "ratio_over_starts",
    "ratios_of",
    "read",
    "read_bounds",
    "run",
    "running",
    "table",
    "time_text",
    "title",
    "without",
    "write_page",
]
