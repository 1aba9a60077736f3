"""What is told of an error."""

import pytest

from sightline.runtime.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("the server is gone\n\tThis probably means\n"), "the server is gone"),
        (ValueError("\n  LINE 1\n"), "LINE 1"),
        (TimeoutError(), "TimeoutError"),
    ],
)  # fmt: skip
def test_it_is_one_line_even_where_libraries_say_more_or_nothing(
    error: Exception, line: str
) -> None:
    assert first_line(error) == line
