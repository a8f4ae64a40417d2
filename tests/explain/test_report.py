"""The report: self-contained, every number as given, every string escaped, the same bytes for the same run."""

from __future__ import annotations

import hashlib
import html.parser
import itertools
import json
import re
from importlib import resources

import numpy as np
import pytest
from tests.explain.runs import CONFUSION, run, state

from chainrule.core.errors import DataError, IndexRangeError, ShapeError
from chainrule.explain import LayerState, LayerStates, Mistake, report, worst_mistakes
from chainrule.explain._html import embed, number, percent, seconds
from chainrule.explain._insides import columns_of, drawn
from chainrule.explain._results import per_class

VOID = {"br", "col", "img", "input", "link", "meta"}


class Page(html.parser.HTMLParser):
    """A page as a checked list of elements: complains when tags don't nest, collects text by id of the section."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[tuple[str, dict]] = []
        self.elements: list[tuple[str, dict]] = []
        self.cells: list[list[str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        opened, _ = self.open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"

    def handle_data(self, data):
        inside = [tag for tag, _ in self.open]
        if "script" in inside or "style" in inside:
            return
        self.text.append(data)
        if self.cells and ("td" in inside or "th" in inside):
            self.cells[-1][-1] += data

    def all(self, tag: str, **wanted: str) -> list[dict]:
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted.items())]


@pytest.fixture(scope="module")
def text() -> str:
    return report.render(run())


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def own(text: str) -> str:
    """Return the page without the scripts and styles that are shipped, but with the data in it."""
    return re.sub(r"<script>.*?</script>|<style>.*?</style>", "", text, flags=re.DOTALL)


def words(page: Page) -> str:
    return " ".join("".join(page.text).replace("\u202f", " ").split())


def chart_data(text: str) -> list[dict]:
    return json.loads(re.search(r'id="chart-data">(.*?)</script>', text, re.DOTALL)[1])


# --- structure ----------------------------------------------------------------------------------------------------


def test_the_page_nests_and_has_every_section_once(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == ["curves", "confusion", "mistakes", "weights", "inside", "layers", "again"]
    assert [link["href"] for link in page.all("a")] == [f"#{name}" for name in sections]
    assert all("alt" in image for image in page.all("img"))


def test_nothing_is_loaded_from_elsewhere(text, page):
    assert "http" not in own(text).replace("http-equiv", "")
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert policy == report.POLICY
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:image/png;base64,", "#")), attributes
    assert "@import" not in text
    assert not re.search(r"url\((?!['\"]?data:)", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))


def test_http_stands_in_comments_of_shipped_files_only(text):
    addresses = set(re.findall(r"https?://[\w./-]+", text))
    assert addresses == {"https://github.com/leeoniya/uPlot"}
    assert text.count("https://") == 1


def test_the_same_run_gives_the_same_bytes(text, tmp_path):
    assert report.render(run()) == text
    report.write(tmp_path / "report.html", run())
    assert (tmp_path / "report.html").read_bytes() == text.encode()
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_chart_library_is_the_published_one():
    sums = {
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    }
    assets = resources.files("chainrule.explain").joinpath("assets")
    assert {name: hashlib.sha256(assets.joinpath(name).read_bytes()).hexdigest() for name in sums} == sums


def test_no_shipped_script_can_close_its_element():
    for name in ("uPlot.iife.min.js", "report.js", "uPlot.LICENSE"):
        assert "</script" not in report.asset(name).lower()
    assert "*/" not in report.asset("uPlot.LICENSE")


# --- escaping -----------------------------------------------------------------------------------------------------


def test_every_string_from_outside_is_escaped():
    evil = "<script>alert('1')</script>\"&"
    bad = run(
        recipe=evil, network=evil, command=evil, samples_name=evil, second_label=evil, epochs_note=evil, finished=evil,
        classes=(evil, "ring", "box", "cross"), settings={evil: evil}, versions={evil: evil}, layers_measured_on=evil,
        layers=[report.LayerRow(evil, evil, (8,), 1)],
    )  # fmt: skip
    text = report.render(bad)
    page = Page(text)
    clean = Page(report.render(run(layers=run().layers[:1])))
    assert len(page.all("script")) == len(clean.all("script"))
    assert "<script>alert" not in text
    assert chart_data(text)[0]["series"][1]["label"] == evil
    assert words(page).count("<script>alert('1')</script>") >= 20


def test_data_in_a_script_element_can_not_close_it():
    data = {"</script x": "<!--<script>&"}
    assert not set("<>&") & set(embed(data))
    assert json.loads(embed(data)) == data


def test_a_second_prefix_from_outside_is_escaped():
    epochs = [{"epoch": 1, "train_loss": 1.0, "<b>_loss": 2.0, "<b>_accuracy": 0.5}]
    text = report.render(run(second="<b>", epochs=epochs))
    assert "<b> loss" not in text
    assert "&lt;b&gt; loss" in text


# --- numbers ------------------------------------------------------------------------------------------------------


def test_the_head_tells_the_run(page):
    said = words(page)
    assert "91.67 % of the 132 test pictures read correctly: 121 right, 11 wrong." in said
    for fact in ("network36-8-4", "parameters332", "loss on test pictures0.4688", "training0.75 s, 3 epochs", "seed3"):
        assert fact in said
    assert "chainrule train four-shapes --seed 3" in said
    assert "finished 2025-01-31 12:00" in said


def test_the_matrix_shows_the_counts_with_rows_as_true_classes(page):
    rows = [row for row in page.cells if row and row[0] in ("disc", "ring", "box", "cross", "true class")]
    counts = {row[-5]: [int(cell) for cell in row[-4:]] for row in rows[:4]}
    assert counts == dict(zip(("disc", "ring", "box", "cross"), CONFUSION.tolist(), strict=True))
    notes = {cell["title"] for cell in page.all("td") if "title" in cell}
    assert "true ring, predicted cross: 7 of 50 (14.00\u202f%)" in notes
    assert "true cross, predicted disc: 0 of 0 (0.00\u202f%)" in notes
    assert "ring taken for cross: 7 of 50, 14.0 %" in words(page)


def test_scores_of_each_class_are_exact():
    precision, recall, f1, specificity = per_class(CONFUSION).T
    np.testing.assert_allclose(precision[:3], [50 / 53, 40 / 41, 1.0], rtol=1e-15)
    np.testing.assert_allclose(recall[:3], [50 / 51, 40 / 50, 1.0], rtol=1e-15)
    np.testing.assert_allclose(f1[:3], [100 / 104, 80 / 91, 1.0], rtol=1e-15)
    np.testing.assert_allclose(specificity, [78 / 81, 81 / 82, 1.0, 125 / 132], rtol=1e-15)
    assert precision[3] == 0.0  # seven were called a cross, none is
    assert np.isnan(recall[3])  # there is no cross to find
    assert f1[3] == 0.0


def test_scores_stand_in_the_table_and_shares_of_nothing_are_dashes(page):
    assert ["ring", "50", "97.56\u202f%", "80.00\u202f%", "87.91\u202f%", "98.78\u202f%"] in page.cells
    assert ["cross", "0", "0.00\u202f%", "–", "0.00\u202f%", "94.70\u202f%"] in page.cells
    assert ["mean", "132", "72.98\u202f%", "92.68\u202f%", "71.02\u202f%", "97.44\u202f%"] in page.cells


def test_mistakes_stand_sorted_by_loss(page):
    said = words(page)
    first, second = said.index("disc → ring93.8 %loss 4.50no. 99"), said.index("ring → cross75.0 %loss 1.25no. 12")
    assert first < second
    assert "2 of 11 mistakes" in said


def test_the_epoch_table_and_the_charts_hold_the_numbers_given(text, page):
    assert ["2", "0.75", "80.00\u202f%", "0.7", "91.67\u202f%", "0.25\u202fs"] in page.cells
    charts = {chart["id"]: chart for chart in chart_data(text)}
    assert charts["loss"]["x"] == [1, 2, 3]
    assert [series["label"] for series in charts["loss"]["series"]] == [
        "training set",
        "test set: watched, never used to choose",
    ]
    assert charts["loss"]["series"][0]["values"] == [1.5, 0.75, 0.5]
    assert charts["accuracy"]["series"][1]["values"] == [0.9167] * 3
    assert charts["steps"]["series"][0]["values"] == pytest.approx(np.linspace(2, 0.5, 30), rel=1e-5)
    assert [charts[k]["y_label"] for k in charts] == [
        "mean loss (nats)",
        "correct answers (%)",
        "loss (nats, log scale)",
    ]


def test_many_steps_are_thinned_to_means_with_their_range():
    losses = np.random.default_rng(0).random(11_256) + 0.1
    chart = chart_data(report.render(run(step_losses=losses)))[-1]
    assert [series["role"] for series in chart["series"]] == ["high", "train", "low"]
    high, mean, low = (np.array(series["values"]) for series in chart["series"])
    np.testing.assert_allclose(mean, losses.reshape(-1, 12).mean(1), rtol=1e-5)
    np.testing.assert_allclose(high, losses.reshape(-1, 12).max(1), rtol=1e-5)
    np.testing.assert_allclose(low, losses.reshape(-1, 12).min(1), rtol=1e-5)
    assert chart["x"][-1] == 11_256
    assert "mean of every 12" in chart["note"]


def test_a_run_that_blew_up_still_has_a_report():
    losses = np.array([1.0, np.inf, np.nan])
    text = report.render(run(step_losses=losses, epochs=[{"epoch": 1, "train_loss": float("nan")}], loss=float("nan")))
    assert chart_data(text)[-1]["series"][0]["values"] == [1.0, None, None]
    assert ["1", "NaN", "–", "–", "–", "–"] in Page(text).cells


def test_curves_stand_as_svg_where_there_are_no_scripts(text):
    inside = re.findall(r"<noscript>(<svg.*?</svg>)</noscript>", text, re.DOTALL)
    assert len(inside) == 3
    for svg in inside:
        page = Page(svg)
        assert {"curve train"} <= {path["class"] for path in page.all("path")}
    assert ">epoch<" in inside[0]
    assert ">mean loss (nats)<" in inside[0]
    assert ">test set: watched, never used to choose<" in inside[1]
    first = [float(n) for n in re.search(r'class="curve train" d="M([\d.]+) ([\d.]+)L', inside[0]).groups()]
    assert first == pytest.approx([66.0, 42.15], abs=0.1)  # the largest loss, 4 % below the upper edge


def test_the_layer_table_sums_up(page):
    assert ["0", "Linear(36, 8)", "8", "296", "3", "0.25", "–"] in page.cells
    assert ["1", "ReLU()", "8", "–", "–", "–", "12.5\u202f%"] in page.cells
    assert ["all layers", "", "", "332", "5", "0.559", ""] in page.cells  # 3, 4 -> 5: the root of the sum of squares


# --- the inside of the network --------------------------------------------------------------------------------------


def test_there_is_one_tab_and_one_panel_per_sample(page):
    tabs, panels = page.all("button", role="tab"), page.all("div", role="tabpanel")
    assert [tab["aria-controls"] for tab in tabs] == [panel["id"] for panel in panels]
    assert [tab["aria-selected"] for tab in tabs] == ["true", "false", "false", "false"]
    assert [tab["tabindex"] for tab in tabs] == ["0", "-1", "-1", "-1"]
    assert all(tab["type"] == "button" for tab in tabs)


def test_activations_join_the_column_of_their_layer():
    one = state(2, seed=2)
    columns = columns_of(one.layers, 36)
    assert [column.kinds for column in columns] == ["Linear → ReLU", "Linear"]
    np.testing.assert_array_equal(columns[0].values, one.layers[1].values)  # shaded after the activation
    np.testing.assert_array_equal(columns[0].gradients, one.layers[0].gradients)  # the delta before it
    flat = LayerState("f", "Flatten", one.picture.ravel(), one.gradient.ravel())
    assert len(columns_of((flat, *one.layers), 36)) == 2


def test_units_and_lines_are_those_of_the_sample():
    one = state(1, seed=1)
    text = report.render(run(states=[one]))
    hidden = one.layers[1].values
    note = f"unit 3: activation {number(hidden[3])}, gradient {number(one.layers[0].gradients[3])}"
    assert f"<title>{note}</title>" in text
    drawn = re.findall(r'<path class="(plus|minus)" [^>]*data-a="1\.(\d+)" data-b="2\.(\d+)"/>', text)
    weights = one.layers[2].weights
    assert {(int(a), int(b)) for _, a, b in drawn} == {(a, b) for a in np.flatnonzero(hidden) for b in range(4)}
    assert all((sign == "plus") == (weights[int(b), int(a)] > 0) for sign, a, b in drawn)
    fills = re.findall(r'data-u="1\.\d+">.*?fill-opacity="([\d.]+)"', text)
    assert [float(fill) for fill in fills] == pytest.approx(hidden / hidden.max(), abs=0.006)


def test_the_strongest_lines_are_drawn_and_no_more():
    random = np.random.default_rng(0)
    picture, weights = random.random((6, 6)), random.normal(size=(40, 36))
    layer = LayerState("0", "Linear", weights @ picture.ravel(), np.ones(40), weights)
    last = LayerState("1", "Linear", np.zeros(4), np.zeros(4), np.zeros((4, 40)))
    one = LayerStates(0, picture, picture, np.full(4, 0.25), 1.386, (layer, last))
    text = report.render(run(states=[one]))
    drawn = {(int(b), int(a)) for a, b in re.findall(r'data-a="0\.(\d+)" data-b="1\.(\d+)"', text)}
    carried = np.abs(weights * picture.ravel())
    assert len(drawn) == 60
    outside = np.ones(carried.shape, bool)
    outside[tuple(np.array(sorted(drawn)).T)] = False
    assert min(carried[i, j] for i, j in drawn) >= carried[outside].max()
    assert 'data-a="1.' not in text  # weights that carry nothing are no lines


def test_wide_layers_show_their_strongest_units():
    wide = LayerState("0", "Linear", np.arange(500.0), np.zeros(500), np.ones((500, 36)))
    last = LayerState("1", "Linear", np.zeros(4), np.zeros(4), np.ones((4, 500)))
    picture = np.ones((6, 6))
    text = report.render(run(states=[LayerStates(0, picture, picture, np.full(4, 0.25), 1.386, (wide, last))]))
    assert sorted({int(unit) for unit in re.findall(r'data-u="1\.(\d+)"', text)}) == list(range(404, 500))


def deep(count):
    """Return a sample's states in a network of so many linear layers of four units, all alike."""
    picture = np.ones((2, 2))
    layers = [LayerState(str(k), "Linear", np.ones(4), np.zeros(4), np.ones((4, 4))) for k in range(count)]
    return LayerStates(0, picture, picture, np.full(4, 0.25), 1.386, tuple(layers))


