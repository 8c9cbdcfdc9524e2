"""A real H.264 RTSP camera for tests: GStreamer, run by the system's own Python.

usage: gst_rtsp_server.py WIDTH HEIGHT FPS FRAMES [USER:PASSWORD]

Reads FRAMES raw I420 pictures from stdin, encodes them once, then serves them in a loop with fresh
timestamps at rtsp://127.0.0.1:PORT/cam, so that serving costs next to no CPU. Prints PORT when it
is ready and ends when stdin does.
"""

import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: E402, F401 - after the versions

H264 = "video/x-h264,stream-format=byte-stream,alignment=au"


def encode(width, height, fps, frames):
    """One access unit for each picture on stdin."""
    pipeline = Gst.parse_launch(
        "appsrc name=pictures format=time block=true "
        f"caps=video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 "
        "! x264enc threads=1 tune=zerolatency speed-preset=ultrafast "
        f"key-int-max={fps} bitrate=6000 "
        f"! {H264} ! appsink name=units sync=false max-buffers=0"
    )
    pictures, units = pipeline.get_by_name("pictures"), pipeline.get_by_name("units")
    pipeline.set_state(Gst.State.PLAYING)
    encoded = []
    size = width * height * 3 // 2
    for number in range(frames):
        data = sys.stdin.buffer.read(size)
        if len(data) < size:
            sys.exit("stdin ended before the last picture")
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = number * Gst.SECOND // fps
        buffer.duration = Gst.SECOND // fps
        pictures.push_buffer(buffer)
        unit = units.emit("pull-sample").get_buffer()
        encoded.append(unit.extract_dup(0, unit.get_size()))
    pipeline.set_state(Gst.State.NULL)
    return encoded


def feed(source, encoded, fps):
    """Push access units at their time until the media is taken down."""
    start = time.monotonic()
    number = 0
    while True:
        buffer = Gst.Buffer.new_wrapped(encoded[number % len(encoded)])
        buffer.pts = buffer.dts = number * Gst.SECOND // fps
        buffer.duration = Gst.SECOND // fps
        if source.push_buffer(buffer) != Gst.FlowReturn.OK:
            return
        number += 1
        time.sleep(max(0.0, start + number / fps - time.monotonic()))


def serve(encoded, fps, account):
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f"( appsrc name=units is-live=true format=time caps={H264},framerate={fps}/1 "
        "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )
    factory.set_shared(True)

    def configure(_factory, media):
        source = media.get_element().get_by_name("units")
        threading.Thread(target=feed, args=(source, encoded, fps), daemon=True).start()

    factory.connect("media-configure", configure)
    if account:
        demand_account(server, factory, account)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)


def demand_account(server, factory, account):
    user, _, password = account.partition(":")
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", user)
    auth = GstRtspServer.RTSPAuth()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    role = Gst.Structure.new_empty(user)
    role.set_value("media.factory.access", True)
    role.set_value("media.factory.construct", True)
    factory.add_role_from_structure(role)


def main():
    width, height, fps, frames = (int(text) for text in sys.argv[1:5])
    account = sys.argv[5] if len(sys.argv) > 5 else ""
    Gst.init(None)
    encoded = encode(width, height, fps, frames)
    serve(encoded, fps, account)
    loop = GLib.MainLoop()

    def until_stdin_ends():
        sys.stdin.buffer.read()
        loop.quit()

    threading.Thread(target=until_stdin_ends, daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
