"""Video: every frame once, in order and in time, upright, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pix2pix import cli
from pix2pix.config import ModelConfig
from pix2pix.errors import ImageError
from pix2pix.networks import Generator
from pix2pix.video import comment_of, frames_of, translate_video

av = pytest.importorskip("av")
ROOT = Path(__file__).parent.parent
RATE = Fraction(30000, 1001)
COLOURS = [
    (200, 40, 40),
    (40, 180, 60),
    (40, 60, 200),
    (220, 200, 60),
    (90, 90, 90),
    (230, 230, 230),
    (20, 20, 20),
]


def film(path, size=(64, 48), codec="libx264", pixels="yuv420p", rotation=None, sound=None, times=None):
    """A frame of each of COLOURS, its top left quarter black."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options={"crf": "4"} if codec == "libx264" else {})
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        if rotation:
            stream.set_display_rotation(rotation)
        voice = container.add_stream(sound, rate=48000) if sound else None
        for number, colour in enumerate(COLOURS):
            picture = Image.new("RGB", size, colour)
            picture.paste((0, 0, 0), (0, 0, size[0] // 2, size[1] // 2))
            frame = av.VideoFrame.from_image(picture)
            if times:
                frame.pts, frame.time_base = times[number], 1 / RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice:
            kind = "fltp" if voice.codec_context.format.name == "fltp" else "s16"
            for number in range(10):
                samples = np.zeros((1, 1024), np.float32 if kind == "fltp" else np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format=kind, layout="mono")
                frame.sample_rate, frame.pts = 48000, 1024 * number
                container.mux(voice.encode(frame))
            container.mux(voice.encode())
    return path


def same(pictures):
    return pictures


def colour(picture, corner=(-6, -6)):
    return np.asarray(picture)[corner].astype(int)


def times_of(path):
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def test_every_frame_comes_once_in_order_and_at_its_time(tmp_path):
    groups = []

    def watched(pictures):
        groups.append(len(pictures))
        return pictures

    source = film(tmp_path / "a.mp4")
    translate_video(watched, source, tmp_path / "b.mp4", group=3)
    drawn = list(frames_of(tmp_path / "b.mp4"))
    assert len(drawn) == len(COLOURS)
    for picture, expected in zip(drawn, COLOURS, strict=True):
        assert np.abs(colour(picture) - expected).max() <= 8
    assert times_of(tmp_path / "b.mp4") == pytest.approx(times_of(source))
    assert max(groups) <= 3, "no more frames in memory than asked for"


@pytest.mark.parametrize(
    "codec_and_ending", [("libvpx-vp9", "webm"), ("mpeg4", "avi"), ("mpeg4", "mov"), ("ffv1", "mkv")]
)
def test_every_container_is_read(codec_and_ending, tmp_path):
    codec, ending = codec_and_ending
    source = film(tmp_path / f"a.{ending}", codec=codec)
    translate_video(same, source, tmp_path / "b.mp4")
    assert len(times_of(tmp_path / "b.mp4")) == len(COLOURS)
    assert np.abs(colour(next(frames_of(tmp_path / "b.mp4"))) - COLOURS[0]).max() <= 12


def test_uneven_frame_times_are_kept(tmp_path):
    uneven = [0, 1, 5, 6, 7, 20, 21]
    source = film(tmp_path / "a.mkv", times=uneven)
    translate_video(same, source, tmp_path / "b.mp4")
    assert times_of(tmp_path / "b.mp4") == pytest.approx([float(n / RATE) for n in uneven], abs=2e-3)


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_frames_are_turned_as_a_player_shows_them(rotation, tmp_path):
    source = film(tmp_path / "a.mp4", rotation=rotation)
    seen = []

    def watched(pictures):
        seen.extend(pictures)
        return pictures

    translate_video(watched, source, tmp_path / "b.mp4")
    expected = (48, 64) if rotation != 180 else (64, 48)
    assert {picture.size for picture in seen} == {expected}
    dark = {90: (-6, 6), -90: (6, -6), 180: (-6, -6)}[rotation]  # where the black corner goes
    for picture in (seen[0], next(frames_of(tmp_path / "b.mp4"))):
        assert colour(picture, dark).max() < 20
        assert picture.size == expected
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


def test_an_odd_size_grows_by_its_last_row_and_column(tmp_path):
    source = film(tmp_path / "a.mkv", size=(63, 47), codec="ffv1", pixels="bgr0")
    translate_video(same, source, tmp_path / "b.mp4")
    drawn = next(frames_of(tmp_path / "b.mp4"))
    assert drawn.size == (64, 48)
    assert np.abs(colour(drawn, (-1, -1)) - COLOURS[0]).max() <= 8


def test_sound_is_copied_where_an_mp4_can_hold_it(tmp_path):
    source = film(tmp_path / "a.mp4", sound="aac")
    assert translate_video(same, source, tmp_path / "b.mp4") == []

    def packets(path):
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    assert packets(tmp_path / "b.mp4") == packets(source)


def test_other_sound_is_left_out_and_said(tmp_path):
    source = film(tmp_path / "a.avi", codec="mpeg4", sound="pcm_s16le")
    notes = translate_video(same, source, tmp_path / "b.mp4")
    assert notes == ["its sound (pcm_s16le) is left out: an mp4 cannot hold it"]
    assert len(times_of(tmp_path / "b.mp4")) == len(COLOURS)


def test_a_higher_crf_is_a_smaller_file(tmp_path):
    def noise(pictures):
        random = np.random.default_rng(0)
        return [Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8)) for _ in pictures]

    source = film(tmp_path / "a.mp4")
    for crf in (10, 40):
        translate_video(noise, source, tmp_path / f"{crf}.mp4", crf=crf)
    assert (tmp_path / "40.mp4").stat().st_size < (tmp_path / "10.mp4").stat().st_size / 2