def test_of_a_deep_network_some_columns_are_drawn_and_no_lines_across_the_others():
    text = report.render(run(states=[deep(20)]))
    assert {int(k) for k in re.findall(r'data-u="(\d+)\.', text)} == set(range(1, 9))
    assert "Drawn are 8 of 20 groups of layers." in text
    assert drawn(20) == [0, 4, 8, 12, 16, 17, 18, 19]
    assert {int(k) for k in re.findall(r'data-b="(\d+)\.', text)} == {1, 6, 7, 8}  # from the picture, at the end
    assert text.count("norm 0</figcaption>") == 20  # the gradients of all of them
    whole = report.render(run(states=[deep(8)]))
    assert "groups of layers" not in whole
    assert {int(k) for k in re.findall(r'data-b="(\d+)\.', whole)} == set(range(1, 9))


@pytest.mark.parametrize("count", [1, 2, 7, 8, 40])
def test_headings_never_overlap(count):
    text = report.render(run(states=[deep(count)], classes=("airplane", "automobile", "bird", "cat")))
    found = re.findall(r'<text class="(?:head|sub)" x="([\d.]+)" y="(\d+)" [^>]*font-size:(\d+)px">([^<]+)', text)
    assert len(found) >= 2 * min(count, 8)
    for line in {y for _, y, _, _ in found}:
        spans = sorted(
            (float(x) - 0.3 * int(size) * len(words), float(x) + 0.3 * int(size) * len(words))
            for x, y, size, words in found if y == line
        )  # fmt: skip
        assert all(end <= begin + 4 for (_, end), (begin, _) in itertools.pairwise(spans))


