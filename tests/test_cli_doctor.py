"""`pix2pix doctor`: the table, the status, the JSON and the sheet."""

import json

import pytest
from PIL import Image

from pix2pix import cli
from pix2pix.toy import draw_pair


@pytest.fixture(scope="module")
def drawn():
    return [draw_pair("map", index, 48) for index in range(24)]


@pytest.fixture
def town(tmp_path, drawn):
    for number, sides in enumerate(drawn):
        for side, picture in zip("AB", sides, strict=True):
            (tmp_path / "town" / "train" / side).mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / "town" / "train" / side / f"{number:02}.png")
    return tmp_path / "town"


def doctor(town, tmp_path, *flags):
    return cli.main(
        [
            "doctor",
            "--data",
            str(town),
            "--json",
            str(tmp_path / "d.json"),
            "--sheet",
            str(tmp_path / "d.png"),
            *flags,
        ]
    )


def test_a_healthy_set_is_status_0(town, tmp_path, capsys):
    assert doctor(town, tmp_path) == 0
    said = capsys.readouterr().out
    assert "healthy" in said
    assert "train 24 (two_folders)" in said
    assert "is not written" in said
    content = json.loads((tmp_path / "d.json").read_text())
    assert content["healthy"] is True
    assert content["findings"] == []
    assert not (tmp_path / "d.png").exists()


def test_findings_are_status_1_in_table_json_and_sheet(town, tmp_path, drawn, capsys):
    for number, side in ((3, "B"), (5, "A")):
        (town / "train" / side / f"{number:02}.png").write_bytes(b"")
    drawn[7][1].save(town / "train" / "A" / "07.png")
    drawn[7][0].save(town / "train" / "B" / "07.png")
    for side, picture in zip("AB", drawn[8], strict=True):
        picture.save(town / "train" / side / "again.png")
    assert doctor(town, tmp_path) == 1
    said = capsys.readouterr().out
    assert "03.png: not a picture" in said
    assert "again.png  same pixels as train: 08.png" in said
    assert "train: 07.png  score -" in said
    assert "4 findings." in said
    content = json.loads((tmp_path / "d.json").read_text())
    assert content["healthy"] is False
    assert {f["kind"]: len(f["cases"]) for f in content["findings"]} == {
        "unusable": 2, "duplicate": 1, "swapped": 1,
    }  # fmt: skip
    with Image.open(tmp_path / "d.png") as sheet:
        assert sheet.height > 4 * 192
        assert sheet.mode == "RGB"


def test_more_than_20_cases_are_counted(town, tmp_path, capsys):
    for side in "AB":
        for file in (town / "train" / side).iterdir():
            Image.new("RGB", (48, 48), (int(file.stem) * 9, 0, 0)).save(file)
    assert doctor(town, tmp_path) == 1
    assert "... and 4 more" in capsys.readouterr().out


def test_what_cannot_be_read_is_status_2(tmp_path, capsys):
    assert cli.main(["doctor", "--data", str(tmp_path)]) == 2
    assert "no picture" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.main(["doctor", "--data", str(tmp_path / "file")]) == 2
    assert "not a folder" in capsys.readouterr().err
    assert cli.main(["doctor", "--data", str(tmp_path), "--task", "maps"]) == 2
    assert "maps" in capsys.readouterr().err
