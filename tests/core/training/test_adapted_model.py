import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification

from core.config import RunConfig
from core.errors import ConfigError, ModelUnavailable
from core.models.model_shape import count_trainable, read_shape
from core.training.adapted_model import (
    CONFIG,
    WEIGHTS,
    add_adapter,
    build_model,
    list_modules,
    list_trainable,
    merged,
    serialize_adapter,
    set_training,
)
from core.training.batches import draw_epoch_batches, encode_frame
from core.training.load_model import load_base
from core.training.session import TrainingSession
from tests.support.tiny_models import write_bert, write_distilbert
from tests.support.training_lab import Heard, Lab

IDS = torch.tensor([[2, 57, 121, 125, 34, 3], [2, 60, 70, 3, 0, 0]])
MASK = (IDS > 0).long()
CLASSES = ("a", "b", "c")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing.*:FutureWarning"
)  # PEFT, where the tests call it themselves


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = model.eval()(input_ids=IDS, attention_mask=MASK).logits
        return result


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "targets",
    [(), ("all-linear",), ("dense",), ("key", "output.dense"), ("all-linear", "pooler.dense")],
)
@pytest.mark.parametrize("dora", [False, True])
def test_bert_counts_are_pefts(bert_folder: Path, targets: tuple[str, ...], dora: bool) -> None:
    config = RunConfig(rank=5, target_modules=targets, dora=dora)
    base = load_base(bert_folder, CLASSES, 0)

    counted = count_trainable(base.shape, config, len(CLASSES))

    model = add_adapter(base, config, "org/name", None)
    assert sum(count.parameters for count in counted) == sum(
        p.numel() for p in list_trainable(model).values()
    )


@pytest.mark.parametrize(
    ("layers", "count", "adapted"),
    [
        ("all", 5, [0, 1, 2, 3, 4]),
        ("last half", 5, [2, 3, 4]),
        ("last third", 5, [3, 4]),
        ("last third", 6, [4, 5]),
        ("last half", 1, [0]),
    ],
)
def test_the_last_layers_get_the_adapter(
    tmp_path: Path, layers: str, count: int, adapted: list[int]
) -> None:
    config = RunConfig.model_validate({"rank": 5, "layers": layers})
    base = load_base(write_bert(tmp_path / "bert", layers=count), CLASSES, 0)

    model = add_adapter(base, config, "org/name", None)

    names = [name for name in list_trainable(model) if "query.lora_A" in name]
    assert [int(name.split("layer.")[1].split(".")[0]) for name in names] == adapted
    assert sum(count.parameters for count in count_trainable(base.shape, config, 3)) == sum(
        p.numel() for p in list_trainable(model).values()
    )


@pytest.mark.parametrize("base_dropout", [False, True])
@pytest.mark.parametrize("before", [False, True], ids=["evaluated", "trained"])
def test_a_step_has_the_dropout_of_the_adapter_and_on_request_of_the_base(
    tmp_path: Path, base_dropout: bool, before: bool
) -> None:
    base = load_base(write_bert(tmp_path / "bert", layers=2), CLASSES, 0)
    model = add_adapter(base, RunConfig(), "org/name", None).train(before)

    set_training(list_modules(model), base_dropout)

    training = {name for name, module in model.named_modules() if module.training}
    names = {name for name, _ in model.named_modules()}
    assert training == {name for name in names if base_dropout or "lora_dropout" in name}


def test_target_modules_below_the_adapted_layers_are_refused(tmp_path: Path) -> None:
    base = load_base(write_bert(tmp_path / "bert", layers=3), CLASSES, 0)
    config = RunConfig(target_modules=("layer.0.attention.self.query",), layers="last third")

    with pytest.raises(ConfigError, match="No target module is in the last third of the layers"):
        add_adapter(base, config, "org/name", None)


@pytest.mark.parametrize("targets", [(), ("all-linear",), ("lin1", "k_lin"), ("ffn.lin2",)])
def test_distilbert_counts_are_pefts(distilbert_folder: Path, targets: tuple[str, ...]) -> None:
    config = RunConfig(rank=5, target_modules=targets)
    base = load_base(distilbert_folder, CLASSES, 0)

    counted = count_trainable(base.shape, config, len(CLASSES))

    model = add_adapter(base, config, "org/name", None)
    assert sum(count.parameters for count in counted) == sum(
        p.numel() for p in list_trainable(model).values()
    )
    assert base.head == ("pre_classifier", "classifier")


