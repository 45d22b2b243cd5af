"""tools/site: pages that are whole, need no network and read well on a phone."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.chromium import launched
from tools.notebooks import FOLDED, find_notebooks
from tools.site import __main__ as program
from tools.site import check, gallery, launch
from tools.site.sources import Sources, describe_figure, parts_of

ROOT = Path(__file__).parents[2]
NOTEBOOKS = find_notebooks(ROOT / "notebooks")
ADDRESS = "https://github.com/somebody/lookalike"
DOT = "R0lGODlhAQABAAAAACw="  # a picture of one dot

# ---------------------------------------------------------------- the built site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site, once, with all its buttons; a warning or a fault fails it."""
    folder = tmp_path_factory.mktemp("site") / "pages"
    command = [sys.executable, "-m", "tools.site", "--repository", ADDRESS]
    done = subprocess.run(
        [*command, "--output", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_notebook_has_a_page_with_all_its_figures(site):
    for path in NOTEBOOKS:
        page = site / path.relative_to(ROOT).with_suffix(".html")
        text = page.read_text(encoding="utf-8")
        stored = sum(
            "image/jpeg" in output.get("data", {})
            for cell in nbformat.read(path, as_version=4).cells
            for output in cell.get("outputs", [])
        )
        shown = re.findall(r'<img alt="Figure of “[^"]{2,}”: [^"]{10,}"', text)
        assert len(shown) == stored, path.name


def test_every_picture_of_the_gallery_is_shown_small(site):
    pages = "".join(p.read_text(encoding="utf-8") for p in site.glob("gallery/*.html"))
    for path in (ROOT / "images").glob("*/*.jpg"):
        name = path.relative_to(ROOT / "images").as_posix()
        assert f'src="thumbnails/{name}"' in pages
        small = site / "gallery" / "thumbnails" / name
        assert small.stat().st_size < path.stat().st_size


def test_helpers_are_documented_with_their_examples(site):
    text = (site / "api" / "metrics.html").read_text(encoding="utf-8")
    assert 'id="utils.metrics.average_precision"' in text
    assert "&gt;&gt;&gt;" in text


def test_no_page_tells_where_it_was_built(site):
    for page in site.rglob("*.html"):
        assert str(ROOT) not in page.read_text(encoding="utf-8"), page


@pytest.fixture(scope="module")
def browser():
    with launched("nbformat") as chromium:
        yield chromium


@pytest.fixture
def visit(browser, site):
    """Open a page from the disk; what it asks of other places is noted, and refused."""
    contexts, outside = [], []

    def go(name, width, **settings):
        size = {"width": width, "height": 740}
        contexts.append(browser.new_context(viewport=size, **settings))
        page = contexts[-1].new_page()
        page.on("request", lambda request: outside.append(request.url))
        page.goto(f"{(site / name).as_uri()}")
        return page

    yield go
    for context in contexts:
        context.close()
    assert [url for url in outside if not url.startswith(("file:", "data:"))] == []


PAGES = [
    *(p.relative_to(ROOT).with_suffix(".html").as_posix() for p in NOTEBOOKS[::2]),
    *("index.html", "notebooks/README.html", "gallery/index.html", "gallery/mug.html"),
    *("api/metrics.html", "tools/benchmark/RESULTS.html", "models/README.html"),
]

JUDGED = [
    *("index.html", "notebooks/03_compare_vectors.html", "gallery/index.html"),
    *("api/timing.html", "search.html?q=centroid", "models/README.html"),
    *("notebooks/README.html", "tools/benchmark/EXTRACTION.html"),
    "notebooks/solutions/03_compare_vectors_solutions.html",
]


def test_pages_fit_a_phone(visit):
    page = visit("index.html", 360)
    for name in PAGES:
        page.goto(page.url.rsplit("/pages/", 1)[0] + f"/pages/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


@pytest.mark.parametrize(
    ("width", "scheme", "names"), [(390, "light", JUDGED), (1400, "dark", JUDGED[:5])]
)
def test_whatever_axe_core_knows_of_is_all_right(visit, width, scheme, names):
    pytest.importorskip("axe_playwright_python")
    from axe_playwright_python.sync_playwright import Axe

    page = visit("index.html", width, color_scheme=scheme)
    root = page.url.removesuffix("index.html")
    for name in names:
        page.goto(root + name)
        # Not `preload`: a page from the disk may not read its style sheets.
        options = {"preload": False, "resultTypes": ["violations"]}
        found = Axe().run(page, options=options)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"


def test_letters_are_large_enough_on_a_phone(visit):
    page = visit("notebooks/03_compare_vectors.html", 390)
    size = "part => parseFloat(getComputedStyle(part).fontSize)"
    assert page.locator("article p").first.evaluate(size) >= 16
    assert page.locator("article pre").first.evaluate(size) >= 12
    page.goto(page.url.replace("notebooks/03_compare_vectors", "index"))
    assert page.locator("article td").first.evaluate(size) >= 13


def test_every_icon_is_drawn_and_nothing_is_there_that_no_page_needs(visit, site):
    page = visit("notebooks/03_compare_vectors.html", 390)
    drawn = """[...document.querySelectorAll("[class*='fa-']")].map(icon =>
      [icon.className, getComputedStyle(icon, "::before").maskImage])"""
    icons = page.evaluate(drawn)
    assert icons
    assert [name for name, mask in icons if "data:image/svg" not in mask] == []
    assert not list(site.rglob("*fontawesome*"))
    assert not (site / "_static" / "locales").exists()


def test_the_keyboard_reaches_figures_and_solutions(visit):
    page = visit("notebooks/03_compare_vectors.html", 1400)
    page.locator("a.picture").first.focus()
    assert page.evaluate("document.activeElement.matches('a.picture')")
    fold = page.locator("details.fold", has_text="With its outputs").first
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    assert fold.locator("pre").first.is_visible()


def test_a_table_names_its_groups_and_has_no_empty_headers(visit):
    page = visit("index.html", 1400)
    assert page.locator("tr.group th[scope=colgroup]").count() == 5
    heads = page.locator("article th").all_inner_texts()
    assert [head for head in heads if not head.strip()] == []


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_a_lesson_follows_the_system_s_light_or_dark(visit, width):
    name = "notebooks/03_compare_vectors.html"
    look = "getComputedStyle(document.body).backgroundColor"
    light, dark = (
        visit(name, width, color_scheme=scheme).evaluate(look)
        for scheme in ("light", "dark")
    )
    brightness = [sum(map(int, re.findall(r"\d+", c)[:3])) for c in (light, dark)]
    assert brightness[0] > 3 * 200
    assert brightness[1] < 3 * 60


def test_a_figure_opens_and_a_solution_unfolds(visit):
    page = visit("notebooks/03_compare_vectors.html", 360)
    figure = page.locator("a.picture img").first
    assert figure.evaluate("image => image.naturalWidth") > 360
    assert figure.bounding_box()["width"] <= 360
    fold = page.locator("details.fold", has_text="With its outputs").first
    assert not fold.locator("pre").is_visible()
    fold.locator("summary").click()
    assert "answer = " in fold.locator("pre").inner_text()


def test_search_needs_no_server(visit):
    page = visit("search.html", 1600)
    page.goto(page.url + "?q=centroid")
    page.locator("#search-results li a").first.wait_for()
    found = page.locator("#search-results li a").all_inner_texts()
    assert any("Search in cells" in text for text in found)


# ------------------------------------------------------------------- the sources


@pytest.fixture
def repository(tmp_path):
    """A small repository: one lesson, its solutions, and a file that is no page."""
    root = tmp_path / "repository"
    (root / "notebooks" / "solutions").mkdir(parents=True)
    (root / "README.md").write_text("# Count\n\n[one](notebooks/01_count.ipynb)")
    (root / "LICENSE").write_text("Do what you like.")
    (root / "tools").mkdir()
    navigation = {"tags": ["navigation"]}
    exercise = new_markdown_cell("### Exercise 1: count on\n\nHow many?")
    picture = new_output("display_data", data={"image/jpeg": DOT})
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    lesson = [
        new_markdown_cell("# 1. Count"),
        new_markdown_cell("[contents](../README.md#start)", metadata=navigation),
        new_code_cell("show()", outputs=[picture, new_output("display_data", widget)]),
        new_markdown_cell("All **three** are [here](../LICENSE). More follow."),
        new_markdown_cell("## On your own"),
        exercise,
        new_code_cell("answer = ..."),
        new_code_cell(f"{FOLDED}\nprint('Not answered yet.')"),
        new_markdown_cell("## Summary"),
        new_markdown_cell("[contents](../README.md)", metadata=navigation),
    ]
    reasons = {"tags": ["solution"]}
    solutions = [
        new_markdown_cell("## On your own"),
        exercise,
        new_code_cell("n = 1\n# solution\nanswer = n + 1"),
        new_code_cell("print('Right.')"),
        new_markdown_cell(
            "Two, as in [the lesson](../01_count.ipynb).", metadata=reasons
        ),
    ]
    for name, cells in (
        ("01_count.ipynb", lesson),
        ("solutions/01_count_solutions.ipynb", solutions),
    ):
        nbformat.write(new_notebook(cells=cells), root / "notebooks" / name)
    return root


@pytest.fixture
def sources(repository, tmp_path):
    (tmp_path / "copies").mkdir()
    return Sources(repository, tmp_path / "copies", "")


LESSON = "notebooks/01_count.ipynb"


def test_links_hold_on_the_page_and_files_that_are_no_pages_are_copied(sources):
    text = "[a](../README.md#start) [b](../LICENSE) [c](https://x.org) [d](#e) `[f](g)`"
    assert sources.relink(text, LESSON) == text.replace("README", "index")
    assert (sources.folder / "LICENSE").read_text() == "Do what you like."


def test_links_between_a_lesson_and_what_stands_beside_it(sources):
    text = "[`s`](notebooks/solutions) [t](tools)"
    shown = "[`s`](notebooks/solutions/index.md) t"
    assert sources.relink(text, "README.md") == shown


def test_with_an_address_files_are_shown_there(sources):
    sources.repository = ADDRESS
    text = sources.relink("[b](../LICENSE) [c](../tools) ![d](../LICENSE)", LESSON)
    assert f"[b]({ADDRESS}/blob/main/LICENSE) [c]({ADDRESS}/tree/main/tools)" in text
    assert text.endswith("![d](../LICENSE)")


def test_a_link_to_nothing_is_refused(sources):
    with pytest.raises(FileNotFoundError, match=r"links to notebooks/no\.py"):
        sources.relink("[a](no.py)", LESSON)


def test_a_figure_is_named_by_the_text_below_it_and_a_widget_left_out(sources):
    cell = sources.notebook_page(LESSON).cells[2]
    assert [list(output.data) for output in cell.outputs] == [["image/jpeg"]]
    alt = cell.metadata["mystnb"]["image"]["alt"]
    assert alt == "Figure of “1. Count”: All three are here. More follow."


def test_a_sentence_does_not_end_at_no_7():
    text = (
        "No. 7 finds bottles and no. 8 keys, in several colours and in several places."
    )
    described = describe_figure(f"{text} The others have no name.", "### Look")
    assert described == f"Figure of “Look”: {text}"


def test_checks_and_solutions_are_folded(sources):
    cells = sources.notebook_page(LESSON).cells
    assert "hide-input" in cells[7].metadata["tags"]
    fold = cells[8].source
    assert fold.startswith('<details class="fold"><summary>Solution</summary>\n\n')
    assert "```ipython3\nanswer = n + 1\n```" in fold
    assert "[the lesson](01_count.ipynb)" in fold
    assert "(solutions/01_count_solutions.ipynb)" in fold
    assert "Right." not in fold


def test_a_lesson_says_how_to_run_it(sources):
    first = sources.notebook_page(LESSON).cells[1].source
    assert first.endswith("Run it [on your computer](../index.md#start)")
    assert len(sources.notebook_page(LESSON).cells) == 10  # one navigation line is left
    sources.repository = ADDRESS
    first = sources.notebook_page(LESSON).cells[1].source
    for address in launch.buttons(ADDRESS, LESSON).values():
        assert f"]({address})" in first
    assert launch.colab_cell(ADDRESS) in first


def test_the_first_page_leads_to_the_first_lesson(sources):
    text = sources.begin("# Count\n\n![a dot](dot.gif)\n\nMore ![dot](dot.gif)")
    first = f"![a dot](dot.gif)\n\n**[Read the first lesson]({LESSON})**"
    assert f"{first}, or run it: [your computer](#start)\n\nMore" in text


def test_a_picture_that_a_text_brings_along_is_saved(sources):
    cell = new_markdown_cell("![a dot](attachment:dot.gif)")
    cell["attachments"] = {"dot.gif": {"image/gif": DOT}}
    sources.save_attachments(cell, LESSON)
    assert cell.source == "![a dot](01_count_dot.gif)"
    saved = sources.folder / "notebooks" / "01_count_dot.gif"
    assert saved.read_bytes().startswith(b"GIF89a")


def test_the_parts_of_the_series_are_those_of_the_readme():
    table = "| | **I. First** | |\n|01|[a](a)| |\n|02|b| |\n| |**II. More**|\n|03|c|"
    assert parts_of(table) == {"01": "I. First", "03": "II. More"}
    assert parts_of((ROOT / "README.md").read_text(encoding="utf-8"))["01"]


def test_a_picture_is_described_by_its_caption_and_its_light():
    row = {"caption": "a mug on sand", "light": "lamp-right", "elevation": "13.6"}
    described = "a mug on sand, from 14° above, light: lamp right"
    assert gallery.describe(row) == described


# --------------------------------------------------------------------- the checks

GOOD = {
    "index.html": '<a href="a/b.html#c">b</a><img src="d.jpg" alt="a dot">'
    '<a href="https://elsewhere.org">followed only on a click</a>',
    "a/b.html": '<h1 id="c"></h1><a href="../index.html#">i</a><a href="#top">t</a>',
    "d.jpg": "",
    "style.css": "a { background: url('d.jpg') }",
}
BAD = {
    "leads to a file": '<a href="no.html">x</a>',
    "leads to an anchor": '<a href="a/b.html#no">x</a>',
    "no alternative text": '<img src="d.jpg" alt=" ">',
    "d.jpg has no alternative text": '<img src="d.jpg">',
    "//cdn.org/x.js is fetched": '<script src="//cdn.org/x.js"></script>',
    "https://x.org/s.css is fetched": '<link rel="stylesheet" href="https://x.org/s.css">',
    "https://x.org/p.png is fetched": '<img srcset="https://x.org/p.png 2x" alt="p">',
    "https://x.org/b.png is fetched": '<p style="background: url(https://x.org/b.png)">',
}


def write_site(folder, pages):
    for name, text in pages.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_site_without_faults_is_let_through(tmp_path):
    assert check.find_faults(write_site(tmp_path, GOOD)) == []


@pytest.mark.parametrize(("fault", "html"), BAD.items(), ids=list(BAD))
def test_a_fault_is_found(tmp_path, fault, html):
    pages = GOOD | {"index.html": GOOD["index.html"] + html}
    found = check.find_faults(write_site(tmp_path, pages))
    assert len(found) == 1
    assert found[0].startswith("index.html: ")
    assert fault in found[0]


def test_a_style_sheet_that_fetches_is_found(tmp_path):
    style = "@import 'https://x.org/font.css';"
    assert check.find_faults(write_site(tmp_path, GOOD | {"style.css": style})) == [
        "style.css: https://x.org/font.css is fetched from elsewhere."
    ]


def test_another_folder_is_never_overwritten(tmp_path, capsys):
    (tmp_path / "thesis.txt").touch()
    assert program.main(["--output", str(tmp_path), "--repository", ""]) == 1
    assert "something else than a site" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


def test_what_sphinx_says_is_the_error(tmp_path):
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "conf.py").write_text("")
    (sources / "index.rst").write_text("Title\n=====\n\n:doc:`nowhere`\n")
    with pytest.raises(ValueError, match="unknown document: 'nowhere'"):
        program.run_sphinx(sources, tmp_path / "pages", "")
