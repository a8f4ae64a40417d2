"""Transfer learning: real weights, new heads, frozen bodies, and features computed once."""

from __future__ import annotations

import json

import numpy as np
import pytest

import chainrule as cr
from chainrule import data, models, nn, optim
from chainrule.core.errors import DataError, MissingDataError
from chainrule.train import Trainer

SMALL = {  # the smallest form of each class, and pictures of it
    "lenet5": ({}, (1, 28, 28)), "lenet5_modern": ({}, (1, 28, 28)), "cifar_m1": ({}, (3, 32, 32)),
    "cifar_m2": ({}, (3, 32, 32)), "cifar_m3": ({}, (3, 32, 32)), "alexnet": ({"stem": "cifar"}, (3, 32, 32)),
    "alexnet_paper": ({"stem": "cifar"}, (3, 32, 32)), "vgg11": ({"stem": "cifar"}, (3, 32, 32)),
    "vgg11_bn": ({"stem": "cifar"}, (3, 32, 32)), "googlenet": ({"stem": "cifar"}, (3, 16, 16)),
    "googlenet_paper": ({"stem": "cifar"}, (3, 16, 16)), "resnet18": ({"stem": "cifar"}, (3, 16, 16)),
    "resnet50": ({}, (3, 32, 32)), "resnet20": ({}, (3, 16, 16)), "squeezenet1_0": ({}, (3, 40, 40)),
    "squeezenet1_1": ({"stem": "cifar"}, (3, 16, 16)), "mobilenet_0.25": ({}, (3, 32, 32)),
}  # fmt: skip


def made(name, **more):
    settings, shape = SMALL[name]
    return models.create(name, **{**settings, **more}), shape


def test_each_class_of_the_catalogue_is_there():
    assert {row.make for row in models.CATALOGUE.values()} == {models.CATALOGUE[name].make for name in SMALL}


# ---------------------------------------------------------------------------------------------------- real weights
@pytest.mark.parametrize("name, reference", [("squeezenet1_0", "squeezenet_v1.0"),
                                             ("mobilenet_0.25", "mobilenet_v1_0.25_224")])  # fmt: skip
def test_the_imagenet_weights_give_the_reference_outputs(data_folder, monkeypatch, name, reference):
    monkeypatch.setenv("CHAINRULE_DATA", str(data_folder))
    row, model = models.PRETRAINED[name], models.pretrained(name)
    c, h, w = np.ogrid[:3, : row.size, : row.size]
    pixels = ((7 * h + 13 * w + 29 * c) % 256).astype(np.uint8)[None]
    wanted = json.loads((data_folder / "pretrained" / "reference_outputs.json").read_text())["models"][reference]
    for call in (model, cr.jit(lambda x: model(x))):
        chances = nn.functional.softmax(call(row.inputs(pixels)), dim=1).numpy()[0]
        assert np.argsort(-chances)[:5].tolist() == wanted["top5_index"]
        np.testing.assert_allclose(chances[wanted["top5_index"]], wanted["top5_probability"], rtol=1e-4)
    report = models.load_pretrained(model, name)
    assert (report.missing, report.extra, report.left_out) == ((), (), ())
    assert not model.training
    with pytest.raises(TypeError) as caught:
        models.pretrained(name, depth=3)
    assert str(caught.value).startswith(f"{name} has no setting 'depth'; ")


def test_weights_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    with pytest.raises(MissingDataError) as caught:
        models.pretrained("squeezenet1_0")
    place = tmp_path / "pretrained" / "squeezenet_v1.0.npz"
    source = "They come from github.com/songhan/SqueezeNet-Deep-Compression (BSD), decoded into an .npz file."
    way = "Put squeezenet_v1.0.npz into pretrained/ in a folder that CHAINRULE_DATA names, or pass its path."
    assert str(caught.value) == (
        f"the weights of squeezenet1_0 are not on this machine (looked for {place}). {source} {way}"
    )
    monkeypatch.delenv("CHAINRULE_DATA")
    with pytest.raises(MissingDataError) as caught:
        models.pretrained("squeezenet1_0")
    assert "(CHAINRULE_DATA names no folder)" in str(caught.value)
    with pytest.raises(ValueError) as caught:
        models.pretrained("squeezenet")
    assert str(caught.value) == "models.pretrained has no weights of 'squeezenet'; did you mean 'squeezenet1_0'?"
    with pytest.raises(ValueError) as caught:
        models.pretrained("vgg16")
    assert str(caught.value) == (
        "models.pretrained has no weights of 'vgg16'; there are those of squeezenet1_0, mobilenet_0.25."
    )


