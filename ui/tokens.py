"""The Tokens page: the tokens of a text, of a word and per class, and a comparison of models."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from tokenizers import Tokenizer

from core import charts
from core.data.dataset import Dataset
from core.data.tokenizer import (
    TokenCut,
    TokenIndex,
    cut_text,
    open_tokenizer,
    read_truncation_side,
    tokens_per_word,
    view_word,
)
from core.errors import ModelUnavailable
from core.models.catalog import MODELS, shape_of
from core.translation import localize, mark, translate, translate_plural, translate_recorded
from ui.text import capitalize, format_per_cent, plain
from ui.widgets import chart_view, tables
from ui.widgets.inspection import Subject

INDEXED_TEXTS = 5_000  # takes about a second, once; enough to cover frequent words
LOOKED_UP = "tokenization"
HOW_TO_READ = mark("""\
- **Tokens.** The model has a fixed vocabulary. A frequent word is one token; a rare word is split
  into several, and a token that continues a word starts with `##`. Text that no token matches
  becomes `[UNK]`.
- **Ids** are the positions of the tokens in the vocabulary: all that the model reads of a text.
  A lower id usually means a more frequent token.
- **Special tokens.** `[CLS]` comes first; its vector represents the whole text in the head.
  `[SEP]` ends the text. Both count toward max tokens. `[PAD]` fills shorter texts of a batch up
  to the longest.
- **Attention mask**: 1 where there is text, 0 on `[PAD]`, which every layer ignores.
- **Truncation**: the end of the text beyond max tokens is dropped, `[SEP]` stays. The model never
  reads the rest, in training or in use.
- **Tokens per word** near 1 means that the vocabulary fits the language of the texts. Much more
  means longer, slower inputs, and names or languages that the model has rarely seen.