def test_no_count_of_the_matrix_is_cut_or_broken():
    wide = run(confusion=CONFUSION * 100_000, classes=("airplane", "automobile", "bird", "cat"))
    [least] = re.findall(r'class="confusion named" style="min-width:([\d.]+)em"', report.render(wide))
    assert float(least) >= 4 * 0.6 * len(str(CONFUSION.max() * 100_000)) + 0.6 * len("automobile")


def test_gradients_have_their_norm_at_every_layer(page):
    said = words(page)
    one = state(0, seed=0)
    for values in (one.layers[2].gradients, one.layers[0].gradients, one.gradient):
        assert f"norm {number(float(np.linalg.norm(values)), 3)}".replace("\u202f", " ") in said


def test_colour_pictures_and_batches_of_one_channel_are_shown():
    random = np.random.default_rng(0)
    mistakes = [
        Mistake(0, random.random((3, 5, 4)), label=0, predicted=1, probability=0.5, loss=1.0),
        Mistake(1, random.random((1, 5, 4)), label=0, predicted=1, probability=0.5, loss=0.9),
    ]
    kinds = [image["class"] for image in Page(report.render(run(mistakes=mistakes, states=()))).all("img")[:2]]
    assert kinds == ["photo", "ink"]


def test_sections_without_content_are_left_out():
    bare = run(epochs=[], step_losses=np.zeros(0), mistakes=(), first_layer_weights=None, layers=(), states=())
    assert [attributes["id"] for attributes in Page(report.render(bare)).all("section")] == ["confusion", "again"]


