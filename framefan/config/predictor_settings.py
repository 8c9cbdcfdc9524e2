"""Makes the settings of several predictors from `[[predictor]]` tables, and gives each camera one.

1. A table inherits what it does not set from the run: its flags, variables, `[limits]`.
2. A `--predictor` (or FRAMEFAN_PREDICTOR) beside tables is one more predictor, named `default`. In
   the file there can be no such key, because `[[predictor]]` has the same name.
3. A camera names its predictor. One that names none gets the run's own predictor if there is one,
   else that of the first table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from framefan.config.camera_settings import converted
from framefan.errors import UsageError, did_you_mean
from framefan.settings.options import PredictorOptions, options_of
from framefan.settings.run import NAME, RUN_PREDICTOR, Limits, PredictorSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from framefan.settings.options import Option
    from framefan.settings.run import CameraSettings

OWN_LIMITS = ("worker_start_s", "predict_s", "batch_wait_ms", "worker_memory_bytes")
"""The limits that depend on the model, so a table may set them; the others are of the run."""
_LIMITS = options_of(Limits)
_FIELDS = options_of(PredictorSettings)
PREDICTOR: dict[str, Option] = {
    "name": _FIELDS["name"],
    "predictor": _FIELDS["predictor"],  # they come first in the docs
    **_FIELDS,
    **{key: _LIMITS[key] for key in OWN_LIMITS},
}
"""The keys of a `[[predictor]]` table."""
_OPTIONS = options_of(PredictorOptions)


def made_of(
    tables: Sequence[Mapping[str, Any]], run: Mapping[str, Any], limits: Limits, has_own: bool
) -> tuple[PredictorSettings, ...]:
    """The predictors of all tables, and before them the run's own one; () without tables.

    `run`: the run's value of each option; `has_own`: its predictor was given. Raises UsageError.
    """
    if not tables:
        return ()
    common = {key: run[key] for key in _OPTIONS}
    made = [PredictorSettings(name=RUN_PREDICTOR, limits=limits, **common)] if has_own else []
    made += [_predictor(table, common, limits) for table in tables]
    names = [each.name for each in made]
    for name in names:
        if names.count(name) > 1:
            own = has_own and name == RUN_PREDICTOR
            raise UsageError(
                f'two predictors are named "{name}"',
                f"--predictor has the name {name}" if own else "cameras and commands name them",
                "rename the table" if own else "rename one",
            )
    return tuple(made)


def _predictor(
    table: Mapping[str, Any], common: Mapping[str, Any], limits: Limits
) -> PredictorSettings:
    name = str(table.get("name", ""))
    if not NAME.fullmatch(name):
        raise UsageError(
            f'"{name}" cannot name a predictor' if name else "a [[predictor]] table has no name",
            "names are 1 to 32 of a-z, 0-9, _ and -, starting with a letter or digit",
            'add a line like: name = "people"',
        )
    if "predictor" not in table:
        raise UsageError(
            f"the predictor {name} has no reference",
            "its table has no key predictor",
            'add a line like: predictor = "model.py:predict"',
        )
    values = {}
    for key, value in table.items():
        what = f"{key} of the predictor {name}"
        values[key] = converted(what, value, PREDICTOR[key].kind)
        PREDICTOR[key].check(values[key], what)
    own = {key: values.pop(key) for key in OWN_LIMITS if key in values}
    limits = msgspec.structs.replace(limits, **own) if own else limits
    return PredictorSettings(limits=limits, **{**common, **values})


def assign(
    cameras: Iterable[CameraSettings], predictors: Sequence[PredictorSettings]
) -> tuple[CameraSettings, ...]:
    """The cameras, each with the name of its predictor; unnamed if the run has no tables.

    Raises UsageError for a name that no predictor has.
    """
    names = [each.name for each in predictors]
    return tuple(_assigned(camera, names) for camera in cameras)


def _assigned(camera: CameraSettings, names: list[str]) -> CameraSettings:
    if not camera.predictor:
        return msgspec.structs.replace(camera, predictor=names[0]) if names else camera
    if camera.predictor in names:
        return camera
    raise unknown(camera.predictor, names, f"the camera {camera.name}", 'predictor = "{}"')


def unknown(name: str, names: Sequence[str], who: str, form: str) -> UsageError:
    """The error of a name that no predictor of the run has."""
    if not names:
        return UsageError(
            f'{who} names the predictor "{name}"',
            "the configuration has no [[predictor]] table",
            "add one with that name, or leave it out",
        )
    return UsageError(
        f'{who} names no predictor: "{name}"',
        f"the predictors are {', '.join(names)}",
        did_you_mean(name, names, form, otherwise="use one of these names"),
    )
