"""The report in a real browser: drawn on with mouse, finger and keyboard, and compared with Python.

Chromium is the machine's own (Debian's package ``chromium``), driven by Playwright (the extra
``browser``). Where one of them is absent the tests skip and say so; ``GPULR_REQUIRE_BROWSER=1``
makes that a failure. Screenshots are kept in the folder that ``GPULR_SCREENSHOTS`` names.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpulr
from gpulr.images.strokes import PEN, SPAN, draw
from gpulr.logistic import sigmoid
from gpulr.reporting.words import LONGEST_NAME
from gpulr.show.labels import label_texts, shortened_apart

pytestmark = pytest.mark.browser

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
STROKES = Path(__file__).parents[1] / "strokes"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def absent(reason):
    required = os.environ.get("GPULR_REQUIRE_BROWSER", "").strip() not in ("", "0")
    (pytest.fail if required else pytest.skip)(f"no browser to test the report in: {reason}")


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent('Playwright is not installed: python -m pip install ".[browser]"')
    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if executable is None:
        absent(f"none of {', '.join(EXECUTABLES)} is on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Write a report and open it; afterwards, nothing was complained of, asked for or popped up."""
    contexts, wrong = [], []

    def opened(*arguments, **options):
        path = tmp_path / "report.html"
        if len(arguments) > 1 or not isinstance(arguments[0], Path):
            gpulr.report(arguments[0], path, *arguments[1:])
        else:  # a page that is there
            (path,) = arguments
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on(
            "request",
            lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url),
        )
        page.goto(path.as_uri())
        page.wrong = wrong
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def data():
    return gpulr.datasets.load_digits()


def enlarged(X):
    """Return digits as 28×28 bytes, 24×24 of them drawn."""
    images = np.kron(X.reshape(-1, 8, 8), np.ones((1, 3, 3)))
    return (255 * np.pad(images, ((0, 0), (2, 2), (2, 2)))).round().astype(np.uint8)


@pytest.fixture(scope="module")
def model(data):
    """Ten models of 28×28 pixels."""
    return gpulr.train(enlarged(data.X), data.y, C=0.1)


def recorded(digit):
    return json.loads((STROKES / f"{digit}.json").read_text())["strokes"]


def python_probabilities(model, row):
    """Return what predict_proba does, in float64."""
    W, b = model.weights.astype(np.float64), model.intercept
    if model.center is not None:
        row, b = row - model.center, model.intercept_at_center
    return sigmoid(row @ W + b)


def expect_text(page, selector, text):
    """Wait for text; Page.wait_for_function would need eval, which the policy forbids."""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_have_text(text, timeout=5000)


def shown(page):
    """Return the names and the probabilities that stand beside the bars."""
    expect_text(page, "#spoken", re.compile("."))
    names = page.locator("#bars .name").all_text_contents()
    values = page.locator("#bars .value").all_text_contents()
    return names, [float(value) for value in values]


def agree(page, model):
    """Check pixels and probabilities of what is on the canvas against Python; return both."""
    row = draw(page.evaluate("gpulr.strokes"), model)
    span = np.diff(model.data["feature_range"])[0]
    np.testing.assert_allclose(page.evaluate("gpulr.row"), row, rtol=0, atol=1e-9 * span)
    P = python_probabilities(model, row)
    np.testing.assert_allclose(page.evaluate("gpulr.probabilities"), P, rtol=0, atol=1e-9)
    return row, P


def places(box, stroke):
    """Return where points of a stroke are on the screen."""
    scale = box["width"] / 280
    return [(box["x"] + x * scale, box["y"] + y * scale) for x, y in stroke]


def put(page, strokes):
    page.evaluate("strokes => gpulr.draw(strokes)", strokes)


def best(page):
    return page.locator("#best").text_content()


def drawn_with_mouse(page, strokes):
    box = page.locator("#canvas").bounding_box()
    for stroke in strokes:
        first, *others = places(box, stroke)
        page.mouse.move(*first)
        page.mouse.down()
        for place in others:
            page.mouse.move(*place)
        page.mouse.up()


