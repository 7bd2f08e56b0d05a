"""Hand-written traces on a second device: what mixes it with the CPU is caught, what moves its tensors is not.

The notebooks themselves run like this in the weekly job: python -m tests.other_device 00 01 02 03 ...
"""

import json
import subprocess
import sys

import pytest

from helpers.paths import ROOT

MOVED = [
    "stream[:, 5:] += 2.0 * vector.to(stream)",
    "stream[:, 5:] += 2.0 * vector.to(stream.device, stream.dtype)",
    "models.write_residual(model.blocks[3], stream + vector.to(stream))",
]
MIXED = [
    "stream[:, 5:] += 2.0 * vector",
    "models.write_residual(model.blocks[3], stream + vector)",
    "torch.cosine_similarity(stream[0], vector[None], dim=-1)",
]
HEAD = """
import json
import torch
from tests import other_device
other_device.activate()
from helpers import engine, models, prompts, vectors
model = models.load("introspector", "cpu")
prompt = prompts.render(model.tokenizer, prompts.get_template("injected_thought", "lab_visit"), trial=1)
inputs = {"input_ids": torch.tensor([prompt.token_ids])}
inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
vector = vectors.concept_vectors(model, ["oceans"])[0, 3]
results = []
"""
TRACE = """
try:
    with torch.no_grad(), model.trace(inputs):
        stream = models.residual(model.blocks[3])
        {}
        logits = model.output.logits[:, -1].cpu().save()
    results.append(str(tuple(logits.shape)))
except RuntimeError as error:
    results.append(str(error))
"""
TAIL = """
vectors.random_vectors(model._module.lm_head.weight[:2])
trials = [engine.Trial(prompt, (prompt.span("from_turn_2")[0], None), vector, 2.0, 3), engine.Trial(prompt, (0, 1))]
answers = [answer.text[:3] for answer in engine.generate(model, trials, 4)]
devices = [str(model._module.device), str(next(model._module.parameters()).device)]
shared, alone = (engine.next_token_logits(model, trials, share_prefix=share) for share in (True, False))
same = torch.allclose(shared, alone, atol=1e-3)
print(json.dumps([results, answers, len(engine.audit_injection(model, trials)), devices, same]))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process on a second device says; its file is no library's, so its operations are checked."""
    file = tmp_path_factory.mktemp("other_device") / "cell.py"
    file.write_text(HEAD + "".join(TRACE.format(line) for line in MOVED + MIXED) + TAIL)
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(file.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-800:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("line", MOVED + MIXED)
def test_a_vector_that_stays_on_the_cpu_is_caught(line, found):
    result = found[0][(MOVED + MIXED).index(line)]
    assert result == "(1, 4096)" if line in MOVED else "Expected all tensors to be on the same device" in result


def test_the_engine_and_the_vectors_move_what_they_add(found):
    assert found[1:] == [["Yes", "No,"], 1, ["xpu", "xpu"], True]
