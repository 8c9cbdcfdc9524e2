"""The options of the demo scene: each is read, each mistake is named."""

from __future__ import annotations

import pytest

from framefan.errors import UsageError
from framefan.settings.demo import DemoOptions, parse_demo


def test_options():
    assert parse_demo("demo") == DemoOptions()
    assert parse_demo("demo?size=320x240&fps=12.5&seed=9&frames=7") == DemoOptions(
        width=320, height=240, fps=12.5, seed=9, frames=7
    )


@pytest.mark.parametrize(
    "query",
    ["size=1x1", "size=640", "size=axb", "fps=0", "fps=nan", "fps=x", "seed=-1", "frames=1.5"],
)
def test_a_wrong_value_is_named_with_what_would_be_right(query: str):
    with pytest.raises(UsageError) as caught:
        parse_demo(f"demo?{query}")
    key, _, value = query.partition("=")
    assert f'{key}="{value}"' in caught.value.what
    assert key in caught.value.why


def test_an_unknown_option_is_named_with_the_known_ones():
    with pytest.raises(UsageError) as caught:
        parse_demo("demo?sise=1280x720")
    assert '"sise"' in caught.value.what
    assert caught.value.why.endswith("size, fps, seed, frames")
