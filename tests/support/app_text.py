"""The text that a page shows in ``AppTest``: titles, prose and messages; not the labels of widgets,
nor tables.
"""

from streamlit.testing.v1 import AppTest


def page_text(app: AppTest) -> str:
    """All of it, without the backslashes that escape Markdown."""
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
    """``page_text`` of a page that raised no exception; fails where it did."""
    assert not app.exception, app.exception
    return page_text(app)
