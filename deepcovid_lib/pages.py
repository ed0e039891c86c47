"""The book's Sphinx extension: artefacts with numbers and downloads, quoted values, mathematics, links to sources.

Directive ``artefact`` shows a figure or table of the run by its slug; role ``value`` quotes a number that a notebook
kept; directive ``explorer`` places the threshold explorer, ``citation`` an entry in BibTeX or RIS. Each fails the build
where the run does not hold it.
"""

from __future__ import annotations

import html
import re
from functools import cache, partial
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from deepcovid_lib import artefacts, citations, paper, papermap, provenance
from deepcovid_lib.files import read_json

FORMATS = {"figure": ("svg", "png", "pdf", "csv"), "table": ("csv",)}
WORDY = 28  # characters, from which a column's cells are wrapped
SORTABLE = ("tab-paper-versus-run",)


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
        known = read_json(record)
        base = _up(env.docname) + "files/"
        if known.get("films") and not env.config.deepcovid_films:
            text = "This figure shows patients' films. They stay out of the published book; a local build shows them."
            return [nodes.note("", nodes.paragraph(text=text), ids=[slug])]
        imprints = _imprints(env.config.deepcovid_imprints)
        if imprints and slug not in imprints:
            raise self.error(f"no page of the book makes '{slug}'")
        imprint = imprints.get(slug, {})
        tools = nodes.raw("", _tools(known, imprint, env.docname), format="html")
        if "again" in self.options and known["kind"] == "table":
            raise self.error(f"'{slug}' is a table, numbered where it stands; only a figure can be shown again")
        if "again" in self.options:  # numbered and named where it belongs
            shown = nodes.raw("", images(known, base), format="html")
            place = [nodes.Text(_caption(known))]
            if imprint:
                link = f'<a href="{_up(env.docname)}{imprint["page"]}.html#{slug}">Where it is made.</a>'
                place += [nodes.Text(" "), nodes.raw("", link, format="html")]
            return [nodes.container("", shown, nodes.paragraph("", "", *place), classes=["artefact"]), tools]
        node = _figure(known, base) if known["kind"] == "figure" else _table(known)
        node["ids"].append(slug)
        node["names"].append(slug)
        node["classes"] += ["artefact", *(["sortable"] if slug in SORTABLE else [])]
        self.state.document.note_explicit_target(node, node)
        self.set_source(node)
        return [node, tools]

    def set_source(self, node: nodes.Element) -> None:
        node.source, node.line = self.state_machine.get_source_and_line(self.lineno)


class Explorer(Directive):
    """Place the threshold explorer of the run."""

    def run(self) -> list[nodes.Node]:
        path = Path(self.state.document.settings.env.config.deepcovid_explorer)
        if not path.is_file():
            raise self.error("the run holds no scores to explore")
        return [nodes.raw("", path.read_text(encoding="utf-8"), format="html")]


