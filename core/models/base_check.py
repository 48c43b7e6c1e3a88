"""Whether a base model can be used: its configuration, tensors and tokenizer.

A model that LoRA Lab would not compute exactly as transformers does is refused when it is chosen.
Only small files and the headers of the weights are read, and no ML library is imported, so the
server can check a model while a user types its folder.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer

from core.errors import ModelUnavailable
from core.models.families import FAMILIES, HEADS, LAYERS, ModelFamily, find_family
from core.models.model_shape import UNREADABLE, StoredTensor, read_model_config, read_tensors

CHOOSE, SAVE, COPY = (
    "Choose another base model.",
    "Save the model again with save_pretrained.",
    "Copy the model's files again.",
)
FLOATS = ("F32", "F16", "BF16", "F64")
ACTIVATIONS = (
    *("gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh"),
    *("relu", "silu", "swish", "tanh"),
)
TASKS = ("single_label_classification", "multi_label_classification", "regression")
# why models of a type are not supported; those of the first tuple were measured with random
# weights: alone and next to longer texts, their logits differ by 0.01 to 1
REASONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("canine", "convbert", "fnet", "funnel", "mobilebert", "nystromformer", "xlnet", "yoso"),
        "with which the prediction of a text depends on the length of the texts next to it",
    ),
    "big_bird": "which computes attention differently after a short text",
    "reformer": "which compares only tokens that random hashes put together",
    **dict.fromkeys(
        (
            *("gpt2", "gpt_neo", "gpt_neox", "gptj", "gpt_oss", "opt", "bloom", "falcon", "phi3"),
            *("llama", "mistral", "mixtral", "gemma", "gemma2", "gemma3", "gemma3_text", "phi"),
            *("qwen2", "qwen3", "olmo", "olmo2", "stablelm", "smollm3", "modernbert-decoder"),
        ),
        "a decoder, whose tokens are read without those after them",
    ),
    **dict.fromkeys(
        ("bart", "mbart", "plbart", "led", "t5", "mt5", "umt5", "bigbird_pegasus"),
        "which has a decoder after its encoder",
    ),
}
OTHER_REASON = "because its predictions would not be exactly those of transformers in every export"
# the only values of a field with which transformers computes the model that was pretrained, and
# returns its logits by name; null is allowed in all
ALLOWED: Mapping[str, tuple[object, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "pruned_heads": ({},),
    "chunk_size_feed_forward": (0,),
    "quantization_config": (),
    "compression_config": (),
    "torchscript": (False,),
    "return_dict": (True,),
    "output_attentions": (False,),
    "output_hidden_states": (False,),
    "directionality": ("bidi",),
    "relative_attention_num_buckets": (32,),  # transformers uses this number in any case
    "hidden_act": ACTIVATIONS,
    "activation": ACTIVATIONS,
    "problem_type": TASKS,
    "attn_implementation": ("eager", "sdpa"),
    "_attn_implementation": ("eager", "sdpa"),
    **dict.fromkeys(("dtype", "torch_dtype"), ("float32", "float16", "bfloat16", "float64")),
    **dict.fromkeys(("use_cache", "tie_word_embeddings", "sinusoidal_pos_embds"), (True, False)),
    "gradient_checkpointing": (True, False),
}
# of fields whose value transformers does not convert
TYPES: Mapping[str, type] = {
    **dict.fromkeys(("layer_norm_eps", "initializer_range"), float),
    "num_labels": int,
    **dict.fromkeys(("summary_activation", "summary_type"), str),
    "summary_use_proj": bool,
}
# names of fields that may change what a model computes, if its family does not have them
MATHEMATICS = re.compile(
    r"norm|position|rope|rotary|alibi|atten|attn|window|bias|scal|embed|layer|head|cross|causal"
    r"|decoder|expert|moe|quant|relative|bucket|prun|group|sparse|block|adapter|lora|kernel|conv"
    r"|recurr|activation|_act$|hash|memory"
)
# such fields of older configurations that transformers does not read, or only to generate text
WITHOUT_EFFECT = re.compile(
    r"pooler_.*|sbert_ce_default_activation_function|num_beam_groups|cross_attention_hidden_size"
    r"|decoder_start_token_id|tie_encoder_decoder|.*no_repeat_ngram_size|_attn_implementation_.*"
)
MATHEMATICAL_DEFAULTS = {"type_vocab_size": 2, "relative_attention_num_buckets": 32}
# of heads, and of buffers that older versions of transformers stored
KNOWN_TENSORS = re.compile(
    r"(classifier|pre_classifier|score|cls|lm_head|qa_outputs|pooler|vocab_transform"
    r"|vocab_layer_norm|vocab_projector|generator_predictions|generator_lm_head"
    r"|discriminator_predictions)\..*|embeddings\.(position_ids|token_type_ids)"
)
WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
# the model in tokenizer.json from which transformers builds a tokenizer of each class; empty for
# classes that use the whole file
TOKENIZER_MODELS = {
    **dict.fromkeys(("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"), "WordPiece"),
    "MPNetTokenizer": "WordPiece",
    "RobertaTokenizer": "BPE",
    **dict.fromkeys(("XLMRobertaTokenizer", "CamembertTokenizer"), "Unigram"),
    **dict.fromkeys(("PreTrainedTokenizer", "TokenizersBackend"), ""),
}
SPECIAL_TOKENS = {
    "WordPiece": {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]"},
    "BPE": {"unk": "<unk>", "sep": "</s>", "pad": "<pad>", "cls": "<s>"},
}
SPECIAL_TOKENS["Unigram"] = SPECIAL_TOKENS["BPE"]
REFUSED_OPTIONS: Mapping[str, tuple[object, str]] = {
    "padding_side": (
        "left",
        "with which the prediction of a text would depend on the texts next to it",
    ),
    "split_special_tokens": (True, "which tokenizer.json of an export cannot say"),
}
UNUSED_BY_CAMEMBERT = ("<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED")  # transformers adds them
# rows of an embedding that no token uses: it may be padded to a multiple of 128, or 2 % of it
SPARE_ROWS, SPARE_PROPORTION = 128, 0.02
CASED_PROPORTION = 0.02  # of the tokens with letters: uncased vocabularies have hardly any
LAYER_LIMIT = 1000  # the check lists the tensors of all layers; large models have about 100
PROBE = "Aé É 中文 Straße"
OWN_HEADS = (
    *("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"),
    "ForMultipleChoice",
)


def require_supported(folder: Path) -> None:
    """Raise ModelUnavailable if LoRA Lab would not compute the model in ``folder`` exactly."""
    family, rows = require_encoder(folder)
    _require_tokenizer(folder, read_model_config(folder), family, rows)


def require_encoder(folder: Path) -> tuple[ModelFamily, int]:
    """Check the configuration and weights, and return the family and the rows of the embedding.

    Raises ModelUnavailable.
    """
    config = read_model_config(folder)
    family = _require_family(folder, config)
    sizes = _require_config(config, family)
    _require_tensors(read_tensors(folder), family, sizes)
    return family, sizes["v"]


def describe_own_head(folder: Path) -> str:
    """Describe the head with which the model was saved, which no run uses; empty if it has none."""
    config = read_model_config(folder)
    architectures = config.get("architectures")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    if not any(name.endswith(OWN_HEADS) for name in names):
        return ""
    labels = config.get("id2label")
    size = f" for {len(labels)} labels" if isinstance(labels, dict) and len(labels) > 1 else ""
    return f"Its own head{size} is not used: a run trains a new one."


def _require_family(folder: Path, config: Mapping[str, object]) -> ModelFamily:
    if "auto_map" in config or "custom_pipelines" in config:
        raise ModelUnavailable(
            f"The model in {folder} contains its own code, which LoRA Lab never runs.",
            "Choose a model that transformers supports.",
        )
    model_type = config.get("model_type")
    if not model_type:
        raise ModelUnavailable(f"config.json in {folder} has no model type.", SAVE)
    family = find_family(model_type) if isinstance(model_type, str) else None
    if family is None:
        raise ModelUnavailable(
            f"LoRA Lab does not support the model type {model_type!r},"
            f" {REASONS.get(str(model_type), OTHER_REASON)}.",
            f"Choose a model of the type {', '.join(FAMILIES)}.",
        )
    return family


def _require_config(config: Mapping[str, object], family: ModelFamily) -> dict[str, int]:
    """Return the sizes by letter. Raises ModelUnavailable with the field."""
    for field, value in config.items():
        if problem := _find_field_problem(field, value, family):
            raise ModelUnavailable(
                f"config.json has {field}: {str(value)[:80]!r}, {problem}.", CHOOSE
            )
    sizes = dict(_read_sizes(config, family))
    if sizes["d"] % sizes[HEADS]:
        field = family.checkpoint.sizes[HEADS]
        raise ModelUnavailable(
            f"config.json has {field}: {sizes[HEADS]}, which does not divide the hidden size"
            f" {sizes['d']}.",
            COPY,
        )
    for field in ("pad_token_id", "bos_token_id", "eos_token_id"):
        value = config.get(field)
        is_eos = field == "eos_token_id"  # of which there may be several
        for number in value if is_eos and isinstance(value, list) else [value]:
            if number is not None and not _is_index(number, sizes["v"]):
                raise ModelUnavailable(
                    f"config.json has {field}: {value}, but tokens from 0 to {sizes['v'] - 1}.",
                    COPY,
                )
    if family.positions_after_padding:
        pad = config.get("pad_token_id", family.padding_id)
        if pad is None or not (family.other_padding or pad == family.padding_id):
            raise ModelUnavailable(
                f"config.json has pad_token_id: {pad}, with which transformers would not number the"
                f" positions as the model was trained: it needs {family.padding_id}.",
                CHOOSE,
            )
    return sizes


def _find_field_problem(field: str, value: object, family: ModelFamily) -> str:
    """Describe why a field of ``config.json`` prevents that the model is used; empty if not."""
    known = family.checkpoint.fields
    if field in ("hidden_act", "activation") and field not in known:
        return ""  # a field of other families
    if field in TYPES and type(value) is not TYPES[field]:
        return f"which is not of the type {TYPES[field].__name__}, as transformers needs it"
    if field in ALLOWED:
        same = [other for other in ALLOWED[field] if other == value and type(other) is type(value)]
        is_allowed = value is None and field not in known
        return "" if same or is_allowed else "which LoRA Lab does not compute"
    if field in ("id2label", "label2id"):
        return "" if _are_labels(field, value) else "which are no labels with their ids"
    if field in known:
        if "dropout" in field or field.endswith(("_prob", "_eps", "_range")):
            optional = field == "classifier_dropout" and value is None
            return "" if optional or _is_fraction(value) else "which is not between 0 and 1"
        return ""
    unknown = field not in family.checkpoint.sizes.values() and not WITHOUT_EFFECT.fullmatch(field)
    if unknown and value and MATHEMATICS.search(field):
        return f"which models of the type {family.model_type} do not have in transformers"
    return ""


def _read_sizes(config: Mapping[str, object], family: ModelFamily) -> Iterator[tuple[str, int]]:
    for letter, field in family.checkpoint.sizes.items():
        value = config.get(field, MATHEMATICAL_DEFAULTS.get(field))
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ModelUnavailable(
                f"config.json has {field}: {value}, which is not a size."
                if field in config
                else f"config.json has no {field}.",
                COPY,
            )
        if letter == LAYERS and value > LAYER_LIMIT:
            raise ModelUnavailable(
                f"config.json has {field}: {value}, but at most {LAYER_LIMIT:,} are possible.", COPY
            )
        yield letter, value


def _is_index(value: object, size: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < size


def _is_fraction(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _are_labels(field: str, value: object) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict):
        return False
    ids = value if field == "id2label" else value.values()
    return all(re.fullmatch(r"\d+", str(number)) for number in ids)


def _require_tensors(
    tensors: Mapping[str, StoredTensor], family: ModelFamily, sizes: Mapping[str, int]
) -> None:
    """Compare the stored tensors with those of the encoder that ``config.json`` describes."""
    prefix = f"{family.checkpoint.prefix}."
    names = {name: _plain_name(name, prefix) for name in tensors}
    for name, count in Counter(names.values()).most_common(1):
        if count > 1:
            raise ModelUnavailable(f"The weights have the tensor {name} twice.", SAVE)
    stored = {plain: tensors[name] for name, plain in names.items()}
    expected = dict(family.checkpoint.list_tensors(sizes))
    _require_prefix(tensors, stored, prefix)
    pooler = {"pooler.dense.weight": (sizes["d"], sizes["d"]), "pooler.dense.bias": (sizes["d"],)}
    if family.head.is_pooler and pooler.keys() & stored.keys():
        expected |= pooler
    _raise_for(expected.keys() - stored.keys(), "are missing in the weights")
    others = {name for name in stored.keys() - expected.keys() if not KNOWN_TENSORS.fullmatch(name)}
    _raise_for(others, f"of the weights do not belong to a model of the type {family.model_type}")
    wrong = {name for name, shape in expected.items() if stored[name].shape != shape}
    for name in sorted(wrong)[:1]:
        raise ModelUnavailable(
            f"The tensor {name} has the shape {_written(stored[name].shape)}, but"
            f" {_written(expected[name])} according to config.json"
            + (f" ({len(wrong)} tensors differ)." if len(wrong) > 1 else "."),
            COPY,
        )
    for name in expected:
        if stored[name].dtype not in FLOATS:
            raise ModelUnavailable(
                f"The tensor {name} is stored as {stored[name].dtype}, which is quantized.",
                "Choose the model with its original weights.",
            )
    parts = {name.startswith(prefix) for name, plain in names.items() if plain in expected}
    if len(parts) > 1:
        raise ModelUnavailable(
            f"Some tensors of the encoder have the prefix {prefix} and others do not.", SAVE
        )


def _plain_name(name: str, prefix: str) -> str:
    """Return the name without prefix, as transformers has it; older checkpoints say gamma."""
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
    return name.replace("LayerNorm.beta", "LayerNorm.bias").removeprefix(prefix)


def _require_prefix(
    tensors: Mapping[str, StoredTensor], stored: Mapping[str, StoredTensor], prefix: str
) -> None:
    if not tensors:
        raise ModelUnavailable("The weights have no tensors.", COPY)
    if WORD_EMBEDDINGS in stored:
        return
    for name in sorted(tensors):
        if name.endswith(WORD_EMBEDDINGS):
            other = name.removesuffix(WORD_EMBEDDINGS).removesuffix(prefix)
            raise ModelUnavailable(
                f"The names of the tensors begin with {other!r}, as in {name}.",
                "Remove this prefix from the names, or save the model again with save_pretrained.",
            )


def _raise_for(names: set[str], problem: str) -> None:
    if names:
        first = ", ".join(sorted(names)[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise ModelUnavailable(f"Tensors that {problem}: {first}{more}.", CHOOSE)


def _written(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "of a single number"


def _require_tokenizer(
    folder: Path, config: Mapping[str, object], family: ModelFamily, rows: int
) -> None:
    """Check that the tokenizer belongs to an embedding of ``rows`` tokens, and is as transformers
    builds it.
    """
    options = _read_object(folder / "tokenizer_config.json")
    if "auto_map" in options:
        raise ModelUnavailable(
            f"The tokenizer in {folder} contains its own code, which LoRA Lab never runs.", CHOOSE
        )
    kind = str(options.get("tokenizer_class") or family.checkpoint.tokenizer).removesuffix("Fast")
    if kind not in TOKENIZER_MODELS:
        raise ModelUnavailable(
            f"tokenizer_config.json has tokenizer_class: {kind!r}, which LoRA Lab does not"
            " support.",
            CHOOSE,
        )
    for field, (value, problem) in REFUSED_OPTIONS.items():
        if options.get(field) == value:
            raise ModelUnavailable(
                f"tokenizer_config.json has {field}: {value!r}, {problem}.",
                "Change it if the model was trained without it, or choose another base model.",
            )
    model = TOKENIZER_MODELS[kind]
    if (folder / "tokenizer.json").is_file():
        vocabulary = _read_tokenizer(folder, kind, options)
    else:
        vocabulary = _read_vocabulary(folder, model)
        if not model or not vocabulary:
            raise ModelUnavailable(
                f"{folder} has no tokenizer.json.", "Save the tokenizer there with save_pretrained."
            )
    named = _read_special_tokens(folder, options, kind, model)
    _require_special_tokens(named, vocabulary)
    _require_same_ids(folder, options, vocabulary)
    _require_rows(vocabulary, set(named.values()), rows)
    pad = config.get("pad_token_id", family.padding_id)
    if family.positions_after_padding and vocabulary[named["pad"]] != pad:
        raise ModelUnavailable(
            f"config.json has pad_token_id: {pad}, but the tokenizer's pad_token {named['pad']!r}"
            f" has the id {vocabulary[named['pad']]}.",
            COPY,
        )


def _read_object(path: Path) -> dict[str, object]:
    """Read a JSON object; empty if there is no such file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        raise ModelUnavailable(f"{path} is damaged.", COPY) from error
    if not isinstance(content, dict):
        raise ModelUnavailable(f"{path} is damaged: it has no JSON object.", COPY)
    return content


