"""`pix2pix pair`: what is written, what is said, and the exit status."""

import json

import pytest
from PIL import Image

from pix2pix import cli


@pytest.fixture
def folders(tmp_path):
    for side in "ab":
        (tmp_path / side).mkdir()
        for number in range(10):
            Image.new("RGB", (16, 16), (number, 9, 9)).save(tmp_path / side / f"{number}.png")
    return [str(tmp_path / "a"), str(tmp_path / "b")]


def test_two_folders_become_a_data_set(folders, tmp_path, capsys):
    assert cli.main(["pair", *folders, "--output", str(tmp_path / "out"), "--val", "0.2"]) == 0
    assert f"10 pairs in {tmp_path / 'out'}: train 7, val 2, test 1" in capsys.readouterr().out
    assert (tmp_path / "out" / "val" / "metadata.jsonl").is_file()


def test_a_file_without_partner_is_listed_and_changes_the_status(folders, tmp_path, capsys):
    (tmp_path / "b" / "3.png").unlink()
    assert cli.main(["pair", *folders, "--output", str(tmp_path / "out"), "--json"]) == 1
    said = capsys.readouterr()
    content = json.loads(said.out)
    assert content["splits"] == {"train": 7, "val": 1, "test": 1}
    assert len(content["left_out"]) == 1
    assert "3.png: no partner" in said.err


def test_recognised_endings_are_said(tmp_path, capsys):
    for side, name in (("a", "1_A"), ("b", "1_B")):
        (tmp_path / side).mkdir()
        Image.new("RGB", (16, 16)).save(tmp_path / side / f"{name}.png")
    arguments = ["pair", str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    assert "without _A and _B" in capsys.readouterr().out


def test_photos_with_a_task_need_one_folder(folders, tmp_path, capsys):
    assert cli.main(["pair", folders[0], "--task", "colorize", "--output", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out" / "train" / "input").iterdir())) == 8
    capsys.readouterr()
    for wrong in ([folders[0]], [*folders, "--task", "sketch"], [folders[0], "--task", "map"]):
        assert cli.main(["pair", *wrong, "--output", str(tmp_path / "other")]) == 2
        assert "error: " in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("output", ["a/out", "a"])
def test_an_output_among_the_inputs_is_refused(folders, tmp_path, output, capsys):
    assert cli.main(["pair", *folders, "--output", str(tmp_path / output)]) == 2
    assert "--output" in capsys.readouterr().err


def test_names_that_do_not_match_are_explained(folders, tmp_path, capsys):
    for file in (tmp_path / "b").iterdir():
        file.rename(file.with_name(f"map{file.name}"))
    assert cli.main(["pair", *folders, "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "map0" in said
    assert "--strip" in said
    assert not (tmp_path / "out").exists()
