"""The pictures in the documentation are those that the code draws."""

from __future__ import annotations


def test_the_pictures_of_the_page_are_up_to_date(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "tools")
    import make_graph_pictures

    page = (repository / "docs" / "graph.md").read_text(encoding="utf-8")
    for name, picture in make_graph_pictures.pictures().items():
        drawn = (make_graph_pictures.FOLDER / name).read_text(encoding="utf-8")
        assert drawn == picture.svg(), f"{name} is old; run: python tools/make_graph_pictures.py"
        assert f"images/{name}" in page