def test_a_perfect_run_has_no_confusions():
    perfect = run(confusion=np.diag([5, 5, 5, 5]), accuracy=1.0, samples=20, mistakes=())
    assert "None: every sample was classified correctly." in report.render(perfect)


def test_a_report_of_mnist_size_stays_small():
    random = np.random.default_rng(0)
    many = [Mistake(k, random.random((28, 28)), 0, 1, 0.5, 1.0) for k in range(200)]
    text = report.render(run(mistakes=many, first_layer_weights=random.normal(size=(64, 28, 28))))
    assert len(text.encode()) < 1_000_000


# --- formats and errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, shown",
    [(0.46875, "0.4688"), (12.0, "12"), (0.0, "0"), (-0.5, "−0.5"), (2.5e-7, "2.5 × 10⁻⁷"), (float("inf"), "∞"),
     (float("-inf"), "−∞"), (float("nan"), "NaN"), (None, "–"), (123456.0, "1.235 × 10⁵")],
)  # fmt: skip
def test_numbers_read_as_people_write_them(value, shown):
    assert number(value).replace("\u202f", " ") == shown


@pytest.mark.parametrize(
    "share, shown",
    [(0.9634, "96.34 %"), (1.0, "100.00 %"), (0.0, "0.00 %"), (0.99999, "over 99.99 %"), (1e-6, "under 0.01 %"),
     (None, "–"), (float("nan"), "–")],
)  # fmt: skip
def test_only_everything_is_a_hundred_percent(share, shown):
    assert percent(share).replace("\u202f", " ") == shown


