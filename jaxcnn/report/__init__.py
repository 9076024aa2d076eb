"""What is drawn for people: pictures, of arrays alone."""

from jaxcnn.report.contact_sheet import Row, contact_sheet, has_letters

__all__ = ["Row", "contact_sheet", "has_letters"]
