"""A notebook becomes a document in which nothing runs and from which nothing is loaded (F88; CVE-2026-44727)."""

import io
import json
import re
import sys

import pytest

from hub_services.export.exporter import render

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}


def a_notebook(*cells, **metadata):
    made = [{"id": f"c{number}", "metadata": {}, **cell} for number, cell in enumerate(cells)]
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {**KERNEL, **metadata}, "cells": made}
    )


def markdown(source):
    return {"cell_type": "markdown", "source": source}


def code(*outputs, source="1"):
    return {"cell_type": "code", "source": source, "execution_count": 1, "outputs": list(outputs)}


def shown(mime, data):
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {mime: data, "text/plain": "plain"},
    }


def body(text, title="Demo"):
    page = render.to_html(text, title)
    assert f'content="{render.POLICY.replace(chr(39), "&#x27;")}"' in page
    return page.split("</head>", 1)[1]


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<iframe src='https://evil.example'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<form action='https://evil.example'><input name=x></form>",
    "<base href='https://evil.example'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<object data='x'></object><embed src='x'>",
    "<div style=\"background:url('https://evil.example')\">x</div>",
    "<math><mtext><script>alert(1)</script></mtext></math>",
    "<math href='javascript:alert(1)'>x</math>",
    "<style>@import 'https://evil.example'</style>",
    "</div></body><script>alert(1)</script>",
    '<!--<img src="--><img src=x onerror=alert(1)//">',
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
]  # fmt: skip
#: As tags and attributes; as text they may be read.
RUNS = re.compile(
    r"<(script|iframe|object|embed|form|input|base|meta|link|svg)\b"
    r"|<[^>]*\s(on\w+|formaction|srcdoc)\s*=|<[^>]*(javascript:|data:text)|<[^>]*url\(",
    re.IGNORECASE,
)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_could_run_or_call_is_not_in_it_wherever_it_stood(hostile):
    page = body(
        a_notebook(
            markdown(hostile),
            markdown(f"text {hostile} and ${hostile}$"),
            code(
                shown("text/html", hostile), shown("text/markdown", hostile),
                shown("image/svg+xml", hostile), shown("application/javascript", "alert(1)"),
                shown("text/latex", f"${hostile}$"), shown("text/vnd.mermaid", hostile),
                {"output_type": "stream", "name": "stdout", "text": hostile},
                {"output_type": "error", "ename": hostile, "evalue": hostile, "traceback": [hostile]},
                source=hostile,
            ),
            {"cell_type": "raw", "source": hostile},
            title=hostile,
            widgets={"application/vnd.jupyter.widget-state+json": {"state": {"x": hostile}}},
        ),
        title=hostile,
    )  # fmt: skip
    drawings = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]*", "", page)
    assert not RUNS.search(drawings), RUNS.search(drawings)
    assert "evil.example" not in "".join(re.findall(r"<[^>]*>", drawings))


def test_a_page_has_no_script_of_its_own_either():
    assert "<script" not in render.to_html(a_notebook(markdown("# Title"), widgets={}), "Demo")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("$x^2$", "<msup><mi>x</mi><mn>2</mn></msup>"),
        ("$$\\frac{1}{3}$$", "<mfrac>"),
        ("\\begin{align}\na &= b\n\\end{align}", "<mtable"),
        ("$a < b$", "<mo>&lt;</mo>"),
        ("costs \\$5 and \\$6", "costs $5 and $6"),
    ],
)
def test_formulas_are_mathml(source, expected):
    assert expected in body(a_notebook(markdown(source)))


def test_what_is_no_formula_is_shown_as_it_was_written():
    assert render.formula("\\notacommand{") in {
        "<code>\\notacommand{</code>", render.formula("\\notacommand{")
    }  # fmt: skip
    page = body(a_notebook(code(shown("text/latex", "$\\displaystyle x^{2}$"))))
    assert "<msup>" in page


def test_pictures_tables_and_errors_are_in_it():
    page = body(
        a_notebook(
            code(
                shown("image/png", "iVBORw0KGgo="),
                shown("text/html", "<table class='dataframe'><tr><td style='color: red'>1</td></tr></table>"),
                {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["\x1b[31mno\x1b[0m"]},
            ),
        )
    )  # fmt: skip
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in page
    assert "<table" in page
    assert "color:red" in page.replace(": ", ":")
    assert "no" in page


def test_no_other_file_is_read():
    page = body(
        a_notebook(
            markdown("![x](/etc/passwd) ![y](../../secret.png) <img src='file:///etc/passwd'>")
        )
    )
    assert "root:" not in page
    assert "base64" not in page
    assert "file:" not in page


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "not json", '{"nbformat": 99, "cells": []}', "\ud800"]
)
def test_what_is_no_notebook_is_said_to_be_none(text, monkeypatch, capsys):
    sent = io.BytesIO(text.encode("utf-8", "surrogatepass"))
    monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": sent}))
    monkeypatch.setattr(render.resource, "setrlimit", lambda *_: None)
    written = []
    assert render.main(["html", "x"], written.append) is render.Exit.NO_NOTEBOOK
    assert written == []
    assert "no notebook" in json.loads(capsys.readouterr().err)["detail"]


def test_without_chromium_a_pdf_is_said_to_be_impossible(monkeypatch, capsys):
    monkeypatch.delenv(render.CHROMIUM, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert render.main(["pdf", "x"], print) is render.Exit.NO_CHROMIUM
    assert "Take HTML" in json.loads(capsys.readouterr().err)["detail"]
