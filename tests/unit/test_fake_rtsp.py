"""The fake camera's RTSP, where a decoder does not show what it says."""

from __future__ import annotations

import socket

from fake_camera import FakeCamera, Frames, Stall
from fake_rtsp import jpeg_payloads


def test_a_session_is_kept_alive_while_nothing_comes():
    with FakeCamera("rtsp") as camera:
        camera.play(Frames(1), Stall())
        with socket.create_connection(("127.0.0.1", camera.port), 5) as sock:
            stream = sock.makefile("rwb")
            transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
            for line in ("SETUP a RTSP/1.0\r\n" + transport, "PLAY a RTSP/1.0\r\nCSeq: 2"):
                stream.write(f"{line}\r\n\r\n".encode())
            stream.write(b"$\x01\x00\x02xxGET_PARAMETER a RTSP/1.0\r\nCSeq: 3\r\n\r\n")
            stream.flush()
            while stream.readline() != b"CSeq: 3\r\n":
                pass
            stream.close()


def test_rtp_fragments_put_together_are_the_scan_data():
    jpeg = FakeCamera("rtsp").jpeg(5, (640, 480), grey=False)
    first, *others = jpeg_payloads(jpeg)
    scan = first[8 + 4 + 128 :]
    for payload in others:
        assert int.from_bytes(payload[1:4], "big") == len(scan)
        scan += payload[8:]
    assert jpeg.endswith(scan + b"\xff\xd9")
    assert first[6:8] == bytes([640 // 8, 480 // 8])
    assert others
