"""What the page of the demo consists of, and how it is laid out: every field, button and tab, in its place.

Nothing happens here. Which event leads to what is in page_events.py, what programs call in page_api.py, and
app.py puts the three together. Only app.py and these files know Gradio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from pix2pix import uploads
from pix2pix.tasks import TASKS
from pix2pix.toy_facade_plan import LABELS

DRAWN = {"sketch": "#ffffff", "facades": "#0000ff"}
"""Tasks with a drawing pad, and the colour of its paper."""
EXAMPLES = 6
PAPER = (512, 512)
"""Pixels of the drawing pads."""


@dataclass(frozen=True)
class Page:
    """The parts that events start from or change."""

    task: gr.Radio
    sentence: gr.HTML
    model: gr.Dropdown
    link: gr.Button
    one: dict[str, Any]
    """The parts of each tab, by name."""
    several: dict[str, Any]
    live: dict[str, Any]
    compare: dict[str, Any]
    about: gr.Markdown
    code: list[gr.Code]


def theme() -> Any:
    """Fonts of the system alone: the page asks nobody else for anything."""
    return gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="md",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


def lay_out(tasks: Sequence[str]) -> Page:
    """Put everything into the gr.Blocks that is open."""
    gr.HTML(
        "<h1>pix2pix</h1><p>One kind of picture into another, learned from pairs. "
        "Choose what, give a picture, and move the slider.</p>",
        elem_id="masthead",
    )
    task = gr.Radio(
        [(TASKS[name].title, name) for name in tasks],
        value=tasks[0],
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
    about, code = _more()
    return Page(task, sentence, model, link, one, several, live, compare, about, code)


def _one_picture() -> dict[str, Any]:
    with gr.Row(equal_height=True, elem_classes="stage"):
        with gr.Column(min_width=300), gr.Tabs(elem_id="inputs") as inputs:
            found = _inputs() | {"inputs": inputs}
        with gr.Column(min_width=300):
            found["result"] = gr.ImageSlider(
                type="filepath",
                label="Before and after",
                max_height=366,
                interactive=False,
                buttons=["fullscreen"],
                elem_id="result",
            )
    found |= _actions()
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


def _inputs() -> dict[str, Any]:
    """A picture from anywhere, or a drawing."""
    found: dict[str, Any] = {}
    with gr.Tab("Picture", id="picture") as found["picture_tab"]:
        found["picture"] = unopened(
            gr.Image(
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
        )
    for name, paper in DRAWN.items():
        with gr.Tab("Draw", id=f"draw-{name}", visible=False) as found[f"{name}_tab"]:
            found[f"{name}_pad"] = _pad(name, paper)
            if name == "facades":
                gr.HTML(_legend(), elem_id="legend")
    return found


def _actions() -> dict[str, Any]:
    """The row of buttons under the pictures, with what the last of them led to."""
    found: dict[str, Any] = {}
    with gr.Row(elem_id="actions", equal_height=True):
        found["go"] = gr.Button("Translate", variant="primary", scale=0, min_width=140, elem_id="go")
        found["derive"] = gr.Button(
            "Photo to drawing", scale=0, min_width=150, visible=False, elem_id="derive"
        )
        found["status"] = gr.HTML(
            hint("The result appears here as soon as there is a picture."), elem_id="status"
        )
        found["again"] = gr.Button("Use as input", scale=0, min_width=130, interactive=False, elem_id="again")
        found["download"] = gr.DownloadButton(
            "Download PNG", scale=0, min_width=140, interactive=False, elem_id="download"
        )
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
        found["status"] = gr.HTML(hint(f"Up to {uploads.MOST_FILES} pictures; they come back as one zip."))
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
            found["picture"] = unopened(
                gr.Image(
                    type="filepath",
                    image_mode=None,
                    sources=["upload", "clipboard"],
                    label="Picture",
                    height=250,
                    elem_id="compare-input",
                )
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
        found["status"] = gr.HTML(hint("The same picture, drawn by two models of this task."))
    return found


def _more() -> tuple[gr.Markdown, list[gr.Code]]:
    """The card of the model, and how to use it elsewhere."""
    with gr.Row(equal_height=False, elem_id="more"):
        with gr.Accordion("About this model", open=False):
            about = gr.Markdown("", elem_id="about", sanitize_html=True)
        with gr.Accordion("Use this in your code", open=False):
            code = [
                gr.Code(label="Python", language="python", interactive=False, lines=4),
                gr.Code(label="The API of this page", language="python", interactive=False, lines=4),
                gr.Code(label="Shell", language="shell", interactive=False, lines=1),
            ]
    return about, code


def unopened(picture: gr.Image) -> gr.Image:
    """Hand over the path of what was sent: Gradio would open it first, and not say what is wrong with it."""
    as_usual = picture.preprocess

    def preprocess(payload: Any) -> Any:
        return payload.path if payload and payload.path else as_usual(payload)

    picture.preprocess = preprocess  # type: ignore[method-assign]
    return picture


def hint(text: str) -> str:
    return f'<p class="hint">{text}</p>'
