"""What is drawn for people: pictures and pages, of arrays, rows and functions."""

from jaxcnn.report.architecture import architecture
from jaxcnn.report.contact_sheet import Row, contact_sheet, has_letters
from jaxcnn.report.curves import Chart, Series, charts
from jaxcnn.report.images import Shown, filters, layers, predictions
from jaxcnn.report.page import Tab, Table, fragment, page
from jaxcnn.report.parallel import draw_parallel
from jaxcnn.report.shifts import audited, shifted
from jaxcnn.report.stepper import Convolution, first_convolution, stepper

__all__ = [
    "Chart",
    "Convolution",
    "Row",
    "Series",
    "Shown",
    "Tab",
    "Table",
    "architecture",
    "audited",
    "charts",
    "contact_sheet",
    "draw_parallel",
    "filters",
    "first_convolution",
    "fragment",
    "has_letters",
    "layers",
    "page",
    "predictions",
    "shifted",
    "stepper",
]
