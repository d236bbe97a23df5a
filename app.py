"""The browser demo: choose a task, give a picture, see the translation.

    python app.py                                                  # the models that ship, at 127.0.0.1:7860
    python app.py --model map=user/pix2pix-map --model sketch=runs/sketch
    python app.py --hub_owner user --port 8000

PIX2PIX_MODELS="map=ID,colorize=DIR" and PIX2PIX_HUB_OWNER say the same, on a Space for example. Layout and
events are here; pictures are read by pix2pix.uploads, models come from pix2pix.serving.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pix2pix import uploads, usage
from pix2pix.allocator import keep_memory
from pix2pix.errors import UserError
from pix2pix.serving import Catalogue
from pix2pix.tasks import TASKS
from pix2pix.toy_facade_plan import LABELS
from pix2pix.visits import Outcome, Visits

DRAWN = {"sketch": "#ffffff", "facades": "#0000ff"}
"""Tasks with a drawing pad, and the colour of its paper."""
LANE: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "translation"}
"""One picture is translated at a time: two large ones at once would not fit into a small machine."""
QUEUE = 200
"""Visitors that may wait; one more is told to come back."""
STYLE = Path(__file__).with_name("app.css")
EXAMPLES = 6
PAPER = (512, 512)
"""Pixels of the drawing pads."""

COPY_LINK = """(task, model) => {
    const url = new URL(window.location.href.split("?")[0]);
    url.searchParams.set("task", task);
    if (model) url.searchParams.set("model", model);
    navigator.clipboard?.writeText(url.href);
    window.history.replaceState(null, "", url);
    return [];
}"""


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(
        "app.py",
        description="The browser demo.",
        epilog="example: python app.py --model map=user/pix2pix-map",
    )
    flags.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="TASK=ID_OR_DIR",
        help="model of a task: a Hub id or a folder; may be given again, also for the same task",
    )
    flags.add_argument("--hub_owner", metavar="NAME", help="serve this owner's models of the Hub")
    flags.add_argument("--host", metavar="H", help="address to listen at (default: 127.0.0.1)")
    flags.add_argument(
        "--port", type=int, metavar="P", help="port (default: the first free one from 7860 on)"
    )
    flags.add_argument("--mcp", action="store_true", help="also serve the tasks to language models, over MCP")
    return flags


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    return parser().parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C; return the exit status."""
    keep_memory()
    options = parse(arguments)
    if options.mcp and importlib.util.find_spec("mcp") is None:
        print('error: --mcp needs an extra: pip install "gradio[mcp]"', file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="pix2pix-demo-"))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended by a machine, it leaves nothing either
    uploads.bound_memory()
    _fetch_nothing()
    try:
        catalogue = Catalogue.from_settings(options.model, options.hub_owner)
        visits = Visits(catalogue, folder)
        for name in ("translate", "translate_all", "translate_frame"):
            setattr(visits, name, _on_gpu(getattr(visits, name)))
        page = build(visits)
        page.queue(max_size=QUEUE, default_concurrency_limit=8)
        page.launch(
            server_name=options.host,
            server_port=options.port,
            max_file_size=uploads.LARGEST_BYTES,
            theme=theme(),
            css_paths=[STYLE],
            footer_links=["api"],
            run_history=False,
            mcp_server=options.mcp or None,
            show_error=False,
            prevent_thread_lock=True,
            ssr_mode=False,
        )
        visits.start()
        page.block_thread()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # the port is taken, or the address is none of this machine's
        reason = f"port {options.port} is taken" if "empty port" in str(error) and options.port else error
        print(f"error: {reason}; name another with --port, or leave it away.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before anything was served
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def theme() -> Any:
    """Fonts of the system alone: the page asks nobody else for anything."""
    return gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="md",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


# ---- what comes in ----------------------------------------------------------------------------------------


def _fetch_nothing() -> None:
    """Let Gradio ask nobody: it would fetch an address that is sent in place of a file, however large."""
    from fastapi import HTTPException
    from gradio import processing_utils, routes

    async def refuse(url: str) -> Any:
        raise gr.Error("Send the picture itself, not its address.", print_exception=False)

    async def forbid(url: str, request: Any) -> Any:
        raise HTTPException(403, "This server fetches nothing for others.")

    processing_utils.async_ssrf_protected_get = refuse
    routes.secure_url_stream_response = forbid


def _unopened(picture: gr.Image) -> gr.Image:
    """Hand over the path of what was sent: Gradio would open it first, and not say what is wrong with it."""
    as_usual = picture.preprocess

    def preprocess(payload: Any) -> Any:
        return payload.path if payload and payload.path else as_usual(payload)

    picture.preprocess = preprocess  # type: ignore[method-assign]
    return picture


# ---- the page ---------------------------------------------------------------------------------------------


def build(visits: Visits) -> gr.Blocks:
    """Lay the page out and connect it."""
    with gr.Blocks(
        title="pix2pix", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True
    ) as page:
        gr.HTML(
            "<h1>pix2pix</h1><p>One kind of picture into another, learned from pairs. "
            "Choose what, give a picture, and move the slider.</p>",
            elem_id="masthead",
        )
        task = gr.Radio(
            [(TASKS[name].title, name) for name in visits.catalogue.tasks()],
            value=visits.catalogue.tasks()[0],
            label="What to translate",
            elem_id="tasks",
        )
        with gr.Row(elem_id="bar", equal_height=True):
            sentence = gr.HTML(elem_id="sentence")
            model = gr.Dropdown([], label="Model", elem_id="model", visible=False, container=False, scale=0)
            link = gr.Button("Copy link", size="sm", variant="secondary", scale=0, elem_id="link")
        with gr.Tabs(elem_id="modes"):
            with gr.Tab("One picture", id="one"):
                one = _one_picture()
            with gr.Tab("Several", id="several"):
                several = _several()
            with gr.Tab("Live camera", id="live"):
                live = _live()
            with gr.Tab("Compare models", id="compare", visible=False) as compare_tab:
                compare = _compare() | {"tab": compare_tab}
        with gr.Row(equal_height=False, elem_id="more"):
            with gr.Accordion("About this model", open=False):
                about = gr.Markdown("", elem_id="about", sanitize_html=True)
            with gr.Accordion("Use this in your code", open=False):
                code = [
                    gr.Code(label="Python", language="python", interactive=False, lines=4),
                    gr.Code(label="The API of this page", language="python", interactive=False, lines=4),
                    gr.Code(label="Shell", language="shell", interactive=False, lines=1),
                ]
        for place in (one, compare):
            _unopened(place["picture"])
        _api(visits)  # first: whoever comes later with a name that is taken gets a number behind it
        Wiring(visits, task, model, sentence, link, one, several, live, compare, about, code).connect(page)
    return page


def _one_picture() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with gr.Row(equal_height=True, elem_classes="stage"):
        with gr.Column(min_width=300), gr.Tabs(elem_id="inputs") as found["inputs"]:
            with gr.Tab("Picture", id="picture") as found["picture_tab"]:
                found["picture"] = gr.Image(
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "clipboard", "webcam"],
                    label="Input picture",
                    show_label=False,
                    height=366,
                    buttons=["fullscreen"],
                    elem_id="input",
                    placeholder="Drop a picture here\nor click to choose one; paste it; take a photo",
                )
            for name, paper in DRAWN.items():
                with gr.Tab("Draw", id=f"draw-{name}", visible=False) as found[f"{name}_tab"]:
                    found[f"{name}_pad"] = _pad(name, paper)
                    if name == "facades":
                        gr.HTML(_legend(), elem_id="legend")
        with gr.Column(min_width=300):
            found["result"] = gr.ImageSlider(
                type="filepath",
                label="Before and after",
                max_height=366,
                interactive=False,
                buttons=["fullscreen"],
                elem_id="result",
            )
    with gr.Row(elem_id="actions", equal_height=True):
        found["go"] = gr.Button("Translate", variant="primary", scale=0, min_width=140, elem_id="go")
        found["derive"] = gr.Button(
            "Photo to drawing", scale=0, min_width=150, visible=False, elem_id="derive"
        )
        found["status"] = gr.HTML(
            _hint("The result appears here as soon as there is a picture."), elem_id="status"
        )
        found["again"] = gr.Button("Use as input", scale=0, min_width=130, interactive=False, elem_id="again")
        found["download"] = gr.DownloadButton(
            "Download PNG", scale=0, min_width=140, interactive=False, elem_id="download"
        )
    found["examples"] = gr.Gallery(
        label="Examples",
        show_label=False,
        columns=EXAMPLES,
        rows=1,
        height=104,
        allow_preview=False,
        interactive=False,
        buttons=[],
        object_fit="cover",
        elem_id="examples",
    )
    found["output"] = gr.State(None)  # where the last result lies
    found["front"] = gr.State("picture")  # which of picture and draw is seen
    return found


