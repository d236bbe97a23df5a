"""The demo's API in a running server: what it answers, to whom, and what it makes of hostile files."""

from __future__ import annotations

import io
import json
import re
import struct
import threading
import urllib.error
import urllib.request
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from app_server import ROOT, SERVED, PeakMemory, running_app, tiny_models
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from pix2pix import Translator, toy
from pix2pix.offers import Offer
from pix2pix.tasks import TASKS
from pix2pix.usage import api_lines

pytestmark = pytest.mark.timeout(300)
SECRET = "the-servers-own-secret"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tiny_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def app(models, tmp_path_factory):
    with running_app(tmp_path_factory.mktemp("app"), models) as app:
        yield app


@pytest.fixture(scope="module")
def client(app, tmp_path_factory):
    return app.client(download_files=str(tmp_path_factory.mktemp("downloads")))


@pytest.fixture(scope="module")
def draw(models):
    """What the models draw when nobody is between: draw(task, path)."""
    loaded: dict[str, Translator] = {}

    def by_translator(task, path):
        loaded.setdefault(task, Translator.from_pretrained(models[task], device="cpu"))
        return loaded[task](path)

    return by_translator


@pytest.fixture
def translate(client):
    def by_api(task, path, model=""):
        return client.predict(task, handle_file(str(path)), model, api_name="/translate")

    return by_api


def levels_apart(a, b):
    a, b = (np.asarray(Image.open(p) if isinstance(p, str) else p, int) for p in (a, b))
    assert a.shape == b.shape
    return int(abs(a - b).max())


def noise(seed, width=40, height=24):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def refusal(call):
    """What a refused visitor reads: a sentence, and nothing about the server."""
    with pytest.raises(AppError) as refused:
        call()
    said = str(refused.value)
    assert not re.search(r"/(tmp|home|root|work|usr)\b|Traceback|pix2pix-demo|show_error", said), said
    return said


# ---- what is answered -------------------------------------------------------------------------------------


def test_every_task_is_listed_with_its_models_and_where_they_are_from(client):
    listed = {entry["task"]: entry["offers"] for entry in client.predict(api_name="/tasks")}
    assert list(listed) == SERVED
    for task in SERVED:
        assert listed[task][0]["name"] == task
        assert (listed[task][0]["origin"], listed[task][0]["revision"]) == ("folder", None)


@pytest.mark.parametrize("task", SERVED)
def test_the_api_draws_what_the_translator_draws_in_the_inputs_size(task, translate, draw, tmp_path):
    path = tmp_path / "photo.png"
    toy.draw_pair(task, 5, 64)[0].crop((0, 0, 50, 35)).save(path)
    picture, facts = translate(task, path)
    with Image.open(picture) as answer:
        assert (answer.format, answer.size) == ("PNG", (50, 35))
    assert levels_apart(picture, draw(task, path)) <= 1
    assert (facts["task"], facts["model"], facts["origin"], facts["size"]) == (task, task, "folder", [50, 35])


def test_the_lines_that_the_page_shows_for_its_api_run(app, client, draw, tmp_path):
    Image.fromarray(noise(1)).save(tmp_path / "photo.png")
    offer = client.predict(api_name="/tasks")[0]["offers"][0]
    lines = api_lines(app.url, Offer(offer["key"], SERVED[0], offer["name"], "folder"), "photo.png")
    said: dict[str, str] = {}
    exec(lines.replace('"photo.png"', repr(str(tmp_path / "photo.png"))), said)
    assert levels_apart(said["picture"], draw(SERVED[0], tmp_path / "photo.png")) <= 1


def test_the_page_carries_the_tasks_and_asks_nobody_else(app):
    html = urllib.request.urlopen(app.url, timeout=60).read().decode()
    assert all(TASKS[task].title in html for task in SERVED)
    assert not re.search(r"<(?:script|link)[^>]+(?:src|href)=.https?://(?!127\.0\.0\.1)", html)


