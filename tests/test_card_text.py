"""What a stranger's card and records may do to the page: say words and figures, and nothing else."""

from __future__ import annotations

import time

import pytest
from trained_folder import trained_folder

from pix2pix import card
from pix2pix.card_text import card_of, harmless, plain


def test_the_samples_that_a_card_shows_go_with_their_caption(tmp_path):
    assert "samples.png" in card.write_card(trained_folder(tmp_path), "ann/town")
    text = card_of(tmp_path)
    assert text.startswith("# Aerial photo to map")
    assert "left to right" not in text
    assert "| PSNR (dB) ↑ | **22.50** |" in text


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<scr<b>ipt>alert(1)</scr</b>ipt>",
        "<!-- --><svg/onload=alert(1)>",
        "<iframe srcdoc='<p>'",
        "[a](javascript:alert(1))",
        "[a](java&#115;cript:alert`1`)",
        "[a]( <javascript:alert(1)> 'x')",
        "[a](\n javascript:alert)",
        "[[x](data:a)](javascript:alert)",
        "[a](/gradio_api/file=x)",
        "[a][b]\n\n[b]: javascript:alert(1)",
        "> [b]:\n>   data:text/html,x\n\n[b]",
        "![a](https://evil.example/pixel.png)",
        "![a][b]\n\n[b]: https://evil.example/pixel.png",
        "[![a](http://evil.example/x.png)](vbscript:x)",
        "<https://evil.example>",
        "```mermaid\nclick A call alert()\n```",
        "a\u202eb\x00c\x1b[31m",
    ],
)
def test_a_scripted_card_is_harmless(attack, monkeypatch):
    from markdown_it import MarkdownIt

    text = harmless(f"# Card\n\n{attack}\n\n{attack} again")
    monkeypatch.setattr(MarkdownIt, "validateLink", lambda self, url: True)  # a reader that trusts every card
    page = MarkdownIt("commonmark", {"html": True}).render(text)
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert not [link for link in links if not link.startswith(("https://", "http://"))], page
    assert not any(
        tag in page for tag in ("<script", "<img", "<svg", "<iframe", "mermaid", "onerror=alert(1)>")
    ), page
    assert all(c.isprintable() or c in "\n\t" for c in text)


def test_a_good_card_stays_as_it_is():
    text = "# Town\n\nA *map*, see [the paper](https://arxiv.org/abs/1611.07004) & `x[0]`.\n\n| a |\n|--:|"
    text += "\n\n```python\nTranslator(a)(b)\n```"
    assert harmless(text) == text


@pytest.mark.parametrize("unit", ["![", "[", "](", "<!--", "<a", "> ", "`", "\n\n\n", "[a](", "]:", "---\n"])
def test_no_card_keeps_the_server_busy(unit):
    start = time.process_time()
    harmless(unit * (65536 // len(unit)))
    assert time.process_time() - start < 2


def test_words_for_visitors_are_plain():
    assert plain("a\n [Errno 2] <b>[x](y)</b>\x1b[0m" + "z" * 999, 30) == "a ‹b›(x)(y)‹/b›(0mzzzzzzzzzzz…"
