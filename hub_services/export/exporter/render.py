"""
Render: a notebook as a document, in a process of its own that has little to lose.

    python -m hub_services.export.exporter.render html|pdf [TITLE] < notebook > document

Nothing of the notebook runs: tags that are not known to be harmless are taken out, the document has no script, and may
load nothing. So formulas become MathML here, drawings are pictures, and widgets show what they last said as text. The
document reads nothing but its own bytes: pictures that are other files are left out. A PDF is what Chromium prints of
that page.
Source: CVE-2026-44727 and CVE-2018-19351 (facts on security, §1); F88; L8.
"""

from __future__ import annotations

import html
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: What the document may do, wherever it is opened.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; form-action 'none'; "
    "base-uri 'none'"
)
#: A program that prints pages; else it is looked for on the PATH.
CHROMIUM: Final = "EUGO_CHROMIUM"
CPU_SECONDS: Final = 120
_MEMORY: Final = 2 << 30
_PRINT_SECONDS: Final = 60
_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")

#: Lab's page without all that is loaded or run.
_TEMPLATE: Final = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block footer_js -%}{%- endblock -%}
{%- block data_mermaid scoped -%}<pre>{{ output.data['text/vnd.mermaid'] | e }}</pre>{%- endblock -%}
{%- block data_latex scoped -%}
<div class="jp-RenderedLatex jp-OutputArea-output">{{ output.data['text/latex'] | latex_to_html }}</div>
{%- endblock -%}
"""


class Exit(IntEnum):
    """How the process says what was wrong."""

    OK = 0
    FAILED = 1
    NO_NOTEBOOK = 3
    NO_CHROMIUM = 4


def to_html(text: str, title: str) -> str:
    """
    Return the notebook *text* as a page.

    Raises:
        ValueError: It is no notebook.
    """
    import nbformat  # noqa: PLC0415 - a second, in this process alone
    from nbconvert import HTMLExporter  # noqa: PLC0415
    from nbconvert.filters.markdown_mistune import (  # noqa: PLC0415
        IPythonRenderer,
        MarkdownWithMath,
    )

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return formula(body, is_block=True)

        def inline_math(self, body: str) -> str:
            return formula(body)

        def latex_environment(self, name: str, body: str) -> str:
            return formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", is_block=True)

    def markdown_to_html(source: str) -> Any:
        return MarkdownWithMath(renderer=Renderer(escape=False)).render(source)

    try:
        notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except Exception as error:
        message = f"It is no notebook: {str(error).splitlines()[0][:200]}"
        raise ValueError(message) from error
    # The state of widgets is a script's, which is not there; what they last said is an output.
    notebook.metadata.pop("widgets", None)
    make: Any = HTMLExporter
    exporter = make(sanitize_html=True, embed_images=False, raw_template=_TEMPLATE)
    for name, work in (
        ("latex_to_html", latex_to_html),
        ("markdown2html", markdown_to_html),
        ("clean_html", clean),
    ):
        exporter.register_filter(name, work)
    page, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    head = f'<head>\n<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'
    return str(page).replace("<head>", head, 1)


def clean(page: str | bytes) -> str:
    """Return of *page* what is harmless: no scripts, no events, no forms, nothing that is loaded or submitted."""
    import nh3  # noqa: PLC0415

    text = page.decode("utf-8", "replace") if isinstance(page, bytes) else str(page)
    found: str = nh3.clean(
        text,
        tags=set(nh3.ALLOWED_TAGS) | _MATH,
        attributes={**nh3.ALLOWED_ATTRIBUTES, **_ATTRIBUTES},
        attribute_filter=_harmless,
        url_schemes={"http", "https", "mailto", "data"},
        filter_style_properties=_STYLES,
    )
    return found


def _harmless(tag: str, attribute: str, value: str) -> str | None:
    """Return the value of an attribute, if it may stay: bytes in an address are pictures, and nothing else."""
    if value.strip().lower().startswith("data:"):
        return (
            value
            if (tag, attribute) == ("img", "src") and value.startswith("data:image/")
            else None
        )
    return value


#: Of MathML, what formulas are made of (`latex2mathml`).
_MATH: Final = frozenset(
    [
        "math",
        "mrow",
        "mi",
        "mn",
        "mo",
        "ms",
        "mtext",
        "mspace",
        "msup",
        "msub",
        "msubsup",
        "mfrac",
        "msqrt",
        "mroot",
        "mover",
        "munder",
        "munderover",
        "mtable",
        "mtr",
        "mtd",
        "mlabeledtr",
        "mstyle",
        "mpadded",
        "mphantom",
        "menclose",
        "mmultiscripts",
        "mprescripts",
        "none",
        "semantics",
    ]
)
_OF_MATH: Final = frozenset(
    [
        "display",
        "displaystyle",
        "scriptlevel",
        "mathvariant",
        "mathsize",
        "mathcolor",
        "mathbackground",
        "stretchy",
        "fence",
        "separator",
        "form",
        "accent",
        "accentunder",
        "lspace",
        "rspace",
        "minsize",
        "maxsize",
        "width",
        "height",
        "depth",
        "voffset",
        "linethickness",
        "columnalign",
        "rowalign",
        "columnspacing",
        "rowspacing",
        "columnlines",
        "rowlines",
        "movablelimits",
        "symmetric",
        "notation",
        "xmlns",
    ]
)
_ATTRIBUTES: Final = {
    "*": {"class", "id", "style", "align", "title", "dir", "lang"},
    "a": {"href", "hreflang", "name"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    **dict.fromkeys(_MATH, _OF_MATH),
}
_STYLES: Final = {
    "background-color", "border", "border-bottom", "border-left", "border-right", "border-top", "color",
    "font-family", "font-size", "font-style", "font-weight", "margin", "margin-left", "max-width",
    "padding", "text-align", "text-decoration", "vertical-align", "white-space", "width",
}  # fmt: skip


def formula(latex: str, *, is_block: bool = False) -> str:
    """Return *latex* as MathML; what is not understood as it was written."""
    from latex2mathml.converter import convert  # noqa: PLC0415

    plain = latex.strip()
    try:
        return str(convert(plain, display="block" if is_block else "inline"))
    except Exception:  # noqa: BLE001 - whatever it cannot do
        return f"<code>{html.escape(plain)}</code>"


def latex_to_html(text: str) -> str:
    """Return an output of LaTeX, which may have its dollars, as MathML."""
    plain = text.strip()
    is_block = plain.startswith(("$$", "\\["))
    for mark, end in (("$$", "$$"), ("$", "$"), ("\\[", "\\]"), ("\\(", "\\)")):
        if plain.startswith(mark) and plain.endswith(end):
            return formula(plain[len(mark) : -len(end)], is_block=is_block)
    return formula(plain, is_block=plain.startswith("\\begin"))


def find_chromium() -> str | None:
    """Return the program that prints pages; `None`: there is none."""
    named = os.environ.get(CHROMIUM)
    return named or next(filter(None, map(shutil.which, _PROGRAMS)), None)


def to_pdf(page: str, chromium: str) -> bytes:
    """Return what *chromium* prints of *page*."""
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "page.html", Path(place) / "page.pdf"
        source.write_text(page, "utf-8")
        subprocess.run(  # noqa: S603 - what the deployment named, and a page of ours
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--disable-extensions", "--disable-background-networking", "--no-first-run",
                "--no-pdf-header-footer",
                f"--user-data-dir={place}/profile", f"--print-to-pdf={target}", source.as_uri(),
            ],
            check=True, timeout=_PRINT_SECONDS, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return target.read_bytes()


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: list[str], write: Callable[[bytes], object]) -> Exit:
    """Render standard input; what is wrong is told on standard error as JSON, in words for people."""
    form, title = arguments[0], arguments[1] if len(arguments) > 1 else "Notebook"
    chromium = find_chromium() if form == "pdf" else None
    if form == "pdf" and chromium is None:
        _tell("This deployment prints no PDF: the exporters' image has no Chromium. Take HTML.")
        return Exit.NO_CHROMIUM
    _limit()
    if form == "html":
        # Chromium reserves far more than it uses, so this is for pages alone.
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        page = to_html(sys.stdin.buffer.read().decode("utf-8", "replace"), title)
    except ValueError as error:
        _tell(str(error))
        return Exit.NO_NOTEBOOK
    write(page.encode() if chromium is None else to_pdf(page, chromium))
    return Exit.OK


def _tell(words: str) -> None:
    sys.stderr.write(json.dumps({"detail": words}) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout.buffer.write))
