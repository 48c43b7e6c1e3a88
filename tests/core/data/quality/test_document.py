import pandas as pd

from core.data.quality.document import render_document
from core.data.quality.portrait import Section
from core.data.quality.report import Check, Finding, Report


def test_everything_from_the_data_is_escaped() -> None:
    attack = "<script>alert('1')</script>"
    report = Report(1, "0123456789ab", attack, 1, 1.0, (attack,), (Finding(Check.DEBRIS, 1, 0, attack),))
    section = Section(attack, attack, pd.DataFrame({attack: [attack]}))
    line = {
        "check": Check.DEBRIS.value,
        "split": attack,
        "row": 1,
        "class": attack,
        "competing class": None,
        "detail": attack,
        "score": 1.0,
    }

    page = render_document(report, pd.DataFrame([{**line, "text": attack}]), [section], (attack,))

    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;") == 12
    assert "src=" not in page and "href=" not in page


def test_without_an_index_it_says_what_is_left_out() -> None:
    report = Report(1, "0123456789ab", "pets", 1, 1.0, (), ())

    assert "the index of the texts is missing" in render_document(report, pd.DataFrame(), [])