@pytest.mark.parametrize("digit", [3, 7])
def test_a_digit_as_it_was_recorded_and_drawn_with_the_mouse(opened, model, digit):
    page = opened(model)
    put(page, recorded(digit))
    assert page.evaluate("gpulr.strokes") == recorded(digit)
    assert agree(page, model)[1].argmax() == digit
    put(page, [])
    drawn_with_mouse(page, recorded(digit))
    row, P = agree(page, model)
    expect_text(page, "#spoken", re.compile(f"^{digit}, p = {P.max():.3f}; next "))
    names, values = shown(page)
    assert names == [str(k) for k in range(10)]
    np.testing.assert_allclose(values, P, rtol=0, atol=0.5001e-3)
    assert best(page) == str(digit) == str(model.predict(row[None])[0])
    assert page.locator("#bars .best .name").all_text_contents() == [str(digit)]
    points = np.concatenate([np.array(stroke) for stroke in page.evaluate("gpulr.strokes")])
    assert np.abs(points[0] - recorded(digit)[0][0]).max() < 1.5
    widths = "[...document.querySelectorAll('#bars .fill')].map(e => e.style.transform)"
    assert len(set(page.evaluate(widths))) == 10


def models(data, rng):
    X, y = data.X, data.y
    Y, size = y[:, None] % [2, 3, 5] == 0, np.where(y > 4, "large", "small")
    few = {"max_iter": 15, "tol": 0}
    letters = np.array([chr(ord("a") + k) for k in range(26)])
    wide = rng.random((60, 12, 30)).astype(np.float32)
    return {
        "8×8": (several := gpulr.train(data, **few)),
        "dark on bright": gpulr.train(255 - enlarged(X)[:500], y[:500], **few),
        "standardised": gpulr.train(enlarged(X)[:500], y[:500], standardize=True, **few),
        "float64": gpulr.train(data, dtype="float64", **few),
        "not square": gpulr.train(wide, np.arange(60) % 4, **few),
        "26 classes": gpulr.train(enlarged(X)[:520], letters[np.arange(520) % 26], **few),
        "two classes": (two := gpulr.train(X, size, image_shape=(8, 8), **few)),
        "several labels": (labels := gpulr.train(X, Y, image_shape=(8, 8), **few)),
        "thresholds": replace(several, thresholds=np.array([*range(-4, 5), np.inf])),
        "labels' thresholds": replace(labels, thresholds=np.array([-2.0, 2.0, np.inf])),
        "two classes' threshold": replace(two, thresholds=np.array([3.0])),
    }


def test_every_kind_of_model_agrees_with_python(opened, data, rng):
    for name, model in models(data, rng).items():
        page = opened(model)
        height, width = page.evaluate("JSON.parse(document.getElementById('model').text).paper")
        for n_strokes, size in ((1, 1.0), (3, 1.0), (2, 0.3), (1, 0.03)):
            points = [rng.random((rng.integers(1, 9), 2)) for _ in range(n_strokes)]
            put(page, [(size * stroke * [width, height]).tolist() for stroke in points])
            row, P = agree(page, model)
        names, values = shown(page)
        P = np.array([1 - P[0], P[0]]) if model.n_models == 1 else P
        assert len(names) == len(P) == len(model.classes), name
        np.testing.assert_allclose(values, P, rtol=0, atol=0.5001e-3)
        (said,) = model.predict(row[np.newaxis])
        if not model.multilabel:
            assert best(page) == str(said)
        else:
            found = [] if best(page) == "none" else best(page).split(", ")
            assert sorted(found) == [str(k) for k in np.flatnonzero(said)]
        page.context.close()


def test_a_small_digit_is_read_while_it_is_drawn(opened, model):
    page = opened(model)
    drawn_with_mouse(page, [[(8 + x / 6, 200 + y / 6) for x, y in s] for s in recorded(3)])
    assert agree(page, model)[1].argmax() == 3
    drawn_with_mouse(page, [[(240.0, 20.0), (250.0, 30.0)]])  # large now: nothing is enlarged
    agree(page, model)
    page.get_by_role("button", name="Undo").click()
    assert agree(page, model)[1].argmax() == 3