def _pad(task: str, paper: str) -> gr.ImageEditor:
    """A drawing pad with the colours that the task knows."""
    colors = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in LABELS.values()] if task == "facades" else ["#000000"]
    return gr.ImageEditor(
        value={"background": Image.new("RGB", PAPER, paper), "layers": [], "composite": None},
        type="filepath",
        image_mode="RGB",
        sources=[],
        transforms=[],
        layers=False,
        canvas_size=PAPER,
        fixed_canvas=True,
        height=290 if task == "facades" else 330,
        brush=gr.Brush(
            default_size=14 if task == "facades" else 4,
            colors=colors,  # type: ignore[arg-type]  # a list of colour names is what it takes
            default_color=colors[2] if task == "facades" else colors[0],
            color_mode="fixed",
        ),
        eraser=gr.Eraser(default_size=20),
        label="Drawing pad: " + (", ".join(LABELS) if task == "facades" else "black pen on white"),
        show_label=False,
        elem_id=f"pad-{task}",
    )


def _legend() -> str:
    """What each colour of the facades' pad means."""
    swatch = '<li><i style="background: rgb({}, {}, {})"></i>{}</li>'
    return "<ul>" + "".join(swatch.format(*color, name) for name, color in LABELS.items()) + "</ul>"


def _several() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with gr.Row(equal_height=True, elem_classes="stage"):
        found["files"] = gr.File(
            file_count="multiple", file_types=["image"], label="Pictures", height=330, elem_id="files"
        )
        found["gallery"] = gr.Gallery(
            label="Results", columns=4, height=330, object_fit="contain", interactive=False, elem_id="gallery"
        )
    with gr.Row(elem_classes="actions", equal_height=True):
        found["go"] = gr.Button("Translate all", variant="primary", scale=0, min_width=140, elem_id="go-all")
        found["status"] = gr.HTML(_hint(f"Up to {uploads.MOST_FILES} pictures; they come back as one zip."))
        found["zip"] = gr.DownloadButton("Download zip", scale=0, min_width=140, interactive=False)
    return found


