"""Text nobody should send or type, and what must not come of it."""

from __future__ import annotations

import pytest

from framefan.errors import LinkGarbled
from framefan.ipc import links
from framefan.ipc.messages import HelloCapture, ToPool
from framefan.settings.source_spec import mask, mask_source


@pytest.mark.parametrize("secret", ["p@ss", "pa ss", "a/b", "what?", "p@s/s w?rd", "plain"])
def test_no_part_of_a_password_is_shown(secret: str) -> None:
    source = f"rtsp://admin:{secret}@10.0.0.5/stream"
    shown = "rtsp://***" if "?" in secret else "rtsp://***@10.0.0.5/stream"
    assert mask_source(source) == shown
    if " " not in secret:
        assert mask(f"cannot open {source} now") == "cannot open rtsp://***@10.0.0.5/stream now"


def test_a_source_without_a_secret_is_shown_as_it_is() -> None:
    for source in ("demo?fps=5", "yard.mp4", "http://host:8080/video"):
        assert mask_source(source) == source
    assert mask_source("http://host/video?key=1") == "http://host/video?***"


def test_bytes_that_are_no_text_are_a_garbled_link() -> None:
    ours, theirs = links.pair()
    link: links.Link[ToPool] = links.Link(ours, ToPool)
    good = b"\x94\xacHelloCapture\xa2ab\x01\x02"
    theirs.sendall(links.LENGTH.pack(len(good)) + good)
    assert link.receive() == [HelloCapture("ab", 1, 2)]
    bad = good.replace(b"ab", b"\xff\xfe")
    theirs.sendall(links.LENGTH.pack(len(bad)) + bad)
    with pytest.raises(LinkGarbled):
        link.receive()
    link.close()
    theirs.close()
