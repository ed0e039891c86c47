"""HTML made of elements, so that all text in it is escaped; figures stand in it as SVG of both themes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from xml.etree import ElementTree

import matplotlib

from deepcovid_lib import style
from deepcovid_lib.style import Drawing

Content = str | ElementTree.Element


def element(tag: str, *content: Content, **attributes: str) -> ElementTree.Element:
    """Return an element; text in it is escaped when it is written.

    Examples
    --------
    >>> ElementTree.tostring(element("p", "a < b ", element("b", "c"), class_="note"), encoding="unicode")
    '<p class="note">a &lt; b <b>c</b></p>'
    """
    made = ElementTree.Element(tag, {name.rstrip("_").replace("_", "-"): text for name, text in attributes.items()})
    for part in content:
        if not isinstance(part, str):
            made.append(part)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + part
        else:
            made.text = (made.text or "") + part
    return made


def section(question: str, *body: Content) -> ElementTree.Element:
    parts = [element("p", part) if isinstance(part, str) else part for part in body]
    return element("section", element("h2", question), *parts)


def table(caption: str, headings: list[str], rows: Iterable[tuple]) -> ElementTree.Element:
    """A table whose rows become small lists on a phone; a cell is text or a list of text and elements."""
    lines = []
    for head, *cells in rows:
        parts = [
            element("td", *_several(element("span", *_several(cell))), data_label=heading, role="cell")
            for heading, cell in zip(headings[1:], cells, strict=True)
        ]
        lines.append(element("tr", element("th", head, scope="row", role="rowheader"), *parts, role="row"))
    titles = [element("th", heading, scope="col", role="columnheader") for heading in headings]
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *titles, role="row"), role="rowgroup"),
        element("tbody", *lines, role="rowgroup"),
        role="table",
    )


def grid(figures: Iterable[ElementTree.Element]) -> ElementTree.Element:
    """Return figures side by side as far as the page is wide."""
    return element("div", *figures, class_="plots")


def figure(slug: str, draw: Callable[[], Drawing]) -> ElementTree.Element:
    """Both themes of a figure under one description; the page's colour scheme shows one of them."""
    drawings = []
    for mode in ("light", "dark"):
        with style.theme(mode), matplotlib.rc_context({"svg.hashsalt": slug, "savefig.transparent": True}):
            drawing = draw()
            stream = io.BytesIO()
            drawing.figure.savefig(stream, format="svg", dpi=200)
        drawings.append(_inlined(stream.getvalue(), f"{slug}-{mode}", mode))
    return element("figure", *drawings, role="img", aria_label=drawing.alt)


def _inlined(svg: bytes, prefix: str, mode: str) -> ElementTree.Element:
    """An SVG file as part of a page: no namespaces, no metadata, no size of its own, identities of its own."""
    root = ElementTree.fromstring(svg)
    for parent in root.iter():
        parent.tag = parent.tag.rpartition("}")[2]
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
        attributes = {name.rpartition("}")[2]: value for name, value in parent.attrib.items()}
        parent.attrib.clear()
        for name, value in attributes.items():
            if name == "id":
                value = f"{prefix}-{value}"
            elif name == "href":
                value = value.replace("#", f"#{prefix}-", 1) if value.startswith("#") else value
            parent.set(name, value.replace("url(#", f"url(#{prefix}-"))
    box = root.get("viewBox")
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "class": mode, "aria-hidden": "true"})
    return root


def _several(content: Content | list[Content]) -> list[Content]:
    return content if isinstance(content, list) else [content]