def test_only_two_functions_are_in_the_api(client):
    listed = client.view_api(return_format="dict", print_info=False)
    assert list(listed["named_endpoints"]) == ["/translate", "/tasks"]
    assert not listed["unnamed_endpoints"]
    for private in ("/translate_all", "/show_task", "/tell", "/translate_1", "/translate_any", "/open"):
        with pytest.raises(ValueError, match="Cannot find a function"):
            client.predict(api_name=private)


# ---- fifty at once ----------------------------------------------------------------------------------------


def test_of_fifty_visitors_at_once_each_gets_the_own_picture(app, client, draw, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(50)]
    for number, path in enumerate(paths):
        Image.fromarray(noise(number)).save(path)
    before = app.memory()
    with PeakMemory(app) as memory:
        jobs = [client.submit("map", handle_file(str(p)), "", api_name="/translate") for p in paths]
        answers = [np.asarray(Image.open(job.result(timeout=200)[0]), int) for job in jobs]
    expected = np.stack([np.asarray(draw("map", path), int) for path in paths])
    distances = np.stack([abs(expected - answer).max(axis=(1, 2, 3)) for answer in answers])  # [50, 50]
    assert len(answers) == 50
    assert (distances.diagonal() <= 1).all()
    assert distances[~np.eye(50, dtype=bool)].min() > 4  # so that another's picture would be seen
    assert memory.peak - before < 200, (before, memory.peak)  # MiB
    print(f"\n50 answers, 0 wrong; {before:.0f} MiB before, {memory.peak:.0f} MiB at most")


