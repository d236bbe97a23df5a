"""Reports to TensorBoard, Weights & Biases or Trackio, none of which may ever end a training run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image


class Reports:
    """What an Accelerator's trackers are told. The first failure is said once, and reporting stops."""

    def __init__(
        self, accelerator: Any, wanted: str, name: str, config: Mapping[str, Any], say: Callable[[str], None]
    ):
        self.accelerator, self.say, self.active = accelerator, say, True
        # Trackers take numbers and text; everything else is said in words.
        plain = {
            k: value if isinstance(value, int | float | str) else str(value) for k, value in config.items()
        }
        self._guarded(lambda: accelerator.init_trackers(name, config=plain))
        if self.active and wanted != "none" and accelerator.is_main_process and not accelerator.trackers:
            say(f"Nothing is reported: {wanted} is not installed (pip install {wanted}). Training goes on.")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._guarded(lambda: self.accelerator.log(dict(values), step=step))

    def picture(self, name: str, picture: Image.Image, step: int) -> None:
        """Show a picture to every tracker that takes pictures."""
        array = np.asarray(picture.convert("RGB"))[None]

        def show() -> None:
            for tracker in self.accelerator.trackers:
                if tracker.name == "tensorboard":
                    tracker.log_images({name: array}, step=step, dataformats="NHWC")
                elif hasattr(tracker, "log_images"):
                    tracker.log_images({name: [picture]}, step=step)

        self._guarded(show)

    def close(self) -> None:
        self._guarded(self.accelerator.end_training)

    def _guarded(self, action: Callable[[], Any]) -> None:
        if not self.active:
            return
        try:
            action()
        # A tracker may raise anything: no server, no disk, a changed interface. A run outweighs it.
        except Exception as error:
            self.active = False
            self.say(f"Reporting stopped, training goes on: {type(error).__name__}: {error}")