def test_a_finger(opened, model):
    page = opened(model, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    touch_action = "getComputedStyle(document.getElementById('canvas')).touchAction"
    assert page.evaluate(touch_action) == "none"
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    touch = page.context.new_cdp_session(page)
    before = page.evaluate("scrollY")
    for stroke in recorded(7):
        for k, place in enumerate(places(box, stroke)):
            point = dict(zip("xy", place, strict=True))
            kind = "touchMove" if k else "touchStart"
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    agree(page, model)
    assert best(page) == "7"
    assert page.evaluate("scrollY") == before


def test_the_keyboard(opened, model):
    page = opened(model)
    page.locator("#canvas").focus()
    keys = page.keyboard
    for key in [*["ArrowLeft"] * 6, *["ArrowUp"] * 8, "Space", *["ArrowRight"] * 11]:
        keys.press(key)
    for _ in range(16):
        keys.press("ArrowDown")
        keys.press("Shift+ArrowLeft")
    assert page.locator("#pen").text_content() == "pen down"
    keys.press("Space")
    keys.press("ArrowRight")
    _, P = agree(page, model)
    (stroke,) = page.evaluate("gpulr.strokes")
    assert [stroke[0], stroke[11], stroke[-1]] == [[80, 60], [190, 60], [158, 220]]
    assert best(page) == str(P.argmax())
    keys.press("Space")
    keys.press("u")
    assert page.evaluate("gpulr.strokes.length") == 1
    keys.press("Delete")
    assert page.evaluate("gpulr.strokes.length") == 0
    assert best(page) == ""
    keys.press("Space")
    keys.press("Escape")
    assert page.evaluate("gpulr.strokes.length") == 0
    reached = []
    for _ in range(14):
        keys.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", reached
    assert reached[:12] == ["Clear", "Undo", *map(str, range(10))]


def test_buttons(opened, model):
    page = opened(model)
    page.get_by_role("button", name="Example of a 3").click()
    expect_text(page, "#best", "3")
    agree(page, model)
    drawn_with_mouse(page, [[(10.0, 10.0), (20.0, 10.0)]])
    page.get_by_role("button", name="Undo").click()
    assert best(page) == "3"
    page.get_by_role("button", name="Clear").click()
    assert best(page) == ""
    assert page.locator("#hint").is_visible()
    assert page.evaluate("gpulr.probabilities") is None


def test_hostile_labels(opened, data):
    labels = np.array([HOSTILE, *(f"\"'><b>{k}&amp;" for k in range(9))])
    model = gpulr.train(data.X, labels[data.y], image_shape=(8, 8), max_iter=20, tol=0)
    page = opened(model, data.X_test, labels[data.y_test])
    put(page, recorded(3))
    names, _ = shown(page)
    full = label_texts(model.classes, LONGEST_NAME)
    assert names == shortened_apart(full, 13)
    titles = "all => all.map(e => e.title)"
    assert page.locator("#bars .name").evaluate_all(titles) == full
    assert page.locator("script").count() == 3
    assert page.locator("b b").count() == 0
    assert not page.evaluate("[...document.images].some(image => !image.src.startsWith('data:'))")


def test_the_policy_forbids_other_code(opened, model):
    page = opened(model)
    ran = page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.head.append(script);
            const box = document.createElement("div");
            box.innerHTML = "<p style='color: rgb(1, 2, 3)' onclick='window.ran = true'>x</p>";
            document.body.append(box);
            box.firstChild.click();
            return [Boolean(window.ran), getComputedStyle(box.firstChild).color];
        }"""
    )
    assert ran[0] is False
    assert ran[1] != "rgb(1, 2, 3)"
    complaints = [text for text in page.wrong if "Content Security Policy" in text]
    assert len(complaints) == len(page.wrong) == 3
    page.wrong.clear()


def test_pages_without_a_canvas(opened, rng, blobs):
    X, y = blobs
    page = opened(gpulr.train(X, y), X, y)
    assert page.locator("canvas").count() == 0
    assert "canvas" not in page.locator("header").text_content()  # nobody misses it
    X = np.repeat(np.abs(X)[:, :1], 48, axis=1)
    page = opened(gpulr.train(X, y, image_shape=(4, 4, 3)), X, y)
    assert "its images are not grey" in page.locator("header").text_content()


@pytest.mark.parametrize("kind", ["two", "many", "labels"])
def test_values_of_a_row_are_moved(opened, data, rng, kind):
    model, X, y = some_page(kind, data, rng)
    page = opened(model, X, y)

    def check():
        P = python_probabilities(model, np.array(page.evaluate("gpulr.row")))
        np.testing.assert_allclose(page.evaluate("gpulr.probabilities"), P, rtol=0, atol=1e-6)
        p = np.append(1 - P, P) if kind == "two" else P
        values = [float(each) for each in page.locator("#bars .value").all_text_contents()]
        expected = np.sort(p)[::-1][: len(values)]
        np.testing.assert_allclose(np.sort(values)[::-1], expected, atol=5.1e-4)
        return P

    about = page.locator("#from option").all_text_contents()
    page.locator("#from").select_option(index=len(about) - 1)
    row = page.evaluate("gpulr.row")
    place = int(re.search(r"row (\d+)", about[-1])[1])
    np.testing.assert_allclose(row, X[place], rtol=1e-6)
    before = check()
    slider = page.locator("#features input").first
    slider.focus()
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    after, moved = check(), np.subtract(page.evaluate("gpulr.row"), row)
    (feature,) = np.flatnonzero(moved)
    weight = model.weights[feature, np.abs(after - before).argmax()]
    assert np.sign((after - before)[np.abs(after - before).argmax()]) == np.sign(weight)
    assert page.locator(".values .moved").count() == 1
    page.get_by_role("button", name="Back to it").click()
    assert page.evaluate("gpulr.row") == row
    assert page.locator("#reasons span").count() > 2


def test_whole_numbers_stay_whole_and_constants_are_not_moved(opened, rng):
    X = np.stack([rng.integers(0, 90, 200), rng.normal(size=200), np.full(200, 3.0)], axis=1)
    y = X[:, 0] + 40 * X[:, 1] > 45
    page = opened(gpulr.train(X, y, standardize=True), X, y)
    assert page.locator(".values input").count() == 2
    steps = page.locator(".values input").evaluate_all("all => all.map(e => e.step)")
    assert sorted(steps) == ["1", "any"]


def test_without_javascript(opened, model, data):
    page = opened(model, enlarged(data.X_test), data.y_test, java_script_enabled=False)
    assert page.get_by_text("Drawing needs JavaScript").is_visible()
    assert page.locator("#canvas").is_hidden()
    assert page.locator(".confusion").is_visible()


def on_canvas(page):
    """Return what is on the canvas, (height, width, 4), as it is shown."""
    address = page.evaluate("document.getElementById('canvas').toDataURL()")
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    return np.asarray(picture.convert("RGBA")).astype(int)


@pytest.mark.parametrize("size", [1.0, 0.25])
def test_pixels_that_argue_light_up_where_they_are(opened, model, size):
    page = opened(model)
    put(page, [[(20 + size * x, 30 + size * y) for x, y in stroke] for stroke in recorded(3)])
    row, P = agree(page, model)
    expect_text(page, "#leader", str(P.argmax()))
    points = np.concatenate(page.evaluate("gpulr.strokes"))[:, ::-1]  # y, x
    low, high = points.min(axis=0), points.max(axis=0)
    pen = PEN / max(1.0, *((SPAN * 280 - 2 * PEN) / (high - low)))  # of the enlarged drawing
    canvas, image = on_canvas(page), row.reshape(28, 28)
    places = np.argwhere(image > 0)
    first, last = places.min(axis=0), places.max(axis=0) + 1
    adds = (row * model.weights[:, P.argmax()]).reshape(28, 28)
    strong = (np.abs(adds) > 0.4 * np.abs(adds).max()) & (image > 0.9 * image.max())
    right = []
    for place in np.argwhere(strong):
        share = (place + 0.5 - first) / (last - first)
        y, x = ((low - pen + share * (high - low + 2 * pen)) * len(canvas) / 280).astype(int)
        right.append(np.sign(adds[tuple(place)]) == np.sign(canvas[y, x, 0] - canvas[y, x, 2]))
    assert len(right) > 5
    assert np.mean(right) > 0.9
    put(page, [])
    assert not on_canvas(page).any()


def test_an_example_draws_itself_and_gives_way(opened, model):
    page = opened(model)
    expect_text(page, "#best", "3")
    expect_text(page, "#hint", "Draw your own")
    assert page.locator("#spoken").text_content() == ""
    drawn_with_mouse(page, [[(50.0, 60.0), (150.0, 60.0)]])
    (stroke,) = page.evaluate("gpulr.strokes")
    np.testing.assert_allclose(stroke, [[50, 60], [150, 60]], atol=1)
    page.reload()
    page.wait_for_timeout(100)
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("gpulr.strokes") == []
    page.wait_for_timeout(100)
    assert page.evaluate("gpulr.strokes") == []  # and stays away
    assert page.locator("#seen").is_hidden()
    expect_text(page, "#how-sure", "Nothing is drawn yet.")


def test_an_example_that_does_not_move(opened, model):
    page = opened(model, reduced_motion="reduce")
    whole = page.evaluate("gpulr.strokes.flat().length")
    page.wait_for_timeout(100)
    assert page.evaluate("gpulr.strokes.flat().length") == whole > 20
    assert best(page) == "3"


def test_a_cell_shows_the_images_behind_it(opened, model, data):
    page = opened(model, enlarged(data.X_test), data.y_test, has_touch=True)
    panel, said = page.locator("#behind-panel"), model.predict(enlarged(data.X_test))
    wrong = np.flatnonzero(said != data.y_test)
    i, j = data.y_test[wrong[0]], said[wrong[0]]
    n = np.sum((data.y_test == i) & (said == j))
    cell = page.get_by_role("button", name=f"{n} of {i} taken for {j}", exact=True)
    cell.click()
    assert panel.locator("h3").text_content().startswith(f"{i} taken for {j}: ")
    assert panel.locator("canvas").count() == min(6, n)
    page.wait_for_timeout(100)
    lit = (
        "all => all.map(c => c.getContext('2d').getImageData(0, 0, 28, 28).data.some(v => v == 255"
    )
    assert all(panel.locator("canvas").evaluate_all(lit + "))"))
    assert cell.get_attribute("aria-pressed") == "true"
    page.keyboard.press("Enter")  # again
    assert panel.is_hidden()
    page.get_by_role("button", name=re.compile(r"\d+ of 0 recognised")).tap()
    assert panel.locator("canvas").count() == 6
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    for _ in range(40):  # the last cell there is to the right, and down
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert "9 recognised: 6 most confident of" in panel.locator("h3").text_content()
    assert page.locator(".confusion button[tabindex='0']").count() == 1


def test_a_cell_of_a_table_shows_rows(opened, blobs):
    X, y = blobs
    page = opened(gpulr.train(X, y, standardize=True), X, y)
    page.get_by_role("button", name=re.compile(r"\d+ of 0 recognised")).click()
    assert page.locator("#behind-panel li").count() == 6
    assert "feature" in page.locator("#behind-panel .reasons").first.text_content()
    assert "argued for 0" in page.locator("#behind-panel").text_content()


def test_columns_sort(opened, model, data):
    page = opened(model, enlarged(data.X_test), data.y_test)
    table = page.get_by_role("region", name="Accuracy by class")
    column = lambda k: [  # noqa: E731
        float(text) for text in table.locator(f"tbody td:nth-child({k})").all_text_contents()
    ]
    before = column(3)
    for words in ("ascending", "descending"):
        table.get_by_role("button", name="recall").press("Enter")
        head = table.get_by_role("columnheader", name="recall")
        assert head.get_attribute("aria-sort") == words
        assert column(3) == sorted(before, reverse=words == "descending")
    table.get_by_role("button", name="class").click()
    assert column(3) == before
    assert table.locator("[aria-sort]").count() == 1
    assert table.locator("tfoot th").text_content() == "all"


@pytest.mark.parametrize("several", [False, True])
def test_the_threshold_of_a_model_slides(opened, data, several):
    y, y_test = (of[:, None] % [2, 3] == 0 for of in (data.y, data.y_test))
    y, y_test = (y, y_test) if several else (y[:, 1], y_test[:, 1])
    model = gpulr.train(data.X, y.astype(int), max_iter=15, tol=0)
    page = opened(model, data.X_test, y_test.astype(int))
    if several:
        page.locator("#threshold-of").select_option(index=1)
    truth, z = (
        of.reshape(len(of), -1)[:, -1] for of in (y_test, model.decision_function(data.X_test))
    )

    def check(margin, words):
        expect_text(page, "#threshold-value", words)
        said = z > margin
        hit = np.sum(said & truth)
        expect_text(page, "#count-hit", str(hit))
        expect_text(page, "#count-false", str(np.sum(said & ~truth)))
        expect_text(page, "#count-missed", str(np.sum(~said & truth)))
        expect_text(page, "#count-rest", str(np.sum(~said & ~truth)))
        expect_text(page, "#precision", f"{100 * hit / said.sum():.2f} %")
        expect_text(page, "#recall", f"{100 * hit / truth.sum():.2f} %")

    check(0.0, "p ≥ 0.500")
    page.locator("#threshold").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    check(1.0, "p ≥ 0.731")
    page.get_by_role("button", name="The model’s own").click()
    check(0.0, "p ≥ 0.500")
    assert page.locator("#slider .yes").first.text_content() == ("present" if several else "1")


def test_forced_colours(opened, model, data):
    page = opened(model, enlarged(data.X_test), data.y_test, forced_colors="active")
    put(page, recorded(3))
    colour = "e => getComputedStyle(e).backgroundColor"
    fill, best_fill, page_colour = (
        page.locator(of).first.evaluate(colour)
        for of in ("#bars li:not(.best) .fill", "#bars .best .fill", "body")
    )
    assert len({fill, best_fill, page_colour}) == 3
    keys = page.locator(".weights, section .key").evaluate_all(f"all => all.map({colour})")
    assert len(set(keys)) >= 3
    border = page.locator("#canvas").evaluate("e => getComputedStyle(e).borderTopStyle")
    assert border == "solid"
    shades = page.locator(".confusion td").evaluate_all(f"all => all.map({colour})")
    assert len(set(shades)) >= 5


def test_printed(opened, model, data):
    page = opened(model, enlarged(data.X_test), data.y_test, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("#draw").is_hidden()
    assert (
        page.locator(".confusion td").first.evaluate("e => getComputedStyle(e).printColorAdjust")
        == "exact"
    )
    colour = page.evaluate("getComputedStyle(document.body).color")
    assert colour == "rgb(27, 28, 30)"  # whatever the screen's
    pdf = page.pdf(format="A4", print_background=False)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 4


def test_wide_tables_say_that_they_scroll(opened, rng):
    X, y = rng.normal(size=(200, 5)), np.arange(200) % 20
    model = gpulr.train(X, np.array([f"class {k:02d} of them" for k in range(20)])[y])
    page = opened(model, X, model.classes[y], viewport={"width": 390, "height": 800})
    matrix = page.get_by_role("region", name="Confusion matrix")
    hint = matrix.get_by_text("Scroll sideways")
    assert hint.is_visible()
    matrix.focus()
    assert page.evaluate("document.activeElement.tabIndex") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    matrix.evaluate("e => e.scrollTo(10000, 0)")
    page.wait_for_timeout(100)
    assert not matrix.evaluate("e => e.classList.contains('beyond')")
    page.set_viewport_size({"width": 1600, "height": 800})
    page.wait_for_timeout(100)
    assert hint.is_hidden()


def test_numbers_stay_whole_on_phones(opened, rng):
    X, y = rng.normal(size=(200, 5)), np.arange(200) % 5
    model = gpulr.train(X, np.array([f"the long name of class {k}" for k in range(5)])[y])
    page = opened(model, X, model.classes[y], viewport={"width": 390, "height": 800})
    gradients = page.locator("td", has_text=re.compile(r"^\d\.\de-\d\d$"))
    assert gradients.count() == 5
    lines = """all => all.map(cell => {
        const range = document.createRange();
        range.selectNodeContents(cell);
        return range.getClientRects().length;
    })"""
    assert gradients.evaluate_all(lines) == [1] * 5
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def violations(page):
    """Return what axe-core finds against the rules of WCAG 2.2 AA and against good practice."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        absent('axe-core is not installed: python -m pip install ".[browser]"')
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


