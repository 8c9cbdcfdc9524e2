"""What a reload changes: from the settings as last read and the settings as read now. No I/O."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from framefan.config.places import LIMITS
from framefan.config.predictor_settings import OWN_LIMITS
from framefan.ipc import processes
from framefan.ipc.messages import Cameras, Scale, ScaleGateways, Swap
from framefan.settings.options import OPTIONS, PredictorOptions, number, options_of
from framefan.settings.run import Limits, PredictorSettings, Settings
from framefan.supervisor.scale_swap import absolute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framefan.settings.options import Option
    from framefan.settings.run import CameraSettings

_COMMANDS = {
    "workers": "framefan scale",
    "gateways": "framefan scale --gateways",
    "predictor": "framefan swap",
}
"""Options that a reload applies besides the cameras, in this order; the command that sets each."""
_PREDICTOR = options_of(PredictorOptions)


class Value(NamedTuple):
    """One value that a reload applies as a command would: of the run, or of one predictor."""

    field: str
    """A key of _COMMANDS."""
    predictor: str
    """The name of the predictor; empty for the gateways."""
    is_named: bool
    """Whether the run names its predictors."""

    def of(self, settings: Settings) -> Any:
        return getattr(settings.of(self.predictor) if self.predictor else settings, self.field)

    def set(self, settings: Settings, to: Any) -> Settings:
        if not self.predictor:
            return msgspec.structs.replace(settings, **{self.field: to})
        return settings.with_predictor(self.predictor, **{self.field: to})

    def request(self, to: Any) -> Scale | ScaleGateways | Swap:
        name = self.predictor if self.is_named else ""
        if self.field == "gateways":
            return ScaleGateways(to)
        return Scale(to, name) if self.field == "workers" else Swap(to, name)

    def command(self, to: Any) -> str:
        name = f" --predictor {self.predictor}" if self.is_named and self.predictor else ""
        return f"{_COMMANDS[self.field]} {shlex.quote(str(to))}{name}"

    def __str__(self) -> str:
        is_named = self.is_named and self.predictor
        return f"{self.field} of {self.predictor}" if is_named else self.field


def values(*all_have_it: Settings) -> list[Value]:
    """The values that a reload applies, of the predictors that all of these settings have."""
    names = [each.name for each in all_have_it[0].all_predictors]
    for settings in all_have_it[1:]:
        names = [name for name in names if name in {each.name for each in settings.all_predictors}]
    is_named = any(settings.predictors for settings in all_have_it)
    return [
        Value(field, name, is_named)
        for field in _COMMANDS
        for name in ([""] if field == "gateways" else names)
    ]


class Plan(msgspec.Struct, frozen=True):
    """Names of cameras, grouped by what the reload does with them, and of predictors."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    kept: list[str]
    notes: list[str] = []
    moved: list[str] = []
    """Those of the changed cameras that only have another predictor."""
    added_predictors: list[str] = []
    removed_predictors: list[str] = []

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        cameras = self.added or self.changed or self.removed
        return bool(cameras or self.added_predictors or self.removed_predictors)

    def line(self) -> str:
        """The line for the log."""
        parts = [
            ("added", self.added),
            ("changed", self.changed),
            ("removed", self.removed),
            ("added predictor", self.added_predictors),
            ("removed predictor", self.removed_predictors),
        ]
        said = "; ".join(f"{word} {', '.join(names)}" for word, names in parts if names)
        return f"reload: {said or 'no camera changed'}"


