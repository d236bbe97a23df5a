"""What goes wrong in adversarial training, noticed early and named in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SATURATED_D = {"vanilla": 0.02, "lsgan": 0.005, "hinge": 0.02}
"""D losses below which D tells real from fake almost without error (0.25 to 1 when it guesses)."""
SATURATED_READINGS = 50
"""So many readings in a row make saturation a finding, not a moment."""
CONSTANT_LEVELS = 2.0
"""Standard deviation over all outputs, in 8-bit levels, below which G draws the same grey everywhere."""
SAME_LEVELS = 0.5
"""Mean difference between outputs of different inputs, in levels, below which G ignores its input."""


class Watchdog:
    """Judges readings and validations; `verdicts` goes to metrics.json, every new one is also returned."""

    def __init__(self, gan_mode: str, verdicts: list[dict[str, Any]] | None = None):
        self.gan_mode = gan_mode
        self.verdicts: list[dict[str, Any]] = verdicts if verdicts is not None else []
        self._low = 0
        self._said_saturated = False

    def state(self) -> dict[str, Any]:
        """What a resumed run must know so as to say neither more nor less than one that was never stopped."""
        return {"verdicts": self.verdicts, "low": self._low, "said_saturated": self._said_saturated}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave; a state of verdicts alone, of an earlier version, counts anew."""
        self.verdicts = state["verdicts"]
        self._low = state.get("low", 0)
        self._said_saturated = state.get("said_saturated", False)

    def losses(self, step: int, values: Mapping[str, float], improving: bool | None) -> str | None:
        """Judge the losses read at a step; `improving`: whether the last validation was the best so far."""
        limit = SATURATED_D.get(self.gan_mode)
        if limit is None or "D" not in values:
            return None
        self._low = self._low + 1 if values["D"] < limit else 0
        if self._low < SATURATED_READINGS:
            self._said_saturated = self._said_saturated and self._low > 0
            return None
        if self._said_saturated:
            return None
        self._said_saturated = True
        text = f"D's loss has stayed near 0 ({values['D']:.3g}): it tells drawn from real without error. "
        if improving is False:
            text += (
                "The validation measures have stopped improving as well, so G may learn nothing from it any "
                "more: try --gan_mode lsgan, a smaller --discriminator_width, or a larger --lambda_l1."
            )
        else:
            text += "That alone is harmless as long as the validation measures and pictures get better."
        return self._note(step, "saturated discriminator", text)

    def outputs(self, step: int, outputs: Sequence[np.ndarray]) -> str | None:
        """Judge the pictures of a validation: uint8 arrays of one shape, from different inputs."""
        stack = np.stack(outputs).astype(np.float32)
        if float(stack.std()) < CONSTANT_LEVELS:
            text = (
                f"Every output is the same flat colour (about {stack.mean():.0f} of 255). Early in training "
                "that passes; if it stays, look at the pairs (are the targets constant?) and try a smaller "
                "--learning_rate."
            )
            return self._note(step, "constant output", text)
        if len(stack) > 1 and float(np.abs(stack[1:] - stack[:1]).mean()) < SAME_LEVELS:
            text = (
                "Different inputs give the same output: G ignores its input. Check that the pairs belong "
                "together and that --direction is right; a larger --lambda_l1 also helps."
            )
            return self._note(step, "input ignored", text)
        return None

    def diverged(self, step: int, values: Mapping[str, float], remedy: str) -> str:
        """Record that losses are not finite at a step, and what is done about it."""
        bad = ", ".join(f"{name} is {value}" for name, value in values.items() if not math.isfinite(value))
        return self._note(step, "not finite", f"The losses are not finite ({bad}). {remedy}")

    def _note(self, step: int, verdict: str, text: str) -> str:
        self.verdicts.append({"step": step, "verdict": verdict, "text": text})
        return f"step {step}: {text}"


def finite(values: Mapping[str, float]) -> bool:
    return all(math.isfinite(value) for value in values.values())
