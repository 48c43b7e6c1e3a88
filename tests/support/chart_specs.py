"""Readers of the spec of a chart."""


def list_fields(value: object) -> set[str]:
    """List the fields that the encodings of a spec read."""
    if isinstance(value, list):
        return set().union(*map(list_fields, value))
    if not isinstance(value, dict):
        return set()
    own = {value["field"]} if isinstance(value.get("field"), str) else set()
    return own.union(*(list_fields(item) for item in value.values()))