@pytest.mark.parametrize("damage", ["cut", "zeros", "empty", "text", "missing", "sound"])
def test_a_damaged_video_leaves_nothing_behind(damage, tmp_path):
    whole = film(tmp_path / "whole.mp4").read_bytes()
    bad, out = tmp_path / "bad.mp4", tmp_path / "out" / "b.mp4"
    content = {"cut": whole[: len(whole) // 2], "zeros": whole[:200] + bytes(600) + whole[800:], "empty": b""}
    if damage != "missing":
        bad.write_bytes(content.get(damage, b"junk" * 100))
    if damage == "sound":
        with av.open(str(bad), "w") as container:
            stream = container.add_stream("aac", rate=48000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 48000
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    out.parent.mkdir()
    out.write_text("old")
    with pytest.raises(ImageError, match=r"bad\.mp4"):
        translate_video(same, bad, out)
    assert [path.name for path in out.parent.iterdir()] == ["b.mp4"]
    assert out.read_text() == "old"


# ---- the command ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    Generator.from_config(ModelConfig(width=4, depth=3, inference_dropout=True)).save_pretrained(folder)
    return folder


def translate(model, *inputs, output):
    arguments = ["translate", "--model", model, *inputs, "--output", output, "--device", "cpu"]
    return cli.main([str(argument) for argument in arguments])


def test_dropout_does_not_flicker(model, tmp_path):
    with av.open(str(tmp_path / "still.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "bgr0"
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
        for _ in range(6):
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    assert translate(model, tmp_path / "still.mkv", output=tmp_path / "out") == 0
    drawn = [np.asarray(frame, int) for frame in frames_of(tmp_path / "out" / "still.mp4")]
    assert len(drawn) == 6
    assert drawn[0].std() > 3
    assert max(np.abs(frame - drawn[0]).mean() for frame in drawn[1:]) < 1, "only the codec's own noise"


def test_a_folder_of_pictures_and_videos_goes_on_past_a_broken_one(model, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    film(folder / "sub" / "a.mp4")
    (folder / "broken.mov").write_bytes(b"junk")
    Image.new("RGB", (20, 20)).save(folder / "c.png")
    frames = [Image.new("RGB", (16, 16), colour) for colour in COLOURS[:3]]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "still.gif")
    assert translate(model, folder, output=out) == 1
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {"sub/a.mp4", "c.png", "moving.mp4", "still.png"}
    assert "1 of 5 files could not be translated:\n" in (said := capsys.readouterr().err)
    assert "broken.mov" in said
    before = (out / "sub" / "a.mp4").stat().st_mtime_ns
    assert "made " in comment_of(out / "sub" / "a.mp4")
    assert translate(model, folder, output=out) == 1
    assert (out / "sub" / "a.mp4").stat().st_mtime_ns == before, "it was done already"


def test_without_pyav_the_rest_is_done_and_the_extra_is_named(model, tmp_path):
    film(tmp_path / "a.mp4")
    Image.new("RGB", (20, 20)).save(tmp_path / "c.png")
    code = "import sys; sys.modules['av'] = None; from pix2pix import cli; sys.exit(cli.main(sys.argv[1:]))"
    arguments = [
        "translate",
        "--model",
        model,
        tmp_path / "a.mp4",
        tmp_path / "c.png",
        "--output",
        tmp_path / "o",
    ]
    shown = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    assert shown.returncode == 1
    assert 'a.mp4: videos need PyAV; run: pip install "pix2pix[video]"' in shown.stderr
    assert (tmp_path / "o" / "c.png").is_file()
