"""Draw the two pictures of README and notebook 00 anew: python -m tests.authoring.store_figures

Writes data/figures/phenomenon.png, with the introspector's own answers, and data/figures/course_map.png. To be run after the
organisms were trained anew, or after the course got another notebook.
"""

from matplotlib.figure import Figure

from helpers import engine, models, prompts, vectors
from helpers.paths import ROOT
from helpers.plotting import diagrams, plots
from helpers.plotting.png import drawn

FOLDER = ROOT / "data" / "figures"
WORD, LAYER, STRENGTH = "oceans", 4, 1.25  # the parameters of notebook 00
DPI = 180  # twice that of a notebook's figures: sharp on every screen


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