def some_page(kind, data, rng):
    """Return what a report of each kind of model is written of."""
    if kind == "images":
        return gpulr.train(data.X, data.y), data
    n, names = 400, {"two": 2, "many": 31, "labels": 5}
    X = rng.normal(size=(n, 12))
    if kind == "labels":
        Y = (X[:, :5] + rng.normal(size=(n, 5)) > 1).astype(int)
        return gpulr.train(X, Y), X, Y
    y = np.array(["", *(f"a class named {k} 数学" for k in range(40))])[np.arange(n) % names[kind]]
    return gpulr.train(X, y, standardize=True, max_iter=9, tol=0), X, y


@pytest.mark.parametrize("kind", ["images", "two", "many", "labels"])
def test_nothing_is_against_the_rules_of_accessibility(opened, data, rng, kind):
    page = opened(*some_page(kind, data, rng), reduced_motion="reduce")
    if kind != "labels":
        page.locator("[data-cell] button").first.click()
    for summary in page.locator("summary").all()[:2]:
        summary.click()
    assert violations(page) == []
    page.set_viewport_size({"width": 360, "height": 800})
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page) == []


@pytest.mark.parametrize("kind", ["images", "many"])
def test_the_matrix_and_the_list_are_walked_with_arrow_keys(opened, data, rng, kind):
    page = opened(*some_page(kind, data, rng))
    cells = page.locator("[data-cell] button")
    cells.first.focus()
    seen = set()
    for _ in range(4):
        page.keyboard.press("Enter")
        seen.add(page.locator("#behind-panel h3").text_content())
        page.keyboard.press("ArrowDown")
    assert len(seen) >= {"images": 2, "many": 4}[kind]
    assert page.locator("[data-cell] button[tabindex='0']").count() == 1
    if kind == "many":  # whatever the list is sorted by
        page.get_by_role("region", name="Commonest").get_by_role("button", name="rows").click()
        lines = page.locator(".confusions tbody tr")
        assert int(lines.first.locator("td").last.text_content()) <= int(
            lines.last.locator("td").last.text_content()
        )


