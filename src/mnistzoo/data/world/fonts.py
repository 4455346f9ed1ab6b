"""Digits rendered in installed handwriting fonts. No font is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mnistzoo.data.world.pen import CANVAS, HEIGHT
from mnistzoo.errors import DataError

FOLDER = Path("/usr/share/fonts")
"""Where Debian and Ubuntu install fonts."""


class Font(NamedTuple):
    """One font of a Debian package.

    Attributes:
        file: Path below `FOLDER`.
        package: The Debian package.
        license: The font's license, as the package states it.
    """

    file: str
    package: str
    license: str


_ROWS = """
opentype/bwht/BecauseWeBuild-Regular.otf fonts-bwht OFL-1.1
opentype/bwht/BecauseWeConnect-Regular.otf fonts-bwht OFL-1.1
opentype/bwht/BecauseWeCreate-Regular.otf fonts-bwht OFL-1.1
opentype/bwht/BecauseWeLearn-Regular.otf fonts-bwht OFL-1.1
opentype/bwht/BecauseWeMentor-Regular.otf fonts-bwht OFL-1.1
opentype/bwht/BecauseWeOrganize-Regular.otf fonts-bwht OFL-1.1
opentype/comic-neue/ComicNeue-Regular.otf fonts-comic-neue OFL-1.1
opentype/dancingscript/DancingScript-Regular.otf fonts-dancingscript OFL-1.1
opentype/havana/Havana-Regular.otf fonts-havana OFL-1.1
opentype/kaushanscript/KaushanScript-Regular.otf fonts-kaushanscript OFL-1.1
opentype/malayalam/Chilanka-Regular.otf fonts-smc-chilanka OFL-1.1
truetype/breip/Breip.ttf fonts-breip OFL-1.0
truetype/dustin/Dustismo.ttf fonts-dustin GPL-2+
truetype/dustin/El_Abogado_Loco.ttf fonts-dustin GPL-2+
truetype/dustin/Junkyard.ttf fonts-dustin GPL-2+
truetype/dustin/PenguinAttack.ttf fonts-dustin GPL-2+
truetype/fifthhorseman/dkg.ttf fonts-dkg-handwriting OFL-1.1
truetype/humor-sans/Humor-Sans.ttf fonts-humor-sans OFL-1.1
truetype/isabella/Isabella.ttf fonts-isabella LGPL-2+
truetype/klee/KleeOne-Regular.ttf fonts-klee OFL-1.1
truetype/kristi/Kristi.ttf fonts-kristi OFL-1.1
truetype/leckerli-one/LeckerliOne-Regular.ttf fonts-leckerli-one OFL-1.1
truetype/nanum/NanumBarunpenR.ttf fonts-nanum-extra OFL-1.1
truetype/nanum/NanumBrush.ttf fonts-nanum-extra OFL-1.1
truetype/nanum/NanumPen.ttf fonts-nanum-extra OFL-1.1
truetype/rufscript/Rufscript010.ttf fonts-rufscript GPL-3+ with font exception
truetype/seto/setofont.ttf fonts-seto OFL-1.1
truetype/sjfonts/Delphine.ttf fonts-sjfonts GPL-2+
truetype/sjfonts/SteveHand.ttf fonts-sjfonts GPL-2+
truetype/tlwg/Purisa.ttf fonts-tlwg-purisa-ttf GPL-2+ with font exception
truetype/tomsontalks/TomsonTalks.ttf fonts-tomsontalks OFL-1.1
truetype/woowa-bm/BMHANNAAir_ttf.ttf fonts-woowa-bm OFL-1.1
truetype/woowa-bm/BMKIRANGHAERANG-TTF.ttf fonts-woowa-bm OFL-1.1
truetype/woowa-bm/BMYEONSUNG_ttf.ttf fonts-woowa-bm OFL-1.1
truetype/yozvox-yozfont/YOzRNFi.ttf fonts-yozvox-yozfont OFL-1.1
truetype/yusei-magic/YuseiMagic-Regular.ttf fonts-yusei-magic OFL-1.1
"""

FONTS = tuple(Font(*row.split(" ", 2)) for row in _ROWS.strip().splitlines())
"""Every font, sorted by file. No two are of one family."""

HELD_OUT = FONTS[1::4]
"""Every fourth font, held out for evaluation."""

TRAINING = tuple(font for font in FONTS if font not in HELD_OUT)
"""The fonts of the training set."""


def check_installed(fonts: Sequence[Font]) -> None:
    """Raise an error that names the missing packages unless every font is installed.

    Raises:
        DataError: A font is missing.
    """
    missing = sorted({font.package for font in fonts if not (FOLDER / font.file).exists()})
    if missing:
        raise DataError(
            f"Expected handwriting fonts in {FOLDER}, got none from {', '.join(missing)}. On "
            f"Debian, run: apt-get install {' '.join(missing)}"
        )


def draw(font: Font, digit: int) -> NDArray[np.uint8]:
    """Return a digit centered on the canvas: uint8, shape `(CANVAS, CANVAS)`."""
    style = ImageFont.truetype(FOLDER / font.file, 2 * CANVAS)
    page = Image.new("L", (6 * CANVAS, 6 * CANVAS))
    ImageDraw.Draw(page).text((CANVAS, CANVAS), str(digit), 255, style)
    glyph = page.crop(page.getbbox())
    scale = HEIGHT / max(glyph.size)
    glyph = glyph.resize([max(1, round(side * scale)) for side in glyph.size])
    canvas = Image.new("L", (CANVAS, CANVAS))
    canvas.paste(glyph, ((CANVAS - glyph.width) // 2, (CANVAS - glyph.height) // 2))
    return np.asarray(canvas)
