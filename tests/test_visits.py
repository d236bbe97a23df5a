"""A visitor's pictures: translated, written where nobody else looks, named safely, and forgotten."""

from __future__ import annotations

import os
import re
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trained_folder import trained_folder

from pix2pix import Translator, images, toy, uploads, visits
from pix2pix.config import TaskId
from pix2pix.contact_sheet import contact_sheet, inputs_of
from pix2pix.errors import ImageError, UserError
from pix2pix.offers import Offer, ServingError
from pix2pix.serving import Catalogue
from pix2pix.tasks import TASKS
from pix2pix.visits import Visits, forget

HOUR = 3600


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return trained_folder(tmp_path_factory.mktemp("models") / "town")


@pytest.fixture
def visited(model, tmp_path):
    """Visits with one model, for `map`."""
    (tmp_path / "none").mkdir()
    (tmp_path / "kept").mkdir()
    settings = {"environment": {}, "shipped": tmp_path / "none", "device": "cpu"}
    return Visits(Catalogue.from_settings([f"map={model}"], **settings), tmp_path / "kept")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    toy.draw_pair("map", 3, 48)[0].save(path, quality=95)
    return path


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# ---- translated -------------------------------------------------------------------------------------------


def test_a_picture_is_translated_into_a_png_of_its_size(visited, photo, model):
    found = visited.translate("map", None, str(photo))
    with Image.open(found.output) as drawn:
        assert (drawn.format, drawn.size, found.size, found.name) == ("PNG", (48, 48), (48, 48), "photo.jpg")
        expected = Translator.from_pretrained(model, device="cpu")(photo)
        assert np.array_equal(np.asarray(drawn), np.asarray(expected))
    assert found.output.name == "photo-map.png"
    assert (found.offer.name, found.notice) == ("town", None)


def test_what_the_page_shows_is_small_and_what_is_downloaded_is_whole(visited, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "PREVIEW", 32)
    Image.new("RGB", (64, 40)).save(tmp_path / "large.png")
    found = visited.translate("map", None, str(tmp_path / "large.png"))
    sizes = [Image.open(path).size for path in (found.before, found.after, found.output)]
    assert sizes == [(32, 20), (32, 20), (64, 40)]


def test_two_visitors_with_the_same_picture_share_no_file(visited, photo):
    one, other = (visited.translate("map", None, str(photo)) for _ in range(2))
    assert one.output.parent != other.output.parent
    assert len(one.output.parent.name) >= 32
    assert one.output.parent.stat().st_mode & 0o077 == 0


def test_nothing_is_written_for_what_is_no_picture(visited, photo, tmp_path):
    (tmp_path / "text.png").write_text("words")
    with pytest.raises(ImageError, match=r"^text\.png: not a picture"):
        visited.translate("map", None, str(tmp_path / "text.png"))
    with pytest.raises(ServingError):
        visited.translate("nothing", None, str(photo))
    assert not files(visited.folder)


