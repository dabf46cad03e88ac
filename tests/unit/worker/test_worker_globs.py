"""Which names a pattern means: glob(7)."""

import pytest

from gridcwl.worker.globs import BadGlob, parse


@pytest.mark.parametrize(
    ("pattern", "name", "means"),
    [
        ("*.txt", "a.txt", True),
        ("*.txt", ".a.txt", False),
        (".*", ".a", True),
        ("*", "a\nb", True),
        ("*", "non-utf8-\udcff", True),
        ("?", "a", True),
        ("?", ".", False),
        ("a[0-9]", "a5", True),
        ("a[!0-9]", "a5", False),
        ("a[^0-9]", "ax", True),
        ("a[]x]", "a]", True),
        ("a[z-a]", "am", False),
        ("[[:digit:]x]", "7", True),
        ("[[:digit:]x]", "y", False),
        ("a[b", "a[b", True),
        ("a[", "a[", True),
        (r"\*", "*", True),
        (r"\*", "x", False),
        ("a+(b)", "a+(b)", True),
        ("a.b", "axb", False),
        ("**", "a", True),
        ("[a&&b]", "&", True),
        ("[a-]", "-", True),
    ],
)
def test_a_pattern_means_a_name_or_not(pattern, name, means):
    (part,) = parse(pattern, "/gridcwl/out").parts

    assert part.matches(name) is means


@pytest.mark.parametrize("pattern", ["a/b", "./a//b", "/gridcwl/out/a/b"])
def test_a_path_has_parts(pattern):
    assert [part.literal for part in parse(pattern, "/gridcwl/out").parts] == ["a", "b"]


@pytest.mark.parametrize("pattern", [".", "./", "/gridcwl/out", "/gridcwl/out/"])
def test_the_output_directory_itself_has_none(pattern):
    assert parse(pattern, "/gridcwl/out").parts == []


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../x", "a/../../x", "/gridcwl/outer"])
def test_a_pattern_that_leads_out_is_refused(pattern):
    with pytest.raises(BadGlob, match="leads out of the output directory"):
        parse(pattern, "/gridcwl/out")