def _read_tokenizer(folder: Path, kind: str, options: Mapping[str, object]) -> dict[str, int]:
    """Read the id of each token in ``tokenizer.json``, including added tokens."""
    path, model = folder / "tokenizer.json", TOKENIZER_MODELS[kind]
    content = _read_object(path)
    tokenizer = _load_tokenizer(path)
    if model and type(tokenizer.model).__name__ != model:
        raise ModelUnavailable(
            f"tokenizer.json has a {type(tokenizer.model).__name__} model, but a {kind} needs"
            f" {model}.",
            COPY,
        )
    padding = content.get("padding")
    if isinstance(padding, dict) and padding.get("direction") == "Left":
        raise ModelUnavailable(
            "tokenizer.json pads on the left, with which the prediction of a text would depend on"
            " the texts next to it.",
            CHOOSE,
        )
    if getattr(tokenizer.model, "dropout", None):
        raise ModelUnavailable(
            "tokenizer.json has dropout, with which a text has other tokens each time.",
            "Set it to null, or choose another base model.",
        )
    if not model and not tokenizer.encode("").ids:
        raise ModelUnavailable(
            "The tokenizer adds no special tokens to a text, so an empty text has no tokens.",
            CHOOSE,
        )
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    _require_same_words(folder, vocabulary, vocabulary.keys() - added)
    _require_same_case(tokenizer, model, options)
    return vocabulary


