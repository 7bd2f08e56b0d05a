"""Figures as the PNG files that are stored, at a quarter of their size."""

import io

from matplotlib.figure import Figure
from PIL import Image

COLOURS = 64  # looks the same, and history keeps every version


def with_few_colours(png: bytes) -> bytes:
    """A PNG with COLOURS colours; one that has a palette already stays as it is."""
    picture = Image.open(io.BytesIO(png))
    if picture.mode == "P":
        return png
    smaller = io.BytesIO()
    ways = {"method": Image.Quantize.MAXCOVERAGE, "kmeans": 1, "dither": Image.Dither.NONE}  # kmeans: grey stays grey
    picture.convert("RGB").quantize(COLOURS, **ways).save(smaller, "PNG", optimize=True)
    return smaller.getvalue()


def drawn(figure: Figure, dpi: int) -> bytes:
    """A figure as the PNG that is stored."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=dpi)
    return with_few_colours(image.getvalue())