def plan(old: Settings, new: Settings) -> Plan:
    """The changes that turn the cameras and predictors of `old` into those of `new`."""
    before = {camera.name: camera for camera in old.cameras}
    after = {camera.name: camera for camera in new.cameras}
    had, has = ([each.name for each in one.all_predictors] for one in (old, new))
    both = [name for name in after if name in before]
    changed = [name for name in both if after[name] != before[name]]
    made = Plan(
        added=[name for name in after if name not in before],
        changed=changed,
        removed=[name for name in before if name not in after],
        kept=[name for name in both if after[name] == before[name]],
        moved=[name for name in changed if after[name].for_capture == before[name].for_capture],
        added_predictors=[name for name in has if name not in had],
        removed_predictors=[name for name in had if name not in has],
    )
    renamed = _renamed(made, before, after)
    return msgspec.structs.replace(made, notes=[*renamed, *_later(old, new)])


def applied(run: Settings, new: Settings) -> Settings:
    """The run's settings with the cameras and predictors of `new`.

    Predictors that the run has already keep the workers and the reference that they have in it.
    """
    there = {each.name: each for each in run.all_predictors}
    merged = tuple(there.get(each.name, each) for each in new.all_predictors)
    run = msgspec.structs.replace(run, cameras=new.cameras, predictors=merged)
    if new.predictors:
        return run
    own = {key: getattr(merged[0], key) for key in _PREDICTOR}  # the run has one again
    return msgspec.structs.replace(run, predictors=(), **own)


def _renamed(
    made: Plan, before: dict[str, CameraSettings], after: dict[str, CameraSettings]
) -> list[str]:
    """Notes about renamed cameras. A new name means a new camera: clients know cameras by name."""
    return [
        f"{new} has the source that {old} had: with another name it is another camera"
        for old in made.removed
        for new in made.added
        if before[old].source == after[new].source
    ]


def _later(old: Settings, new: Settings) -> list[str]:
    """Notes about changed options that a reload does not apply."""
    later = [each for each in OPTIONS.values() if hasattr(old, each.field) and not each.is_live]
    notes = [_note(each, each.key, old, new) for each in later]
    notes += [_note(each, f"limits.{each.key}", old.limits, new.limits) for each in LIMITS.values()]
    return [note for note in (*notes, *_later_of_predictors(old, new)) if note]


def _later_of_predictors(old: Settings, new: Settings) -> Iterator[str]:
    before = {each.name: each for each in old.predictors}
    for now in new.predictors:
        if was := before.get(now.name):
            for each in _PREDICTOR.values():
                if not each.is_live:
                    yield _note(each, f"{each.key} of {now.name}", was, now)
            for key in OWN_LIMITS:
                yield _note(LIMITS[key], f"{key} of {now.name}", was.limits, now.limits)


_Record = Settings | Limits | PredictorSettings


def _note(option: Option, name: str, old: _Record, new: _Record) -> str:
    was, is_ = (getattr(each, option.field) for each in (old, new))
    if was == is_:
        return ""
    values = "" if option.hidden_as else f" from {_shown(was)} to {_shown(is_)}"
    return f"{option.hidden_as or name} changed{values}: takes effect at the next start"


def drifted(run: Settings, old: Settings, new: Settings) -> list[str]:
    """Notes about options that `scale` or `swap` changed, and that are as before in the
    configuration.
    """
    return [
        f"{each} is {each.of(run)} since `{' '.join(_COMMANDS[each.field].split()[:2])}`, and "
        f"{each.of(new)} in the configuration, where it did not change; to go back: "
        f"{each.command(each.of(new))}"
        for each in values(run, old, new)
        if each.of(old) == each.of(new) and is_other(each, run, new)
    ]


def is_other(value: Value, run: Settings, new: Settings) -> bool:
    """Whether the run has another value than the configuration. `swap` makes paths absolute."""
    has, wants = value.of(run), value.of(new)
    if value.field == "predictor" and has != wants:
        has, wants = absolute(has), absolute(wants)
    return bool(has != wants)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return number(value) if isinstance(value, float) else str(value) or "none"


def lists_for_pool(settings: Settings) -> Cameras:
    """The message with the cameras, their addresses masked, and the predictors of a run."""
    known = processes.settings_for(processes.POOL, "", settings)
    return Cameras(list(known.cameras), list(known.all_predictors))
