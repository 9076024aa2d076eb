"""What is drawn for people: pictures, of arrays alone."""

from jaxcnn.report.contact_sheet import Row, contact_sheet, has_letters
from jaxcnn.report.parallel import draw_parallel

__all__ = ["Row", "contact_sheet", "draw_parallel", "has_letters"]
