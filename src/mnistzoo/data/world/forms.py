"""Handwritten forms of the digits, as data: the path of the pen, stroke by stroke.

They are the forms that schools in Europe, Asia and the Americas teach and adults make of them, many
of which MNIST lacks. They were drawn up for this library from their descriptions; no handwriting
was traced.
"""

from __future__ import annotations

from typing import NamedTuple

Point = tuple[float, float]
Stroke = tuple[Point, ...]


class Form(NamedTuple):
    """One way to write a digit.

    Attributes:
        digit: 0 to 9.
        name: Its name.
        strokes: Points that each stroke passes through, x to the right and y down, about one unit
            high. A smooth curve connects them; two equal points in a row are a corner.
    """

    digit: int
    name: str
    strokes: tuple[Stroke, ...]


def _path(text: str) -> Stroke:
    """Return the points of a stroke: pairs in hundredths, `!` after a corner."""
    points: list[Point] = []
    for word in text.split():
        x, y = (float(number) / 100 for number in word.rstrip("!").split(","))
        points += [(x, y)] * (2 if word.endswith("!") else 1)
    return tuple(points)


_ROWS = """
0 oval | 42,2 12,12 0,50 12,88 35,100 58,88 68,50 58,12 38,0
0 narrow | 28,0 8,15 0,50 8,85 24,100 42,85 48,50 42,15 24,1
0 round | 55,4 20,6 0,45 15,90 50,100 90,85 100,45 80,8 48,2
0 open | 40,5 14,18 0,52 12,88 36,100 60,85 66,48 52,10 20,0
0 with a tail | 46,6 16,8 0,50 14,90 40,100 66,82 68,40 52,8 34,2 48,10 74,0
0 slashed | 42,2 12,12 0,50 12,88 35,100 58,88 68,50 58,12 38,0 ; 62,8! 8,94
1 bar | 0,0! 0,100
1 slanted bar | 30,0! 0,100
1 short flag | 0,20! 22,0! 22,100
1 flag | 0,34! 32,0! 32,100
1 long flag | 0,48! 38,0! 38,100
1 very long flag | 0,68! 44,0! 44,100
1 longest flag | 0,88! 46,0! 44,100
1 flat flag | 0,30! 46,0! 42,100
1 shallow flag | 0,22! 44,0! 46,100
1 low flag | 0,44 18,38 32,6! 30,100
1 curved flag | 0,42 18,30 36,0! 36,100
1 sagging flag | 0,50 26,36 44,0! 42,100
1 slanted with a flag | 4,40! 52,0! 34,100
1 leaning back with a flag | 0,40! 34,0! 44,100
1 flag and foot | 4,30! 30,0! 30,100 ; 0,100! 62,100
1 long flag and foot | 0,46! 38,0! 38,100 ; 8,100! 70,98
1 curled foot | 0,36! 30,0! 30,84 40,98 60,92
1 tick | 0,14 16,0! 14,100
2 round | 4,22 18,3 40,0 58,14 54,38 30,68 0,100! 64,100
2 looped | 4,24 22,2 48,4 56,24 40,56 14,88 0,98 2,86 16,82 40,98 68,92
2 large loop | 6,18 26,0 52,10 50,38 24,78 6,96 0,84 12,72 34,88 52,100 72,88
2 swan neck | 6,26 14,6 38,0 56,16 48,44 16,84 0,100! 34,94 70,100
2 angular | 0,6! 56,0! 0,100! 62,98
2 pointed | 0,20 20,0 52,6 50,32! 0,100! 66,96
2 wavy foot | 2,22 24,0 54,8 50,38 4,96 22,88 42,98 68,90
2 curled head | 20,32 4,26 10,6 36,0 56,18 46,48 0,100! 64,98
3 round | 4,12 26,0 52,12 46,36 20,46! 50,56 60,78 34,100 0,88
3 flat top | 0,0! 56,0! 22,40! 52,50 60,76 34,100 0,90
3 slanted flat top | 0,6! 60,0! 18,44 50,50 58,80 26,102 0,88
3 looped | 4,14 28,0 50,14 36,42 18,46 26,38 34,46 56,60 54,86 24,100 0,88
3 no waist | 2,12 28,0 52,18 40,44 54,62 54,84 26,100 0,90
3 long tail | 6,10 34,0 52,14 28,40! 54,52 56,84 20,106 -14,96
4 open | 14,0 0,58! 64,56 ; 48,22! 46,100
4 open, upright | 4,0 2,46 12,58 62,54 ; 62,0! 60,100
4 open, curved | 8,0 0,44 10,56 34,56 58,40 ; 62,2! 56,100
4 open, short stem | 30,0! 0,66! 66,64 ; 44,40! 36,100
4 open, wide | 22,0! 0,56! 86,54 ; 58,20! 50,100
4 open, bar into the stem | 36,0 14,30 0,62! 30,62 62,52 ; 78,12! 62,50 44,100
4 open, hardly any stem | 34,0 4,56 12,74 40,70 62,54 ; 70,14! 44,86
4 open, stem from the bar's end | 30,0! 0,60 22,66 56,54 ; 60,20! 48,60 40,100
4 open, narrow | 8,0! 0,54! 38,54 ; 30,14! 28,100
4 closed | 46,100! 48,0! 0,64! 68,64
4 closed, narrow | 26,100! 28,0! 0,62! 42,62
4 closed, very narrow | 20,100! 22,0! 0,60! 30,60
4 closed, slanted | 34,100! 60,0! 0,66! 70,62
4 closed, low bar | 44,100! 44,0! 0,76! 62,76
4 one stroke | 40,0! 0,58! 62,54! 56,28! 44,100
4 loop | 52,4 30,26 0,60 20,64 64,56 ; 54,0! 46,100
4 lightning | 30,0! 4,56! 50,50! 26,100
4 printed | 42,100! 42,0! 0,70! 58,70! 58,70
5 bar and belly | 8,0! 4,42! 34,36 56,58 46,90 20,100 0,88 ; 8,0! 58,0
5 one stroke | 58,0! 10,2! 4,44! 34,36 58,60 46,92 18,100 0,90
5 like an S | 58,4 28,0 10,18 22,42 48,58 50,84 24,100 0,88
5 angular | 56,0! 8,0! 6,44! 52,46! 50,94! 0,98
5 detached bar | 6,8! 0,46 30,38 54,60 44,92 18,100 -2,92 ; 16,0! 66,-6
5 slanted | 70,0! 26,4! 14,44 40,42 54,64 38,94 0,98
5 small belly | 54,0! 10,0! 6,56 28,52 42,70 32,94 4,98
6 curved | 48,0 20,20 2,60 10,92 34,100 54,82 46,58 22,56 4,76
6 straight | 40,0! 4,62 8,94 32,100 52,80 38,56 10,66
6 curled | 56,14 44,0 18,12 2,56 10,92 36,100 56,78 42,54 16,60 4,80
6 small loop | 34,0 10,40 0,80 14,100 32,94 34,76 18,70 4,84
6 large loop | 46,0 12,24 0,62 14,94 44,98 64,72 46,44 12,52
6 slanted | 74,0 30,36 0,78 14,100 40,96 52,72 32,60 8,78
6 open | 44,0 14,24 0,62 10,94 36,98 52,80 44,64
7 plain | 0,2! 58,0! 20,100
7 curved | 0,4! 60,0! 34,42 22,100
7 upright | 0,0! 52,0! 40,50 38,100
7 wavy | 0,10 16,0 40,8 62,0! 24,100
7 serif | 0,16! 2,0! 58,0! 22,100
7 narrow | 0,4! 36,0! 14,100
7 crossed | 0,2! 58,0! 20,100 ; 12,50! 60,48
7 crossed, wide | 0,2! 66,0! 22,100 ; 4,52! 76,46
7 crossed, curved | 0,6! 60,0! 34,44 24,100 ; 14,54! 58,50
7 crossed, serif | 0,18! 2,2! 60,0! 20,100 ; 12,54! 64,46
7 crossed, wavy | 0,12 14,2 40,8 62,0! 24,100 ; 14,56! 62,46
7 crossed low | 0,2! 56,0! 18,100 ; 6,62! 54,58
7 crossed, slanted bar | 0,4! 56,0! 24,100 ; 14,60! 58,40
7 crossed, upright | 0,0! 52,0! 42,46 36,100 ; 18,50! 66,48
7 crossed, narrow | 0,4! 38,0! 14,100 ; 2,52! 46,46
8 s first | 48,12 26,0 6,16 20,40 48,60 50,86 26,100 2,86 8,62 40,38 50,18 42,6
8 two circles | 28,0 8,10 6,34 28,46 50,34 48,10 28,0 ; 28,46 2,60 2,88 28,100 54,88 54,60 28,46
8 narrow | 30,8 16,0 4,18 14,42 30,62 30,88 16,100 2,86 6,60 26,40 34,20 28,6
8 open top | 58,4 26,4 8,22 24,44 52,62 50,90 24,100 2,84 16,58 44,36 66,10
8 from the middle | 28,48 6,28 22,2 48,10 44,34 12,60 4,86 28,100 52,84 44,60 26,46
8 slanted | 78,10 54,0 36,16 38,40 44,64 30,92 6,98 0,78 24,56 62,36 80,18 72,6
8 small head | 36,8 20,4 16,22 30,40 54,62 52,90 24,100 0,84 6,60 30,40 40,22 32,6
8 small belly | 52,8 26,0 2,18 8,44 34,56 42,78 28,100 12,84 22,58 54,38 60,18 48,4
9 plain | 52,14 30,0 4,14 4,42 26,52 50,36 54,12! 50,100
9 hooked | 54,12 30,0 4,16 6,42 30,50 52,32 54,10 54,70 42,96 18,100 2,88
9 long hook | 52,10 26,0 2,18 8,44 32,46 52,24 54,8 52,76 30,108 -6,98
9 curved | 52,18 32,0 6,12 2,36 20,50 44,40 52,16 48,60 30,100
9 straight and slanted | 60,10 34,0 8,16 8,42 30,48 54,28 60,8! 28,100
9 small head | 40,12 24,0 6,10 6,30 24,36 40,24 42,8! 38,100
9 large head | 64,16 36,0 4,16 2,50 28,64 58,44 64,14! 58,100
9 open head | 50,4 24,0 2,18 8,44 32,48 50,30! 54,4! 50,100
9 open, hooked | 48,2 20,4 2,26 14,48 38,44 52,6! 52,80 34,100 4,92
9 like a g | 52,14 28,0 2,18 8,46 34,50 52,30 54,8! 54,86 36,108 8,100 20,84
9 bulging | 44,6 22,0 4,14 12,34 34,36 46,8! 44,34 62,56 58,84 34,100 0,92
9 bulging, hooked | 46,10 26,0 4,12 8,32 30,38 46,20 46,8 50,46 64,72 44,98 8,100 0,84
9 with a foot to the left | 52,12 28,0 4,16 8,42 32,46 50,26 52,8! 54,72 46,98! 0,96
9 flat base | 54,12 30,0 4,14 4,40 28,50 52,34 56,10! 52,98! 4,100
"""

FORMS = tuple(
    Form(int(row[0]), name.strip()[2:], tuple(map(_path, paths.split(";"))))
    for row in _ROWS.strip().splitlines()
    for name, paths in [row.split("|")]
)
"""Every form."""