def _live() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with gr.Row(equal_height=True, elem_classes="stage"):
        found["camera"] = gr.Image(
            sources=["webcam"], streaming=True, type="pil", label="Camera", height=372, elem_id="camera"
        )
        found["picture"] = gr.Image(
            type="pil", interactive=False, label="Translated", height=372, elem_id="live-result", buttons=[]
        )
    return found


def _compare() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with gr.Row(equal_height=True, elem_classes="stage"):
        with gr.Column(min_width=300):
            found["picture"] = gr.Image(
                type="filepath",
                image_mode=None,
                sources=["upload", "clipboard"],
                label="Picture",
                height=250,
                elem_id="compare-input",
            )
            found["left"] = gr.Dropdown([], label="Left model")
            found["right"] = gr.Dropdown([], label="Right model")
        found["result"] = gr.ImageSlider(
            type="filepath",
            label="Left model and right model",
            max_height=366,
            interactive=False,
            elem_id="compare-result",
        )
    with gr.Row(elem_classes="actions", equal_height=True):
        found["go"] = gr.Button("Compare", variant="primary", scale=0, min_width=140)
        found["status"] = gr.HTML(_hint("The same picture, drawn by two models of this task."))
    return found


def _hint(text: str) -> str:
    return f'<p class="hint">{text}</p>'


# ---- what happens -----------------------------------------------------------------------------------------


