"""Leave out of the built site what no page needs.

The theme draws a dozen icons with a script of 1.5 MB; ours are in the style sheet.
"""

import re
import shutil
from pathlib import Path

UNUSED = (
    *("scripts/fontawesome.*", "vendor/fontawesome"),  # icons, as script and as fonts
    *("locales", "images"),  # other languages; logos of buttons that we do not use
    *("*.html", "*/*.map"),  # templates, and what debuggers read
)
ICON_SCRIPT = re.compile(r"\s*<script[^>]*fontawesome\.js[^>]*></script>")


def finish(pages: Path) -> None:
    """Remove what is not used, and what would load it.

    Parameters
    ----------
    pages : Path
        A site as Sphinx leaves it.
    """
    (pages / ".buildinfo").unlink(missing_ok=True)
    (pages / ".nojekyll").touch()  # or GitHub Pages would leave `_static` out
    for pattern in UNUSED:
        for path in (pages / "_static").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for page in pages.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(ICON_SCRIPT.sub("", text), encoding="utf-8")
    for sheet in (pages / "_static" / "styles").glob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        text = re.sub(r"@font-face\{[^}]*fontawesome[^}]*\}", "", text)
        sheet.write_text(text, encoding="utf-8")
