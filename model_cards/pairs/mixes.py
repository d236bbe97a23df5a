r"""Build the mixed training pairs of two shipped models from the sets that their cards name.

    python model_cards/pairs/mixes.py sketch sketch_bsds --shoes edges2shoes --photos colorization photos \
        --output mix
    python model_cards/pairs/mixes.py colorize colorization photos --output mix

Every set is a folder with train/ and val/. `sketch` sets hold squares side by side (drawing left, picture
right); of photographs, the middle square is taken at 256 pixels and its contours are drawn. Test pictures
are never read: the cards' figures are those of `sketch_bsds/test` and `colorization/test`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pix2pix import images
from pix2pix.errors import DataError, UserError
from pix2pix.layouts import scan
from pix2pix.pair_building import new_folder, write_side_by_side
from pix2pix.tasks import edges

SIDE = 256
SHOES = 8
"""How often each of the few shoes is in the training pairs."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("task", choices=("sketch", "colorize"))
    parser.add_argument("sets", type=Path, nargs="+", metavar="SET", help="pairs, or photographs to colour")
    parser.add_argument("--shoes", type=Path, metavar="SET", help=f"sketch: pairs, each {SHOES} times")
    parser.add_argument("--photos", type=Path, nargs="+", default=[], metavar="SET", help="sketch: to draw")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new folder")
    options = parser.parse_args(arguments)
    if options.task == "colorize" and (options.shoes or options.photos):
        parser.error("--shoes and --photos belong to sketch; for colorize, all SETs are photographs")
    try:
        counts = build(options.sets, options.shoes, options.photos, options.output)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.output}: {counts['train']} pictures to train on, {counts['val']} to validate on")
    return 0


def build(sets: Sequence[Path], shoes: Path | None, photos: Sequence[Path], output: Path) -> dict[str, int]:
    """Write output/train and output/val; returns how many pictures each holds.

    Raises a UserError where a set has no pictures to train on, a photograph to draw cannot be read, two
    pictures would have one name, or `output` holds something; then nothing is written.
    """
    train = {folder: pictures(folder, "train") for folder in [*sets, *photos, *([shoes] if shoes else [])]}
    with new_folder(output) as made:
        for split in ("train", "val"):
            (made / split).mkdir()
        for folder in sets:
            copy(train[folder], made / "train", folder.name)
            copy(pictures(folder, "val", needed=False), made / "val", folder.name)
        for folder in photos:
            for file in train[folder]:
                draw(file, unused(made / "train" / f"drawn-{folder.name}-{file.stem}.png", file))
        if shoes:
            for time in range(SHOES):
                copy(train[shoes], made / "train", f"{shoes.name}-{time}")
            copy(pictures(shoes, "val", needed=False), made / "val", shoes.name)
        return {split: len(list((made / split).iterdir())) for split in ("train", "val")}


def pictures(folder: Path, split: str, *, needed: bool = True) -> list[Path]:
    """The pictures of a set's split, by name."""
    found = scan(folder / split) if (folder / split).is_dir() else []
    if needed and not found:
        raise DataError(
            f"{folder / split} holds no pictures: a set is a folder with train/ (and val/) in it."
        )
    return found


def copy(files: Sequence[Path], folder: Path, prefix: str) -> None:
    for file in files:
        shutil.copyfile(file, unused(folder / f"{prefix}-{file.name}", file))


def unused(path: Path, file: Path) -> Path:
    """The path, if no other picture of the mix has it."""
    if path.exists():
        raise DataError(f"{file}: the mix has a picture {path.name} already; rename the file, or its set.")
    return path


def draw(file: Path, path: Path) -> None:
    """Write a pair side by side: the contours of a photograph's middle square, and the square."""
    photo = images.to_rgb(images.open_picture(file))
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    photo = photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    write_side_by_side(edges(photo), photo, path)


if __name__ == "__main__":
    sys.exit(main())
