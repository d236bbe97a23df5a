"""The tasks, and the inputs that are made from photos."""

from typing import get_args

import numpy as np
import pytest
from PIL import Image
from skimage import data as photos

from pix2pix import images, tasks
from pix2pix.config import CHANNELS, ModelConfig, TaskId
from pix2pix.errors import ConfigError


def ink(picture: Image.Image) -> np.ndarray:
    """[H, W] in [0, 1]: 1 is black."""
    return 1 - np.asarray(picture.convert("L"), np.float32) / 255


def disc(size: int, dark: int = 60, light: int = 200) -> Image.Image:
    """A dark disc on a light ground, with smooth borders at every size."""
    y, x = np.mgrid[:512, :512]
    levels = np.where(np.hypot(x - 256, y - 256) < 150, dark, light).astype(np.uint8)
    return Image.fromarray(levels).resize((size, size), Image.Resampling.BOX).convert("RGB")


def test_every_task_id_has_its_task_and_a_valid_contract():
    assert list(tasks.TASKS) == list(get_args(TaskId))
    for task in tasks.TASKS.values():
        channels = CHANNELS[task.input_color], CHANNELS[task.output_color]
        model = ModelConfig(task.id, in_channels=channels[0], out_channels=channels[1],
                            input_color=task.input_color, output_color=task.output_color)  # fmt: skip
        assert model.task == task.id


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="no task 'maps'; the tasks are map, map-to-aerial, colorize"):
        tasks.get_task("maps")


def test_lightness_of_grey_is_itself_and_of_colour_is_what_lab_says():
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    assert np.array_equal(np.asarray(tasks.lightness(grey)), np.asarray(grey))
    photo = Image.fromarray(photos.astronaut()).resize((96, 96))
    made = tasks.lightness(photo)
    assert made.mode == "L"
    expected = images.to_picture(images.to_array(photo, "l"), "l")
    difference = np.abs(np.asarray(made, int) - np.asarray(expected, int))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_a_drawing_has_black_contours_on_white_paper():
    drawing = tasks.edges(disc(256))
    assert drawing.mode == "RGB"
    assert drawing.size == (256, 256)
    drawn = ink(drawing)
    y, x = np.mgrid[:256, :256]
    off = np.abs(np.hypot(x - 127.5, y - 127.5) - 75)
    assert drawn[off > 5].max() == 0, "ink away from the outline"
    angle = np.arctan2(y - 127.5, x - 127.5)
    strokes = [drawn[(off < 3) & (np.abs(angle - a) < 0.05)].max() for a in np.linspace(-3, 3, 60)]
    assert min(strokes) > 0.8, "the outline has gaps"


@pytest.mark.parametrize("noise", [0, 2])
def test_flat_and_softly_shaded_photos_have_nearly_no_ink(noise):
    rng = np.random.default_rng(0)
    shades = np.linspace(90, 160, 256)[None, :] + rng.normal(0, noise, (256, 256))
    assert ink(tasks.edges(Image.fromarray(shades.round().astype(np.uint8)))).mean() < 0.002


def test_dark_photos_are_drawn_like_bright_ones():
    bright, dark = (ink(tasks.edges(disc(256, *levels))) for levels in ((60, 200), (5, 30)))
    assert np.abs(bright - dark).mean() < 0.005


def test_a_16_bit_photo_is_drawn_like_an_8_bit_one():
    deep = Image.fromarray(np.asarray(disc(256).convert("L"), np.uint16) * 257)
    assert np.array_equal(ink(tasks.edges(deep)), ink(tasks.edges(disc(256))))


def test_outlines_are_drawn_and_texture_is_left_away():
    texture = np.random.default_rng(0).normal(0, 25, (256, 256))
    plain = np.asarray(disc(256).convert("L"), np.float32)
    textured = np.clip(plain + texture * (plain > 130), 0, 255).astype(np.uint8)  # only about the disc
    drawn = ink(tasks.edges(Image.fromarray(textured)))
    y, x = np.mgrid[:256, :256]
    off = np.abs(np.hypot(x - 127.5, y - 127.5) - 75)
    assert drawn[off < 3].mean() > 3 * drawn[off > 8].mean()


def test_sizes_get_consistent_drawings():
    photo = Image.fromarray(photos.astronaut())
    drawings = {
        size: ink(tasks.edges(photo.resize((size, size), Image.Resampling.LANCZOS)))
        for size in (128, 256, 512)
    }
    shares = [drawing.mean() for drawing in drawings.values()]
    assert max(shares) < 1.35 * min(shares)
    assert 0.03 < shares[1] < 0.2, "neither a blank sheet nor a blot"

    def coarse(drawing):
        return np.asarray(Image.fromarray(drawing).resize((32, 32), Image.Resampling.BOX)).ravel()

    for size in (128, 512):
        assert np.corrcoef(coarse(drawings[256]), coarse(drawings[size]))[0, 1] > 0.75


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (640, 17), (31, 30)])
@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "RGBA"])
def test_every_size_and_mode_can_be_drawn(size, mode):
    picture = Image.new(mode, size)
    drawing = tasks.edges(picture)
    assert (drawing.size, drawing.mode) == (size, "RGB")
