from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from core.errors import Stopped
from core.inference.classifier import Classifier
from core.inference.tracer import DRAWN_TOKENS, Tracer
from core.models.families import FAMILIES
from tests.support.random_adapters import CLASSES, TEXTS, Write
from tests.support.tiny_models import WRITERS

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing.*:FutureWarning"
)  # PEFT, where the tests call it themselves


@pytest.fixture(scope="module")
def tracer(base_folder: Path) -> Tracer:
    return Tracer(base_folder, CLASSES, seed=7)


def test_an_untrained_trace_ends_in_the_probabilities_of_the_classifier(
    tracer: Tracer, base_folder: Path
) -> None:
    trace = tracer.trace(None, TEXTS[0], 64)

    assert trace.probabilities == pytest.approx(
        Classifier(base_folder, CLASSES, seed=7).classify(None, TEXTS[:1], 64)[0], abs=1e-5
    )
    assert not any(module.rank for module in trace.adapted)


@pytest.mark.parametrize("family", WRITERS)
def test_every_step_has_its_shape(tmp_path: Path, family: str) -> None:
    trace = Tracer(WRITERS[family](tmp_path / "base"), CLASSES).trace(
        None, "The team won the final.", 64
    )

    assert (trace.tokens[0], trace.tokens[-1]) == (
        ("<s>", "</s>") if "roberta" in family else ("[CLS]", "[SEP]")
    )
    assert (trace.kinds[0], trace.kinds[1], trace.kinds[-1]) == ("special", "word", "special")
    tokens = len(trace.ids)
    assert trace.hidden.shape == (3, tokens, 32)
    assert trace.attention.shape == (2, 4, tokens, tokens)
    assert trace.moved.shape == (2, tokens)
    assert trace.parts == (
        ("word", "position") if family == "distilbert" else ("word", "token type", "position")
    )
    assert trace.summands.shape == (len(trace.parts), tokens, 32)
    assert trace.features.shape == (32,)
    assert trace.pooling == FAMILIES[family].head.description
    assert trace.logits.shape == (3,)
    assert trace.attention.sum(-1) == pytest.approx(1, abs=1e-2)


def test_tokens_are_special_begin_a_word_or_continue_it(tracer: Tracer) -> None:
    trace = tracer.trace(None, "[goals]", 64)

    assert list(zip(trace.tokens, trace.kinds, strict=True)) == [
        ("[CLS]", "special"),
        ("[UNK]", "word"),
        ("goals", "word"),
        ("[UNK]", "word"),
        ("[SEP]", "special"),
    ]
    assert tracer.trace(None, "Zoe", 64).kinds == ("special", "word", *["continued"] * 2, "special")


def test_the_vectors_before_the_first_layer_add_up(tracer: Tracer) -> None:
    trace = tracer.trace(None, TEXTS[0], 64)
    total = trace.summands.astype(np.float32).sum(0)

    normed = (total - total.mean(-1, keepdims=True)) / total.std(-1, keepdims=True)

    assert trace.hidden[0] == pytest.approx(normed, abs=5e-3)  # LayerNorm with scale 1 and shift 0


def test_hidden_states_and_attention_are_those_of_transformers(
    tracer: Tracer, base_folder: Path
) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(
        base_folder, num_labels=3, attn_implementation="eager"
    ).eval()
    batch = AutoTokenizer.from_pretrained(base_folder)(TEXTS[1], return_tensors="pt")
    with torch.inference_mode():
        expected = model(**batch, output_hidden_states=True, output_attentions=True)

    trace = tracer.trace(None, TEXTS[1], 64)

    assert trace.hidden == pytest.approx(torch.cat(expected.hidden_states).numpy(), abs=5e-3)
    assert trace.attention == pytest.approx(torch.cat(expected.attentions).numpy(), abs=2e-3)


def test_a_trace_uses_the_adapter_and_lists_its_matrices(
    base_folder: Path, write_adapter: Write
) -> None:
    tracer, classifier, adapter = (
        Tracer(base_folder, CLASSES),
        Classifier(base_folder, CLASSES),
        write_adapter("one", 1),
    )
    tracer.load_adapter("a", adapter)
    classifier.load_adapter("a", adapter)

    trace = tracer.trace("a", TEXTS[0], 64)

    assert trace.probabilities == pytest.approx(
        classifier.classify("a", TEXTS[:1], 64)[0], abs=1e-5
    )
    ranks = {(module.layer, module.module): module.rank for module in trace.adapted}
    assert ranks[0, "attention.self.query"] == ranks[1, "attention.self.value"] == 4
    assert ranks[0, "attention.self.key"] == ranks[1, "output.dense"] == 0
    assert all((module.change > 0) == (module.rank > 0) for module in trace.adapted)


def test_a_long_text_is_truncated_and_its_first_tokens_are_shown(tracer: Tracer) -> None:
    trace = tracer.trace(None, "goal " * 500, 100)

    assert (trace.token_count, trace.drawn, trace.text_tokens) == (100, DRAWN_TOKENS, 502)
    assert trace.moved.shape == (2, 100)


def test_max_tokens_are_limited_by_the_model(tracer: Tracer) -> None:
    assert tracer.trace(None, "goal " * 500, 512).token_count == 128


def test_pooled_states_do_not_depend_on_the_batch(base_folder: Path) -> None:
    tracer = Tracer(base_folder, CLASSES, attention="sdpa")

    states = tracer.hidden_states(None, TEXTS, 64)

    assert states.shape == (3, 2, 4, 32)
    for number, text in enumerate(TEXTS):
        hidden = Tracer(base_folder, CLASSES).trace(None, text, 64).hidden.astype(np.float32)
        assert states[:, 0, number] == pytest.approx(hidden[:, 0], abs=5e-3)
        assert states[:, 1, number] == pytest.approx(hidden.mean(1), abs=5e-3)


def test_encoding_reports_rows_and_stops_on_request(tracer: Tracer) -> None:
    done: list[int] = []
    tracer.hidden_states(None, TEXTS, 64, on_rows=done.append)
    assert done[-1] == len(TEXTS)

    with pytest.raises(Stopped):
        tracer.hidden_states(None, TEXTS, 64, should_stop=lambda: True)
