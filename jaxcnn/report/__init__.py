"""What is drawn for people: pictures and pages, of arrays and rows alone."""

from jaxcnn.report.contact_sheet import Row, contact_sheet, has_letters
from jaxcnn.report.curves import Chart, Series, charts
from jaxcnn.report.page import Tab, Table, fragment, page
from jaxcnn.report.parallel import draw_parallel

__all__ = [
    "Chart",
    "Row",
    "Series",
    "Tab",
    "Table",
    "charts",
    "contact_sheet",
    "draw_parallel",
    "fragment",
    "has_letters",
    "page",
]
