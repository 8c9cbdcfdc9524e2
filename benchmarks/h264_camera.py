"""A real H.264 RTSP camera that can be killed and started again at its port within a moment.

usage: h264_camera.py encode FILE WIDTH HEIGHT FPS FRAMES < raw I420 pictures
       h264_camera.py serve FILE FPS PORT

Run by the system's own Python, which has the bindings of GStreamer. The pictures are encoded once,
into FILE, and served in a loop at rtsp://127.0.0.1:PORT/cam. Prints `ready PORT` when it listens,
and `start SECONDS` each time its stream begins: picture n of that stream is sent at SECONDS + n /
FPS on CLOCK_MONOTONIC, which all processes share. Ends when stdin does.
"""

import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from gst_rtsp_server import H264, GLib, Gst, GstRtspServer, encode

_LENGTH = struct.Struct("<I")


def write(path, units):
    with Path(path).open("wb") as file:
        for unit in units:
            file.write(_LENGTH.pack(len(unit)) + unit)


def read(path):
    data, units, at = Path(path).read_bytes(), [], 0
    while at < len(data):
        (size,) = _LENGTH.unpack_from(data, at)
        units.append(data[at + _LENGTH.size : at + _LENGTH.size + size])
        at += _LENGTH.size + size
    return units


def feed(source, units, fps):
    """Push each picture at its time, until the stream is taken down."""
    start = time.monotonic()
    print("start", start, flush=True)
    number = 0
    while True:
        buffer = Gst.Buffer.new_wrapped(units[number % len(units)])
        buffer.pts = buffer.dts = number * Gst.SECOND // fps
        buffer.duration = Gst.SECOND // fps
        if source.push_buffer(buffer) != Gst.FlowReturn.OK:
            return
        number += 1
        time.sleep(max(0.0, start + number / fps - time.monotonic()))


def serve(units, fps, port):
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( appsrc name=units is-live=true format=time caps={H264},framerate={fps}/1 "
        "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )
    factory.set_shared(True)

    def configure(_factory, media):
        source = media.get_element().get_by_name("units")
        threading.Thread(target=feed, args=(source, units, fps), daemon=True).start()

    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    print("ready", server.get_bound_port(), flush=True)
    loop = GLib.MainLoop()

    def until_stdin_ends():
        sys.stdin.buffer.read()
        loop.quit()

    threading.Thread(target=until_stdin_ends, daemon=True).start()
    loop.run()


def main(what, path, *rest):
    Gst.init(None)
    if what == "encode":
        write(path, encode(*(int(text) for text in rest)))
    else:
        serve(read(path), int(rest[0]), rest[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
