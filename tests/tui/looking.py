"""Waiting for what a screen shows, and reading it as a person would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot
from textual.widget import Widget

LOOKS_MAX = 1600
LOOK_S = 0.025


def text_on(pilot: Pilot[Any], selector: str = "") -> str:
    """Return what the screen, or one widget of it, shows."""
    screen = pilot.app.screen
    region = screen.query_one(selector, Widget).region if selector else screen.region
    lines = [strip.text for strip in screen._compositor.render_strips()]
    return "\n".join(line[region.x : region.right] for line in lines[region.y : region.bottom])


async def until(pilot: Pilot[Any], holds: Callable[[], object], what: str) -> None:
    """Look again and again until `holds`."""
    for _ in range(LOOKS_MAX):
        await pilot.pause()
        if holds():
            return
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"{what}; the screen shows\n{text_on(pilot)}")


async def shown(pilot: Pilot[Any], *words: str, on: str = "") -> str:
    """Wait until all words are on the screen; return what it shows."""
    await until(pilot, lambda: all(word in text_on(pilot, on) for word in words), f"{words} did not appear")
    return text_on(pilot, on)
