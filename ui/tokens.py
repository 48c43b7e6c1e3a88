"""Parts of the Tokens page: a text as pieces, the vocabulary's view of a word, tokens per word per
class, the models side by side.
"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from tokenizers import Tokenizer

from core import charts
from core.data.dataset import Dataset
from core.data.rows import stratified_sample
from core.data.tokenizer import (
    PieceIndex,
    TokenCut,
    cut_text,
    open_tokenizer,
    tokens_per_word,
    view_word,
)
from core.errors import ModelUnavailable
from core.models.catalog import MODELS, shape_of
from ui.session import cache
from ui.text import count, per_cent, plain
from ui.widgets import chart_view, tables
from ui.widgets.model_or_run import Subject

INDEXED_TEXTS = 5_000  # a second's work once; enough to meet the usual words
LOOKED_UP = "tokenization"
HOW_TO_READ = """
- **Word pieces.** The model knows a fixed vocabulary. A frequent word is one piece; a rare one
  is cut into several, and a piece that goes on with a word begins with `##`. What no piece fits
  becomes `[UNK]`.
- **Ids** are the pieces' places in the vocabulary: all that the model sees of a text. Nearly
  always a lower id means a more frequent piece.
- **Special tokens.** `[CLS]` stands first; its vector stands for the whole text in the head.
  `[SEP]` ends it. Both count towards max tokens. `[PAD]` fills shorter texts of a batch up to
  the longest.
- **Attention mask**: 1 where there is text, 0 on `[PAD]`, which every layer then ignores.
- **Cut**: beyond max tokens the end of the text is dropped, `[SEP]` stays. The model never sees
  the rest, in training or use.
- **Tokens per word** near 1 means that the vocabulary fits the language of the texts. Much more
  means longer, slower inputs, and names or languages that the model has seldom seen.
