import numpy as np
import pytest

from jaxcnn.report import Row, contact_sheet, has_letters

GENERATOR = np.random.default_rng(0)


def images(n: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return GENERATOR.integers(0, 250, (n, height, width, channels), np.uint8)


@pytest.mark.parametrize(("height", "width", "times"), [(8, 8, 12), (32, 32, 3), (28, 30, 4), (100, 100, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_there_pixel_by_pixel(height: int, width: int, times: int, channels: int) -> None:
    rows = [Row("a", images(3, height, width, channels)), Row("a longer name", images(2, height, width, channels))]
    sheet = np.asarray(contact_sheet(rows, columns=("first", "second", "third")))
    left = 12 + sheet.shape[1] - 12 - 3 * (width * times + 6)
    for row, (_, pixels, _) in enumerate(rows):
        for column, image in enumerate(pixels):
            y, x = 6 + 17 + row * (height * times + 6), left + column * (width * times + 6)
            large = np.repeat(np.repeat(image, times, axis=0), times, axis=1)
            shown = sheet[y : y + height * times, x : x + width * times]
            np.testing.assert_array_equal(shown, np.broadcast_to(large, shown.shape))
    assert (sheet[:, :left].min(axis=2) < 100).any()  # the names, in black
    assert (sheet[: 6 + 17].min(axis=2) < 100).any()


def test_large_images_shrink_and_long_words_are_cut() -> None:
    sheet = contact_sheet([Row("x" * 500, images(2, 200, 400), ["caption " * 40, "two\nlines"])])
    assert sheet.width <= 12 + 200 + 2 * (160 + 6)
    assert sheet.height == 6 + 80 + 2 * 17 + 6


def test_names_in_any_script_are_drawn_or_boxed() -> None:
    assert contact_sheet([Row("größe 中文 🐈\u202e", images(1, 8, 8))]).mode == "RGB"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("T-shirt/top, 9 x 9", True),
        ("".join(map(chr, range(32, 127))), True),
        ("größe", False),
        ("кошка", False),
        ("猫", False),
        ("🐈", False),
        ("cat\u202e", False),
        ("two\nlines", False),
    ],
)
def test_letters_that_the_font_lacks_are_known(text: str, expected: bool) -> None:
    assert has_letters(text) == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "`rows` must hold images"),
        ([Row("a", images(0, 8, 8))], "`rows` must hold images"),
        ([Row("a", images(1, 8, 8, 2))], r"`a` has images of shape \(1, 8, 8, 2\) and type uint8; expected uint8 of"),
        ([Row("a", images(1, 8, 8).astype(float))], "type float64; expected uint8"),
    ],
)
def test_what_cannot_be_drawn(rows: list[Row], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        contact_sheet(rows)
