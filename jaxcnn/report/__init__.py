"""What is drawn for people: pictures, of arrays alone."""

from jaxcnn.report.contact_sheet import Row, contact_sheet

__all__ = ["Row", "contact_sheet"]
