"""Fields of config.json that change what is computed, and tensors."""

import torch

from tests.base_folders.case import BERT, DISTILBERT, ROBERTA, accept, refuse
from tests.base_folders.changes import (
    WEIGHTS,
    add_tensors,
    change_tensors,
    drop_tensors,
    remove_fields,
    rename_tensors,
    set_fields,
    set_number,
    write_by_transformers,
    write_tiny,
)
from tests.support.tiny_models import VOCABULARY

QUERY = "layer.1.attention.self.query.weight"


MATHEMATICS = [
    refuse(f"{field}: {value}", write, set_fields(**{field: value}), words=(field, *words))
    for field, value, write, *words in (
        ("position_embedding_type", "relative_key", BERT, "relative_key"),
        ("position_embedding_type", "relative_key_query", ROBERTA),
        ("position_embedding_type", "alibi", BERT),
        ("position_embedding_type", "rope", write_tiny("xlm-roberta")),
        ("alibi_starting_size", 512, BERT),
        ("rope_theta", 10000.0, BERT),
        ("rotary_emb_base", 1000, BERT),
        ("is_decoder", True, BERT),
        ("is_decoder", 1, ROBERTA),
        ("is_encoder_decoder", True, BERT),
        ("add_cross_attention", True, BERT),
        ("pruned_heads", {"0": [1]}, BERT),
        ("chunk_size_feed_forward", 8, BERT),
        ("relative_attention_num_buckets", 16, write_by_transformers("mpnet")),
        ("hidden_act", "swiglu", BERT, "swiglu"),
        ("hidden_act", None, BERT),
        ("activation", "geglu", DISTILBERT),
        ("normalization_layer_type", "rms_norm", BERT),
        ("use_pre_layer_norm", True, BERT),
        ("attention_window", [8, 8], ROBERTA),
        ("num_key_value_heads", 2, BERT),
        ("embedding_scale", 2.0, BERT),
        ("torchscript", True, BERT),
        ("return_dict", False, BERT),
        ("output_attentions", True, BERT),
        ("attn_implementation", "flash_attention_2", BERT),
        ("num_attention_heads", 5, BERT, "divide"),
        ("num_attention_heads", 0, BERT),
        ("hidden_size", "32", BERT, "not a size"),
        ("layer_norm_eps", "small", BERT),
        ("layer_norm_eps", 0, BERT, "float"),
        ("initializer_range", 1, DISTILBERT, "float"),
        ("num_labels", "3", BERT, "int"),
        ("is_decoder", None, ROBERTA),
        ("tie_word_embeddings", None, DISTILBERT),
        ("summary_use_proj", None, write_by_transformers("electra"), "bool"),
        ("bos_token_id", [1], BERT),
        ("hidden_dropout_prob", 1.5, BERT),
        ("pad_token_id", 5000, BERT, "5000"),
        ("pad_token_id", -1, ROBERTA),
        ("eos_token_id", 5000, ROBERTA),
    )
] + [
    refuse("own code", BERT, set_fields(auto_map={"AutoModel": "a.B"}), words=("own code",)),
    refuse("own pipeline", BERT, set_fields(custom_pipelines={"x": {}}), words=("own code",)),
    refuse("no sizes", BERT, remove_fields("hidden_size"), words=("no hidden_size",)),
    refuse(
        "more layers than tensors",
        BERT,
        set_fields(num_hidden_layers=3),
        words=("missing", "encoder.layer.2."),
    ),
    refuse(
        "a billion layers",
        BERT,
        set_fields(num_hidden_layers=10**9),
        words=("num_hidden_layers: 1000000000", "at most 1,000"),
    ),
    refuse(
        "fewer layers than tensors",
        BERT,
        set_fields(num_hidden_layers=1),
        words=("do not belong", "encoder.layer.1."),
    ),
    refuse(
        "another hidden size",
        BERT,
        set_fields(hidden_size=64),
        words=("shape", "embeddings.LayerNorm.bias", "64"),
    ),
    refuse(
        "another feed-forward size",
        BERT,
        set_fields(intermediate_size=128),
        words=("shape", "intermediate.dense", "128"),
    ),
    refuse(
        "more positions than rows",
        BERT,
        set_fields(max_position_embeddings=512),
        words=("shape", "position_embeddings", "512"),
    ),
    refuse(
        "another vocabulary size",
        BERT,
        set_fields(vocab_size=len(VOCABULARY) - 1),
        words=("shape", "word_embeddings"),
    ),
    accept(
        "older fields",
        BERT,
        set_fields(
            gradient_checkpointing=False,
            position_embedding_type="absolute",
            output_past=True,
            directionality="bidi",
            pooler_fc_size=768,
            pooler_type="first_token_transform",
            chunk_size_feed_forward=0,
            pruned_heads={},
            tie_encoder_decoder=False,
            num_beam_groups=1,
            cross_attention_hidden_size=None,
            _name_or_path="other/model",
        ),
    ),
]


