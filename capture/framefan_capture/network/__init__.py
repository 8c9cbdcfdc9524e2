"""Cameras on the network: RTSP, and whatever an HTTP address turns out to be."""