# ---------------------------------------------------------------------------------------------------- the head
@pytest.mark.parametrize("name", SMALL)
def test_a_new_head_a_cut_and_a_frozen_body(name):
    model, shape = made(name)
    before = {key: value.numpy() for key, value in model.state_dict().items()}
    assert models.replace_head(model, 7) is model
    changed = {key for key, value in model.state_dict().items() if not np.array_equal(value.numpy(), before[key])}
    heads = {
        "lenet5": {"f6.weight", "f6.bias", "output.codes"}, "squeezenet1_0": {"classifier.1.weight"},
        "squeezenet1_1": {"classifier.1.weight"},
    }  # fmt: skip
    last = list(before)[-2:]
    outside = changed - heads.get(name, {*last, "aux1.fc2.weight", "aux1.fc2.bias", "aux2.fc2.weight", "aux2.fc2.bias"})
    assert changed
    assert outside <= {"classifier.1.bias"}
    x = cr.random.normal((2, *shape))
    y = model.eval()(x)
    assert y.shape == (2, 7)
    assert "7" in repr(model)
    body, head = models.split(model)
    np.testing.assert_array_equal(head(body(x)).numpy(), y.numpy())

    models.freeze_body(model.train())
    learning = {key for key, p in model.named_parameters() if p.requires_grad}
    assert learning == {key for key, _ in model.named_parameters() if key.startswith(tuple(models_head(name, model)))}
    model.train()
    assert not any(part.training for part in model.modules() if isinstance(part, nn.BatchNorm2d))
    statistics = {key: b.tolist() for key, b in model.named_buffers()}
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    weights = {key: p.numpy().copy() for key, p in model.named_parameters()}
    nn.functional.cross_entropy(model(x), cr.asarray([0, 3])).backward()
    optimizer.step()
    moved = {key for key, p in model.named_parameters() if not np.array_equal(p.numpy(), weights[key])}
    assert moved == learning
    assert {key: b.tolist() for key, b in model.named_buffers()} == statistics
    model.unfreeze().train()
    assert all(p.requires_grad for p in model.parameters())
    assert all(part.training for part in model.modules())


def models_head(name, model):
    if name in ("squeezenet1_0", "squeezenet1_1"):
        return ["classifier."]
    if name == "lenet5":
        return ["f6."]
    if name.startswith(("vgg", "alexnet")):
        return ["classifier.6."]
    return ["fc."] if "fc" in model._modules else [f"{list(model._modules)[-1]}."]


def test_networks_of_your_own():
    class Own(nn.Module):
        def __init__(self):
            self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
            self.out = nn.Linear(8, 3, bias=False)

        def forward(self, x):
            return self.out(self.body(x))

    model = models.replace_head(Own().to(cr.float64), 5, head="out")
    assert repr(model.out) == 'Linear(8, 5, bias=False, dtype="float64")'
    assert model.out.weight.dtype is cr.float64
    for call, text in [
        (lambda: models.replace_head(Own(), 5), "replace_head does not know the last layer of Own; pass its path as "
         'head=, such as head="decoder.out".'),
        (lambda: models.replace_head(Own(), 5, head="body"), "replace_head: body of Own is Sequential; the last layer "
         "must be nn.Linear or nn.Conv2d. Pass the path of that layer as head=."),
        (lambda: models.freeze_body(Own()), "freeze_body does not know the head of Own; it knows the networks of "
         "chainrule.models and nn.Sequential. Freeze parts of your own with part.freeze(keep_eval=True)."),
        (lambda: models.split(Own()), "split does not know the head of Own; it knows the networks of chainrule.models "
         "and nn.Sequential. Freeze parts of your own with part.freeze(keep_eval=True)."),
    ]:  # fmt: skip
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == text
    with pytest.raises(ValueError) as caught:
        models.replace_head(models.create("resnet20"), 0)
    assert str(caught.value) == "replace_head.num_classes must be an int >= 1; got 0."


def test_a_network_behind_a_resizing():
    model = models.Resized(models.create("mobilenet_0.25", num_classes=5), 48).eval()
    x = cr.random.normal((2, 3, 32, 32))
    larger = nn.functional.interpolate(x, size=48, mode="bilinear")
    np.testing.assert_array_equal(model(x).numpy(), model.network(larger).numpy())
    np.testing.assert_array_equal(model(larger).numpy(), model.network(larger).numpy())
    models.replace_head(model, 3)
    models.freeze_body(model)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["network.fc.weight", "network.fc.bias"]
    body, head = models.split(model)
    np.testing.assert_array_equal(head(body(x)).numpy(), model(x).numpy())
    assert repr(model).startswith("Resized(size=48\n")


