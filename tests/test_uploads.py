"""What a visitor sends: it becomes a picture, or a sentence without the server's paths."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pix2pix import uploads
from pix2pix.errors import ImageError


def written(path, picture, **options):
    picture.save(path, **options)
    return path


def refusal(path):
    with pytest.raises(ImageError) as refused:
        uploads.open_upload(path)
    assert str(path.parent) not in str(refused.value)
    return str(refused.value)


def test_a_picture_comes_upright_and_of_an_animation_the_first_frame(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    turned = written(tmp_path / "a.jpg", Image.new("RGB", (30, 20)), exif=exif)
    assert uploads.open_upload(turned).size == (20, 30)
    reds = [Image.new("RGB", (6, 4), (level, 0, 0)) for level in (200, 20)]
    animated = written(tmp_path / "a.gif", reds[0], save_all=True, append_images=reds[1:])
    assert np.asarray(uploads.open_upload(animated).convert("RGB"))[0, 0, 0] > 150


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_picture_keeps_its_mode_and_size(mode, tmp_path):
    ending = "tif" if mode == "CMYK" else "png"
    path = written(tmp_path / f"a.{ending}", Image.new(mode, (7, 5)))
    assert (uploads.open_upload(path).mode, uploads.open_upload(path).size) == (mode, (7, 5))


def test_the_limits_are_checked_before_anything_is_decoded(tmp_path, monkeypatch):
    path = written(tmp_path / "photo.png", Image.new("RGB", (40, 30)))
    monkeypatch.setattr(uploads.images, "open_picture", lambda _: pytest.fail("it was decoded"))
    monkeypatch.setattr(uploads, "MOST_PIXELS", 1199)
    assert refusal(path).startswith("photo.png has 0 megapixels")
    monkeypatch.setattr(uploads, "LARGEST_BYTES", path.stat().st_size - 1)
    assert "MB" in refusal(path)


def test_a_picture_of_exactly_the_limits_is_taken(tmp_path, monkeypatch):
    path = written(tmp_path / "photo.png", Image.new("RGB", (40, 30)))
    monkeypatch.setattr(uploads, "MOST_PIXELS", 1200)
    monkeypatch.setattr(uploads, "LARGEST_BYTES", path.stat().st_size)
    assert uploads.open_upload(path).size == (40, 30)


BROKEN = [b"", b"words", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"GIF89a\xff\xff\xff\xff"]


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_no_picture_is_named_without_its_folder(content, tmp_path):
    (tmp_path / "odd name.png").write_bytes(content)
    assert refusal(tmp_path / "odd name.png").startswith("odd name.png: ")


def test_a_file_that_was_forgotten_is_asked_for_again(tmp_path):
    """A visitor may leave the page open for hours."""
    assert "gone.png is no longer here" in refusal(tmp_path / "gone.png")


def test_memory_is_bounded_whoever_opens_a_picture(tmp_path):
    """Gradio opens some itself. The limit is of the process, so it is tried in one."""
    written(tmp_path / "large.png", Image.new("1", (7000, 6000)))
    written(tmp_path / "fine.png", Image.new("1", (6000, 5000)))
    code = (
        "import sys; from PIL import Image; from pix2pix import uploads; uploads.bound_memory()\n"
        "Image.open(sys.argv[2]); print('fine is opened')\n"
        "try: uploads.open_upload(sys.argv[1])\n"
        "except Exception as error: print(error)\n"
        "Image.open(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "large.png"), str(tmp_path / "fine.png")]
    tried = subprocess.run(command, capture_output=True, text=True)
    assert "fine is opened" in tried.stdout
    assert "large.png has 42 megapixels" in tried.stdout
    assert "DecompressionBombError" in tried.stderr
    assert "DecompressionBombWarning" not in tried.stderr


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1600, 900), (1600, 900)), ((3200, 100), (1600, 50)), ((1, 5000), (1, 1600)), ((5000, 1), (1600, 1))],
)
def test_a_preview_is_bounded_and_never_empty(size, expected):
    assert uploads.preview(Image.new("L", size)).size == expected


def test_a_preview_of_a_deep_or_transparent_picture_is_rgb():
    deep = Image.fromarray(np.full((4, 6), 65535, np.uint16))
    assert uploads.preview(deep).getpixel((0, 0)) == (255, 255, 255)
    assert uploads.preview(Image.new("RGBA", (4, 4), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)
