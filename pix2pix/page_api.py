"""What programs can call of the demo, without its page: /translate and /tasks."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pix2pix.errors import UserError
from pix2pix.page import unopened
from pix2pix.page_events import LANE
from pix2pix.visits import Visits


def offer_api(visits: Visits) -> None:
    """/translate and /tasks, for programs."""

    def translate(task: str, image: str | None, model: str = "") -> tuple[str, dict[str, Any]]:
        """Translate a picture. `task` and `model` (its key, or empty for the default) are those of /tasks.

        Answers with the picture, a PNG of the same size, and what drew it, from where, in which time.
        """
        if not image:
            raise gr.Error("There is no image: send one as the second argument.", print_exception=False)
        try:
            found = visits.translate(task, model or None, image)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return str(found.output), dict(visits.facts(found))

    def tasks() -> list[dict[str, Any]]:
        """What is served: every task with its models, from where they are, and at which revision."""
        return visits.catalogue.status()

    with gr.Row(visible=False):
        task = gr.Textbox(label="task")
        image = unopened(gr.Image(type="filepath", image_mode=None, label="image"))
        model = gr.Textbox(label="model", value="")
        picture = gr.Image(type="filepath", format="png", label="picture")
        facts = gr.JSON(label="facts")
        listing = gr.JSON(label="tasks")
        gr.Button().click(translate, [task, image, model], [picture, facts], api_name="translate", **LANE)
        gr.Button().click(tasks, None, [listing], api_name="tasks", concurrency_limit=8)
