"""An H.264 RTSP camera that changes its size: GStreamer, run by the system's own Python.

usage: gst_resizing_camera.py WIDTHxHEIGHT WIDTHxHEIGHT FPS SECONDS

With the first keyframe so long after the first client came, the pictures of all clients have the
second size. Serves
rtsp://127.0.0.1:PORT/cam, prints PORT when it is ready and ends when stdin does.
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


def encode(size, fps):
    """The access units of one second, the first of them a keyframe with its parameters."""
    width, height = size.split("x")
    pipeline = Gst.parse_launch(
        f"videotestsrc pattern=smpte num-buffers={fps} "
        f"! video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 "
        f"! x264enc threads=1 tune=zerolatency speed-preset=ultrafast key-int-max={fps} "
        f"! {H264} ! appsink name=units sync=false max-buffers=0"
    )
    units = pipeline.get_by_name("units")
    pipeline.set_state(Gst.State.PLAYING)
    encoded = []
    while sample := units.emit("pull-sample"):
        buffer = sample.get_buffer()
        encoded.append(buffer.extract_dup(0, buffer.get_size()))
    pipeline.set_state(Gst.State.NULL)
    return encoded


class Camera:
    def __init__(self, first, second, fps, seconds):
        self.first, self.second = encode(first, fps), encode(second, fps)
        self.fps = fps
        self.seconds = seconds
        self.began = None

    def feed(self, source):
        """Push access units at their time until the media is taken down."""
        start = time.monotonic()
        self.began = self.began or start
        number = 0
        while True:
            if number % self.fps == 0:
                changed = time.monotonic() - self.began > self.seconds
                units = self.second if changed else self.first
            buffer = Gst.Buffer.new_wrapped(units[number % self.fps])
            buffer.pts = buffer.dts = number * Gst.SECOND // self.fps
            buffer.duration = Gst.SECOND // self.fps
            if source.push_buffer(buffer) != Gst.FlowReturn.OK:
                return
            number += 1
            time.sleep(max(0.0, start + number / self.fps - time.monotonic()))

    def serve(self):
        server = GstRtspServer.RTSPServer()
        server.set_address("127.0.0.1")
        server.set_service("0")
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(
            f"( appsrc name=units is-live=true format=time caps={H264},framerate={self.fps}/1 "
            "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
        )
        factory.connect("media-configure", self.configure)
        server.get_mount_points().add_factory("/cam", factory)
        server.attach(None)
        print(server.get_bound_port(), flush=True)

    def configure(self, _factory, media):
        source = media.get_element().get_by_name("units")
        threading.Thread(target=self.feed, args=(source,), daemon=True).start()


def main():
    first, second, fps, seconds = sys.argv[1:5]
    Gst.init(None)
    Camera(first, second, int(fps), float(seconds)).serve()
    loop = GLib.MainLoop()

    def until_stdin_ends():
        sys.stdin.buffer.read()
        loop.quit()

    threading.Thread(target=until_stdin_ends, daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
