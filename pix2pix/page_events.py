"""What happens on the page: which event leads to what, and what it changes there.

The handlers translate between Gradio and pix2pix.visits, where a visitor's pictures are read and translated.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from pix2pix import usage
from pix2pix.errors import UserError
from pix2pix.page import DRAWN, EXAMPLES, Page, hint
from pix2pix.tasks import TASKS
from pix2pix.visits import Outcome, Visits

LANE: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "translation"}
"""One picture is translated at a time: two large ones at once would not fit into a small machine."""
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""Programs see page_api alone."""

COPY_LINK = """(task, model) => {
    const url = new URL(window.location.href.split("?")[0]);
    url.searchParams.set("task", task);
    if (model) url.searchParams.set("model", model);
    navigator.clipboard?.writeText(url.href);
    window.history.replaceState(null, "", url);
    return [];
}"""


class Wiring:
    """Which event leads to what. Every handler answers with the whole of what it changes."""

    def __init__(self, visits: Visits, page: Page):
        self.visits, self.page = visits, page
        one = page.one
        self.chosen = [page.task, page.model]
        self.to_picture = [one["picture"], one["inputs"], one["front"]]
        self.result = [one["result"], one["status"], one["again"], one["download"], one["output"], *page.code]

    def connect(self, blocks: gr.Blocks) -> None:
        self._connect_task(blocks)
        self._connect_one()
        self._connect_several()
        self._connect_live()
        self._connect_compare()

    def _connect_task(self, blocks: gr.Blocks) -> None:
        """The task and the model: from the link or chosen, shown, and copied as a link."""
        page, one, compare, chosen = self.page, self.page.one, self.page.compare, self.chosen
        shown = [page.sentence, page.model, one["examples"], one["picture_tab"]]
        shown += [one["sketch_tab"], one["facades_tab"], one["inputs"], one["front"], one["derive"]]
        shown += [compare["left"], compare["right"], compare["tab"]]
        cleared = [one["picture"], one["result"], one["status"], one["again"], one["download"], one["output"]]
        tells: dict[str, Any] = {"inputs": chosen, "outputs": [page.about, *page.code]}
        tells |= {"show_progress": "hidden"} | PRIVATE

        opened = blocks.load(self.open, None, [page.task], **PRIVATE)
        opened.then(self.show_task, [page.task], shown, **PRIVATE).then(
            self.choose_linked, [page.task], [page.model], **PRIVATE
        ).then(self.tell, **tells)
        page.task.input(self.show_task, [page.task], shown, **PRIVATE).then(
            self.clear, None, cleared, show_progress="hidden", **PRIVATE
        ).then(self.tell, **tells)
        page.model.input(self.tell, **tells).then(
            self.translate, [*chosen, one["picture"]], self.result, **LANE, **PRIVATE
        )
        page.link.click(
            lambda *_: gr.Info("The link to this task and model is copied."), chosen, None, **PRIVATE
        )
        page.link.click(None, chosen, None, js=COPY_LINK, **PRIVATE)

    def _connect_one(self) -> None:
        """One picture: given, drawn, an example, made from a photo, or the last result again."""
        task, one, result, to_picture = self.page.task, self.page.one, self.result, self.to_picture
        private_here = PRIVATE | LANE | {"show_progress_on": one["result"]}
        given: dict[str, Any] = {"inputs": [*self.chosen, one["picture"]], "outputs": result} | private_here
        for event in (one["picture"].upload, one["picture"].input):
            event(self.translate, trigger_mode="always_last", show_progress="full", **given)
        one["go"].click(
            self.translate_any,
            [*self.chosen, one["front"], one["picture"], one["sketch_pad"], one["facades_pad"]],
            result,
            **private_here,
        )
        one["examples"].select(self.take_example, [task], to_picture, **PRIVATE).then(self.translate, **given)
        one["again"].click(self.take, [one["output"]], to_picture, **PRIVATE)
        one["derive"].click(self.derive, [task, one["picture"]], to_picture, **LANE, **PRIVATE).success(
            self.translate, **given
        )
        for name in ("picture", *DRAWN):
            seen = "picture" if name == "picture" else "draw"
            one[f"{name}_tab"].select(lambda seen=seen: seen, None, [one["front"]], queue=False, **PRIVATE)

    def _connect_several(self) -> None:
        several = self.page.several
        several["go"].click(
            self.translate_all,
            [*self.chosen, several["files"]],
            [several["gallery"], several["status"], several["zip"]],
            **LANE,
            **PRIVATE,
        )

    def _connect_live(self) -> None:
        live = self.page.live
        live["camera"].stream(
            self.translate_frame,
            [*self.chosen, live["camera"]],
            [live["picture"]],
            stream_every=0.25,
            time_limit=120,
            concurrency_limit=1,
            concurrency_id="camera",
            show_progress="hidden",
            **PRIVATE,
        )

    def _connect_compare(self) -> None:
        compare = self.page.compare
        compare["go"].click(
            self.translate_twice,
            [self.page.task, compare["left"], compare["right"], compare["picture"]],
            [compare["result"], compare["status"]],
            **LANE,
            **PRIVATE,
        )

    # ---- the task

    def open(self, request: gr.Request) -> str:
        """The task that the link names, else the first."""
        wanted, tasks = request.query_params.get("task"), self.visits.catalogue.tasks()
        return wanted if wanted in tasks else tasks[0]

    def choose_linked(self, task: str, request: gr.Request) -> Any:
        wanted = request.query_params.get("model")
        known = [offer.key for offer in self.visits.catalogue.offers(task)]
        return wanted if wanted in known else (known[0] if known else None)

    def show_task(self, task: str) -> list[Any]:
        found = self.visits.catalogue.offers(task)
        choices = [(self.visits.label(offer), offer.key) for offer in found]
        first = choices[0][1] if choices else None
        default: dict[str, Any] = {"choices": choices, "value": first}
        return [
            f"<p>{TASKS[task].sentence}</p>",
            gr.Dropdown(visible=len(choices) > 1, **default),
            [str(path) for path in self.visits.examples(task, EXAMPLES)],
            gr.Tab(visible=True),
            *(gr.Tab(visible=task == name) for name in DRAWN),
            gr.Tabs(selected="picture"),
            "picture",
            gr.Button(visible=TASKS[task].derive is not None and task in DRAWN),
            gr.Dropdown(**default),
            gr.Dropdown(choices=choices, value=choices[-1][1] if choices else None),
            gr.Tab(visible=len(choices) > 1),
        ]

    def clear(self) -> list[Any]:
        button: dict[str, Any] = {"interactive": False}
        empty = hint("The result appears here as soon as there is a picture.")
        return [None, None, empty, gr.Button(**button), gr.DownloadButton(value=None, **button), None]

    def tell(self, task: str, key: str | None, request: gr.Request) -> list[Any]:
        """The model's card and the code for it, before any picture is there."""
        try:
            served = self.visits.catalogue.served(task, key)
        except UserError as error:
            return [str(error), "", "", ""]
        return [self.visits.about(served), *self._code(served.offer, "photo.jpg", request)]

    def _code(self, offer: Any, name: str, request: gr.Request) -> list[str]:
        folder = self.visits.folder_of(offer)
        url = self.visits.address(request.headers.get("origin"))
        return [
            usage.python_lines(offer, folder, name),
            usage.api_lines(url, offer, name),
            usage.shell_line(offer, folder, name),
        ]

    # ---- pictures

    def translate(self, task: str, key: str | None, path: str | None, request: gr.Request) -> list[Any]:
        if not path:
            return [*self.clear()[1:], *(gr.skip() for _ in self.page.code)]
        try:
            found = self.visits.translate(task, key, path)
        except UserError as error:
            return [None, self.visits.alert(error), *self.clear()[3:], *(gr.skip() for _ in self.page.code)]
        return self._shown(found, request)

    def _shown(self, found: Outcome, request: gr.Request) -> list[Any]:
        output = str(found.output)
        return [
            (str(found.before), str(found.after)),
            self.visits.report(found),
            gr.Button(interactive=True),
            gr.DownloadButton(value=output, interactive=True),
            output,
            *self._code(found.offer, found.name, request),
        ]

    def translate_any(
        self,
        task: str,
        key: str | None,
        front: str,
        path: str | None,
        sketch: dict[str, Any] | None,
        facades: dict[str, Any] | None,
        request: gr.Request,
    ) -> list[Any]:
        """What the button means: the picture, or what was drawn, whichever is in front."""
        if front == "draw" and task in DRAWN:
            pad = {"sketch": sketch, "facades": facades}[task]
            path = pad["composite"] if pad else None
        found = self.translate(task, key, path, request)
        return found if path else [found[0], hint("Give a picture first."), *found[2:]]

    def take_example(self, task: str, event: gr.SelectData) -> list[Any]:
        index = event.index if isinstance(event.index, int) else 0
        return self.take(str(self.visits.examples(task, EXAMPLES)[index]))

    def take(self, path: str | None) -> list[Any]:
        """Show a picture as the input."""
        return [path, gr.Tabs(selected="picture"), "picture"]

    def derive(self, task: str, path: str | None) -> list[Any]:
        """Make the task's input from a photo: a drawing."""
        if not path:
            raise gr.Error("Give a photo first; the drawing is made from it.", print_exception=False)
        try:
            return self.take(str(self.visits.derive(task, path)))
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def translate_all(
        self,
        task: str,
        key: str | None,
        files: Any,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        if not files:
            return [None, hint("Give some pictures first."), gr.DownloadButton(interactive=False)]
        found = self.visits.translate_all(task, key, files, progress.tqdm)
        archive = str(found.archive) if found.archive else None
        button = gr.DownloadButton(value=archive, interactive=archive is not None)
        return [[str(path) for path in found.pictures], found.report, button]

    def translate_frame(self, task: str, key: str | None, frame: Any) -> Any:
        try:
            return self.visits.translate_frame(task, key, frame)
        except UserError:
            return None

    def translate_twice(self, task: str, left: str | None, right: str | None, path: str | None) -> list[Any]:
        if not path:
            return [None, hint("Give a picture first.")]
        try:
            found = [self.visits.translate(task, key, path) for key in (left, right)]
        except UserError as error:
            return [None, self.visits.alert(error)]
        text = " &nbsp;|&nbsp; ".join(self.visits.report(outcome, bare=True) for outcome in found)
        return [tuple(str(outcome.after) for outcome in found), f'<p class="done">{text}</p>']
