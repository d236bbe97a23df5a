"""Reports that may fail without costing a run."""

from types import SimpleNamespace

from PIL import Image

from pix2pix.trackers import Reports


class FailingAccelerator:
    """Stands for a tracker whose server refuses connection, at the call named."""

    def __init__(self, failing):
        self.failing, self.calls, self.is_main_process = failing, [], True
        self.trackers = [SimpleNamespace(name="wandb", log_images=lambda *_, **__: self.note("log_images"))]

    def note(self, call):
        self.calls.append(call)
        if call == self.failing:
            raise ConnectionRefusedError("no server")

    def init_trackers(self, *_, **__):
        self.note("init_trackers")

    def log(self, *_, **__):
        self.note("log")

    def end_training(self):
        self.note("end_training")


def run(failing):
    accelerator = FailingAccelerator(failing)
    said: list[str] = []
    reports = Reports(accelerator, "wandb", "name", {"rate": 1, "list": [1]}, said.append)
    for step in (1, 2):
        reports.scalars({"loss": 1.0}, step)
        reports.picture("validation", Image.new("L", (2, 2)), step)
    reports.close()
    return accelerator.calls, said


def test_a_tracker_that_cannot_start_is_said_once_and_left_alone():
    calls, said = run("init_trackers")
    assert calls == ["init_trackers"]
    assert len(said) == 1
    assert "training goes on" in said[0]
    assert "no server" in said[0]


def test_a_tracker_that_fails_later_stops_reporting():
    assert run("log")[0] == ["init_trackers", "log"]
    assert run("log_images")[0] == ["init_trackers", "log", "log_images"]
    assert len(run("end_training")[1]) == 1


def test_a_working_tracker_gets_everything():
    calls, said = run(None)
    assert calls == ["init_trackers", *["log", "log_images"] * 2, "end_training"]
    assert said == []