def test_a_pooler_that_the_checkpoint_lacks_is_trained_and_saved(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "bert", pooler=False)
    base = load_base(folder, CLASSES, 0)

    model = add_adapter(base, RunConfig(), "org/name", None)

    assert base.head == ("pooler", "classifier")
    assert sum(
        count.parameters for count in count_trainable(read_shape(folder), RunConfig(), 3)
    ) == sum(p.numel() for p in list_trainable(model).values())
    assert any("pooler" in name for name in list_trainable(model))


def test_distilbert_of_real_shape_loads_and_counts(tmp_path: Path) -> None:
    folder = write_distilbert(
        tmp_path / "distilbert", hidden=768, layers=6, positions=512, vocabulary=30522
    )
    base = load_base(folder, ("a", "b", "c", "d"), 0)

    counted = count_trainable(base.shape, RunConfig(), 4)
    model = add_adapter(base, RunConfig(), "distilbert/distilbert-base-uncased", "1" * 40)

    assert base.shape.parameters == 66_362_880
    assert (
        sum(count.parameters for count in counted)
        == sum(p.numel() for p in list_trainable(model).values())
        == 294_912 + 593_668
    )


def test_a_saved_adapter_reloads_through_peft_with_the_same_logits(
    lab: Lab, config: RunConfig, heard: Heard, tmp_path: Path
) -> None:
    session = lab.session(config, heard)
    session.train()
    folder = write(tmp_path / "adapter", dict(heard.adapters[-1].files))

    plain = AutoModelForSequenceClassification.from_pretrained(lab.model.folder, num_labels=3)
    reloaded = PeftModel.from_pretrained(plain, folder)

    assert torch.allclose(logits(reloaded), logits(session.network.peft), atol=1e-6)


def test_a_saved_distilbert_reloads_with_its_whole_head(
    distilbert_folder: Path, tmp_path: Path
) -> None:
    model = add_adapter(
        load_base(distilbert_folder, CLASSES, 0),
        RunConfig(target_modules=("all-linear",)),
        "org/name",
        None,
    )
    with torch.no_grad():
        for parameter in list_trainable(model).values():
            parameter.add_(0.05)
    folder = write(tmp_path / "adapter", serialize_adapter(model))

    reloaded = PeftModel.from_pretrained(
        AutoModelForSequenceClassification.from_pretrained(distilbert_folder, num_labels=3), folder
    )

    assert torch.allclose(logits(reloaded), logits(model), atol=1e-6)


def test_files_are_those_that_peft_saves(bert_folder: Path, tmp_path: Path) -> None:
    model = add_adapter(load_base(bert_folder, CLASSES, 0), RunConfig(), "org/name", "1" * 40)

    model.save_pretrained(tmp_path, save_embedding_layers=False)

    ours, theirs = serialize_adapter(model), json.loads((tmp_path / CONFIG).read_bytes())
    assert json.loads(ours[CONFIG]) == theirs | {
        "target_modules": sorted(theirs["target_modules"])
    }  # a set, so in any order
    assert ours[WEIGHTS] == (tmp_path / WEIGHTS).read_bytes()


def test_the_base_is_named_without_a_path(lab: Lab, config: RunConfig, heard: Heard) -> None:
    lab.train(config, heard)

    saved = json.loads(heard.adapters[-1].files[CONFIG])

    assert lab.model.folder is not None
    assert saved["base_model_name_or_path"] == f"local/{lab.model.folder.name}"
    assert str(lab.model.folder) not in heard.adapters[-1].files[CONFIG].decode()


def test_a_hub_identity_is_kept_with_its_revision(bert_folder: Path) -> None:
    model = add_adapter(load_base(bert_folder, CLASSES, 0), RunConfig(), "org/name", "1" * 40)

    saved = json.loads(serialize_adapter(model)[CONFIG])

    assert (saved["base_model_name_or_path"], saved["revision"], saved["bias"]) == (
        "org/name",
        "1" * 40,
        "none",
    )


