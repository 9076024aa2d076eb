"""A page of HTML that needs nothing else: no server, no network, no other file."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup


class Tab(NamedTuple):
    """One part of a page, behind a tab.

    Example:
        >>> Tab("numbers", "Numbers", Markup("<p>1 < 2</p>")).title
        'Numbers'
    """

    id: str
    """Of its element: letters alone."""
    title: str
    content: Markup


class Table(NamedTuple):
    """Rows of text under titles; the first cell of a row names it.

    Example:
        >>> Table("Results", ("", "one"), [("accuracy", "0.9")]).caption
        'Results'
    """

    caption: str
    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool = True
    """Whether the cells beside the first are set to the right."""


def page(title: str, tabs: Sequence[Tab]) -> str:
    """Put tabs together to a page.

    Args:
        title: Of the page; escaped, as all text is.
        tabs: In order; the first is shown.

    Returns:
        HTML.

    Example:
        >>> html = page("<my run>", [Tab("a", "First", fragment("table.html", table=Table("T", ("x",), [("<b>",)])))])
        >>> "<h1>&lt;my run&gt;</h1>" in html, "&lt;b&gt;" in html, "http" in html.replace("http://www.w3.org", "")
        (True, True, False)
    """
    return fragment("page.html", title=title, tabs=tabs)


def fragment(template: str, **values: Any) -> Markup:
    """Fill a template of `jaxcnn/report/templates`.

    Args:
        template: Its file.
        **values: What it names; text is escaped.

    Returns:
        HTML.

    Raises:
        jinja2.UndefinedError: A value that it names is missing.

    Example:
        >>> "&lt;b&gt;" in fragment("table.html", table=Table("<b>", ("x",), []))
        True
    """
    return Markup(_environment().get_template(template).render(**values))


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("jaxcnn.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
