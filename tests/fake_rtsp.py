"""The fake camera's RTSP: RTP/JPEG (RFC 2435), inside the RTSP connection or over UDP.

RTP/JPEG sends a JPEG's scan data and quantisation tables and leaves everything else out: the client
puts the standard Huffman tables back, so only baseline JPEGs as OpenCV writes them can travel, with
4:2:0 colour, at most 2040 pixels wide and high, in multiples of 8.
"""

from __future__ import annotations

import re
import socket
import struct
from typing import TYPE_CHECKING

from fake_connection import Connection, Request

from framefan.base.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_camera import FakeCamera

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_DQT, _SOF0, _SOS = 0xFFDB, 0xFFC0, 0xFFDA
_FRAGMENT = 1400
_PAYLOAD_TYPE = 26
_CLOCK_HZ = 90_000
_SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=fake camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "a=control:*\r\nm=video 0 RTP/AVP 26\r\na=rtpmap:26 JPEG/90000\r\na=control:track1\r\n"
)


class RtspConnection(Connection):
    protocol = "RTSP/1.0"

    def __init__(self, sock: socket.socket, camera: FakeCamera) -> None:
        super().__init__(sock, camera)
        self._rtp = _Rtp()
        self._udp: socket.socket | None = None

    def serve(self) -> None:
        try:
            super().serve()
        finally:
            if self._udp is not None:
                self._udp.close()

    def before_script(self) -> None:
        """Clients log in on the same connection, so `reach` asks for the account."""
        _ = self.request

    def reach(self, method: str) -> None:
        while not self.streaming:
            entered = self.request.method == "OPTIONS" or self.may_enter()
            if entered and method in ("", self.request.method):
                return
            self.reply(self.answer() if entered else self.unauthorised())

    def start_stream(self) -> None:
        if not self.streaming:
            self.reach("PLAY")
            self.reply(self.answer())
            self.streaming = True

    def heard(self) -> None:
        """While it streams, a client asks to keep its session; before that, it waits for us."""
        while self.streaming and (request := self.take_request()):
            self._request = request
            self.reply(self.answer())

    def take_request(self) -> Request | None:
        """Receiver reports come in between, as `$`, channel, length."""
        while self._unread.startswith(b"$") and len(self._unread) >= 4:
            end = 4 + int.from_bytes(self._unread[2:4], "big")
            if len(self._unread) < end:
                return None
            self._unread = self._unread[end:]
        return super().take_request()

    def status(self, code: int, *headers: str) -> bytes:
        return super().status(code, f"CSeq: {self.request.headers.get('cseq', '0')}", *headers)

    def answer(self) -> bytes:
        method = self.request.method
        if method == "DESCRIBE":
            return self._description()
        if method == "SETUP":
            return self.status(200, f"Transport: {self._transport()}", "Session: 1;timeout=60")
        if method in ("PLAY", "TEARDOWN", "GET_PARAMETER"):
            return self.status(200, "Session: 1")
        known = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
        return self.status(200 if method == "OPTIONS" else 405, f"Public: {known}")

    def send_picture(self, data: bytes, claimed: int) -> None:
        """`claimed` has no meaning here: RTP tells no length."""
        for packet in self._rtp.packets(data, now()):
            if self._udp is not None:
                self._udp.send(packet)
            else:
                self.send(struct.pack(">cBH", b"$", 0, len(packet)) + packet)

    def _description(self) -> bytes:
        base = f"Content-Base: {self.request.url}/"
        kind, length = "Content-Type: application/sdp", f"Content-Length: {len(_SDP)}"
        return self.status(200, base, kind, length) + _SDP.encode()

    def _transport(self) -> str:
        """The transport that the client asks for, granted."""
        asked = self.request.headers["transport"].split(",")[0]
        ports = re.search(r"client_port=(\d+)", asked)
        self.camera.count(self.camera.transports, "udp" if ports else "tcp")
        if ports is None:
            return asked
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.connect((self._sock.getpeername()[0], int(ports[1])))
        return f"{asked};server_port={self._udp.getsockname()[1]}"


class _Rtp:
    """Packets of one stream; its numbers start anywhere, here at 0."""

    def __init__(self) -> None:
        self._sequence = 0

    def packets(self, picture: bytes, at_s: float) -> Iterator[bytes]:
        """The fragments of a JPEG; of anything else one packet that nobody understands."""
        is_jpeg = picture.startswith(_SOI)
        payloads = list(jpeg_payloads(picture)) if is_jpeg else [picture[:_FRAGMENT]]
        # A picture that was cut off loses its last packet, and with it the mark of its end.
        lost = is_jpeg and not picture.endswith(_EOI)
        stamp = round(at_s * _CLOCK_HZ) & 0xFFFFFFFF
        for left, payload in zip(reversed(range(len(payloads))), payloads, strict=True):
            kind = _PAYLOAD_TYPE | (0x80 if left == 0 and not lost else 0)
            yield struct.pack(">BBHII", 0x80, kind, self._sequence & 0xFFFF, stamp, 1) + payload
            self._sequence += 1


def jpeg_payloads(jpeg: bytes) -> Iterator[bytes]:
    """RFC 2435: fragments of the scan data, each with its offset; the first brings the tables."""
    width, height, tables, scan = _parse(jpeg)
    for offset in range(0, len(scan), _FRAGMENT):
        head = struct.pack(">IBBBB", offset, 1, 255, width // 8, height // 8)
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        yield head + scan[offset : offset + _FRAGMENT]


def _parse(jpeg: bytes) -> tuple[int, int, bytes, bytes]:
    """Width, height, the two quantisation tables, and the scan data of a baseline JPEG."""
    tables: dict[int, bytes] = {}
    width = height = at = 0
    marker, length = 0, 2
    while marker != _SOS:
        at += length
        marker, length = struct.unpack_from(">HH", jpeg, at)
        body, length = jpeg[at + 4 : at + 2 + length], length + 2
        if marker == _DQT:
            tables |= {
                body[start]: body[start + 1 : start + 65] for start in (0, 65)[: len(body) // 65]
            }
        elif marker == _SOF0:
            height, width = struct.unpack_from(">HH", body, 1)
    assert len(tables) == 2, "RTP/JPEG knows no grey"
    assert width % 8 == height % 8 == 0, "RTP/JPEG counts in blocks of 8 pixels"
    return width, height, tables[0] + tables[1], jpeg[at + length :].removesuffix(_EOI)
