"""Font fallback: text in any script for which a font is installed."""

from __future__ import annotations

from functools import cache

from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.text import Text

PREFERRED = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
)
"""Fallback fonts in order, if they are installed. All other installed fonts follow."""


class FontFallbackFigure(Figure):
    """A figure that draws characters missing from its font, such as CJK, in a fallback font.

    If no installed font has them, matplotlib warns and draws boxes.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure, after adding fallback fonts to its text."""
        for text in [artist for artist in self.findobj() if isinstance(artist, Text)]:
            families = text.get_fontfamily()
            known = characters_of(findfont(text.get_fontproperties()))
            missing = {x for x in text.get_text() if x.isprintable() and x not in known}
            fallbacks = dict.fromkeys(map(font_with, sorted(missing)))
            if new := [font for font in fallbacks if font and font not in families]:
                text.set_fontfamily([*families, *new])
        super().draw(renderer)


@cache
def font_with(character: str) -> str | None:
    """Return the name of an installed font that has a character, or `None`."""
    order = {name: number for number, name in enumerate(PREFERRED)}
    fonts = [font for font in fontManager.ttflist if not font.name.startswith("Last Resort")]
    fonts.sort(key=lambda font: (order.get(font.name, len(order)), font.style, font.name))
    return next((font.name for font in fonts if character in characters_of(font.fname)), None)


@cache
def characters_of(path: str) -> frozenset[str]:
    """Return the characters that a font file has."""
    return frozenset(map(chr, get_font(path).get_charmap()))
