from core.data.tables.read_report import ReadReport


def test_each_reason_has_its_lines_and_all_rows_are_counted() -> None:
    report = ReadReport(rows_kept=5)

    report.leave_out("empty row", 3)
    report.leave_out("wrong number of cells", 4)
    report.leave_out("empty row", 9)

    assert [(item.reason, item.lines) for item in report.left_out] == [
        ("empty row", [3, 9]),
        ("wrong number of cells", [4]),
    ]
    assert (report.rows, report.count("empty row")) == (8, 2)