def test_weights_of_a_class_are_seen_when_it_is_chosen(opened, data, rng):
    page = opened(*some_page("many", data, rng))
    bars = page.locator("details table")
    assert bars.count() == 31
    assert not bars.nth(3).is_visible()
    page.locator("summary").nth(3).press("Enter")
    assert bars.nth(3).is_visible()


VIEWS = {
    "desktop-light": {"color_scheme": "light"},
    "desktop-dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
    "narrow": {"viewport": {"width": 320, "height": 640}},
    "tablet": {"viewport": {"width": 1000, "height": 800}},
}


@pytest.mark.parametrize("view", VIEWS)
def test_fits_the_screen(opened, model, data, view, tmp_path):
    page = opened(model, enlarged(data.X_test), data.y_test, **VIEWS[view])
    put(page, recorded(3))
    shown(page)
    page.wait_for_timeout(150)  # for the bars, which move
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    heights = "all => all.map(e => e.getBoundingClientRect().height)"
    assert min(page.locator(".studio button").evaluate_all(heights)) >= 40
    assert min(page.locator("button:visible").evaluate_all(heights)) >= 24
    table = page.get_by_role("region", name="Accuracy by class")
    assert table.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert table.locator("th.never").is_visible() == (view != "narrow")
    tops = page.locator(".weights li").evaluate_all("all => all.map(e => e.offsetTop)")
    assert sorted(map(tops.count, set(tops))) in ([10], [5, 5])  # none is alone in a row
    folder = Path(os.environ.get("GPULR_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"report-{view}.png", full_page=True)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(16, 17, 20)") == (view == "desktop-dark")


@pytest.mark.mnist
def test_a_page_of_mnist_is_a_small_file(opened, real_mnist, tmp_path):
    data = real_mnist
    model = gpulr.train(data.X, data.y)
    page = opened(model, data.X_test, data.y_test)
    assert (tmp_path / "report.html").stat().st_size <= 200 * 1024
    drawn_with_mouse(page, recorded(3))
    agree(page, replace(model, image_shape=(28, 28)))
    page.set_viewport_size({"width": 360, "height": 800})  # with counts above 1,000, too
    for name in ("Accuracy by class", "Confusion matrix"):
        region = page.get_by_role("region", name=name)
        assert region.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


@pytest.mark.parametrize("width", [390, 1366])
def test_a_comparison(opened, data, tmp_path, width):
    from gpulr.reporting.comparing import write

    models = [gpulr.train(data.X, data.y, max_iter=n, tol=0) for n in (1, 20)]
    found = gpulr.compare(*models, data.X_test, data.y_test)
    write(
        found,
        path := tmp_path / "c.html",
        models,
        ("a", "b"),
        *(data.X_test, data.y_test),
        where="",
    )
    page = opened(path, viewport={"width": width, "height": 800})
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    column = page.locator("thead button").nth(1)
    column.click()
    assert page.locator("th[aria-sort]").count() == 1