"""


def draw_pieces(subject: Subject, text: str, max_tokens: int) -> None:
    """How many pieces, and each with its id; below, the same as a table."""
    if not text.strip():
        st.info("Type a text, or take a row of the data.", icon=":material/edit:")
        return
    cut = cut_text(_tokenizer(subject), text, max_tokens)
    st.subheader(f"{count(cut.total, 'tokens')} for {count(cut.words, 'words')}", anchor=False)
    st.caption(_reading(cut))
    chart = charts.pieces(cut.table, "Pieces and their ids")
    chart_view.draw(chart, key="pieces", twin=False)
    if chart.note:
        st.caption(chart.note)
    with st.expander(
        "Ids, special tokens and attention mask as a table",
        key="pieces-table-fold",
        icon=":material/table:",
    ):
        shown = cut.table[["position", "piece", "id", "kind", "mask"]].assign(
            mask=cut.table["mask"].where(cut.table["kept"])
        )
        columns = {
            "mask": st.column_config.NumberColumn(
                "Attention mask", help="Empty: cut off, the model never sees it."
            )
        }
        tables.plain(shown, key="pieces-table", columns=columns, alt="Pieces of the text")


def draw_word(subject: Subject, dataset: Dataset | None) -> None:
    """A word as the vocabulary sees it, and what shares its pieces."""
    st.markdown("#### A word in the vocabulary")
    word = st.text_input(
        "Word", LOOKED_UP, key="word", max_chars=100, bind="query-params", width=340
    )
    if not word.strip():
        st.caption("Type a word to see how the vocabulary writes it.")
        return
    view = view_word(
        _tokenizer(subject),
        word,
        _index(dataset.fingerprint, subject.key, dataset, subject) if dataset else None,
    )
    how = "one piece" if len(view.pieces) == 1 else count(len(view.pieces), "pieces")
    unknown = " Part of it is unknown: the model sees [UNK] there." if view.unknown else ""
    st.markdown(f"**{plain(view.word)}** is {how}.{unknown}")
    lines = [
        {
            "piece": piece,
            "id": number,
            "entries": ", ".join(view.entries[piece]) or "none",
            "words": ", ".join(view.sharing[piece]) or "none",
        }
        for piece, number in zip(view.pieces, view.ids, strict=True)
    ]
    columns: tables.Columns = {
        "piece": st.column_config.TextColumn("Piece", width=110),
        "id": st.column_config.NumberColumn("Id", width=70),
        "entries": st.column_config.TextColumn("Longer entries that begin so", width="medium"),
        "words": st.column_config.TextColumn("Words of your data that share it", width="medium"),
    }
    tables.plain(
        pd.DataFrame(lines),
        key="word-table",
        columns=columns,
        alt="Pieces of the word and what shares them",
    )


def draw_classes(dataset: Dataset, max_tokens: int) -> None:
    """Tokens per word in each class of the training texts, and how many are cut."""
    st.markdown("#### Tokens per word, by class")
    table = _per_class(dataset.fingerprint, max_tokens, dataset)
    high, low = table.iloc[table["ratio"].argmax()], table.iloc[table["ratio"].argmin()]
    st.caption(
        f"{plain(str(high['class']))} takes the most, {high['ratio']:.2f};"
        f" {plain(str(low['class']))} the fewest, {low['ratio']:.2f}. Of"
        f" {count(int(table['texts'].sum()), 'training texts')}, with MiniLM's vocabulary; special"
        " tokens are not counted."
    )
    chart_view.draw(
        charts.tokens_per_word(table, dataset.classes), key="tokens-per-word", twin=False
    )
    number = st.column_config.NumberColumn
    columns: tables.Columns = {
        "class": "Class",
        "texts": number("Texts", format="localized"),
        "words": number("Words, mean", format="%.1f"),
        "tokens": number("Tokens, mean", format="%.1f"),
        "ratio": number("Tokens per word", format="%.2f"),
        "cut": number(f"Cut at {max_tokens:,}", format="percent"),
    }
    tables.plain(table[list(columns)], key="tokens-per-word-table", columns=columns)


def draw_models(models: Sequence[Subject], text: str) -> None:
    """What each base model on offer is made of, and what it makes of the text."""
    st.markdown("#### The base models side by side")
    lines = [_about(subject, text) for subject in models]
    number = st.column_config.NumberColumn
    columns: tables.Columns = {
        "model": st.column_config.TextColumn("Model", width=210),
        "parameters": number("Parameters", format="compact"),
        "layers": "Layers",
        "width": number("Vector size d", help="How many numbers each token's vector has."),
        "positions": number("Most tokens", format="localized"),
        "vocabulary": number("Vocabulary", format="localized"),
        "tokens": number(
            "This text", help="Tokens of the text above, special ones included.", format="localized"
        ),
        "where": st.column_config.TextColumn("Where it is", width="medium"),
    }
    tables.plain(
        pd.DataFrame(lines), key="models-table", columns=columns, alt="Base models on offer"
    )
    shares = [line["tokens"] for line in lines if line["tokens"] is not None]
    if len(shares) < 2:
        st.caption("Only one of the tokenizers is on this machine.")
    for subject in models:
        if not subject.model.available:
            st.caption(f":material/cloud_off: {plain(subject.name)}: {plain(subject.model.reason)}")


def max_tokens_box(key: str = "max-tokens") -> int:
    """How many tokens are read."""
    chosen = st.number_input(
        "Max tokens",
        4,
        512,
        128,
        key=key,
        width=150,
        bind="query-params",
        help="Longer texts are cut here.",
    )
    return int(chosen or 128)


def _reading(cut: TokenCut) -> str:
    ratio = (cut.total - 2) / max(cut.words, 1)
    if cut.lost:
        share = per_cent(cut.lost / cut.total)
        return (
            f"The model reads {cut.read:,}; the last {count(cut.lost, 'tokens')} before [SEP] are"
            f" cut, {share} of the text.".replace("[", r"\[")
        )
    left = cut.max_tokens - cut.total
    padded = (
        f" In a batch padded to {cut.max_tokens:,}, {left:,} \\[PAD] with mask 0 would follow."
        if left
        else ""
    )
    return (
        f"{ratio:.2f} tokens per word. All of it is read, so the attention mask is 1"
        f" everywhere.{padded}"
    )


def _about(subject: Subject, text: str) -> dict[str, object]:
    shape = shape_of(subject.model)
    tokens = vocabulary = None
    try:
        tokenizer = _tokenizer(subject)
        tokens, vocabulary = len(tokenizer.encode(text).ids), tokenizer.get_vocab_size()
    except ModelUnavailable:  # the last column says why
        pass
    known = MODELS.get(subject.model.id)
    return {
        "model": subject.name,
        "parameters": shape.parameters if shape else (known.parameters if known else None),
        "layers": shape.layers if shape else None,
        "width": shape.hidden_size if shape else None,
        "positions": shape.max_positions if shape else None,
        "vocabulary": vocabulary,
        "tokens": tokens,
        "where": (
            subject.model.reason.partition(".")[0]
            if subject.model.available
            else "Not on this machine"
        ),
    }


def _tokenizer(subject: Subject) -> Tokenizer:
    """Raises ModelUnavailable."""
    if subject.model.folder is None:
        fix = (
            ""
            if not subject.model.available
            else "It is fetched when a run or Inside the model first uses it."
        )
        raise ModelUnavailable(subject.model.reason, fix)
    return _open(str(subject.model.folder), subject.model.revision, subject)


@st.cache_resource(max_entries=4, show_spinner=False)  # a few MB each
def _open(folder: str, revision: str, _subject: Subject) -> Tokenizer:
    assert _subject.model.folder
    return open_tokenizer(_subject.model.folder)


@st.cache_resource(max_entries=2, show_spinner="Looking through the words of the data…")
def _index(fingerprint: str, subject: str, _dataset: Dataset, _subject: Subject) -> PieceIndex:
    return PieceIndex(
        _tokenizer(_subject),
        stratified_sample(cache.rows(_dataset, "train"), INDEXED_TEXTS, 0)["text"],
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _per_class(fingerprint: str, max_tokens: int, _dataset: Dataset) -> pd.DataFrame:
    return tokens_per_word(cache.rows(_dataset, "train"), _dataset.classes, max_tokens)
