"""The book's Sphinx extension: artefacts with numbers and downloads, quoted values, mathematics, links to sources.

Directive ``artefact`` shows a figure or table of the run by its slug; role ``value`` quotes a number that a notebook
kept. Either fails the build where the run does not hold it.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from deepcovid_lib import artefacts

LOGGER = logging.getLogger(__name__)
FORMATS = {"figure": ("svg", "png", "pdf", "csv"), "table": ("csv",)}


class Artefact(Directive):
    """Show a figure or table of the run: captioned, numbered, with its downloads."""

    required_arguments = 1
    option_spec = {"again": directives.flag}

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        slug = self.arguments[0]
        results = Path(env.config.deepcovid_results)
        record = next(
            (p for p in (results / "figures" / f"{slug}.json", results / "tables" / f"{slug}.json") if p.is_file()),
            None,
        )
        if record is None:
            raise self.error(f"the run holds no figure or table '{slug}'")
        env.note_dependency(str(record))
        known = json.loads(record.read_text(encoding="utf-8"))
        base = "../" * env.docname.count("/") + "files/"
        if known.get("films") and not env.config.deepcovid_films:
            text = "This figure shows patients' films. They stay out of the published book; a local build shows them."
            return [nodes.note("", nodes.paragraph(text=text))]
        if "again" in self.options:  # numbered and named where it belongs
            return [
                nodes.container(
                    "",
                    nodes.raw("", _images(known, base), format="html"),
                    nodes.paragraph(text=_caption(known)),
                    classes=["artefact"],
                )
            ]
        node = _figure(known, base) if known["kind"] == "figure" else _table(known)
        node["ids"].append(slug)
        node["names"].append(slug)
        node["classes"].append("artefact")
        self.state.document.note_explicit_target(node, node)
        self.set_source(node)
        return [node, nodes.raw("", _downloads(known, base), format="html")]

    def set_source(self, node: nodes.Element) -> None:
        node.source, node.line = self.state_machine.get_source_and_line(self.lineno)


class Value(SphinxRole):
    """Quote a value of the run."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        known = artefacts.quoted(Path(self.config.deepcovid_results))
        if self.text not in known:
            message = self.inliner.reporter.error(f"the run holds no value '{self.text}'", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        return [nodes.inline(text=known[self.text], classes=["value"])], []


def _caption(known: dict) -> str:
    return known["caption"] + (f" (Paper {known['number']})" if known["number"] else "")


def _images(known: dict, base: str) -> str:
    """Both variants; in an element of their own, since the theme hides a caption that follows the variant not shown."""
    alt = html.escape(known["alt"], quote=True)
    images = "".join(
        f'<img class="only-{mode}" src="{base}{known["slug"]}{suffix}.svg" alt="{alt}" '
        f'width="{known["width"]}" height="{known["height"]}" loading="lazy">'
        for mode, suffix in (("light", ""), ("dark", "-dark"))
    )
    return f"<div>{images}</div>"


def _figure(known: dict, base: str) -> nodes.figure:
    return nodes.figure("", nodes.raw("", _images(known, base), format="html"), nodes.caption(text=_caption(known)))


def _table(known: dict) -> nodes.table:
    group = nodes.tgroup(cols=len(known["headings"]))
    group += [nodes.colspec(colwidth=1) for _ in known["headings"]]
    head = nodes.thead("", _row(known["headings"]))
    body = nodes.tbody("", *(_row(row) for row in known["cells"]))
    group += [head, body]
    return nodes.table("", nodes.title(text=_caption(known)), group, classes=["colwidths-auto"])


def _row(cells: list[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph(text=cell), classes=_kind(cell)) for cell in cells))


def _kind(cell: str) -> list[str]:
    return ["number"] if re.fullmatch(r"[-+–]?[\d.,%e]*", cell) else []


def _downloads(known: dict, base: str) -> str:
    links = " · ".join(f'<a href="{base}{known["slug"]}.{kind}" download>{kind}</a>' for kind in FORMATS[known["kind"]])
    return f'<p class="downloads">{"Figure and data" if known["kind"] == "figure" else "Data"}: {links}</p>'


def _math(translator, node: nodes.Element) -> None:
    translator.body.append(f'<span class="math">{convert(node.astext())}</span>')
    raise nodes.SkipNode


def _math_block(translator, node: nodes.Element) -> None:
    number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    identity = f' id="{node["ids"][0]}"' if node["ids"] else ""
    translator.body.append(f'<div class="math"{identity}>{convert(node.astext(), display="block")}{number}</div>')
    raise nodes.SkipNode


def _page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    context["script_files"][:] = [
        script
        for script in context["script_files"]
        if "thebe" not in str(getattr(script, "filename", script)).lower() and not _mentions_thebe(script)
    ]
    if "body" in context and doctree is not None:
        context["body"] = app.config.deepcovid_banner + context["body"]
    source = _source_notebook(app, pagename)
    if source:
        _relink(context.get("header_buttons", []), f"{pagename}.ipynb", source)


def _mentions_thebe(script: object) -> bool:
    return "thebe" in str(getattr(script, "attributes", {}).get("body", "")).lower()


def _source_notebook(app: Sphinx, pagename: str) -> str | None:
    path = Path(app.env.doc2path(pagename)) if pagename in app.env.found_docs else None
    if path is None or path.suffix != ".ipynb":
        return None
    return json.loads(path.read_text(encoding="utf-8"))["metadata"].get("papermill", {}).get("input_path")


def _relink(buttons: list[dict], page: str, source: str) -> None:
    for button in buttons:
        if isinstance(button.get("url"), str) and "_sources/" not in button["url"]:  # the download is the page's own
            button["url"] = button["url"].replace(page, source)
        _relink(button.get("buttons", []), page, source)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("deepcovid_results", "", "env")
    app.add_config_value("deepcovid_films", False, "env")
    app.add_config_value("deepcovid_banner", "", "html")
    app.add_directive("artefact", Artefact)
    app.add_role("value", Value())
    app.add_html_math_renderer("mathml", (_math, None), (_math_block, None))
    app.connect("html-page-context", _page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