# ---------------------------------------------------------------------------------------------------- features once
def pictures(count=40):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 3, 16, 16)).astype(np.uint8)
    return data.ArrayDataset(images, generator.integers(0, 4, count), names=("images", "labels"), classes=tuple("abcd"))


def scaled(x):
    return x.astype(cr.float32) / 127.5 - 1


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", ["resnet20", "squeezenet1_1", "mobilenet_0.25"])
def test_a_frozen_body_and_features_computed_once_give_the_same_head(name, compiled):
    heads = []
    for once in (False, True):
        cr.manual_seed(3)
        settings = {"dropout": 0.25} if name == "mobilenet_0.25" else {}
        model = models.create(name, **{**SMALL[name][0], "num_classes": 10, **settings})
        for part in model.modules():  # averages that are not those of any batch
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean = cr.random.normal(part.running_mean.shape) * 0.1
        models.freeze_body(models.replace_head(model, 4))
        samples, learner, transform = pictures(), model, scaled
        if once:
            body, learner = models.split(model)
            samples, transform = models.compute_features(body, samples, transform=scaled, compiled=compiled), None
        optimizer = optim.SGD(learner.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
        trainer = Trainer(learner, nn.CrossEntropyLoss(), optimizer, transform=transform, compiled=compiled)
        cr.manual_seed(4)  # dropout in the head draws the same numbers in both ways
        trainer.fit(data.DataLoader(samples, batch_size=8, shuffle=True, seed=1), epochs=3)
        heads.append({key: p.numpy().copy() for key, p in model.named_parameters() if p.requires_grad})
    assert len(heads[0]) == 2
    start = models.replace_head(model, 4)
    for key, value in heads[0].items():
        assert np.abs(value - dict(start.named_parameters())[key].numpy()).max() > 1e-3  # something was learnt
        np.testing.assert_allclose(heads[1][key], value, rtol=2e-4, atol=2e-6)


def test_features_in_memory_and_on_the_disk_are_the_same(tmp_path):
    body, _ = models.split(models.create("resnet20").train())
    samples = pictures(10)
    plain = models.compute_features(body, samples, transform=scaled, batch_size=4, compiled=False)
    assert (plain.features.shape, plain.classes, plain.names) == ((10, 64), tuple("abcd"), ("features", "labels"))
    assert body.training
    body.eval()
    np.testing.assert_allclose(plain.features, body(scaled(cr.asarray(samples.images))).numpy(), rtol=1e-5, atol=1e-6)
    path = tmp_path / "features"
    kept = models.compute_features(body, samples, transform=scaled, batch_size=4, path=path, compiled=False)
    np.testing.assert_array_equal(kept.features, plain.features)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["features"]
    assert sorted(p.name for p in path.iterdir()) == ["facts.json", "features.npy"]
    marked = np.load(path / "features.npy")
    marked[0, 0] = 77.0
    np.save(path / "features.npy", marked)
    again = models.compute_features(body, samples, transform=scaled, batch_size=4, path=path, compiled=False)
    assert again.features[0, 0] == 77.0  # found, not computed
    with cr.no_grad():
        body.network.conv1.weight.assign_(body.network.conv1.weight * 2)
    fresh = models.compute_features(body, samples, transform=scaled, batch_size=4, path=path, compiled=False)
    assert fresh.features[0, 0] != 77.0
    other = models.compute_features(body, samples, transform=lambda x: scaled(x) * 2, path=path, compiled=False)
    assert not np.allclose(other.features, fresh.features)
    half = models.compute_features(body, data.Subset(samples, [3, 1]), transform=scaled, path=path, compiled=False)
    np.testing.assert_allclose(half.features, fresh.features[[3, 1]], rtol=1e-5, atol=1e-6)
    assert half.labels.tolist() == samples.labels[[3, 1]].tolist()


def test_what_features_cannot_be_computed_of(tmp_path):
    body = nn.Flatten()
    with pytest.raises(DataError) as caught:
        models.compute_features(body, data.MapDataset(pictures(), lambda sample: sample))
    assert str(caught.value) == (
        "compute_features needs samples that lie in arrays; got MapDataset. Put them into a data.ArrayDataset."
    )
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError) as caught:
        models.compute_features(body, pictures(), path=tmp_path)
    assert str(caught.value) == f"{tmp_path} holds something else than features; give the path of a new folder."
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    with pytest.raises(ValueError) as caught:
        models.compute_features(body, pictures(), batch_size=0)
    assert str(caught.value) == "compute_features.batch_size must be an int >= 1; got 0."