@pytest.mark.parametrize("dora", [False, True])
def test_merging_changes_no_logit_and_leaves_the_very_same_weights(
    bert_folder: Path, dora: bool
) -> None:
    model = add_adapter(
        load_base(bert_folder, CLASSES, 0),
        RunConfig(target_modules=("all-linear",), dora=dora),
        "org/name",
        None,
    )
    with torch.no_grad():
        for parameter in list_trainable(model).values():
            parameter.add_(0.02)
    before, weights = logits(model), {name: p.clone() for name, p in model.named_parameters()}

    with merged(model):
        inside = logits(model)

    assert torch.allclose(inside, before, atol=1e-5)
    assert torch.equal(logits(model), before)
    assert all(
        torch.equal(parameter, weights[name]) for name, parameter in model.named_parameters()
    )


def test_the_same_seed_gives_the_same_head_and_adapter(bert_folder: Path) -> None:
    entry, same, other = (
        add_adapter(load_base(bert_folder, CLASSES, seed), RunConfig(seed=seed), "x", None)
        for seed in (1, 1, 2)
    )

    assert all(
        torch.equal(p, q)
        for p, q in zip(list_trainable(entry).values(), list_trainable(same).values(), strict=True)
    )
    assert not torch.equal(logits(entry), logits(other))


def test_loading_is_silent(bert_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    add_adapter(load_base(bert_folder, CLASSES, 0), RunConfig(), "x", None)

    assert capfd.readouterr() == ("", "")


def test_an_adapter_of_the_pooler_is_trained_by_plain_layers(bert_folder: Path) -> None:
    config = RunConfig(rank=2, target_modules=("query", "pooler.dense"), precision="fp32")
    network = build_model(load_base(bert_folder, CLASSES, 0), config, "local/base", None)

    network.compute_logits(IDS, MASK).sum().backward()

    gradients = {name: each.grad for name, each in list_trainable(network.peft).items()}
    (pooler,) = [gradients[name] for name in gradients if "pooler.dense.lora_B" in name]
    assert network.fast is None
    assert pooler is not None and bool(pooler.any())


def test_unknown_targets_are_refused_with_the_names_there_are(bert_folder: Path) -> None:
    with pytest.raises(ConfigError, match="no target module 'q_proj'.*attention.self.query"):
        add_adapter(
            load_base(bert_folder, CLASSES, 0), RunConfig(target_modules=("q_proj",)), "x", None
        )


def test_weights_that_lack_parts_of_the_encoder_are_refused(tmp_path: Path) -> None:
    folder = write_bert(tmp_path / "bert", layers=1)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))

    with pytest.raises(ModelUnavailable, match="16 tensors of the encoder are missing"):
        load_base(folder, CLASSES, 0)


def test_per_step_losses_are_those_of_a_plain_loop(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    """Against torch and PEFT alone: same rows in the same order, no dropout, no first-token short
    cut, no helper of ours.
    """
    config = config.model_copy(update={"dropout": 0.0, "warmup": 0.0, "epochs": 2})
    session = lab.session(config, heard)
    start = {name: p.detach().clone() for name, p in list_trainable(session.network.peft).items()}
    session.train()

    plain = AutoModelForSequenceClassification.from_pretrained(lab.model.folder, num_labels=3)
    lora = LoraConfig(
        task_type="SEQ_CLS",
        r=4,
        lora_alpha=8,
        target_modules=["query", "value"],
        modules_to_save=["classifier"],
    )
    model = get_peft_model(plain, lora).eval()
    weights = list_trainable(model)
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(start[name])
    optimizer = torch.optim.AdamW(weights.values(), lr=5e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 12)
    losses = []
    for batch in plain_batches(session, config):
        loss = torch.nn.functional.cross_entropy(
            model(input_ids=batch[0], attention_mask=batch[1]).logits, batch[2]
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())

    assert heard.losses == pytest.approx(losses, abs=1e-5)


def plain_batches(
    session: TrainingSession, config: RunConfig
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    rows = encode_frame(
        session.base.tokenizer, session.data.sample("train", 48, config.seed), config.max_tokens
    )
    for epoch in range(config.epochs):
        for chosen in draw_epoch_batches(rows.lengths, config.batch_size, config.seed, epoch):
            yield rows.pad_batch(chosen, torch.device("cpu"))
