"""The training pairs of the models that ship, built from the sets that their cards name."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix.tasks import edges

SCRIPT = Path(__file__).parents[1] / "model_cards" / "pairs" / "mixes.py"


def mix(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, timeout=100
    )


@pytest.fixture
def sets(tmp_path):
    """Three sets, each with a picture in train, val and test."""
    noise = np.random.default_rng(0)
    for name, size in (("contours", (64, 32)), ("shoes", (64, 32)), ("photos", (70, 40))):
        for split in ("train", "val", "test"):
            (tmp_path / name / split).mkdir(parents=True)
            picture = Image.fromarray(noise.integers(0, 255, (size[1], size[0], 3), np.uint8))
            picture.save(tmp_path / name / split / f"{split}.png")
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_sketch_mix_holds_the_contours_the_shoes_eight_times_and_the_photographs_drawn(sets):
    out = sets / "mix"
    run = mix(
        "sketch", sets / "contours", "--shoes", sets / "shoes", "--photos", sets / "photos", "--output", out
    )
    assert run.returncode == 0, run.stderr
    assert "10 pictures to train on, 2 to validate on" in run.stdout
    shoes = [f"shoes-{time}-train.png" for time in range(8)]
    assert names(out / "train") == ["contours-train.png", "drawn-photos-train.png", *shoes]
    assert names(out / "val") == ["contours-val.png", "shoes-val.png"]

    drawn = Image.open(out / "train" / "drawn-photos-train.png")
    photo = Image.open(sets / "photos" / "train" / "train.png").crop((15, 0, 55, 40))
    photo = photo.resize((256, 256), Image.Resampling.LANCZOS)
    assert drawn.crop((256, 0, 512, 256)).tobytes() == photo.tobytes()
    assert drawn.crop((0, 0, 256, 256)).tobytes() == edges(photo).tobytes()


def test_a_colorize_mix_holds_the_photographs_of_all_sets(sets):
    run = mix("colorize", sets / "photos", sets / "contours", "--output", sets / "mix")
    assert run.returncode == 0, run.stderr
    assert names(sets / "mix" / "train") == ["contours-train.png", "photos-train.png"]
    assert names(sets / "mix" / "val") == ["contours-val.png", "photos-val.png"]


def test_what_cannot_be_mixed_is_one_line_and_leaves_nothing(sets):
    run = mix("colorize", sets / "nowhere", "--output", sets / "mix")
    assert (run.returncode, len(run.stderr.splitlines())) == (2, 1)
    assert "nowhere/train holds no pictures" in run.stderr
    assert not (sets / "mix").exists()
    run = mix("colorize", sets / "photos", "--output", sets / "contours")
    assert run.returncode == 2
    assert "exists and is not empty" in run.stderr
    assert names(sets / "contours" / "train") == ["train.png"]


def test_a_picture_that_would_replace_another_or_cannot_be_read_stops_the_mix_and_leaves_nothing(sets):
    shutil.copytree(sets / "photos", sets / "more" / "photos")
    run = mix("colorize", sets / "photos", sets / "more" / "photos", "--output", sets / "mix")
    assert (run.returncode, len(run.stderr.splitlines())) == (2, 1)
    assert "the mix has a picture photos-train.png already" in run.stderr
    (sets / "photos" / "train" / "torn.png").write_bytes(b"no picture")
    run = mix("sketch", sets / "contours", "--photos", sets / "photos", "--output", sets / "mix")
    assert (run.returncode, len(run.stderr.splitlines())) == (2, 1)
    assert "torn.png" in run.stderr
    assert not (sets / "mix").exists()
    assert not list(sets.glob(".mix*"))
