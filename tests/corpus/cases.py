"""All cases of the corpus."""

from tests.corpus import (
    dumps,
    encodings,
    exports,
    headers,
    hidden,
    json_files,
    labels,
    oddities,
    parquet_types,
    quotes,
    ragged,
    separators,
    several,
    shapes,
    sheets,
    texts,
    tools,
)
from tests.corpus.case import Case

CASES: list[Case] = [
    *labels.CASES,
    *texts.CASES,
    *quotes.CASES,
    *ragged.CASES,
    *separators.CASES,
    *headers.CASES,
    *encodings.CASES,
    *json_files.CASES,
    *exports.CASES,
    *hidden.CASES,
    *parquet_types.CASES,
    *shapes.CASES,
    *several.CASES,
    *tools.CASES,
    *sheets.CASES,
    *oddities.CASES,
    *dumps.CASES,
]
