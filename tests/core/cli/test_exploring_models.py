import json

import pytest

from tests.support.command_line import run


def call(*arguments: str) -> tuple[int, str, str]:
    result = run(*arguments)
    return result.exit_code, result.stdout, result.stderr


def test_tokens_are_listed_with_ids_and_what_is_cut() -> None:
    code, out, _ = call("tokens", "Tokenization helps a lot", "--max-tokens", "5", "--json")
    outcome = json.loads(out)

    assert code == 0
    assert [token["piece"] for token in outcome["pieces"]] == [
        "[CLS]",
        "token",
        "##ization",
        "helps",
        "a",
        "lot",
        "[SEP]",
    ]
    assert (outcome["tokens"], outcome["read"], outcome["cut"], outcome["pieces"][0]["id"]) == (
        7,
        5,
        2,
        101,
    )


def test_tokens_of_a_model_that_is_not_here_say_what_to_do() -> None:
    code, _, error = call("tokens", "text", "--model", "distilbert")

    assert code == 1
    assert error.startswith("Error: The Hub cannot be reached")


@pytest.mark.parametrize(
    "wrong", [["--method", "magic"], ["--split", "no"], ["--rows", "3"], ["--seed", "-1"]]
)
def test_a_map_that_makes_no_sense_is_refused_in_a_sentence(wrong: list[str]) -> None:
    code, _, error = call("embed", *wrong)

    assert code == 1
    assert "Error: " in error and "Traceback" not in error


def test_a_map_of_no_run_says_so() -> None:
    code, _, error = call("embed", "--run", "unknown")

    assert code == 1
    assert "There is no run 'unknown'." in error
