"""Text of a page in ``AppTest``: its titles, prose and messages, every string of every element, and
which strings a browser reads as Markdown.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

# Fields whose content Streamlit hands to its Markdown reader; options of selectboxes and tables are
# drawn as they are.
MARKDOWN = frozenset(
    {"body", "label", "help", "text", "caption", "captions", "content", "delta", "message", "title"}
)
COLUMN = "column"  # field of a column's name, which a label in the column configuration replaces
AS_IT_IS = frozenset({"text", "code", "json"})  # st.text, st.code


def page_text(app: AppTest) -> str:
    """Return titles, prose and messages without the backslashes that escape Markdown; no labels, no
    tables.
    """
    elements = [
        *app.title,
        *app.subheader,
        *app.markdown,
        *app.caption,
        *app.info,
        *app.success,
        *app.warning,
        *app.error,
        *app.toast,
        *app.code,
    ]
    return " ".join(str(element.value) for element in elements).replace("\\", "")


def unstyled_page_text(app: AppTest) -> str:
    """``page_text`` without the asterisks of bold and italic text."""
    return page_text(app).replace("*", "")


def sound_page_text(app: AppTest) -> str:
    """Return ``page_text``; fail if the page raised an exception."""
    assert not app.exception, app.exception
    return page_text(app)


def elements(app: AppTest) -> Iterator[tuple[str, Message]]:
    """Yield kind and message of each element and container."""
    nodes: list[Any] = [app._tree]
    while nodes:
        node = nodes.pop()
        nodes += list(getattr(node, "children", {}).values())
        proto = getattr(node, "proto", None)
        if isinstance(proto, Message):
            yield str(node.type), proto


def strings(message: Message, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield field and content of every string of the message, of the cells of its tables and of
    other bytes.
    """
    for field, value in message.ListFields():
        for item in (
            value
            if getattr(field, "is_repeated", False)
            or isinstance(value, list | tuple)
            or hasattr(value, "add")
            else [value]
        ):
            if isinstance(item, Message):
                yield from strings(item, field.name)
            elif isinstance(item, bytes):
                yield from strings_of_bytes(field.name, item)
            elif isinstance(item, str):
                yield field.name, item


def strings_of_bytes(name: str, content: bytes) -> Iterator[tuple[str, str]]:
    """Yield column names and cells of a table in Arrow's stream format, or the decoded bytes."""
    try:
        table = pa.ipc.open_stream(content).read_all()
    except pa.ArrowInvalid:
        yield name, content.decode(errors="replace")
        return
    for column, cells in zip(table.column_names, table.columns, strict=True):
        yield COLUMN, column
        for cell in cells.to_pylist():
            yield name, str(cell)


def all_of(app: AppTest) -> Iterator[str]:
    """Yield every string sent to the browser."""
    for _, message in elements(app):
        for _, value in strings(message):
            yield value


def markdown_of(app: AppTest) -> Iterator[tuple[str, str]]:
    """Yield the kind of each element with the texts that it renders as Markdown."""
    for kind, message in elements(app):
        if kind in AS_IT_IS:
            continue
        for name, value in strings(message):
            if name in MARKDOWN or (kind == "radio" and name == "options"):
                yield f"{kind}.{name}", value