""")


def draw_tokens(subject: Subject, text: str, max_tokens: int) -> None:
    """Draw the number of tokens, each token with its id, and a table of them."""
    if not text.strip():
        st.info(translate("Enter a text, or use a row of the data."), icon=":material/edit:")
        return
    tokenizer = _tokenizer(subject)
    side = read_truncation_side(subject.model.folder) if subject.model.folder else "right"
    cut = cut_text(tokenizer, text, max_tokens, side)
    tokens = translate_plural("{n:,} token", "{n:,} tokens", cut.total)
    words = translate_plural("{n:,} word", "{n:,} words", cut.words)
    st.subheader(translate("{tokens} for {words}", tokens=tokens, words=words), anchor=False)
    st.caption(_reading(cut))
    chart = charts.draw_token_tiles(cut.table, translate("Tokens and their ids"))
    chart_view.draw(chart, key="pieces", twin=False)
    if chart.note:
        st.caption(chart.note)
    with st.expander(
        translate("Ids, special tokens and attention mask as a table"),
        key="pieces-table-fold",
        icon=":material/table:",
    ):
        shown = cut.table[["position", "token", "id", "kind", "mask"]].assign(
            kind=cut.table["kind"].map(translate),
            mask=cut.table["mask"].where(cut.table["kept"]),
        )
        columns: tables.Columns = {
            "position": translate("position"),
            "token": translate("token"),
            "id": "id",
            "kind": translate("kind"),
            "mask": st.column_config.NumberColumn(
                translate("attention mask"),
                help=translate("Empty: truncated, the model never reads it."),
            ),
        }
        tables.draw_plain(
            shown, key="pieces-table", columns=columns, alt=translate("Tokens of the text")
        )


def draw_word(subject: Subject, dataset: Dataset | None) -> None:
    """Draw the tokens of a word, and the vocabulary entries and words that share them."""
    st.markdown(f"#### {translate('A word in the vocabulary')}")
    word = st.text_input(
        translate("Word"), LOOKED_UP, key="word", max_chars=100, bind="query-params", width=340
    )
    if not word.strip():
        st.caption(translate("Enter a word to see its tokens."))
        return
    index = None
    if dataset:
        with st.spinner(translate("Indexing the words of the data…")):
            index = _index(dataset.fingerprint, subject.key, dataset, subject)
    view = view_word(_tokenizer(subject), word, index)
    sentence = translate_plural(
        "**{word}** is one token.",
        "**{word}** is {n:,} tokens.",
        len(view.tokens),
        word=plain(view.word),
    )
    if view.unknown:
        unknown = translate(
            "Part of it is unknown: the model reads {token} instead.", token="[UNK]"
        )
        sentence += f" {plain(unknown)}"
    st.markdown(sentence)
    lines = [
        {
            "token": token,
            "id": number,
            "entries": ", ".join(view.entries[token]) or translate("none"),
            "words": ", ".join(view.sharing[token]) or translate("none"),
        }
        for token, number in zip(view.tokens, view.ids, strict=True)
    ]
    columns: tables.Columns = {
        "token": st.column_config.TextColumn(translate("Token"), width=110),
        "id": st.column_config.NumberColumn("Id", width=70),
        "entries": st.column_config.TextColumn(
            translate("Longer entries with this prefix"), width="medium"
        ),
        "words": st.column_config.TextColumn(
            translate("Words of your data with this token"), width="medium"
        ),
    }
    tables.draw_plain(
        pd.DataFrame(lines),
        key="word-table",
        columns=columns,
        alt=translate("Tokens of the word, and entries and words that share them"),
    )


def draw_classes(dataset: Dataset, max_tokens: int) -> None:
    """Draw tokens per word in each class of the training texts, and the proportion truncated."""
    st.markdown(f"#### {translate('Tokens per word, by class')}")
    table = _per_class(dataset.fingerprint, max_tokens, dataset)
    high, low = table.iloc[table["ratio"].argmax()], table.iloc[table["ratio"].argmin()]
    st.caption(
        translate(
            "{high} has the most, {most:.2f}; {low} the fewest, {fewest:.2f}. Computed on {n:,}"
            " training texts with MiniLM's vocabulary, without special tokens.",
            high=plain(str(high["class"])),
            most=high["ratio"],
            low=plain(str(low["class"])),
            fewest=low["ratio"],
            n=int(table["texts"].sum()),
        )
    )
    key = dataset.fingerprint, dataset.classes, "tokens per word", max_tokens
    chart = chart_view.share(key, lambda: charts.draw_tokens_per_word(table, dataset.classes))
    chart_view.draw(chart, key="tokens-per-word", twin=False)
    number = st.column_config.NumberColumn
    columns: tables.Columns = {
        "class": capitalize(translate("class")),
        "texts": number(translate("Texts"), format="localized"),
        "words": number(translate("Words, mean"), **tables.decimals(1)),
        "tokens": number(translate("Tokens, mean"), **tables.decimals(1)),
        "ratio": number(translate("Tokens per word"), **tables.decimals(2)),
        "cut": number(translate("Truncated at {limit:,}", limit=max_tokens), **tables.per_cent()),
    }
    shown = tables.share(key, lambda: table[list(columns)])
    tables.draw_plain(shown, key="tokens-per-word-table", columns=columns)


def draw_models(models: Sequence[Subject], text: str) -> None:
    """Draw the size of each offered base model, and its tokens of the text."""
    st.markdown(f"#### {translate('Base models side by side')}")
    lines = [_about(subject, text) for subject in models]
    number = st.column_config.NumberColumn
    columns: tables.Columns = {
        "model": st.column_config.TextColumn(translate("Model"), width=160),
        "parameters": number(translate("Parameters"), format="compact"),
        "layers": translate("Layers"),
        "width": number(
            translate("Vector size d"), help=translate("Dimensions of each token's vector.")
        ),
        "positions": number(translate("Token limit"), format="localized"),
        "vocabulary": number(translate("Vocabulary"), format="localized"),
        "tokens": number(
            translate("This text"),
            help=translate("Tokens of the text above, including special tokens."),
            format="localized",
        ),
        "where": st.column_config.TextColumn(translate("Location"), width="medium"),
    }
    tables.draw_plain(
        pd.DataFrame(lines),
        key="models-table",
        columns=columns,
        alt=translate("Offered base models"),
    )
    shares = [line["tokens"] for line in lines if line["tokens"] is not None]
    if len(shares) < 2:
        st.caption(translate("Only one of the tokenizers is on this machine."))
    for subject in models:
        if not subject.model.available:
            st.caption(
                f":material/cloud_off: {plain(subject.name)}:"
                f" {plain(translate_recorded(subject.model.reason))}"
            )


def max_tokens_box(key: str = "max-tokens") -> int:
    """Draw the input of max tokens and return its value."""
    chosen = st.number_input(
        translate("Max tokens"),
        4,
        512,
        128,
        key=key,
        width=150,
        bind="query-params",
        help=translate("Longer texts are truncated."),
    )
    return int(chosen or 128)


def _reading(cut: TokenCut) -> str:
    if cut.lost:
        sentence = translate_plural(
            "The model reads {read:,} tokens; the last token before [SEP] is truncated, {share} of"
            " the text.",
            "The model reads {read:,} tokens; the last {n:,} tokens before [SEP] are truncated,"
            " {share} of the text.",
            cut.lost,
            read=cut.read,
            share=localize(format_per_cent(cut.lost / cut.total)),
        )
        return plain(sentence)
    sentence = translate(
        "{ratio:.2f} tokens per word. The whole text is read, so the attention mask is 1"
        " everywhere.",
        ratio=(cut.total - 2) / max(cut.words, 1),
    )
    if left := cut.max_tokens - cut.total:
        padded = translate(
            "In a batch padded to {limit:,}, {left:,} [PAD] with mask 0 would follow.",
            limit=cut.max_tokens,
            left=left,
        )
        sentence += f" {padded}"
    return plain(sentence)


def _about(subject: Subject, text: str) -> dict[str, object]:
    shape = shape_of(subject.model)
    tokens = vocabulary = None
    try:
        tokenizer = _tokenizer(subject)
        tokens, vocabulary = len(tokenizer.encode(text).ids), tokenizer.get_vocab_size()
    except ModelUnavailable:  # the last column gives the reason
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
            translate_recorded(subject.model.reason).partition(".")[0]
            if subject.model.available
            else translate("Not on this machine")
        ),
    }


def _tokenizer(subject: Subject) -> Tokenizer:
    """Open the subject's tokenizer. Raises ModelUnavailable."""
    if subject.model.folder is None:
        fix = (
            ""
            if not subject.model.available
            else mark("It is downloaded when a run or Inside the model first uses it.")
        )
        raise ModelUnavailable(subject.model.reason, fix)
    return _open(str(subject.model.folder), subject.model.revision, subject)


@st.cache_resource(max_entries=4, show_spinner=False)  # a few MB each
def _open(folder: str, revision: str, _subject: Subject) -> Tokenizer:
    assert _subject.model.folder
    return open_tokenizer(_subject.model.folder)


@st.cache_resource(max_entries=2, show_spinner=False)
def _index(fingerprint: str, subject: str, _dataset: Dataset, _subject: Subject) -> TokenIndex:
    return TokenIndex(
        _tokenizer(_subject),
        _dataset.draw_sample("train", INDEXED_TEXTS, 0)["text"],
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _per_class(fingerprint: str, max_tokens: int, _dataset: Dataset) -> pd.DataFrame:
    rows = _dataset.read("train", ["label", "words", "tokens"])
    return tokens_per_word(rows, _dataset.classes, max_tokens)
