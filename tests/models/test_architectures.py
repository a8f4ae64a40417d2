"""The architectures: published sizes, shapes, messages, initial values, the real weights, and the list by name."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn
from chainrule.models import _parts
from chainrule.models.lenet import CONNECTIONS, DIGITS


def size(model):
    return sum(p.size for p in model.parameters())


# ---------------------------------------------------------------------------------------------------- sizes and shapes
@pytest.mark.parametrize("name", models.names())
def test_the_parameter_count_is_the_published_one(name, undrawn):
    row = models.CATALOGUE[name]
    assert size(models.create(name)) == row.parameters
    if row.cifar_parameters is not None:
        assert size(models.create(name, num_classes=10, stem="cifar")) == row.cifar_parameters


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "googlenet", "resnet50", "squeezenet1_0", "mobilenet"])
def test_a_picture_of_imagenet_gives_a_thousand_logits(name, undrawn):
    model = models.create(name).eval()
    table = model.summary((2, 3, 224, 224))
    assert table.parameters == models.CATALOGUE[name].parameters
    assert [row.outputs for row in table.rows if row.outputs][-1] in [((2, 1000),), ((2, 1000, 1, 1),)]


@pytest.mark.parametrize(
    "variant, plain, whole", [("torchvision", 6_624_904, 13_004_888), ("paper", 6_998_552, 13_378_280)]
)
def test_googlenet_without_auxiliary_classifiers(undrawn, variant, plain, whole):
    assert size(models.GoogLeNet(aux_logits=False, variant=variant)) == plain
    assert size(models.GoogLeNet(variant=variant)) == whole


def test_googlenet_gives_three_logits_in_train_mode_and_their_loss_is_the_papers():
    model = models.GoogLeNet(num_classes=10, stem="cifar")
    outputs = model(cr.ones((2, 3, 16, 16)))
    assert [type(outputs).__name__, *(y.shape for y in outputs)] == ["GoogLeNetOutputs", (2, 10), (2, 10), (2, 10)]
    target = cr.asarray([1, 2])
    parts = [nn.functional.cross_entropy(y, target).item() for y in outputs]
    want = parts[0] + 0.3 * (parts[1] + parts[2])
    assert models.auxiliary_cross_entropy(outputs, target).item() == pytest.approx(want, rel=1e-6)
    assert models.auxiliary_cross_entropy(outputs.logits, target).item() == pytest.approx(parts[0], rel=1e-6)
    assert model.eval()(cr.ones((2, 3, 16, 16))).shape == (2, 10)


@pytest.mark.parametrize("option, count", [("A", 269_722), ("B", 272_474)])
def test_both_shortcuts_of_the_cifar_resnet(option, count):
    model = models.CifarResNet(20, shortcut=option)
    assert size(model) == count
    assert any("downsample" in name for name in model.state_dict()) is (option == "B")


def test_a_padded_shortcut_takes_every_other_pixel_and_adds_zeros():
    x = cr.reshape(cr.arange(32, dtype=cr.float32), (1, 2, 4, 4))
    way = models.CifarResNet(20).layer2[0].downsample
    y = way(x)
    assert y.shape == (1, 18, 2, 2)
    np.testing.assert_array_equal(y[0, 1].numpy(), [[16, 18], [24, 26]])
    assert float(cr.abs(y[:, 2:]).max()) == 0


def test_more_channels_and_classes():
    for name, settings in (
        ("lenet5", {}),
        ("cifar_m2", {}),
        ("resnet20", {}),
        ("mobilenet", {"stem": "cifar", "width": 0.25}),
    ):
        model = models.create(name, num_classes=7, in_channels=2, **settings).eval()
        side = 28 if name == "lenet5" else 32
        assert model(cr.zeros((1, 2, side, side))).shape == (1, 7)


def test_each_setting_stands_in_the_repr():
    assert repr(models.VGG(11, num_classes=5, stem="cifar", batch_norm=True)).startswith(
        'VGG(11, num_classes=5, stem="cifar", batch_norm=True'
    )
    assert repr(models.ResNet(18, 10, stem="cifar")).startswith('ResNet(18, num_classes=10, stem="cifar"')
    assert repr(models.CifarM2()).startswith("CifarM2(\n  (0): Conv2d(3, 6, kernel_size=5)")


def test_part_of_a_fixed_network_is_a_sequential():
    model = models.CifarM2()
    part = model[:3]
    assert type(part) is nn.Sequential
    assert len(part) == 3
    assert part[0] is model[0]


# ---------------------------------------------------------------------------------------------------- LeNet-5
def test_lenet5_has_the_papers_connections_and_counts_per_layer():
    assert [len(seen) for seen in CONNECTIONS] == [3] * 6 + [4] * 9 + [6]
    assert all(sum(channel in seen for seen in CONNECTIONS) == 10 for channel in range(6))
    model = models.LeNet5()
    counts = {name: size(part) for name, part in model._modules.items() if size(part)}
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert list(model.state_dict())[-1] == "output.codes"


def test_the_drawn_digits_are_ten_pictures_of_12_times_7():
    assert len(set(DIGITS)) == 10
    assert {len(digit) for digit in DIGITS} == {84}
    assert set("".join(DIGITS)) == {"#", "."}
    model = models.LeNet5()
    np.testing.assert_array_equal(model.output(model.output.codes).numpy().argmax(1), np.arange(10))
    assert model.output(model.output.codes).numpy().max() == 0


def test_the_squashing_function_is_one_at_one():
    y = models.LeNet5().squash(cr.asarray([1.0, -1.0, 0.0]))
    np.testing.assert_allclose(y.numpy(), [1, -1, 0], atol=1e-4)


def test_a_map_of_c3_does_not_move_with_maps_that_it_does_not_see():
    layer = models.LeNet5().c3
    x = np.zeros((1, 6, 5, 5), np.float32)
    base = layer(cr.asarray(x)).numpy()
    for channel in range(6):
        y = layer(cr.asarray(x + np.eye(6, dtype=np.float32)[channel].reshape(1, 6, 1, 1))).numpy()
        moved = (y != base).ravel()
        assert moved.tolist() == [channel in seen for seen in CONNECTIONS]


def test_lenet5_initial_values_lie_in_the_papers_range():
    model = models.LeNet5()
    for layer, fan in ((model.c1, 25), (model.c5, 400), (model.f6, 120)):
        assert 0.8 * 2.4 / fan < float(cr.abs(layer.weight).max()) <= 2.4 / fan
    c3 = np.abs(model.c3.weight.numpy())
    assert c3[:18].max() <= 2.4 / 75
    assert c3[-6:].max() <= 2.4 / 150 < c3[:18].max()


# ---------------------------------------------------------------------------------------------------- initial values
def test_bulk_normal_numbers_are_normal():
    x = _parts.normal_(cr.empty((3, 50_001)), 0.5).numpy().ravel() / 0.5
    assert abs(x.mean()) < 0.01
    assert abs(x.std() - 1) < 0.01
    assert abs((x**4).mean() - 3) < 0.1
    assert np.abs(x).max() < 4.4
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.01
    want = 0.8413  # the share below one standard deviation
    assert abs((x < 1).mean() - want) < 0.005


def test_bulk_numbers_follow_the_seed_and_use_it_up():
    cr.manual_seed(7)
    first, second = (_parts.uniform_(cr.empty(1000), 2.0).numpy() for _ in range(2))
    cr.manual_seed(7)
    np.testing.assert_array_equal(_parts.uniform_(cr.empty(1000), 2.0).numpy(), first)
    assert not np.array_equal(first, second)
    assert -2 <= first.min() < -1.9 < 1.9 < first.max() < 2
    cr.manual_seed(7)
    np.testing.assert_allclose(cr.random.uniform(1000, -2.0, 2.0).numpy(), first, atol=1e-6)


def test_he_normal_has_the_scale_of_the_output_fan():
    model = models.VGG(11, num_classes=10, stem="cifar")
    for index, channels in ((3, 128), (6, 256)):
        std = float(model.features[index].weight.numpy().std())
        assert std == pytest.approx((2 / (9 * channels)) ** 0.5, rel=0.02)
        assert float(cr.abs(model.features[index].bias).max()) == 0
    assert float(model.classifier[0].weight.numpy().std()) == pytest.approx(0.01, rel=0.02)


def test_zero_init_residual_makes_each_block_the_identity_at_first():
    model = models.ResNet(18, 10, stem="cifar", zero_init_residual=True)
    x = cr.random.uniform((2, 64, 4, 4))
    np.testing.assert_array_equal(model.layer1(x).numpy(), x.numpy())


# ---------------------------------------------------------------------------------------------------- the list by name
def test_a_network_by_its_name_is_the_one_of_its_class():
    model = models.create("vgg11_bn", num_classes=10, stem="cifar")
    assert type(model) is models.VGG
    assert (model.depth, model.batch_norm, model.stem) == (11, True, "cifar")


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: models.create("resnet19"), ValueError,
         "models.create has no architecture 'resnet19'; did you mean 'resnet18'?"),
        (lambda: models.create("zebra"), ValueError,
         "models.create has no architecture 'zebra'; there are " + ", ".join(models.names()) + "."),
        (lambda: models.create("resnet18", classes=3), TypeError,
         "resnet18 has no setting 'classes'; did you mean 'num_classes'?"),
        (lambda: models.create("resnet20", stem="cifar"), TypeError,
         "resnet20 has no setting 'stem'; it has num_classes, in_channels, shortcut."),
        (lambda: models.create("resnet18", depth=34), TypeError,
         "resnet18 has no setting 'depth'; it has num_classes, in_channels, stem, zero_init_residual."),
        (lambda: models.ResNet(19), ValueError, "ResNet.depth must be one of 18, 34, 50, 101, 152; got 19."),
        (lambda: models.VGG(12), ValueError, "VGG.depth must be one of 11, 13, 16, 19; got 12."),
        (lambda: models.CifarResNet(18), ValueError, "CifarResNet.depth must be one of 20, 32, 44, 56, 110; got 18."),
        (lambda: models.ResNet(18, stem="cifar10"), ValueError,
         'ResNet.stem must be one of "imagenet", "cifar"; got \'cifar10\'; did you mean \'cifar\'?'),
        (lambda: models.SqueezeNet("1.2"), ValueError,
         'SqueezeNet.version must be one of "1.0", "1.1"; got \'1.2\'; did you mean \'1.1\'?'),
        (lambda: models.LeNet5(input_size=30), ValueError, "LeNet5.input_size must be one of 28, 32; got 30."),
        (lambda: models.MobileNet(width=0.0), ValueError, "MobileNet.width must be a float > 0; got 0.0."),
    ],
)  # fmt: skip
def test_what_is_refused(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == text


def test_the_page_lists_every_architecture_with_its_numbers(repository):
    page = (repository / "docs" / "models.md").read_text(encoding="utf-8").split("## What differs")[0]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, row in models.CATALOGUE.items():
        found = [line for line in rows if line.startswith(f"| `{name}` |")]
        counts = [row.parameters] + [row.cifar_parameters] * (row.cifar_parameters is not None)
        assert len(found) == len(counts), name
        assert all(f"| {count:,} |" in line for line, count in zip(found, counts, strict=True)), name
        assert row.source in found[0]
    assert len(rows) == sum(1 + (row.cifar_parameters is not None) for row in models.CATALOGUE.values())


@pytest.mark.slow
def test_the_page_is_what_its_tool_writes(repository):
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("make_models_page", repository / "tools" / "make_models_page.py")
    tool = module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert (repository / "docs" / "models.md").read_text(encoding="utf-8") == tool.page()