def _load_tokenizer(path: Path) -> Tokenizer:
    """Load ``tokenizer.json`` and check that its normalizer works."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
        if tokenizer.normalizer is not None:
            tokenizer.normalizer.normalize_str(PROBE)
    except BaseException as error:
        # the package raises no narrower type, and one that is no Exception for a damaged table
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelUnavailable(f"{path} is damaged ({str(error)[:100]}).", COPY) from error
    return tokenizer


def _require_same_words(folder: Path, vocabulary: Mapping[str, int], words: set[str]) -> None:
    """Compare ``tokenizer.json`` with the vocabulary of older versions of transformers."""
    for name, model in (("vocab.txt", "WordPiece"), ("vocab.json", "BPE")):
        other = _read_vocabulary(folder, model) if (folder / name).is_file() else {}
        different = {token for token, index in other.items() if vocabulary.get(token) != index}
        missing = words - other.keys() if other else set()
        for token in sorted(different or missing)[:1]:
            raise ModelUnavailable(
                f"tokenizer.json and {name} are of different vocabularies: see the token"
                f" {token!r}.",
                COPY,
            )


def _require_same_case(tokenizer: Tokenizer, model: str, options: Mapping[str, object]) -> None:
    """Check how texts are normalized.

    transformers builds the normalizer of a WordPiece tokenizer from ``tokenizer_config.json``.
    """
    normalizer = tokenizer.normalizer
    if model == "WordPiece":
        lower, accents = options.get("do_lower_case", True), options.get("strip_accents")
        chinese = options.get("tokenize_chinese_chars", True)
        built = BertNormalizer(
            handle_chinese_chars=bool(chinese),
            strip_accents=None if accents is None else bool(accents),
            lowercase=bool(lower),
        )
        stored = normalizer.normalize_str(PROBE) if normalizer else PROBE
        if stored != built.normalize_str(PROBE):
            raise ModelUnavailable(
                f"tokenizer.json changes {PROBE!r} to {stored!r}, but do_lower_case, strip_accents"
                " and tokenize_chinese_chars in tokenizer_config.json to"
                f" {built.normalize_str(PROBE)!r}.",
                "Save the tokenizer again with save_pretrained.",
            )
        normalizer = built
    if normalizer is None or normalizer.normalize_str("A") == "A":
        return
    words = [token for token in tokenizer.get_vocab(False) if token[:1] + token[-1:] != "[]"]
    cased = [token for token in words if token.lower() != token]
    if len(cased) > CASED_PROPORTION * len(words):
        raise ModelUnavailable(
            f"The vocabulary has {len(cased):,} tokens with upper-case letters, such as"
            f" {cased[0]!r}, but the tokenizer converts texts to lower case.",
            "Set do_lower_case to false in tokenizer_config.json and tokenizer.json, or choose"
            " another base model.",
        )


def _read_vocabulary(folder: Path, model: str) -> dict[str, int]:
    """Read the id of each token in the files of older versions; empty if they are missing."""
    try:
        if model == "WordPiece" and (folder / "vocab.txt").is_file():
            lines = (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n")
            return {token: index for index, token in enumerate(lines.split("\n"))}
        if model == "BPE" and (folder / "merges.txt").is_file():
            content = _read_object(folder / "vocab.json")
            return {token: int(str(index)) for token, index in content.items()}
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"The vocabulary in {folder} is damaged.", COPY) from error
    return {}


def _read_special_tokens(
    folder: Path, options: Mapping[str, object], kind: str, model: str
) -> dict[str, str]:
    """Read the special tokens by name, such as pad."""
    named = dict(SPECIAL_TOKENS.get(model, {}))
    if kind == "MPNetTokenizer":
        named |= {**SPECIAL_TOKENS["BPE"], "unk": "[UNK]"}
    if kind == "CamembertTokenizer" and "additional_special_tokens" not in options:
        named |= {name: name for name in UNUSED_BY_CAMEMBERT}
    for source in (_read_object(folder / "special_tokens_map.json"), options):
        for name in ("unk", "sep", "pad", "cls", "mask", "bos", "eos"):
            token = source.get(f"{name}_token")
            content = token.get("content") if isinstance(token, dict) else token
            if isinstance(content, str):
                named[name] = content
        for field in ("additional_special_tokens", "extra_special_tokens"):
            others = source.get(field)
            for token in others if isinstance(others, list) else []:
                content = token.get("content") if isinstance(token, dict) else token
                named[str(content)] = str(content)
    return named


def _require_special_tokens(named: Mapping[str, str], vocabulary: Mapping[str, int]) -> None:
    if "pad" not in named:
        raise ModelUnavailable(
            "tokenizer_config.json has no pad_token, which batches need.",
            "Save the tokenizer again with save_pretrained.",
        )
    for name in ("unk", "sep", "pad", "cls"):
        if name in named and named[name] not in vocabulary:
            raise ModelUnavailable(
                f"The tokenizer's {name}_token {named[name]!r} is not in its vocabulary.", COPY
            )


def _require_same_ids(
    folder: Path, options: Mapping[str, object], vocabulary: Mapping[str, int]
) -> None:
    """Check that added tokens have the same ids in all files."""
    added: dict[str, object] = dict(_read_object(folder / "added_tokens.json"))
    entries = options.get("added_tokens_decoder")
    for index, entry in entries.items() if isinstance(entries, dict) else ():
        added[str(entry.get("content") if isinstance(entry, dict) else entry)] = index
    for token, index in added.items():
        if str(vocabulary.get(token)) != str(index):
            raise ModelUnavailable(
                f"The added token {token!r} has the id {index}, but"
                f" {vocabulary.get(token, 'none')} in the vocabulary.",
                COPY,
            )


def _require_rows(vocabulary: Mapping[str, int], special: set[str], rows: int) -> None:
    """Compare the vocabulary with the embedding; a missing special token gets the next id."""
    largest = max(vocabulary.values()) + len(special - vocabulary.keys())
    if largest >= rows:
        raise ModelUnavailable(
            f"The tokenizer has tokens up to the id {largest}, but the embedding only {rows} rows.",
            "Copy the tokenizer of this model, or resize the embedding and save the model again.",
        )
    if rows - largest - 1 > max(SPARE_ROWS, SPARE_PROPORTION * rows):
        raise ModelUnavailable(
            f"The tokenizer has {largest + 1:,} tokens, but the embedding {rows:,} rows, so it is"
            " probably the tokenizer of another model.",
            "Copy the tokenizer of this model.",
        )