TENSORS = [
    accept("prefix of the family", BERT, rename_tensors(lambda name: f"bert.{name}")),
    accept("no prefix", DISTILBERT, rename_tensors(lambda name: name.removeprefix("distilbert."))),
    accept(
        "gamma and beta",
        BERT,
        rename_tensors(
            lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            )
        ),
    ),
    accept(
        "position ids",
        BERT,
        change_tensors(
            lambda tensors: tensors | {"embeddings.position_ids": torch.arange(128)[None]}
        ),
    ),
    accept(
        "head for seven classes",
        BERT,
        add_tensors(classifier__weight=(7, 32), classifier__bias=(7,)),
    ),
    refuse(
        "module prefix", BERT, rename_tensors(lambda name: f"module.{name}"), words=("'module.'",)
    ),
    refuse(
        "module prefix and that of the family",
        BERT,
        rename_tensors(lambda name: f"module.bert.{name}"),
        words=("'module.'",),
    ),
    refuse(
        "prefix of sentence-transformers",
        BERT,
        rename_tensors(lambda name: f"0.auto_model.{name}"),
        words=("'0.auto_model.'",),
    ),
    refuse(
        "prefix of lightning",
        BERT,
        rename_tensors(lambda name: f"model.{name}"),
        words=("'model.'",),
    ),
    refuse(
        "prefix of another family",
        ROBERTA,
        rename_tensors(lambda name: f"bert.{name.removeprefix('roberta.')}"),
        words=("'bert.'",),
    ),
    refuse(
        "prefix of a part",
        BERT,
        rename_tensors(lambda name: name if "layer.1" in name else f"bert.{name}"),
        words=("prefix bert.", "others do not"),
    ),
    refuse(
        "twice, with prefix and without",
        BERT,
        change_tensors(
            lambda tensors: tensors | {f"bert.{name}": value + 1 for name, value in tensors.items()}
        ),
        words=("twice",),
    ),
    refuse("a layer is missing", BERT, drop_tensors("layer.0."), words=("missing", "layer.0.")),
    refuse(
        "a bias is missing",
        BERT,
        drop_tensors("layer.1.output.dense.bias"),
        words=("missing", "layer.1.output.dense.bias"),
    ),
    refuse("no encoder", BERT, drop_tensors("encoder"), words=("missing", "encoder.layer")),
    refuse("no embeddings", BERT, drop_tensors("embeddings"), words=("missing", "embeddings.")),
    refuse("half a pooler", BERT, drop_tensors("pooler.dense.bias"), words=("pooler.dense.bias",)),
    refuse(
        "relative positions in the file",
        BERT,
        add_tensors(encoder__layer__0__attention__self__distance_embedding__weight=(255, 8)),
        words=("do not belong", "distance_embedding"),
    ),
    refuse(
        "cross attention in the file",
        BERT,
        add_tensors(encoder__layer__0__crossattention__self__query__weight=(32, 32)),
        words=("crossattention",),
    ),
    refuse(
        "gamma and weight of a module",
        BERT,
        add_tensors(embeddings__LayerNorm__gamma=(32,)),
        words=("embeddings.LayerNorm.weight twice",),
    ),
    refuse("another head", BERT, add_tensors(lstm__weight_ih_l0=(8, 32)), words=("lstm",)),
    refuse(
        "adapter layers in the file",
        BERT,
        add_tensors(encoder__layer__0__output__adapters__down__weight=(4, 32)),
        words=("adapters.down",),
    ),
    refuse(
        "only an adapter in the file",
        BERT,
        change_tensors(lambda tensors: {"base_model.model.lora_A.weight": torch.ones(2, 2)}),
        words=("missing",),
    ),
    refuse(
        "a transposed tensor",
        BERT,
        change_tensors(
            lambda tensors: {
                name: value.T if "intermediate.dense.weight" in name else value
                for name, value in tensors.items()
            }
        ),
        words=("32 × 64", "64 × 32", "2 tensors differ"),
    ),
]


DAMAGED_NUMBERS = [
    refuse(f"{value} in {part}", BERT, set_number(part, value), words=(part, WEIGHTS, "damaged"))
    for part, value in (
        (QUERY, float("nan")),
        ("embeddings.LayerNorm.weight", float("inf")),
        ("pooler.dense.weight", float("-inf")),
    )
]
