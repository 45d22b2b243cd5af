"""The gallery's command line.

python -m tools.render_gallery render            # about an hour on two cores
python -m tools.render_gallery metadata sheet    # once all pictures are there
python -m tools.render_gallery check --count 6   # render some again and compare
"""

import argparse
import sys
from pathlib import Path

from .plan import INSTANCES, VIEWS

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parents[1] / "images"
LOWEST_PSNR = 45.0


def numbers(text):
    """``"0,2-4"`` -> ``[0, 2, 3, 4]``."""
    found: list[int] = []
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def part(text):
    """``"1/2"`` -> ``(1, 2)``."""
    number, _, total = text.partition("/")
    return int(number), int(total)


def parser():
    """The options; defaults are those of the published gallery."""
    options = argparse.ArgumentParser(
        prog="python -m tools.render_gallery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("commands", nargs="+", choices=["render", "metadata", "sheet", "check"])
    add("--out", type=Path, default=IMAGES, help="folder of the pictures")
    add("--classes", help="labels with commas between (default: all)")
    add("--instances", type=numbers, default=list(range(INSTANCES)), help="0-7")
    add("--views", type=numbers, default=list(range(VIEWS)), help="0,2-4")
    add("--part", type=part, default=(1, 1), help="1/2: the first half of the work")
    add("--pixels", type=int, default=256)
    add("--samples", type=int, default=10)
    add("--quality", type=int, default=89, help="of the JPEGs")
    add("--threads", type=int, default=0, help="0: as many as there are cores")
    add("--count", type=int, default=6, help="how many pictures to check")
    add("--sheet", type=Path, default=HERE / "contact_sheet.jpg")
    return options


def objects(labels):
    """Build every object, without rendering, to learn what its caption says."""
    from .registry import CLASSES
    from .studio import Subject

    for label in labels:
        for instance in range(INSTANCES):
            subject = Subject(label, instance, CLASSES[label])
            yield label, instance, subject.ranges, subject.description


def main(arguments=None):
    """Run the commands in turn; 1 if a checked picture differs."""
    options = parser().parse_args(arguments)
    from . import catalogue, driver
    from .registry import CLASSES

    labels = options.classes.split(",") if options.classes else list(CLASSES)
    how = {
        "pixels": options.pixels,
        "samples": options.samples,
        "threads": options.threads,
    }
    if "render" in options.commands:
        driver.render_gallery(
            options.out,
            labels,
            instances=options.instances,
            views=options.views,
            part=options.part,
            quality=options.quality,
            **how,
        )
    if "metadata" in options.commands:
        count = catalogue.write_metadata(options.out, objects(labels))
        print(f"metadata.csv: {count} pictures")
    if "sheet" in options.commands:
        sheet = catalogue.contact_sheet(options.out, labels)
        driver.write(options.sheet, catalogue.sheet_bytes(sheet))
    if "check" in options.commands:
        return int(driver.check(options.out, options.count, **how) < LOWEST_PSNR)
    return 0


if __name__ == "__main__":
    sys.exit(main())
