"""Network cameras: RTSP, and the kinds of HTTP sources."""
