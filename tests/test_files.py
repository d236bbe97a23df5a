"""Files are replaced whole or not at all."""

import json
import os
import stat

import pytest

from pix2pix.files import remove_leftovers, replacing, write_json


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "model.bin"
    for content in (b"one", b"two"):
        with replacing(path) as temporary:
            assert temporary.parent == path.parent, "a rename is atomic only within one file system"
            assert temporary.suffix == ".bin", "some writers choose the format by the ending"
            temporary.write_bytes(content)
        assert path.read_bytes() == content
    assert os.listdir(path.parent) == ["model.bin"]


def test_a_crash_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"old")

    def write_and_be_interrupted():
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_be_interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.bin"]


def test_the_content_is_on_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("sync"))
    replace = os.replace

    def renamed(*names):
        calls.append("rename")
        replace(*names)

    monkeypatch.setattr(os, "replace", renamed)
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("a")
    assert calls[:2] == ["sync", "rename"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_new_file_is_readable_as_any_other_and_a_private_one_stays_private(tmp_path):
    def mode(path):
        return stat.S_IMODE(path.stat().st_mode)

    ordinary, ours = tmp_path / "ordinary", tmp_path / "ours"
    ordinary.touch()
    write_json(ours, {})
    assert mode(ours) == mode(ordinary)
    ours.chmod(0o600)
    write_json(ours, {"more": 1})
    assert mode(ours) == 0o600


def test_json_is_read_back_and_nan_never_written(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"psnr": 21.5, "name": "Ö"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"psnr": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"psnr": 21.5, "name": "Ö"}


def test_what_a_killed_process_left_of_a_file_is_removed_and_nothing_else(tmp_path):
    for name in (".map-0123456789ab.png", ".map-2-0123456789ab.png", ".map-note.png", "map.png"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "map.png")
    assert {path.name for path in tmp_path.iterdir()} == {
        ".map-2-0123456789ab.png",
        ".map-note.png",
        "map.png",
    }
