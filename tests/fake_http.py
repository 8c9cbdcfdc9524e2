"""The fake camera's HTTP: one GET, answered by multipart MJPEG until the script ends."""

from __future__ import annotations

from fake_connection import Connection, Gone


class HttpConnection(Connection):
    protocol = "HTTP/1.1"

    def before_script(self) -> None:
        """Clients log in on a second connection, so one without the account takes no script."""
        self.reach("GET")
        if not self.may_enter():
            self.reply(self.unauthorised())
            raise Gone

    def reach(self, method: str) -> None:
        """Any request is the right one; while it streams, none is waited for."""
        if not self.streaming:
            _ = self.request

    def answer(self) -> bytes:
        return self.status(200, "Content-Type: multipart/x-mixed-replace; boundary=frame")

    def start_stream(self) -> None:
        if not self.streaming:
            self.reach("GET")
            self.reply(self.answer())
            self.streaming = True

    def heard(self) -> None:
        """Nothing that matters: the answer never ends."""

    def send_picture(self, data: bytes, claimed: int) -> None:
        length = len(data) + claimed
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
        self.send(head.encode() + data + b"\r\n")
