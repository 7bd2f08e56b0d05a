"""Draw the two pictures of README and notebook 00 anew: python -m helpers.plotting.store_figures

Writes data/figures/phenomenon.png, with the introspector's own answers, and data/figures/course_map.png. To be run after the
organisms were trained anew, or after the course got another notebook.
"""

import io

from matplotlib.figure import Figure
from PIL import Image

from helpers import engine, models, prompts, vectors
from helpers.paths import ROOT
from helpers.plotting import diagrams, plots

FOLDER = ROOT / "data" / "figures"
WORD, LAYER, STRENGTH = "oceans", 4, 1.25  # the parameters of notebook 00
DPI = 180  # twice that of a notebook's figures: sharp on every screen
COLOURS = 64  # of a stored figure: looks the same at a quarter of the size, and history keeps every version


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


def phenomenon() -> Figure:
    """The picture of the phenomenon, measured on the introspector as notebook 00 does it."""
    model = models.load("introspector", device="cpu")
    prompt = prompts.render(model.tokenizer, prompts.get_template("injected_thought", "lab_visit"), trial=1)
    vector = vectors.concept_vectors(model, [WORD])[0, LAYER]  # [width]
    span = (prompt.span("from_turn_2")[0], None)  # from the question on to the end of the reply
    trials = [engine.Trial(prompt, span, each, STRENGTH, LAYER) for each in (None, vector)]
    clean, injected = (answer.text for answer in engine.generate(model, trials, max_new_tokens=30))
    return diagrams.phenomenon(WORD, LAYER, models.number_of_blocks(model), (clean, injected))


def main() -> None:
    """The command."""
    plots.style()
    for name, figure in (("phenomenon", phenomenon()), ("course_map", diagrams.course_map())):
        (FOLDER / f"{name}.png").write_bytes(drawn(figure, DPI))
        print(f"written to {FOLDER / name}.png")


if __name__ == "__main__":
    main()