def test_the_end_of_memory_is_a_sentence(visited, photo, monkeypatch):
    def exhausted(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(Translator, "__call__", exhausted)
    with pytest.raises(UserError):
        visited.translate("map", None, str(photo))


# ---- several, and live ------------------------------------------------------------------------------------


def test_several_come_back_in_a_zip_and_failures_are_named(visited, photo, tmp_path):
    (tmp_path / "<b>bad.png").write_text("words")
    found = visited.translate_all("map", None, [str(photo), str(tmp_path / "<b>bad.png"), str(photo)])
    assert len(found.pictures) == 2
    with zipfile.ZipFile(found.archive) as archive:
        assert archive.namelist() == ["01-photo-map.png", "02-photo-map.png"]
        assert archive.testzip() is None
    assert "2 of 3 translated." in found.report
    assert "&lt;b&gt;bad.png" in found.report
    assert str(tmp_path) not in found.report


def test_only_so_many_are_translated_at_once_and_the_others_are_named(visited, photo, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_FILES", 2)
    found = visited.translate_all("map", None, [str(photo)] * 4)
    assert len(found.pictures) == 2
    assert "2 of 4 translated." in found.report
    assert found.report.count("<li>photo.jpg: more than 2") == 2


def test_where_nothing_works_there_is_no_zip(visited, tmp_path):
    (tmp_path / "bad.png").write_text("words")
    found = visited.translate_all("map", None, [str(tmp_path / "bad.png")])
    assert (found.pictures, found.archive) == ([], None)
    assert not [name for name in files(visited.folder) if name.endswith(".zip")]


def test_a_cameras_picture_is_made_small_and_never_written(visited):
    drawn = visited.translate_frame("map", None, Image.new("RGBA", (1024, 300), "red"))
    assert drawn.size == (512, 150)
    assert visited.translate_frame("map", None, None) is None
    assert not files(visited.folder)


# ---- forgotten --------------------------------------------------------------------------------------------


def aged(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_after_an_hour_nothing_of_a_visitor_is_left_but_the_examples_are(visited, photo):
    old = visited.translate("map", None, str(photo))
    batch = visited.translate_all("map", None, [str(photo)])
    examples = visited.examples("map", 2)
    uploaded = visited.folder / "d1gest" / "photo.jpg"  # where Gradio puts an upload
    uploaded.parent.mkdir()
    uploaded.write_bytes(photo.read_bytes())
    (visited.folder / "loose.png").write_bytes(b"")
    for path in sorted(visited.folder.rglob("*"), reverse=True):
        aged(path, HOUR)
    new = visited.translate("map", None, str(photo))
    forget(visited.folder, time.time() - visits.KEPT)
    forget(visited.folder, time.time() - visits.KEPT)  # removing a file makes its folder young: once more
    for gone in (old.output, old.before, batch.archive, batch.pictures[0], uploaded):
        assert not gone.exists()
    assert not (visited.folder / "loose.png").exists()
    assert new.output.exists()
    assert new.before.exists()
    assert all(path.exists() for path in examples)


def test_empty_folders_go_in_time(visited, photo):
    found = visited.translate("map", None, str(photo))
    for path in [*found.output.parent.iterdir(), found.output.parent]:
        aged(path, HOUR)
    forget(visited.folder, time.time() - visits.KEPT)
    aged(found.output.parent, HOUR)
    forget(visited.folder, time.time() - visits.KEPT)
    assert not found.output.parent.exists()


def test_a_sweep_comes_often_enough_to_keep_nothing_for_an_hour():
    assert visits.KEPT + 2 * visits.SWEEP <= HOUR


def test_forgetting_goes_on_where_something_cannot_be_removed(tmp_path, monkeypatch):
    """Gradio removes too, at the same time."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.png").touch()
    removed, unlink = [], Path.unlink

    def fails_once(path, missing_ok=False):
        removed.append(path)
        if len(removed) == 1:
            raise PermissionError
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fails_once)
    forget(tmp_path, time.time() + 1)
    assert len(removed) == 2
    assert not removed[1].exists()
    forget(tmp_path / "never", time.time())


# ---- examples ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [task for task in TASKS if task != "custom"])
def test_every_task_has_examples_that_were_never_trained_on(task: TaskId, visited, monkeypatch):
    drawn: list[int] = []

    def draw(task, index):
        drawn.append(index)
        return Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8))

    monkeypatch.setattr(toy, "draw_pair", draw)
    paths = visited.examples(task, 3)
    assert [path.is_file() for path in paths] == [True] * 3
    assert min(drawn) >= 3_000_000
    visited.examples(task, 3)
    assert len(drawn) == 3  # drawn once


def test_the_examples_are_the_inputs_on_the_shipped_models_sheet(model, tmp_path):
    inputs = [toy.draw_pair("map", number, 32)[0] for number in range(2)]
    blank = Image.new("RGB", (32, 32))
    shutil.copytree(model, tmp_path / "shipped" / "map")
    sheet = contact_sheet([[x, blank, blank] for x in inputs], ("input", "output", "truth"))
    sheet.save(tmp_path / "shipped" / "map" / "samples.png")
    (tmp_path / "kept").mkdir()
    catalogue = Catalogue.from_settings([], environment={}, shipped=tmp_path / "shipped", device="cpu")
    paths = Visits(catalogue, tmp_path / "kept").examples("map", 3)
    shown = [np.asarray(Image.open(path)) for path in paths]
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(shown[:2], inputs, strict=True))
    assert shown[2].shape == (256, 256, 3), "the third comes from our own pen"


def test_a_picture_that_is_no_sheet_gives_no_examples():
    assert inputs_of(Image.new("RGB", (300, 200))) == []


# ---- words ------------------------------------------------------------------------------------------------


def test_the_page_tells_no_path_of_the_server(visited, photo, model, tmp_path):
    served = visited.catalogue.served("map")
    found = visited.translate("map", None, str(photo))
    told = [visited.about(served), visited.report(found), str(dict(visited.facts(found)))]
    told += [visited.label(found.offer), visited.folder_of(found.offer)]
    for text in told:
        assert str(model.parent) not in text
        assert str(tmp_path) not in text
        assert "/home/ann" not in text  # what the training folder knows


def test_the_card_is_told_with_its_measures(visited):
    about = visited.about(visited.catalogue.served("map"))
    assert TASKS["map"].title in about
    assert re.search(r"22\.5", about)


def test_what_failed_is_told_with_the_result(visited, photo):
    found = replace(visited.translate("map", None, str(photo)), notice="The <Hub> is away.")
    assert "The &lt;Hub&gt; is away." in visited.report(found)
    assert visited.facts(found)["notice"] == "The <Hub> is away."
    assert visited.alert(ImageError("<script>")) == "<p class='alert' role='alert'>&lt;script&gt;</p>"


def test_a_model_is_labelled_by_where_it_is_from(visited):
    hub = Offer("k", "map", "ann/town", "hub", "0123456789abcdef", "https://huggingface.co/ann/town")
    assert visited.label(hub) == "ann/town @ 0123456"
    assert visited.label(replace(hub, revision=None)) == "ann/town"
    assert visited.label(Offer("shipped", "map", "shipped", "shipped")) == "ships with this project"
    assert visited.folder_of(Offer("shipped", "map", "shipped", "shipped")) == "model_cards/map"


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        ("https://ann-town.hf.space", "https://ann-town.hf.space"),
        ("http://127.0.0.1:7861", "http://127.0.0.1:7861"),
        (None, "http://127.0.0.1:7860"),
        ('http://x"); import os #', "http://127.0.0.1:7860"),
        ("javascript:alert(1)", "http://127.0.0.1:7860"),
        ("http://x\n", "http://127.0.0.1:7860"),
    ],
)
def test_an_address_in_the_shown_lines_is_an_address(visited, origin, address):
    assert visited.address(origin) == address


def test_a_picture_of_any_mode_has_a_preview_in_the_result(visited, tmp_path):
    Image.fromarray(np.full((12, 20), 40000, np.uint16)).save(tmp_path / "deep.png")
    found = visited.translate("map", None, str(tmp_path / "deep.png"))
    assert images.open_picture(found.before).getpixel((0, 0)) == (156, 156, 156)
