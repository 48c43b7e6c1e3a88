"""Synthetic verifications of exports."""

from core.transfer.export.formats import Format, Verification


def make_verification(**changes: object) -> Verification:
    """Build a passed verification with ``changes``."""
    usual = {
        "format": Format.MERGED,
        "texts": 200,
        "labels_equal": 200,
        "max_probability_difference": 1e-6,
        "differs_from_base": 0.4,
    }
    return Verification.model_validate(
        {**usual, "bytes": 1, "rows_per_second": 1, "run_rows_per_second": 1, **changes}
    )
