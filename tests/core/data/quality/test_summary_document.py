import pandas as pd

from core.data.quality.findings import Check, DataFinding, QualityReport
from core.data.quality.summary import SummarySection, render_document


def test_everything_from_the_data_is_escaped() -> None:
    attack = "<script>alert('1')</script>"
    report = QualityReport(
        1, "0123456789ab", attack, 1, 1.0, (attack,), (DataFinding(Check.DEBRIS, 1, 0, attack),)
    )
    section = SummarySection(attack, attack, pd.DataFrame({attack: [attack]}))
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
    report = QualityReport(1, "0123456789ab", "pets", 1, 1.0, (), ())

    assert "there is no text index" in render_document(report, pd.DataFrame(), [])