class Citation(Directive):
    """Show how to cite ``paper`` or ``book``, as ``bibtex`` or ``ris``."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        which, form = self.arguments
        known = citations.entries(Path(self.state.document.settings.env.srcdir))
        if which not in known or form not in citations.FORMS:
            raise self.error(f"no citation '{which} {form}'; there are {', '.join(known)}, as bibtex or ris")
        text = citations.FORMS[form](known[which])
        block = nodes.literal_block(text, text, classes=["citation"])
        block["language"] = "text"
        return [block]


class Value(SphinxRole):
    """Quote a value of the run."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        known = artefacts.quoted(Path(self.config.deepcovid_results))
        if self.config.deepcovid_values:
            known |= read_json(self.config.deepcovid_values)
        if self.text not in known:
            message = self.inliner.reporter.error(f"the run holds no value '{self.text}'", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        return [nodes.inline(text=known[self.text], classes=["value"])], []


def _caption(known: dict) -> str:
    return known["caption"] + (f" (Paper {known['number']})" if known["number"] else "")


def images(known: dict, base: str) -> str:
    """Return both variants of a figure as HTML, leading to the picture in full size.

    They stand in an element of their own, since the theme hides a caption that follows the variant not shown.
    """
    alt = html.escape(known["alt"], quote=True)
    images = "".join(
        f'<img class="only-{mode}" src="{base}{known["slug"]}{suffix}.svg" alt="{alt}" '
        f'width="{known["width"]}" height="{known["height"]}" loading="lazy">'
        for mode, suffix in (("light", ""), ("dark", "-dark"))
    )
    return f'<div><a class="enlarge" href="{base}{known["slug"]}.png">{images}</a></div>'


def _figure(known: dict, base: str) -> nodes.figure:
    return nodes.figure("", nodes.raw("", images(known, base), format="html"), nodes.caption(text=_caption(known)))


def _table(known: dict) -> nodes.table:
    group = nodes.tgroup(cols=len(known["headings"]))
    group += [nodes.colspec(colwidth=1) for _ in known["headings"]]
    columns = list(zip(*known["cells"], strict=True))
    numbers = [all(map(_kind, column)) for column in columns]
    wordy = {place for place, column in enumerate(columns) if max(map(len, column)) > WORDY}
    head = nodes.thead("", _row(known["headings"], frozenset()))
    for entry, number in zip(head[0], numbers, strict=False):
        entry["classes"] = ["number"] if number else []
    body = nodes.tbody("", *(_row(row, wordy) for row in known["cells"]))
    group += [head, body]
    return nodes.table("", nodes.title(text=_caption(known)), group, classes=["colwidths-auto"])


def _row(cells: list[str], wordy: frozenset[int] | set[int]) -> nodes.row:
    entries = (
        nodes.entry("", nodes.paragraph(text=cell), classes=["words"] if place in wordy else _kind(cell))
        for place, cell in enumerate(cells)
    )
    return nodes.row("", *entries)


def _kind(cell: str) -> list[str]:
    return ["number"] if re.fullmatch(r"[-+−–]?[\d.,%e]*( points)?", cell) else []


def _tools(known: dict, imprint: dict, docname: str) -> str:
    """The line under an artefact: its files, code, tests and citation, and how it was made."""
    slug, kind, base = known["slug"], known["kind"], _up(docname)
    links = [
        f'<a href="{base}files/{slug}.{form}" download aria-label="{form} of {slug}">{form}</a>'
        for form in FORMATS[kind]
    ]
    if not imprint:
        return f'<div class="artefact-tools">{" ".join(links)}</div>'
    page = "" if imprint["page"] == docname else f"{base}{imprint['page']}.html"
    links.append(f'<a class="code" href="{page}#code-{imprint["cell"]}">Code</a>')
    if imprint["tested"]:
        tests = f"{base}book/tests.html#{papermap.section(imprint['tested'][0])}"
        links.append(f'<a class="test" href="{tests}">Tests</a>')
    bibtex = html.escape(imprint["bibtex"], quote=True)
    buttons = (
        f'<button type="button" data-copy="permalink" data-text="{base}at/{slug}.html">Copy link</button>'
        f'<button type="button" data-copy="bibtex" data-text="{bibtex}">Copy BibTeX</button>'
    )
    rows = [(name, html.escape(text)) for name, text in imprint["about"]]
    functions = [
        f'<a href="{base}book/library.html#{provenance.documented(name)}"><code>{name}</code></a>'
        for name in imprint["functions"]
    ]
    tested = [
        f'<a href="{base}book/tests.html#{papermap.section(name)}"><code>{name}</code></a>'
        for name in imprint["tested"]
    ]
    rows += [(name, ", ".join(part)) for name, part in (("Functions", functions), ("Tests of", tested)) if part]
    rows += [
        ("Permalink", f'<a href="{base}at/{slug}.html">at/{slug}.html</a>'),
        ("BibTeX", f'<pre tabindex="0">{html.escape(imprint["bibtex"])}</pre>'),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows)
    return (
        f'<div class="artefact-tools" role="group" aria-label="Files, code and citation of {slug}" data-slug="{slug}">'
        f'<div class="row">{"".join(links)}{buttons}<span role="status"></span></div>'
        f'<details class="about"><summary>About this {kind}</summary><dl>{listed}</dl></details></div>'
    )


def _up(docname: str) -> str:
    return "../" * docname.count("/")


@cache
def _imprints(path: str) -> dict[str, dict]:
    return read_json(path) if path else {}


def _math(translator, node: nodes.Element) -> None:
    translator.body.append(f'<span class="math">{convert(node.astext())}</span>')
    raise nodes.SkipNode


def _math_block(translator, node: nodes.Element) -> None:
    known = translator.builder.env.domaindata["math"]["objects"].get(node.get("label"))
    number = f'<span class="eqno">({known[1]})</span>' if known else ""
    identity = f' id="{node["ids"][0]}"' if node["ids"] else ""
    shown = convert(node.astext(), display="block")
    translator.body.append(f'<div class="math" tabindex="0"{identity}>{shown}{number}</div>')
    raise nodes.SkipNode


def _page(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    context["script_files"][:] = [
        script
        for script in context["script_files"]
        if "thebe" not in str(getattr(script, "filename", script)).lower() and not _mentions_thebe(script)
    ]
    if "body" in context and doctree is not None:
        scrolled = r'<table class="([^"]*\b(?:artefact|papermap|faults)\b)'
        body = re.sub(scrolled, r'<table tabindex="0" class="\1', context["body"])
        body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
        context["body"] = app.config.deepcovid_banner + body
    source = _source_notebook(app, pagename)
    if source:
        _relink(context.get("header_buttons", []), f"{pagename}.ipynb", source)


def _share_contents(
    shared: dict, app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None
) -> None:
    """Lay the book's contents out once for all pages of code, which differ in nothing there: it takes a while."""
    folder, _, module = pagename.rpartition("/")
    if folder.startswith("_modules") and module:
        laid_out = context["toctree"]

        def toctree(**asked: object) -> str:
            key = (folder, *sorted(asked.items()))
            return shared[key] if key in shared else shared.setdefault(key, laid_out(**asked))

        context["toctree"] = toctree


def _number_as_the_paper(app: Sphinx, env) -> list[str]:
    """Give the paper's equations the paper's numbers."""
    printed = paper.artefacts().query("kind == 'equation'").set_index("slug")["number"]
    known = env.domaindata["math"]["objects"]
    for label, (docname, number) in known.items():
        own = next((int(told) for slug, told in printed.items() if label.startswith(slug)), number)
        known[label] = (docname, own)
    return []


def _skip_fields(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """Leave out what Python says of a named tuple's fields; their class tells them."""
    return True if (getattr(member, "__doc__", "") or "").startswith("Alias for field number") else None


def _mentions_thebe(script: object) -> bool:
    return "thebe" in str(getattr(script, "attributes", {}).get("body", "")).lower()


def _source_notebook(app: Sphinx, pagename: str) -> str | None:
    path = Path(app.env.doc2path(pagename)) if pagename in app.env.found_docs else None
    if path is None or path.suffix != ".ipynb":
        return None
    return read_json(path)["metadata"].get("papermill", {}).get("input_path")


def _relink(buttons: list[dict], page: str, source: str) -> None:
    for button in buttons:
        if isinstance(button.get("url"), str) and "_sources/" not in button["url"]:  # the download is the page's own
            button["url"] = button["url"].replace(page, source)
        _relink(button.get("buttons", []), page, source)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("deepcovid_results", "", "env")
    app.add_config_value("deepcovid_films", False, "env")
    app.add_config_value("deepcovid_banner", "", "html")
    app.add_config_value("deepcovid_imprints", "", "env")
    app.add_config_value("deepcovid_explorer", "", "env")
    app.add_config_value("deepcovid_values", "", "env")
    app.add_directive("artefact", Artefact)
    app.add_directive("explorer", Explorer)
    app.add_directive("citation", Citation)
    app.add_role("value", Value())
    app.add_html_math_renderer("mathml", (_math, None), (_math_block, None))
    app.connect("html-page-context", partial(_share_contents, {}), priority=100)
    app.connect("html-page-context", _page, priority=900)
    app.connect("env-updated", _number_as_the_paper)
    if "sphinx.ext.autodoc" in app.extensions:
        app.connect("autodoc-skip-member", _skip_fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
