"""How the documentation is built: ``sphinx-build -W docs docs/_build/html``."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from bids_secondlevel import __version__

project = "bids_secondlevel"
author = "The bids_secondlevel developers"
copyright = author  # noqa: A001 the name Sphinx looks for
release = version = __version__

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
nitpicky = True
highlight_language = "none"
smartquotes = False

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"bids_secondlevel {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_use_index = False


def inline_mathml(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula in a sentence; browsers draw MathML without any script."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block_mathml(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula in a paragraph of its own."""
    formula = convert(node.astext(), display="block")
    translator.body.append(f'<div class="formula">{formula}</div>\n')
    raise nodes.SkipNode


def add_contents(_: Sphinx, page: str, source: list[str]) -> None:
    """Make the contents of the site from its first page."""
    if page == "index":
        source[0] += contents(source[0])


def contents(index: str) -> str:
    """List the pages that each section of a page links to, as the site's navigation.

    It is not written in the page, as it would be shown to those who read the page elsewhere.
    """
    sections = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", index, re.MULTILINE | re.DOTALL)
    trees = [
        "\n".join(["```{toctree}", f":caption: {title}", ":hidden:", "", *linked, "```", ""])
        for title, text in sections
        if (linked := re.findall(r"\]\(([\w/-]+)\.md\)", text))
    ]
    return "\n" + "\n".join(trees)


def setup(app: Sphinx) -> None:
    """Register the renderer of formulas, and the contents."""
    app.add_html_math_renderer("mathml", (inline_mathml, None), (block_mathml, None))
    app.connect("source-read", add_contents)
