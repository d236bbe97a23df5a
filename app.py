"""The browser demo: choose a task, give a picture, see the translation.

    python app.py                                                  # the models that ship, at 127.0.0.1:7860
    python app.py --model map=user/pix2pix-map --model sketch=runs/sketch
    python app.py --hub_owner user --port 8000

PIX2PIX_MODELS="map=ID,colorize=DIR" and PIX2PIX_HUB_OWNER say the same, on a Space for example. The page is
laid out in pix2pix.page, what happens on it is in pix2pix.page_events, and what programs call in
pix2pix.page_api; pictures are read by pix2pix.uploads, models come from pix2pix.serving.
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

from pix2pix import uploads
from pix2pix.allocator import keep_memory
from pix2pix.errors import UserError
from pix2pix.page import lay_out, theme
from pix2pix.page_api import offer_api
from pix2pix.page_events import Wiring
from pix2pix.serving import Catalogue
from pix2pix.visits import Visits

QUEUE = 200
"""Visitors that may wait; one more is told to come back."""
STYLE = Path(__file__).with_name("app.css")


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


def build(visits: Visits) -> gr.Blocks:
    """Lay the page out and connect it."""
    with gr.Blocks(
        title="pix2pix", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True
    ) as blocks:
        page = lay_out(visits.catalogue.tasks())
        offer_api(visits)  # first: whoever comes later with a name that is taken gets a number behind it
        Wiring(visits, page).connect(blocks)
    return blocks


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


def _on_gpu(function: Any) -> Any:
    """On a Space with ZeroGPU the function borrows a GPU; anywhere else it is what it was."""
    if importlib.util.find_spec("spaces") is None:
        return function
    import spaces

    return spaces.GPU(function)


if __name__ == "__main__":
    sys.exit(main())
