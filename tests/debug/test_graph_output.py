"""Pictures as files: SVG that holds together, DOT, text, HTML in which a click opens a module."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from tests.debug.drawings import boxes, neuron, product, rectangles

import chainrule as cr
from chainrule import nn


@pytest.fixture
def picture():
    cr.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 2)))
    return cr.graph(lambda x: model(x).sum(), cr.ones((2, 4)))


@pytest.mark.parametrize("collapse", [True, False, ["Sequential"]])
def test_boxes_never_overlap(collapse):
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    loss = nn.CrossEntropyLoss()
    svg = cr.graph(lambda x, y: loss(model(x), y), cr.ones((2, 4)), cr.asarray([0, 1]), collapse=collapse).svg()
    found = rectangles(svg)
    width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    assert len(found) >= 5
    for k, (left, top, right, bottom) in enumerate(found):
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
        for other in found[:k]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]


def test_numbers_on_lines_never_lie_on_boxes_or_on_each_other():
    svg = cr.graph(neuron, 2.0, -1.0, -3.0, -2.0, -3.0).svg()
    taken = rectangles(svg)
    texts = []
    pattern = r'<text class="(value|gradient|small product)" x="([\d.]+)" y="([\d.]+)">([^<]+)<'
    for _, x, y, words in re.findall(pattern, svg):
        half = 3.65 * len(words)
        texts.append((float(x) - half, float(y) - 10, float(x) + half, float(y) + 1))
    assert len(texts) == 13 + 13 + 12
    for k, (left, top, right, bottom) in enumerate(texts):
        for other in [*taken, *texts[:k]]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]


def test_names_cannot_break_out_of_the_picture():
    name = '<script>alert("&")</script>'
    x = cr.asarray(2.0).requires_grad_()
    picture = cr.graph(x * 3, names={name: x})
    assert "<script" not in picture.svg()
    assert "<script" not in picture.html()
    assert boxes(picture.svg())[0] == name  # and it is well-formed
    assert picture.dot().count("alert") == 1


def test_the_same_computation_gives_the_same_file():
    first, second = (cr.graph(neuron, 2.0, -1.0, -3.0, -2.0, -3.0) for _ in range(2))
    assert (first.svg(), first.dot(), first.html()) == (second.svg(), second.dot(), second.html())


def test_text_indents_what_is_inside_a_module(picture):
    names = [line.split()[0] for line in picture.text().splitlines()[2:]]
    assert names == ["x", "Sequential", "0", "1", "1.0", "1.1", "%0", "result:"]
    assert picture.text().splitlines()[6].startswith("      1.0")


def test_text_of_the_product_is_whole():
    assert cr.graph(product, -2.0, 5.0, -4.0).text() == "\n".join(
        [
            "product(x, y, z)",
            "  name  made by     type   value  gradient  goes back",
            "  x     argument    f32[]  −2     −4",
            "  y     argument    f32[]  5      −4",
            "  z     argument    f32[]  −4     3",
            "  %0    +  (x, y)   f32[]  3      −4        x: −4 × 1 = −4; y: −4 × 1 = −4",
            "  %1    ×  (%0, z)  f32[]  −12    1         %0: 1 × −4 = −4; z: 1 × 3 = 3",
            "  result: %1",
        ]
    )


def test_dot_has_each_box_and_line_once_and_clusters_for_open_modules(picture):
    dot = cr.graph(product, -2.0, 5.0, -4.0).dot()
    assert dot.startswith('digraph "product" {\n  rankdir=LR;')
    assert re.findall(r'(n\d) \[shape=(\w+), label="([^"]+)"\]', dot) == [
        ("n0", "ellipse", "x"), ("n1", "ellipse", "y"), ("n2", "ellipse", "z"), ("n3", "circle", "+"),
        ("n4", "circle", "×"), ("n5", "ellipse", "product"),
    ]  # fmt: skip
    assert re.findall(r"(n\d) -> (n\d)", dot) == [
        ("n0", "n3"), ("n1", "n3"), ("n3", "n4"), ("n2", "n4"), ("n4", "n5"),
    ]  # fmt: skip
    assert '<FONT COLOR="#1f62b4">3</FONT><BR/><FONT COLOR="#c2570c">1 × −4 = −4</FONT>' in dot
    nested = picture.dot()
    assert nested.count("subgraph cluster_") == 2
    assert nested.count("{") == nested.count("}")
    known = set(re.findall(r"^\s*(n\d+) \[", nested, re.M))
    assert {end for pair in re.findall(r"(n\d+) -> (n\d+)", nested) for end in pair} <= known


def test_a_click_leads_to_a_picture_in_which_the_module_is_open(picture):
    page = picture.html()
    assert "<script" not in page
    ids = re.findall(r'<input type="radio" name="g" id="(g-\d+)"', page)
    states = dict(re.findall(r'<div class="state (g-\d+)"[^>]*>(<svg.*?</svg>)', page, re.S))
    assert list(states) == ids
    assert boxes(states["g-0"]) == boxes(picture.svg())
    goals = re.findall(r'<label for="(g-\d+)" title="([^"]+)"', page)
    assert {goal for goal, _ in goals} <= set(ids)
    (first,) = {goal for goal, words in goals if words == "open 0 Linear"}
    assert "weight" in boxes(states[first])
    assert "Linear" in boxes(states[first])  # the other one stays closed
    reached, todo = set(), ["g-0"]
    while todo:
        state = todo.pop()
        if state not in reached:
            reached.add(state)
            part = page.split(f'<div class="state {state}"')[1].split('<div class="state')[0]
            todo += re.findall(r'<label for="(g-\d+)"', part)
    assert reached == set(ids)  # every state can be clicked to


def test_two_pictures_in_one_notebook_do_not_share_their_state(picture):
    names = {re.search(r'name="(\w+)"', picture._repr_html_())[1] for _ in range(2)}
    assert len(names) == 2


def test_a_picture_with_very_many_modules_stays_a_page():
    model = nn.Sequential(*[nn.ReLU() for _ in range(60)])
    page = cr.graph(lambda x: model(x).sum(), cr.ones(2)).html()
    assert page.count('<div class="state ') == 48


def test_save_writes_what_the_ending_says(tmp_path):
    picture = cr.graph(product, -2.0, 5.0, -4.0)
    for ending, content in ((".svg", picture.svg()), (".dot", picture.dot()), (".txt", picture.text() + "\n")):
        path = picture.save(tmp_path / f"f{ending}")
        assert path.read_text(encoding="utf-8") == content
    ElementTree.fromstring(picture.save(tmp_path / "f.svg").read_text(encoding="utf-8"))
    assert picture.save(str(tmp_path / "f.html")).read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(ValueError, match=r"^a picture is saved as .svg, .html, .dot, .txt; got 'f.png'.$"):
        picture.save(tmp_path / "f.png")


def test_a_notebook_shows_it(picture):
    assert "<svg" in picture._repr_html_()
    assert repr(picture) == picture.text()
    assert cr.graph(product, 1.0, 2.0, 3.0)._repr_svg_().startswith("<svg")
    assert picture._repr_svg_() is None  # with modules the HTML is shown, in which they open


def test_a_large_graph_is_drawn_in_time_that_grows_gently():
    def deep(x):
        for _ in range(150):
            x = cr.tanh(x) + x
        return x

    picture = cr.graph(deep, 0.1)
    assert len(picture.computation.operations) == 300
    assert boxes(picture.svg()).count("+") == 150