@pytest.mark.parametrize(
    "time, shown",
    [(0.4249, "0.42 s"), (5.44, "5.4 s"), (59.97, "1 min 0 s"), (200.0, "3 min 20 s"), (7500.0, "2 h 05 min")],
)
def test_times_read_as_people_say_them(time, shown):
    assert seconds(time).replace("\u202f", " ") == shown


ONE = np.ones((2, 2))


@pytest.mark.parametrize(
    "make, error, message",
    [
        (
            lambda: run(confusion=np.zeros((3, 4), int)),
            ShapeError,
            "RunReport.confusion is (3, 4) and there are 4 classes; expected counts [true class, predicted class], "
            "(4, 4).",
        ),
        (
            lambda: run(confusion=np.zeros((4, 4))),
            DataError,
            "RunReport.confusion must hold integers >= 0; got float64.",
        ),
        (
            lambda: run(confusion=-CONFUSION),
            DataError,
            "RunReport.confusion must hold integers >= 0; the least is -50.",
        ),
        (lambda: run(accuracy=96.3), DataError, "RunReport.accuracy must be in [0, 1]; got 96.3."),
        (lambda: run(step_losses=ONE), ShapeError, "RunReport.step_losses must be [steps]; got (2, 2)."),
        (
            lambda: run(first_layer_weights=ONE),
            ShapeError,
            "RunReport.first_layer_weights must be [units, height, width]; got (2, 2).",
        ),
        (
            lambda: run(epochs=[{"train_loss": 1.0}]),
            DataError,
            "RunReport.epochs[0] has no key 'epoch'; it has ['train_loss'].",
        ),
        (
            lambda: run(mistakes=[Mistake(0, ONE, label=4, predicted=0, probability=1.0, loss=1.0)]),
            IndexRangeError,
            "RunReport.mistakes[0].label must be a class from 0 to 3; got 4.",
        ),
        (
            lambda: run(states=[LayerStates(0, ONE, ONE, np.ones(2) / 2, 1.0, [LayerState("0", "A", ONE[0], ONE[0])])]),
            ShapeError,
            "RunReport.states[0] has 2 probabilities; expected 4.",
        ),
        (
            lambda: Mistake(0, np.ones((2, 5, 5)), label=0, predicted=1, probability=1.0, loss=1.0),
            ShapeError,
            "Mistake.picture must be [height, width] or [channels, height, width] with 1 or 3 channels; got (2, 5, 5).",
        ),
        (
            lambda: Mistake(0, np.full((2, 2), np.nan), label=0, predicted=1, probability=1.0, loss=1.0),
            DataError,
            "Mistake.picture must be finite; the value at (0, 0) is nan: find its cause first.",
        ),
        (
            lambda: LayerState("enc.0", "Linear", np.ones(3), np.ones(2)),
            ShapeError,
            "LayerState 'enc.0': values are (3,) and gradients (2,); both must be [units] with at least one unit.",
        ),
        (
            lambda: LayerState("0", "Linear", np.ones(3), np.ones(3), np.ones((4, 5))),
            ShapeError,
            "LayerState '0': weights are (4, 5); expected [3, inputs].",
        ),
        (
            lambda: LayerState("0", "Linear", np.ones(2), np.array([0.0, np.inf])),
            DataError,
            "LayerState '0'.gradients must be finite; the value at (1,) is inf: find its cause first.",
        ),
        (
            lambda: LayerStates(0, ONE, np.ones(4), np.ones(2), 1.0, []),
            ShapeError,
            "LayerStates: picture is (2, 2) and gradient (4,); the gradient has one number per pixel.",
        ),
        (
            lambda: LayerStates(2, ONE, ONE, np.ones(2), 1.0, []),
            IndexRangeError,
            "LayerStates.label must be a class from 0 to 1; got 2.",
        ),
        (
            lambda: LayerStates(0, ONE, ONE, np.ones(2), 1.0, []),
            ShapeError,
            "LayerStates.layers is empty; expected at least one layer.",
        ),
    ],
)
def test_each_mistake_has_its_message(make, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        report.write(tmp_path / "gone" / "report.html", run())


def test_worst_mistakes_come_by_loss_and_ties_by_place():
    labels = np.array([0, 1, 2, 0, 1])
    logits = np.array([[9.0, 0, 0], [2.0, 0, 0], [0, 5.0, 0], [0, 0, 1.0], [2.0, 0, 0]])
    found = worst_mistakes(np.arange(20.0).reshape(5, 2, 2), labels, logits)
    assert [(m.index, m.label, m.predicted) for m in found] == [(2, 2, 1), (1, 1, 0), (4, 1, 0), (3, 0, 2)]
    assert found[0].loss == pytest.approx(np.log(np.exp(5) + 2))
    assert found[0].probability == pytest.approx(np.exp(5) / (np.exp(5) + 2))
    np.testing.assert_array_equal(found[0].picture, [[8.0, 9.0], [10.0, 11.0]])
    assert [m.index for m in worst_mistakes(np.zeros((5, 2, 2)), labels, logits, most=2)] == [2, 1]
    assert worst_mistakes(np.zeros((1, 2, 2)), labels[:1], logits[:1]) == []


def test_worst_mistakes_survive_huge_logits():
    (only,) = worst_mistakes(np.zeros((1, 2, 2)), np.array([1]), np.array([[1e4, -1e4]]))
    assert (only.loss, only.probability) == (2e4, 1.0)


def test_worst_mistakes_of_unequal_lengths_are_refused():
    message = (
        "worst_mistakes: pictures are (3, 2, 2), labels (2,) and logits (3, 4); "
        "expected [samples, ...], [samples] and [samples, classes]."
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        worst_mistakes(np.zeros((3, 2, 2)), np.zeros(2, int), np.zeros((3, 4)))


def test_a_failed_write_keeps_the_old_report(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    report.write(path, run())
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        report.write(path, run(recipe="another"))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
