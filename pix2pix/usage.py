"""The lines that do elsewhere what the page has just done: in Python, through the API, in a shell."""

from __future__ import annotations

import json
import shlex

from pix2pix.offers import Offer


def python_lines(offer: Offer, folder: str, picture: str) -> str:
    """`folder` is where a model lies that is not on the Hub."""
    source = json.dumps(offer.name if offer.origin == "hub" else folder)
    revision = f", revision={json.dumps(offer.revision)}" if offer.revision else ""
    return (
        "from pix2pix import Translator\n\n"
        f"translate = Translator.from_pretrained({source}{revision})\n"
        f"translate({json.dumps(picture)}).save({json.dumps(result_name(offer.task, picture))})\n"
    )


def api_lines(url: str, offer: Offer, picture: str) -> str:
    return (
        "from gradio_client import Client, handle_file\n\n"
        f"client = Client({json.dumps(url)})\n"
        "picture, facts = client.predict(\n"
        f"    {json.dumps(offer.task)}, handle_file({json.dumps(picture)}), {json.dumps(offer.key)}, "
        'api_name="/translate"\n)\n'
    )


def shell_line(offer: Offer, folder: str, picture: str) -> str:
    source = offer.name if offer.origin == "hub" else folder
    words = ["pix2pix", "translate", "--model", source, picture, "--output", "translated"]
    words += ["--revision", offer.revision] if offer.revision else []
    return shlex.join(words) + "\n"


def result_name(task: str, picture: str) -> str:
    """What a result is called when it is saved: photo.jpg becomes photo-map.png."""
    stem = picture.rsplit(".", 1)[0] or picture
    kept = "".join(letter if letter.isalnum() or letter in "-_ " else "-" for letter in stem).strip("- ")
    short = kept.encode()[:120].decode(errors="ignore")  # a file system counts bytes
    return f"{short or 'picture'}-{task}.png"