# ---- what is refused: words -------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["nothing", "", "../map", "<b>map</b>"])
def test_an_unknown_task_is_refused(task, translate, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert "task" in refusal(lambda: translate(task, tmp_path / "a.png")).lower()


@pytest.mark.parametrize(
    "key", ["nothing", "user/other", "/etc/passwd", "../../etc/passwd", "map/../map", "http://127.0.0.1/"]
)
def test_a_model_that_is_not_offered_is_refused_and_nothing_is_loaded(key, translate, client, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    before = [len(entry["offers"]) for entry in client.predict(api_name="/tasks")]
    assert "choose one of its offers" in refusal(lambda: translate("map", tmp_path / "a.png", key))
    assert [len(entry["offers"]) for entry in client.predict(api_name="/tasks")] == before


def test_a_folder_of_the_server_is_no_model(translate, models, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(AppError, match="choose one of its offers"):
        translate("map", tmp_path / "a.png", str(models["sketch"]))


def test_no_picture_is_asked_for(client):
    assert "no image" in refusal(lambda: client.predict("map", None, "", api_name="/translate"))


# ---- what is refused: files -------------------------------------------------------------------------------


def saved(picture, format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def bomb():
    """A PNG of a few bytes whose header says 50,000 x 50,000."""
    small = saved(Image.new("RGB", (8, 8)))
    header = b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


HOSTILE = {
    "text.png": (lambda: b"these are words, not pixels", "not a picture"),
    "drawing.svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    "drawing.png": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    "program.eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nquit\n", "not a picture"),
    "cut.jpg": (lambda: saved(Image.fromarray(noise(2, 64, 64)), "JPEG")[:900], "cannot be read"),
    "cut.png": (lambda: saved(Image.fromarray(noise(2, 64, 64)))[:900], "cannot be read"),
    "empty.png": (lambda: b"", "not a picture"),
    "bomb.png": (bomb, "2500 megapixels"),
    "large.png": (lambda: saved(Image.new("1", (7000, 6000))), "42 megapixels"),
    "large.gif": (lambda: saved(Image.new("P", (65000, 5)), "GIF")[:6] + b"\xff\xff\xff\xff" + b"\0" * 9, ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_answered_with_a_sentence_and_costs_no_memory(name, app, translate, tmp_path):
    make, expected = HOSTILE[name]
    (tmp_path / name).write_bytes(make())
    before = app.memory()
    with PeakMemory(app) as memory:
        said = refusal(lambda: translate("map", tmp_path / name))
    assert said.startswith(name)
    assert expected in said
    assert memory.peak - before < 100  # MiB; 42 megapixels decoded are 126


def test_a_file_over_twenty_megabytes_is_not_taken(app):
    body = b"--x\r\nContent-Disposition: form-data; name=files; filename=a.png\r\n\r\n" + bytes(21 << 20)
    sent = urllib.request.Request(
        f"{app.url}gradio_api/upload",
        body + b"\r\n--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(sent, timeout=60)
    assert refused.value.code == 413


def frames(format):
    first, *others = (Image.fromarray(noise(n)).quantize(64) for n in range(3))
    options = {"lossless": True} if format == "WEBP" else {}
    return saved(first, format, save_all=True, append_images=others, **options)


def turned():
    exif = Image.Exif()
    exif[274] = 6
    return saved(Image.fromarray(noise(4)), "JPEG", exif=exif, quality=95)


def deep():
    return Image.fromarray((np.arange(40 * 24).reshape(24, 40) * 60).astype(np.uint16))


ODD = {
    "animated.gif": (lambda: frames("GIF"), (40, 24)),
    "animated.webp": (lambda: frames("WEBP"), (40, 24)),
    "turned.jpg": (turned, (24, 40)),
    "alpha.png": (
        lambda: saved(Image.fromarray(np.dstack([noise(5), noise(6)[..., :1]]), "RGBA")),
        (40, 24),
    ),
    "palette.png": (lambda: saved(Image.fromarray(noise(7)).quantize(16)), (40, 24)),
    "deep.png": (lambda: saved(deep()), (40, 24)),
    "grey.png": (lambda: saved(Image.fromarray(noise(8)).convert("L")), (40, 24)),
    "cmyk.jpg": (lambda: saved(Image.fromarray(noise(9)).convert("CMYK"), "JPEG"), (40, 24)),
    "bits.png": (lambda: saved(Image.fromarray(noise(10)).convert("1")), (40, 24)),
    "dot.png": (lambda: saved(Image.fromarray(noise(11, 1, 1))), (1, 1)),
    "line.png": (lambda: saved(Image.fromarray(noise(12, 1, 5000))), (1, 5000)),
    "no-ending": (lambda: saved(Image.fromarray(noise(13))), (40, 24)),
    "wrong-ending.svg": (lambda: saved(Image.fromarray(noise(14))), (40, 24)),
    "Ünïcode 名前 'x' $(y).png": (lambda: saved(Image.fromarray(noise(15))), (40, 24)),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_picture_is_translated_as_the_translator_does_it(name, translate, draw, tmp_path):
    make, size = ODD[name]
    (tmp_path / name).write_bytes(make())
    picture, facts = translate("map", tmp_path / name)
    assert facts["size"] == list(size)
    assert levels_apart(picture, draw("map", tmp_path / name)) <= 1


def test_of_an_animation_the_first_frame_is_translated(translate, draw, tmp_path):
    (tmp_path / "a.gif").write_bytes(frames("GIF"))
    Image.fromarray(noise(0)).quantize(64).convert("RGB").save(tmp_path / "first.png")
    assert levels_apart(translate("map", tmp_path / "a.gif")[0], draw("map", tmp_path / "first.png")) <= 1


# ---- what is refused: paths and addresses -----------------------------------------------------------------


@contextmanager
def bystander():
    """A service in the server's own network; the list tells who came."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(SECRET.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as service:
        threading.Thread(target=service.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{service.server_address[1]}", asked
        service.shutdown()


def post(url, data):
    sent = urllib.request.Request(url, json.dumps(data).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(sent, timeout=60) as answer:
        return json.load(answer)


def call_raw(app, data):
    """What curl would do: the API without a client that means well. Gives the whole answer."""
    event = post(f"{app.url}gradio_api/call/translate", {"data": data})["event_id"]
    return urllib.request.urlopen(f"{app.url}gradio_api/call/translate/{event}", timeout=60).read().decode()


def join(app, index, data):
    """What the page itself does: any function by its number, the private ones too."""
    session = f"hostile{index}"
    event = {"data": data, "fn_index": index, "session_hash": session}
    event |= {"event_data": {"index": 10**9, "value": ""}}
    try:
        post(f"{app.url}gradio_api/queue/join", event)
    except urllib.error.HTTPError as error:
        return error.read().decode()
    told = urllib.request.urlopen(f"{app.url}gradio_api/queue/data?session_hash={session}", timeout=60)
    return told.read().decode()


def evil_files(folder, service):
    (folder / "secret.png").write_text(SECRET)
    secret = str(folder / "secret.png")
    places = [secret, f"file://{secret}", "/etc/passwd", f"../../../../../..{secret}", str(ROOT / "app.py")]
    places += [service, "http://169.254.169.254/latest/meta-data/", service.replace("127.0.0.1", "localhost")]
    meta = {"meta": {"_type": "gradio.FileData"}}
    for place in places:
        yield {"path": place, **meta}
        yield {"path": place, "is_stream": True, "orig_name": "a.svg", **meta}
        yield {"path": place}
        yield {"path": None, "url": place, **meta}
    yield secret


def test_paths_and_addresses_in_place_of_a_file_are_refused(app, tmp_path):
    with bystander() as (service, asked):
        for evil in evil_files(tmp_path, service):
            said = call_raw(app, ["map", evil, ""])
            assert "event: error" in said, (evil, said)
            assert SECRET not in said, evil
            assert "event: complete" not in said, evil
        for place in ("task", "model"):  # a word may be sent as a file too
            evil = {"path": service, "meta": {"_type": "gradio.FileData"}}
            words = [evil, None, ""] if place == "task" else ["map", None, evil]
            assert "event: error" in call_raw(app, words)
        assert not asked


def test_an_address_is_answered_with_what_to_do_instead(translate):
    said = refusal(lambda: translate("map", "https://example.com/photo.png"))
    assert "Send the picture itself" in said


def test_no_function_of_the_page_reads_a_path_or_asks_an_address(app, tmp_path):
    config = json.load(urllib.request.urlopen(f"{app.url}config", timeout=60))
    with bystander() as (service, asked):
        (tmp_path / "secret.png").write_text(SECRET)
        for place in (str(tmp_path / "secret.png"), f"{service}/a.png"):
            evil = {"path": place, "meta": {"_type": "gradio.FileData"}}
            for function in config["dependencies"]:
                count = len(function["inputs"])
                for start, kind in (([], evil), (["map", None], evil), (["map", None], [evil])):
                    said = join(app, function["id"], [*start, *[kind] * count][:count])
                    assert SECRET not in said, function
                    assert "root:" not in said
        assert not asked


def test_the_servers_files_and_other_addresses_cannot_be_fetched(app, tmp_path):
    (tmp_path / "secret.txt").write_text(SECRET)
    with bystander() as (service, asked):
        places = [tmp_path / "secret.txt", "/etc/passwd", ROOT / "app.py", "app.py", ".git/config"]
        places += [app.temporary, app.log, service, "http://169.254.169.254/", "https://example.com/"]
        for place in places:
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{app.url}gradio_api/file={place}", timeout=60)
            assert refused.value.code in (403, 404), place
        assert not asked


# ---- and afterwards ---------------------------------------------------------------------------------------


def test_a_refusal_leaves_no_traceback_and_the_server_works_on(app, translate, draw, tmp_path):
    said = len(app.said())
    (tmp_path / "text.png").write_bytes(b"words")
    refusal(lambda: translate("map", tmp_path / "text.png"))
    refusal(lambda: translate("map", tmp_path / "text.png", "nothing"))
    assert "Traceback" not in app.said()[said:]
    Image.fromarray(noise(20)).save(tmp_path / "good.png")
    assert levels_apart(translate("map", tmp_path / "good.png")[0], draw("map", tmp_path / "good.png")) <= 1


def test_all_of_this_fits_into_a_small_machine(app):
    print(f"\npeak memory of the server: {app.peak_memory():.0f} MiB")
    assert app.peak_memory() < 2048