class Wiring:
    """Which event leads to what. Every handler answers with the whole of what it changes."""

    def __init__(self, visits, task, model, sentence, link, one, several, live, compare, about, code):
        self.visits, self.task, self.model = visits, task, model
        self.sentence, self.link, self.about, self.code = sentence, link, about, code
        self.one, self.several, self.live, self.compare = one, several, live, compare

    def connect(self, page: gr.Blocks) -> None:
        one, several, live, compare = self.one, self.several, self.live, self.compare
        private: dict[str, Any] = {"api_visibility": "private"}
        chosen = [self.task, self.model]
        shown = [self.sentence, self.model, one["examples"], one["picture_tab"]]
        shown += [one["sketch_tab"], one["facades_tab"], one["inputs"], one["front"], one["derive"]]
        cleared = [one["picture"], one["result"], one["status"], one["again"], one["download"], one["output"]]
        to_picture = [one["picture"], one["inputs"], one["front"]]
        both = [compare["left"], compare["right"], compare["tab"]]
        result = [one["result"], one["status"], one["again"], one["download"], one["output"], *self.code]
        told = [self.about, *self.code]

        opened = page.load(self.open, None, [self.task], **private)
        opened.then(self.show_task, [self.task], [*shown, *both], **private).then(
            self.choose_linked, [self.task], [self.model], **private
        ).then(self.tell, chosen, told, show_progress="hidden", **private)
        self.task.input(self.show_task, [self.task], [*shown, *both], **private).then(
            self.clear, None, cleared, show_progress="hidden", **private
        ).then(self.tell, chosen, told, show_progress="hidden", **private)
        self.model.input(self.tell, chosen, told, show_progress="hidden", **private).then(
            self.translate, [*chosen, one["picture"]], result, **LANE, **private
        )
        self.link.click(
            lambda *_: gr.Info("The link to this task and model is copied."), chosen, None, **private
        )
        self.link.click(None, chosen, None, js=COPY_LINK, **private)

        private_here = private | LANE | {"show_progress_on": one["result"]}
        given: dict[str, Any] = {"inputs": [*chosen, one["picture"]], "outputs": result} | private_here
        for event in (one["picture"].upload, one["picture"].input):
            event(self.translate, trigger_mode="always_last", show_progress="full", **given)
        one["go"].click(
            self.translate_any,
            [*chosen, one["front"], one["picture"], one["sketch_pad"], one["facades_pad"]],
            result,
            **private_here,
        )
        one["examples"].select(self.take_example, [self.task], to_picture, **private).then(
            self.translate, **given
        )
        one["again"].click(self.take, [one["output"]], to_picture, **private)
        one["derive"].click(self.derive, [self.task, one["picture"]], to_picture, **LANE, **private).success(
            self.translate, **given
        )
        for name in ("picture", *DRAWN):
            seen = "picture" if name == "picture" else "draw"
            one[f"{name}_tab"].select(lambda seen=seen: seen, None, [one["front"]], queue=False, **private)
        several["go"].click(
            self.translate_all,
            [*chosen, several["files"]],
            [several["gallery"], several["status"], several["zip"]],
            **LANE,
            **private,
        )
        live["camera"].stream(
            self.translate_frame,
            [*chosen, live["camera"]],
            [live["picture"]],
            stream_every=0.25,
            time_limit=120,
            concurrency_limit=1,
            concurrency_id="camera",
            show_progress="hidden",
            **private,
        )
        compare["go"].click(
            self.translate_twice,
            [self.task, *both[:2], compare["picture"]],
            [compare["result"], compare["status"]],
            **LANE,
            **private,
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
        empty = _hint("The result appears here as soon as there is a picture.")
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
            return [*self.clear()[1:], *(gr.skip() for _ in self.code)]
        try:
            found = self.visits.translate(task, key, path)
        except UserError as error:
            return [None, self.visits.alert(error), *self.clear()[3:], *(gr.skip() for _ in self.code)]
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

    def translate_any(self, task, key, front, path, sketch, facades, request: gr.Request) -> list[Any]:
        """What the button means: the picture, or what was drawn, whichever is in front."""
        if front == "draw" and task in DRAWN:
            pad = {"sketch": sketch, "facades": facades}[task]
            path = pad["composite"] if pad else None
        found = self.translate(task, key, path, request)
        return found if path else [found[0], _hint("Give a picture first."), *found[2:]]

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

    def translate_all(self, task: str, key: str | None, files: Any, progress=gr.Progress()) -> list[Any]:  # noqa: B008
        if not files:
            return [None, _hint("Give some pictures first."), gr.DownloadButton(interactive=False)]
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
            return [None, _hint("Give a picture first.")]
        try:
            found = [self.visits.translate(task, key, path) for key in (left, right)]
        except UserError as error:
            return [None, self.visits.alert(error)]
        text = " &nbsp;|&nbsp; ".join(self.visits.report(outcome, bare=True) for outcome in found)
        return [tuple(str(outcome.after) for outcome in found), f'<p class="done">{text}</p>']


def _api(visits: Visits) -> None:
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
        image = _unopened(gr.Image(type="filepath", image_mode=None, label="image"))
        model = gr.Textbox(label="model", value="")
        picture = gr.Image(type="filepath", format="png", label="picture")
        facts = gr.JSON(label="facts")
        listing = gr.JSON(label="tasks")
        gr.Button().click(translate, [task, image, model], [picture, facts], api_name="translate", **LANE)
        gr.Button().click(tasks, None, [listing], api_name="tasks", concurrency_limit=8)


def _on_gpu(function: Any) -> Any:
    """On a Space with ZeroGPU the function borrows a GPU; anywhere else it is what it was."""
    if importlib.util.find_spec("spaces") is None:
        return function
    import spaces

    return spaces.GPU(function)


if __name__ == "__main__":
    sys.exit(main())
