"""What a run says when it is ready: to a person what to open, to a machine one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan import logs

if TYPE_CHECKING:
    from framefan.settings import Settings


def announce(settings: Settings, url: str) -> None:
    live = url.replace("http", "ws", 1) + "ws"
    if settings.log_level not in ("debug", "info"):
        return
    if settings.log_format == "json":
        also = {"published": settings.publish} if settings.publish else {}
        logs.info("ready", url=url, websocket=live, **also)
        return
    cameras = [f"{camera.name} ({camera.source})" for camera in settings.cameras]
    workers = "1 worker" if settings.workers == 1 else f"{settings.workers} workers"
    rows = [
        ("page", url),
        ("results", live if settings.gateways == 1 else f"{live}, {settings.gateways} gateways"),
        *([("published", settings.publish)] if settings.publish else []),
        ("cameras" if len(cameras) > 1 else "camera", ", ".join(cameras)),
        ("predictor", f"{settings.predictor}, {workers}"),
        ("stop", "Ctrl-C"),
    ]
    text = "\n".join(f"  {name:<10}{value}" for name, value in rows)
    logs.say(f"\nframefan is ready\n{text}\n")
