"""The message of a run that is ready, and the error of one that never became ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan.base import logs
from framefan.errors import StartError
from framefan.ipc.records import AT_WORK
from framefan.settings.states import REMEDIES
from framefan.supervisor.lifecycle import State

if TYPE_CHECKING:
    from framefan.ipc.records import StateRecord
    from framefan.settings.run import Settings
    from framefan.supervisor.process_tree import ManagedChild, ProcessTree


def is_ready(tree: ProcessTree, state: StateRecord | None) -> bool:
    """Whether all gateways and a worker of each predictor are ready, so that a new client gets
    results.
    """
    served = all(post.watch.state is State.RUNNING for post in tree.gateways.values())
    return served and state is not None and state.serves


def never_ready(tree: ProcessTree, state: StateRecord | None) -> StartError:
    """Why this run never became ready."""
    lacks: list[ManagedChild] = [tree.pool] if state is None else []
    lacks += [post for post in tree.gateways.values() if post.watch.state is not State.RUNNING]
    whys = [f"{post.watch.title}: {post.ending or 'it was still starting'}" for post in lacks]
    if state is not None and not state.serves:
        whys += [
            f"worker {each.id}: {each.reason or each.state}"
            for each in state.workers
            if each.predictor_name in state.unserved or each.state not in AT_WORK
        ]
    return StartError(
        "the run never became ready",
        "; ".join(dict.fromkeys(whys)),
        "see the lines above; `framefan doctor` with the same arguments tries each part",
    )


def not_started(tree: ProcessTree, state: StateRecord) -> StartError | None:
    """The error that ends a run with `fail_fast`: its first camera that failed and has never been
    live. Cameras that a reload added do not end the run.
    """
    for name, post in tree.captures.items():
        facts = state.cameras.get(name)
        if facts is None or post.late or facts.been_live or facts.reason not in REMEDIES:
            continue
        why = f"{facts.reason}: {facts.message}" if facts.message else facts.reason
        return StartError(f"the camera {name} cannot start", why, REMEDIES[facts.reason])
    return None


def announce(settings: Settings, url: str) -> None:
    live = url.replace("http", "ws", 1) + "ws"
    if settings.log_level not in ("debug", "info"):
        return
    if settings.log_format == "json":
        also = {"published": settings.publish} if settings.publish else {}
        logs.info("ready", url=url, websocket=live, **also)
        return
    cameras = [f"{camera.name} ({camera.source})" for camera in settings.cameras]
    predictors = [
        (f"{each.name}: " if len(settings.predictors) > 1 else "")
        + f"{each.predictor}, {each.workers} worker{'s' * (each.workers > 1)}"
        for each in settings.all_predictors
    ]
    rows = [
        ("page", url),
        ("results", live if settings.gateways == 1 else f"{live}, {settings.gateways} gateways"),
        *([("published", settings.publish)] if settings.publish else []),
        ("cameras" if len(cameras) > 1 else "camera", ", ".join(cameras)),
        ("predictor", "; ".join(predictors)),
        ("stop", "Ctrl-C"),
    ]
    text = "\n".join(f"  {name:<10}{value}" for name, value in rows)
    logs.say(f"\nframefan is ready\n{text}\n")
