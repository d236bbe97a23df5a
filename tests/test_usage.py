"""The lines that the page shows: they run, whatever the picture is called."""

from __future__ import annotations

import ast
import os
import shlex

import pytest
from PIL import Image
from trained_folder import trained_folder

from pix2pix import cli, usage
from pix2pix.offers import Offer

HUB = Offer("town-1a2b3c", "map", "ann/town", "hub", "0123456789abcdef", "https://huggingface.co/ann/town")
FOLDER = Offer("town-4d5e6f", "map", "town", "folder")
SHIPPED = Offer("shipped", "map", "shipped", "shipped")
NAMES = [
    "photo.jpg",
    "my photo.jpg",
    'it\'s "mine".png',
    "$(reboot).png",
    "a;b\n\\c.png",
    "名前.webp",
    "'''.png",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model and a picture, which is where we are."""
    trained_folder(tmp_path / "model")
    Image.new("RGB", (20, 10), "green").save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_lines_run(here):
    exec(usage.python_lines(FOLDER, "model", "photo.png"), {})
    with Image.open(here / "photo-map.png") as drawn:
        assert drawn.size == (20, 10)


def test_the_shell_line_runs(here):
    words = shlex.split(usage.shell_line(FOLDER, "model", "photo.png"))
    assert words[0] == "pix2pix"
    assert cli.main(words[1:]) == 0
    assert (here / "translated" / "photo.png").is_file()


def test_python_and_shell_draw_the_same(here):
    exec(usage.python_lines(FOLDER, "model", "photo.png"), {})
    cli.main(shlex.split(usage.shell_line(FOLDER, "model", "photo.png"))[1:])
    with Image.open("photo-map.png") as ours, Image.open("translated/photo.png") as theirs:
        assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_pictures_name_stays_a_name_in_every_language(name):
    for offer in (HUB, FOLDER, SHIPPED):
        for lines in (
            usage.python_lines(offer, "model_cards/map", name),
            usage.api_lines("http://x", offer, name),
        ):
            constants = {node.value for node in ast.walk(ast.parse(lines)) if isinstance(node, ast.Constant)}
            assert name in constants
        assert name in shlex.split(usage.shell_line(offer, "model_cards/map", name))


def test_a_model_of_the_hub_is_named_with_its_revision():
    assert '"ann/town", revision="0123456789abcdef"' in usage.python_lines(HUB, "ann/town", "a.png")
    assert "--model ann/town" in usage.shell_line(HUB, "ann/town", "a.png")
    assert "--revision 0123456789abcdef" in usage.shell_line(HUB, "ann/town", "a.png")


def test_a_model_without_revision_is_named_by_its_folder():
    assert '"model_cards/map")' in usage.python_lines(SHIPPED, "model_cards/map", "a.png")
    assert "revision" not in usage.python_lines(SHIPPED, "model_cards/map", "a.png")
    assert "--revision" not in usage.shell_line(SHIPPED, "model_cards/map", "a.png")


def test_the_api_lines_ask_for_the_model_on_screen():
    lines = usage.api_lines("https://ann-town.hf.space", HUB, "a.png")
    assert 'Client("https://ann-town.hf.space")' in lines
    assert '"map", handle_file("a.png"), "town-1a2b3c", api_name="/translate"' in lines


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ("photo.jpg", "photo-map.png"),
        ("holiday.2024.jpeg", "holiday-2024-map.png"),
        ("noending", "noending-map.png"),
        (".png", "png-map.png"),
        ("", "picture-map.png"),
        ("???.png", "picture-map.png"),
        ("../../etc/passwd", "picture-map.png"),
        ("a\nb\0c.png", "a-b-c-map.png"),
        ("Grüße 名前.webp", "Grüße 名前-map.png"),
    ],
)
def test_a_result_is_called_after_its_picture_and_task(picture, expected):
    assert usage.result_name("map", picture) == expected


@pytest.mark.parametrize("letter", ["x", "ü", "名", "𠀀"])
def test_a_results_name_fits_into_a_file_system(letter, tmp_path):
    name = usage.result_name("map-to-aerial", letter * 300 + ".png")
    assert len(os.fsencode(name)) <= 200
    (tmp_path / name).touch()
