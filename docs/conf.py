"""How Sphinx builds the site: `python -m tools.site` starts it on a folder of copies.

Everything a page needs comes with it. So formulas become MathML, which browsers draw
themselves, and no script of a content delivery network is named anywhere.
"""

import os
import re
from typing import Any, NoReturn

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.logging import getLogger

project = "Lookalike"
author = "the authors of Lookalike"
html_title = "Lookalike"
language = "en"
root_doc = "index"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_extra", "_static", "_templates"]
templates_path = ["_templates"]

# Lessons, as they are stored
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the check of your answer"
nb_code_prompt_hide = "Hide the check of your answer"
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["mystnb.mime_priority"]

# The course ring, read without the libraries that do its work
autodoc_mock_imports = ["faiss", "matplotlib"]
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
default_role = "py:obj"  # `name` in a docstring is code, and a link if it has a page
napoleon_google_docstring = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# Pages
html_theme = "sphinx_book_theme"
html_sidebars = {
    "**": ["home.html", "search-button-field.html", "sbt-sidebar-nav.html"]
}
html_static_path = ["_static"]
html_css_files = ["lookalike.css"]
html_extra_path = ["_extra"]
html_copy_source = False
html_use_index = False  # the search finds names, too
html_show_search_summary = False  # fetched by a script, which a file may not do
html_domain_indices = False
html_context = {"default_mode": "auto"}  # light or dark, as the system has it
html_show_sphinx = False
html_show_copyright = False
html_math_renderer = "mathml"
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "max_navbar_depth": 1,  # deeper pages are listed by the page above them
    "show_toc_level": 2,
}
if repository := os.environ.get("LOOKALIKE_REPOSITORY"):
    html_theme_options |= {"repository_url": repository, "use_repository_button": True}

# What `tidy` looks for
EMPTY = r"<t[dh](?: class=\"head\")?><p></p></t[dh]>\s*"
EMPTY_HEAD = re.compile(rf"<thead>\s*<tr[^>]*>(?:{EMPTY})+</tr>\s*</thead>")
GROUP = re.compile(
    rf"<tr[^>]*>(?:{EMPTY})*<td><p><strong>([^<]*)</strong></p></td>\s*(?:{EMPTY})+</tr>"
)
AMOUNT = re.compile(r"(?<=<td><p>)([\d.,]+) (min|s|h|[kMG]?B)(?=</p>)")
PICTURE = re.compile(r'(<img [^>]*src="([^"]*_images/[^"]+)"[^>]*>)')


def draw_formula(translator: Any, node: nodes.Element) -> NoReturn:
    """Write a formula as MathML."""
    formula = node.astext().replace(r"\dots", r"\ldots")
    is_block = isinstance(node, nodes.math_block)
    try:
        drawn = tex2mathml(formula, as_block=is_block)
    except MathError as error:
        getLogger(__name__).warning("%s", error, location=node)
        raise nodes.SkipNode from error
    # A long one is scrolled, by the keyboard, too.
    scrolled = f'<div class="formula" tabindex="0">{drawn}</div>'
    translator.body.append(scrolled if is_block else drawn)
    raise nodes.SkipNode


def tidy(*event: Any) -> None:
    """Let pictures open at their own size, and say of tables what heads what.

    Markdown can neither leave a header out nor let a cell span a row, so a table has
    empty headers, which a screen reader announces, and a group's name alone in a row.
    """
    _app, _page, _template, context, _doctree = event
    body = EMPTY_HEAD.sub("", context.get("body", ""))
    body = body.replace('<th class="head"><p></p></th>', "<td></td>")
    body = GROUP.sub(span, body)
    body = AMOUNT.sub(r"\1&nbsp;\2", body)
    context["body"] = PICTURE.sub(r'<a class="picture" href="\2">\1</a>', body)


def span(row: re.Match) -> str:
    """Let the only text of a row, the name of a group, take the row's width."""
    width = row[0].count("<td>")
    return (
        f'<tr class="group"><th colspan="{width}" scope="colgroup">{row[1]}</th></tr>'
    )


def setup(app: Any) -> None:
    """Have formulas drawn by the browser, and pages tidied."""
    app.connect("html-page-context", tidy)
    app.add_html_math_renderer("mathml", (draw_formula, None), (draw_formula, None))
