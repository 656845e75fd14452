"""The terminal's two themes. Color never says anything alone: words and signs stand beside it."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

DARK: Final = Theme(
    name="coffer-dark",
    primary="#5fb3b3",
    secondary="#c8a15a",
    accent="#e0b15e",
    foreground="#d9dee3",
    background="#0f1519",
    surface="#161e24",
    panel="#1f2a32",
    success="#7fbf7f",
    warning="#e0b15e",
    error="#f0716f",
    dark=True,
    variables={"border": "#35454f", "footer-key-foreground": "#e0b15e", "block-cursor-text-style": "bold"},
)
LIGHT: Final = Theme(
    name="coffer-light",
    primary="#0f6b6b",
    secondary="#7a5a14",
    accent="#8a5a00",
    foreground="#1c2429",
    background="#f7f5f0",
    surface="#efece4",
    panel="#e3dfd4",
    success="#2c6e2c",
    warning="#8a5a00",
    error="#b3261e",
    dark=False,
    variables={"border": "#b9b3a4", "footer-key-foreground": "#8a5a00", "block-cursor-text-style": "bold"},
)
