"""Pictures and arrays: what is read, in which range, and that nothing is lost on the way back."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import color as skimage_color

from pix2pix import cielab, images
from pix2pix.errors import ImageError

ROOT = Path(__file__).parents[1]
RAMP16 = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
RAMP_UNIT = (RAMP16 / 65535).astype(np.float32)
COLOUR_MODES = ["P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"]
EVERY_MODE = ["1", "L", "LA", "La", *COLOUR_MODES, "I", "F", "I;16", "I;16L", "I;16B", "I;16N"]


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def noise(height=24, width=20, channels=3, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


# ---- files ------------------------------------------------------------------------------------------------


def test_importing_images_brings_no_torch():
    code = "import sys, pix2pix.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_path_its_bytes_an_open_file_and_a_picture_are_the_same_source(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(noise()), "PNG"))
    with path.open("rb") as file:
        sources = [path, str(path), path.read_bytes(), file, Image.open(path)]
        for source in sources:
            assert np.array_equal(np.asarray(images.open_picture(source)), noise())
        assert not file.closed


def test_an_opened_picture_outlives_its_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(noise()), "PNG"))
    picture = images.open_picture(path)
    path.unlink()
    assert np.array_equal(np.asarray(picture), noise())


def test_exif_orientation_is_applied_exactly_once():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    stored = Image.fromarray(noise())
    upright = images.open_picture(encoded(stored, "PNG", exif=exif))
    assert np.array_equal(np.asarray(upright), np.rot90(noise(), -1))
    assert np.array_equal(np.asarray(images.open_picture(upright)), np.rot90(noise(), -1))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_lose_the_picture():
    data = encoded(Image.fromarray(noise()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert images.open_picture(data).size == (20, 24)


def test_an_animation_gives_its_first_frame():
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    data = encoded(first, "GIF", save_all=True, append_images=[second])
    assert images.to_rgb(images.open_picture(data)).getpixel((1, 1)) == (255, 0, 0)


def test_a_truncated_jpeg_is_refused_by_name(tmp_path):
    path = tmp_path / "half.jpg"
    data = encoded(Image.fromarray(noise(200, 200)), "JPEG")
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.jpg.*truncated"):
        images.open_picture(path)


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_picture_is_refused_by_name(tmp_path, data):
    path = tmp_path / "notes.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"notes\.png"):
        images.open_picture(path)
    with pytest.raises(ImageError, match=f"{len(data)} bytes"):
        images.open_picture(data)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    with pytest.raises(ImageError, match=r"nowhere\.png: no such file"):
        images.open_picture(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match=tmp_path.name):
        images.open_picture(tmp_path)


def test_a_decompression_bomb_is_refused(monkeypatch):
    data = encoded(Image.fromarray(noise()), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="too large"):
        images.open_picture(data)


def test_endings_are_lower_case_and_each_is_one_that_pillow_reads():
    Image.init()
    readable = {ending for ending, kind in Image.registered_extensions().items() if kind in images.FORMATS}
    assert images.EXTENSIONS - {".avif"} <= readable  # AVIF is a choice of who builds Pillow


# ---- modes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_neither_black_nor_clipped(kind):
    picture = images.open_picture(encoded(Image.fromarray(RAMP16), kind))
    assert np.abs(np.asarray(images.to_rgb(picture)) / 255 - RAMP_UNIT[:, :, None]).max() <= 0.5 / 255 + 1e-6
    for color, channels in (("rgb", 3), ("grey", 1), ("raw", 1)):
        array = images.to_array(picture, color)
        assert array.shape == (32, 32, channels)
        assert np.abs(array - (RAMP_UNIT[:, :, None] * 2 - 1)).max() < 1e-6


def test_big_endian_16_bit_grey_keeps_its_values():
    picture = Image.frombytes("I;16B", (32, 32), RAMP16.astype(">u2").tobytes())
    assert np.abs(images.to_array(picture, "grey")[..., 0] - (RAMP_UNIT * 2 - 1)).max() < 1e-6


def test_a_dark_16_bit_picture_stays_dark():
    dark = Image.fromarray(np.full((4, 4), 200, np.int32))
    assert dark.mode == "I"
    assert np.allclose(images.to_array(dark, "grey"), 200 / 32767.5 - 1)


def test_float_pictures_are_scaled_by_the_range_they_fit():
    for scale in (1, 255, 65535):
        picture = Image.fromarray(RAMP_UNIT * np.float32(scale))
        assert np.abs(images.to_array(picture, "grey")[..., 0] - (RAMP_UNIT * 2 - 1)).max() < 1e-6


@pytest.mark.parametrize("value", [-1.0, 1e6, np.nan, np.inf])
def test_float_pictures_without_a_known_range_are_refused(value):
    with pytest.raises(ImageError, match="mode F"):
        images.to_rgb(Image.fromarray(np.array([[0.5, value]], np.float32)))


def test_16_bit_colour_png_is_not_black():
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixel = struct.pack(">HHH", 65535, 32768, 0)
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + pixel)) + chunk(b"IEND", b"")
    array = images.to_array(images.open_picture(b"\x89PNG\r\n\x1a\n" + chunks), "rgb")
    assert np.allclose(array[0, 0], [1, 0, -1], atol=0.01)


def test_transparency_is_composited_on_white_in_every_mode_that_has_it():
    clear, half = (200, 0, 0, 0), (0, 0, 0, 128)
    rgba = Image.new("RGBA", (2, 1), clear)
    rgba.putpixel((1, 0), half)
    for picture in (rgba, rgba.convert("RGBa"), rgba.convert("LA"), rgba.convert("LA").convert("La")):
        levels = np.asarray(images.to_rgb(picture)).astype(int)
        assert (levels[0, 0] == 255).all()
        assert np.abs(levels[0, 1] - 127).max() <= 1
    rgba_array = images.to_array(np.asarray(rgba), "rgb")
    assert np.abs(rgba_array - images.to_array(rgba, "rgb")).max() < 0.01


def test_a_palette_s_transparent_entry_becomes_white_and_stays_so_when_resized():
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((0, 0), 0)
    read = images.open_picture(encoded(picture, "PNG", transparency=1))
    rgb = np.asarray(images.to_rgb(read))
    assert rgb[0, 0].tolist() == [10, 20, 30]
    assert rgb[4, 4].tolist() == [255, 255, 255]
    assert np.asarray(images.to_rgb(images.crop_resize(read, (4, 4))))[3, 3].tolist() == [255, 255, 255]


def test_cmyk_keeps_its_colours():
    jpeg = encoded(Image.new("RGB", (16, 16), (200, 40, 90)).convert("CMYK"), "JPEG", quality=95)
    picture = images.open_picture(jpeg)
    assert picture.mode == "CMYK"
    assert np.abs(np.asarray(images.to_rgb(picture)).astype(int) - [200, 40, 90]).max() <= 4


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_every_mode_of_pillow_reads_in_every_colour_space_down_to_one_pixel(mode):
    picture = images.open_picture(Image.new(mode, (1, 1)))
    assert images.to_rgb(picture).mode == "RGB"
    for color in images.COLORS:
        array = images.to_array(picture, color)
        assert array.dtype == np.float32
        assert array.shape[:2] == (1, 1)
        assert array.shape[2] == images.CHANNELS.get(color, array.shape[2])
        assert np.abs(array).max() <= 1


# ---- arrays -----------------------------------------------------------------------------------------------


def test_every_8_bit_level_survives_the_round_trip():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(levels)
    for color in ("grey", "l", "raw"):
        assert np.array_equal(np.asarray(images.to_picture(images.to_array(picture, color), color)), levels)
    colours = Image.fromarray(noise())
    assert np.array_equal(np.asarray(images.to_picture(images.to_array(colours, "rgb"), "rgb")), noise())


def test_every_16_bit_level_survives_the_round_trip():
    levels = np.arange(65536, dtype=np.uint16).reshape(64, 256, 4)
    assert np.array_equal(images.to_integers(images.to_array(levels, "raw"), np.uint16), levels)


def test_values_between_levels_are_rounded_and_values_outside_are_clipped():
    array = np.array([[100.6, 100.4, -9, 300]], np.float32)[:, :, None] / 127.5 - 1
    assert np.asarray(images.to_picture(array, "grey")).tolist() == [[101, 100, 0, 255]]


def test_arrays_of_every_accepted_kind_agree():
    eight = noise()
    reference = images.to_array(eight, "rgb")
    assert reference.min() == -1
    assert reference.max() == 1
    assert np.allclose(images.to_array(eight.astype(np.uint16) * 257, "rgb"), reference, atol=1e-6)
    assert np.allclose(images.to_array(eight.astype(np.float64) / 127.5 - 1, "rgb"), reference, atol=1e-6)
    assert np.array_equal(images.to_array(eight[..., 0], "rgb"), np.repeat(reference[..., :1], 3, axis=2))
    opaque = np.concatenate([eight, np.full_like(eight[..., :1], 255)], axis=2)
    assert np.allclose(images.to_array(opaque, "rgb"), reference, atol=1e-6)


def test_raw_arrays_keep_any_number_of_channels():
    assert images.to_array(noise(channels=7), "raw", channels=7).shape == (24, 20, 7)
    assert images.to_array(noise()[..., 0], "raw").shape == (24, 20, 1)
    with pytest.raises(ImageError, match=r"7 channels .* 5 are expected"):
        images.to_array(noise(channels=7), "raw", channels=5)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 4), bool), "bool"),
        (np.zeros((4, 4), np.int64), "int64"),
        (np.full((4, 4), 1.5), r"1\.5"),
        (np.full((4, 4), np.nan), "nan"),
        (np.zeros((3, 256, 256), np.uint8), "channels"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.zeros((1, 4, 4, 3), np.uint8), "shape"),
    ],
)
def test_arrays_of_unknown_meaning_are_refused_with_the_reason(array, reason):
    with pytest.raises(ImageError, match=reason):
        images.to_array(array, "rgb")


def test_nan_is_refused_where_a_picture_is_made():
    with pytest.raises(ImageError, match="NaN"):
        images.to_picture(np.full((2, 2, 3), np.nan), "rgb")
    with pytest.raises(ImageError, match="NaN"):
        images.merge_lightness(np.zeros((2, 2, 1)), np.full((2, 2, 2), np.nan))


def test_unknown_colour_spaces_and_wrong_shapes_are_refused():
    with pytest.raises(ImageError, match="'xyz'"):
        images.to_array(noise(), "xyz")
    with pytest.raises(ImageError, match="alone"):
        images.to_picture(np.zeros((2, 2, 2)), "ab")
    with pytest.raises(ImageError, match="C = 3"):
        images.to_picture(np.zeros((2, 2, 1)), "rgb")
    with pytest.raises(ImageError, match="int32"):
        images.to_integers(np.zeros(3), np.int32)


# ---- Lab --------------------------------------------------------------------------------------------------


def test_lab_is_that_of_scikit_image_and_inverts():
    rgb = (noise(64, 64) / 255).astype(np.float32)
    lab = cielab.rgb_to_lab(rgb)
    assert np.abs(lab - skimage_color.rgb2lab(rgb)).max() < 0.01
    assert np.abs(cielab.lab_to_rgb(lab) - rgb).max() < 1e-4
    assert lab.dtype == np.float32
    assert np.abs(cielab.rgb_to_lab(np.ones(3)) - [100, 0, 0]).max() < 1e-4


def test_grey_has_no_chroma_and_lightness_runs_from_minus_1_to_1():
    greys = np.arange(256, dtype=np.uint8)[None]
    colours = np.repeat(greys[:, :, None], 3, axis=2)
    lightness = images.to_array(greys, "l")[0, :, 0]
    assert lightness[0] == -1
    assert lightness[-1] == pytest.approx(1)
    assert (np.diff(lightness) > 0).all()
    assert np.abs(images.to_array(colours, "l")[0, :, 0] - lightness).max() < 1e-5
    assert np.abs(images.to_array(colours, "ab")).max() < 1e-5


def test_lightness_and_colour_of_a_picture_merge_into_it():
    merged = images.merge_lightness(images.to_array(noise(), "l"), images.to_array(noise(), "ab"))
    assert np.abs(np.asarray(merged).astype(int) - noise()).max() <= 1


def test_lightness_is_kept_for_colours_that_srgb_does_not_have():
    lightness = np.linspace(-1, 1, 64, dtype=np.float32)[:, None, None].repeat(48, axis=1)
    ab = np.random.default_rng(0).uniform(-1, 1, (7, 5, 2))
    merged = images.merge_lightness(lightness, ab)
    assert merged.size == (48, 64)
    assert np.abs(images.to_array(merged, "l") - lightness).max() * 50 < 0.5


def test_hue_is_kept_where_chroma_must_give_way():
    lab = cielab.rgb_to_lab(
        np.asarray(images.merge_lightness(np.zeros((1, 1, 1)), np.array([[[1.0, 1.0]]])))[0, 0] / 255
    )
    assert lab[1] == pytest.approx(lab[2], abs=1)
    assert lab[1] > 30


# ---- geometry ---------------------------------------------------------------------------------------------


def test_a_resized_crop_is_that_part_of_the_whole_picture_resized():
    picture = Image.fromarray(noise(60, 40) // 3 + 80)  # so that bicubic overshoots are not clipped
    whole = picture.resize((80, 120), Image.Resampling.BICUBIC)
    part = images.crop_resize(picture, (50, 32), (5, 8, 30, 24))
    assert np.abs(np.asarray(part).astype(int) - np.asarray(whole.crop((10, 16, 60, 48)))).max() <= 1
    assert np.array_equal(np.asarray(images.crop_resize(picture, (80, 120))), np.asarray(whole))


def test_16_bit_grey_is_resized_at_16_bits_without_wrapping_around():
    step = np.zeros((16, 16), np.uint16)
    step[:, 8:] = 65535
    picture = images.crop_resize(Image.fromarray(step), (40, 40), (0, 0, 16, 16))
    values = np.asarray(picture)
    assert picture.mode == "I;16"
    assert (np.diff(values.astype(int), axis=1) >= -9000).all()
    assert values[:, :8].max() == 0
    assert values[:, -8:].min() == 65535


def test_a_crop_of_a_deep_picture_keeps_the_scale_of_the_whole():
    values = np.full((8, 16), 255, np.float32)
    values[:, :8] = 1
    dark = images.crop_resize(Image.fromarray(values), (4, 4), (0, 0, 4, 8))
    assert np.allclose(images.to_array(dark, "grey"), 2 / 255 - 1)


@pytest.mark.parametrize("box", [(0, 0, 21, 24), (-1, 0, 5, 5), (5, 0, 5, 5)])
def test_a_box_outside_the_picture_is_refused(box):
    with pytest.raises(ImageError, match="20x24"):
        images.crop_resize(Image.fromarray(noise()), (4, 4), box)


def test_a_box_may_pass_the_edge_by_a_rounding_error():
    picture = Image.fromarray(noise())
    inexact = images.crop_resize(picture, (4, 4), (-1e-12, 0, 20 + 1e-12, 24 + 1e-12))
    assert np.array_equal(np.asarray(inexact), np.asarray(images.crop_resize(picture, (4, 4))))


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (256, 256), (257, 129), (1000, 2)])
def test_padding_mirrors_any_size_up_to_a_multiple_and_is_cut_off_again(shape):
    array = np.random.default_rng(0).random((*shape, 2), np.float32)
    padded, crop = images.pad_to_multiple(array, 128, 256)
    assert all(side % 128 == 0 and side >= 256 for side in padded.shape[:2])
    assert max(padded.shape[0] - shape[0], padded.shape[1] - shape[1]) < 256
    assert np.array_equal(padded[crop], array)
    assert set(np.unique(padded)) == set(np.unique(array))
    if shape == (256, 256):
        assert padded is array
