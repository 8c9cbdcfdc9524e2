"""Arrays of other libraries as NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_tensor(value: Any) -> bool:
    """Whether it is an array of another library: it says so by a shape, and can become NumPy's."""
    return (
        not isinstance(value, np.ndarray | np.generic)
        and hasattr(value, "shape")
        and hasattr(value, "dtype")
        and (hasattr(value, "numpy") or hasattr(value, "__array__"))
    )


def to_array(values: Any) -> Any:
    """A NumPy array of a tensor or array; a tensor on a device is fetched first."""
    for step in ("detach", "cpu"):
        if hasattr(values, step):
            values = getattr(values, step)()
    if "bfloat16" in str(getattr(values, "dtype", "")) and hasattr(values, "float"):
        values = values.float()  # NumPy has no such type
    return np.asarray(values.numpy() if hasattr(values, "numpy") else values)


def shape(array: Any) -> str:
    """The shape for people: `17x2`."""
    return "x".join(map(str, array.shape)) or "of one number"
