"""Broken files, each with words of its expected error message."""

import gzip
import io
import json
import pickle
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = [(f"the {word} number {i} of them", word) for i in range(12) for word in ("cat", "dog")]
CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("train.csv", CSV)
    return buffer.getvalue()


def parquet(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


WIDE = ",".join(f"c{i}" for i in range(20_000)) + "\n" + ",".join("1" for _ in range(20_000)) + "\n"

REFUSED: dict[
    str, tuple[str, bytes, str]
] = {  # a name for the case: file name, content, words of the message
    "empty": ("a.csv", b"", "is empty. Choose a file"),
    "blank": ("a.csv", b"\xef\xbb\xbf \n\n", "is empty"),
    "only zeros": ("a.csv", b"\x00" * 500, "is empty"),
    "gzip": ("a.csv", gzip.compress(CSV.encode()), "is compressed with gzip. Unpack it"),
    "renamed zip": ("a.csv", zipped(), "is a ZIP archive or an Excel workbook"),
    "pickle": ("a.csv", pickle.dumps({"text": ["a"]}), "is a Python pickle"),
    "old pickle": ("a.csv", pickle.dumps({"text": ["a"]}, protocol=2), "is a Python pickle"),
    "png": ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is a picture"),
    "bytes": ("a.csv", bytes(range(256)) * 40, "is not a text file"),
    "header only": ("a.csv", b"text,label\n", "has a header and no rows"),
    "20,000 columns": ("a.csv", WIDE.encode(), "has 20,000 columns; the limit is 1,000"),
    "mostly ragged": (
        "a.csv",
        b"text,label\n" + b"one, two, three,cat\n" * 9,
        "line 2: expected 2 cells separated by comma, found 4",
    ),
    "no objects": ("a.jsonl", b'{"text": \n{"text\n{]\n', "is not a JSON object"),
    "nested without end": ("a.json", b"[" * 100_000, "is not a JSON object"),
    "half a Parquet": (
        "a.parquet",
        parquet(text=["a"] * 50, label=["b"] * 50)[:150],
        "looks like Parquet but cannot be read",
    ),
    "only its mark": ("a.parquet", b"PAR1", "looks like Parquet but cannot be read"),
    "Parquet of lists": ("a.parquet", parquet(text=[[0.5], [1.5]]), "has no rows of plain values"),
    "Parquet without rows": (
        "a.parquet",
        parquet(text=pa.array([], pa.string())),
        "has no rows",
    ),
}

READ: dict[str, tuple[str, bytes]] = {  # the same 24 rows each time
    "UTF-8": ("a.csv", CSV.encode()),
    "BOM": ("a.csv", CSV.encode("utf-8-sig")),
    "UTF-16": ("a.csv", CSV.encode("utf-16")),
    "UTF-16 without a mark": ("a.csv", CSV.encode("utf-16-be")),
    "UTF-32": ("a.csv", CSV.encode("utf-32")),
    "semicolons": ("a.csv", CSV.replace(",", ";").encode()),
    "tabs": ("a.tsv", CSV.replace(",", "\t").encode()),
    "bars": ("a.txt", CSV.replace(",", "|").encode()),
    "Windows lines": ("a.csv", CSV.replace("\n", "\r\n").encode()),
    "old Mac lines": ("a.csv", CSV.replace("\n", "\r").encode()),
    "blank lines": ("a.csv", CSV.replace("\n", "\n\n").encode()),
    "zeros": ("a.csv", CSV.replace("number", "num\0ber").encode()),
    "no last line end": ("a.csv", CSV.rstrip().encode()),
    "quoted": (
        "a.csv",
        ("text,label\n" + "".join(f'"{text}","{label}"\n' for text, label in ROWS)).encode(),
    ),
    "no header": ("a.csv", CSV.partition("\n")[2].encode()),
    "JSON lines": (
        "a.jsonl",
        "\n".join(json.dumps({"text": text, "label": label}) for text, label in ROWS).encode(),
    ),
    "a JSON list": (
        "a.json",
        json.dumps([{"text": text, "label": label} for text, label in ROWS]).encode(),
    ),
    "Parquet": (
        "a.parquet",
        parquet(text=[text for text, _ in ROWS], label=[label for _, label in ROWS]),
    ),
    "Parquet by another name": (
        "a.csv",
        parquet(text=[text for text, _ in ROWS], label=[label for _, label in ROWS]),
    ),
}
