"""A process of its own, because imports of this one cannot be undone."""

import subprocess
import sys

from core.settings import PROJECT

UNUSED = ("torch._dynamo", "torch.distributed.tensor", "sympy", "scipy", "sklearn")

SCRIPT = f"""
import sys
from core.training import lean_imports

lean_imports.install()
import core.inference.tracer
import core.jobs.workers.train
from core.models.catalog import find_model
from core.settings import Settings
from core.training.load_model import fetch, load_base
from peft import LoraConfig, get_peft_model
from transformers import masking_utils, modeling_utils

base = load_base(fetch(find_model("minilm", Settings(), False)), ("A", "B"), seed=0)
adapted = get_peft_model(base.model, LoraConfig(target_modules=["query"]))
tokens = base.tokenizer(["one text"], return_tensors="pt")
adapted(**tokens).logits.sum().backward()
print([name for name in {UNUSED} if name in sys.modules])

context = masking_utils.TransformGetItemToIndex()
dynamo = sys.modules["torch._dynamo"]
marked = modeling_utils.PreTrainedModel.can_record_outputs.fget
print(type(context).__module__, id(marked) in dynamo.trace_rules._allowed_callable_ids())
"""


def test_a_process_with_a_model_loads_what_it_uses_and_the_rest_when_asked() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=PROJECT, capture_output=True, text=True, check=False
    )

    assert result.stdout.splitlines() == [
        "[]",
        "torch._dynamo._trace_wrapped_higher_order_op True",
    ], result.stderr
