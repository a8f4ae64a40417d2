"""Augmentation: what each transform does, and that NumPy, eager and compiled chainrule give the same pictures."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import data, nn
from chainrule.core.errors import DTypeError, SettingError, ShapeError
from chainrule.core.philox import philox_block
from chainrule.data.keyed import TAG, Draws, keyed_words
from chainrule.data.mixing import beta_quantiles, partners

EXACT = [
    data.RandomHorizontalFlip(),
    data.RandomVerticalFlip(0.3),
    data.RandomShift(3, "reflect"),
    data.RandomShift(2, fill=0.5),
    data.RandomCrop(),
    data.RandomCrop(10, 2, "replicate"),
    data.RandomRotation(30),
    data.RandomZoom(0.7, 1.4, fill=0.25),
    data.RandomBrightness(0.5),
    data.GaussianNoise(0.1),
    data.Cutout(5, p=0.7),
    data.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]),
    data.MixUp(0.4, p=0.8),
    data.CutMix(p=0.8),
]
ALL = [*EXACT, data.RandomContrast(0.5)]


def batch(samples=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (samples, 3, 12, 14), dtype=np.uint8)
    return x, rng.integers(0, 10, samples), rng.permutation(10**6)[:samples]


def run(transforms, x, y, index, epoch=0, seed=5):
    augment = data.Augment(transforms, seed, classes=10)
    return augment(x, y, index, augment.key(epoch))


def floats(value, shape=(1, 1, 4, 4), samples=1):
    return np.full((samples, *shape[1:]), value, np.float32)


# ---------------------------------------------------------------------------------------------------- numbers
def test_the_words_are_those_of_the_generator_s_definition():
    key, index = 0x0123456789ABCDEF, 2**40 + 9
    words = keyed_words(np, np.asarray(key, np.uint64), np.asarray([3, index], np.uint64), 2, 5, 3)
    block = philox_block((index & 0xFFFFFFFF, index >> 32, 6, TAG + 2), (key & 0xFFFFFFFF, key >> 32))
    assert tuple(int(word[1, 1]) for word in words) == block


def test_draws_never_repeat_and_have_their_distributions():
    draws = Draws(np, np.asarray(1, np.uint64), np.arange(4000, dtype=np.uint64), 0)
    first, second = draws.units(1)[0], draws.units(1)[0]
    assert (first != second).mean() > 0.999
    assert abs(first.mean() - 0.5) < 0.02
    assert abs(first.std() - 12**-0.5) < 0.01
    z = draws.normal(5)
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.02


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_numpy_eager_and_compiled_give_the_same_pictures(transform):
    x, y, index = batch()
    augment = data.Augment([transform], seed=5, classes=10)
    key = augment.key(3)
    expected, labels = augment(x, y, index, key)
    tensors = cr.asarray(x), cr.asarray(y), cr.asarray(index), cr.asarray(np.uint64(key))
    for function in (augment, cr.jit(lambda *arguments: augment(*arguments))):
        found, soft = function(*tensors)
        worst = np.abs(found.numpy() - expected).max()
        assert worst == 0 if transform in EXACT else worst < 3e-7
        np.testing.assert_array_equal(soft.numpy(), labels)


def test_a_new_epoch_does_not_trace_again_and_changes_the_pictures():
    x, y, index = batch()
    augment = data.Augment([data.RandomCrop()], seed=5)
    traced = []

    @cr.jit
    def step(x, y, index, key):
        traced.append(1)
        return augment(x, y, index, key)[0]

    for epoch in range(3):
        key = augment.key(epoch)
        found = step(cr.asarray(x), cr.asarray(y), cr.asarray(index), cr.asarray(np.uint64(key)))
        np.testing.assert_array_equal(found.numpy(), augment(x, y, index, key)[0])
    assert len(traced) == 1


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_the_order_of_a_batch_makes_no_difference(transform):
    x, y, index = batch()
    order = np.random.default_rng(1).permutation(len(x))
    (a, la), (b, lb) = run([transform], x, y, index), run([transform], x[order], y[order], index[order])
    np.testing.assert_array_equal(a[order], b)
    np.testing.assert_array_equal(la[order], lb)


@pytest.mark.parametrize("transform", [t for t in ALL if not t.mixes], ids=repr)
def test_a_sample_is_changed_alike_alone_and_in_a_batch(transform):
    x, y, index = batch()
    np.testing.assert_array_equal(
        run([transform], x, y, index)[0][3:4], run([transform], x[3:4], y[3:4], index[3:4])[0]
    )


@pytest.mark.parametrize("transform", [t for t in ALL if not isinstance(t, data.Normalize)], ids=repr)
def test_seed_and_epoch_change_the_pictures(transform):
    x, y, index = batch(32)
    first = run([transform], x, y, index)[0]
    assert (first != run([transform], x, y, index, epoch=1)[0]).any()
    assert (first != run([transform], x, y, index, seed=6)[0]).any()


def test_two_of_one_kind_in_a_pipeline_draw_different_numbers():
    x, y, index = batch(64)
    twice = run([data.RandomHorizontalFlip(), data.RandomHorizontalFlip()], x, y, index)[0]
    flipped = (twice == (x / np.float32(255))[..., ::-1]).all(axis=(1, 2, 3))
    assert 10 < flipped.sum() < 54  # with the same numbers a second flip would undo the first


# ---------------------------------------------------------------------------------------------------- what they do
def test_flips():
    x = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(run([data.RandomHorizontalFlip(1.0)], x, [0], [0])[0], x[..., ::-1])
    np.testing.assert_array_equal(run([data.RandomVerticalFlip(1.0)], x, [0], [0])[0], x[:, :, ::-1])
    np.testing.assert_array_equal(run([data.RandomVerticalFlip(0.0)], x, [0], [0])[0], x)


@pytest.mark.parametrize(
    ("mode", "numpy_mode"), [("constant", "constant"), ("reflect", "reflect"), ("replicate", "edge")]
)
def test_a_crop_is_a_window_of_the_padded_picture(mode, numpy_mode):
    x = np.random.default_rng(0).random((60, 2, 5, 6), np.float32)
    found, _ = run([data.RandomCrop(4, 2, mode)], x, np.zeros(60), np.arange(60))
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode=numpy_mode)
    starts = set()
    for picture, window in zip(padded, found, strict=True):
        fits = [
            (i, j) for i in range(6) for j in range(7) if (picture[:, i : i + 4, j : j + 4] == window).all()
        ]  # every place of a 4 x 4 window in 9 x 10
        assert len(fits) == 1
        starts.add(fits[0])
    assert {i for i, _ in starts} == set(range(6))
    assert {j for _, j in starts} == set(range(7))


def test_a_shift_moves_by_at_most_so_many_pixels():
    x = np.zeros((40, 1, 7, 7), np.float32)
    x[:, :, 3, 3] = 1
    found, _ = run([data.RandomShift(2)], x, np.zeros(40), np.arange(40))
    _, _, rows, columns = np.nonzero(found)
    assert len(rows) == 40
    assert set(rows) == set(columns) == {1, 2, 3, 4, 5}


def test_a_rotation_turns_about_the_centre():
    x = np.zeros((30, 1, 9, 9), np.float32)
    x[:, :, 4, 4], x[:, :, 4, 7] = 1.0, 0.5
    found, _ = run([data.RandomRotation(90)], x, np.zeros(30), np.arange(30))
    np.testing.assert_allclose(found[:, 0, 4, 4], 1.0, atol=1e-6)
    rows, columns = np.mgrid[:9, :9] - 4
    rest = found[:, 0].copy()
    rest[:, 3:6, 3:6] = 0
    distance = np.hypot((rest * rows).sum((1, 2)), (rest * columns).sum((1, 2))) / rest.sum((1, 2))
    np.testing.assert_allclose(distance, 3, atol=0.25)
    assert ((rest * columns).sum((1, 2)) > -0.2).all()  # at most 90 degrees: never to the left


@pytest.mark.oracle
def test_rotation_and_zoom_are_what_a_grid_gives_in_torch():
    torch = pytest.importorskip("torch")
    x, y, index = batch(3)
    pictures = torch.from_numpy(x / np.float32(255)).double()
    for transform, kind in ((data.RandomRotation(40), "turn"), (data.RandomZoom(0.6, 1.5), "zoom")):
        u = Draws(np, np.asarray(data.Augment([], 5).key(0), np.uint64), index.astype(np.uint64), 0).units(1)[0]
        rows, columns = np.mgrid[:12, :14].astype(float)
        rows, columns = rows - 5.5, columns - 6.5
        grids = []
        for number in u.astype(float):
            angle, factor = (2 * number - 1) * np.deg2rad(40), 0.6 + 0.9 * number
            a, b = (np.cos(angle), np.sin(angle)) if kind == "turn" else (1 / factor, 0.0)
            grids.append(np.stack([(b * rows + a * columns) / 6.5, (a * rows - b * columns) / 5.5], -1))
        grid = torch.from_numpy(np.stack(grids))
        expected = torch.nn.functional.grid_sample(pictures, grid, align_corners=True).numpy()
        np.testing.assert_allclose(run([transform], x, y, index)[0], expected, atol=2e-5)


def test_brightness_and_contrast():
    x = np.random.default_rng(0).random((50, 1, 3, 3), np.float32) * 0.5 + 0.1
    bright, _ = run([data.RandomBrightness(0.4)], x, np.zeros(50), np.arange(50))
    factors = (bright / x).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(bright, x * factors[:, None, None, None], rtol=1e-5)
    assert 0.6 <= factors.min() < 0.7
    assert 1.3 < factors.max() <= 1.4
    contrast, _ = run([data.RandomContrast(0.4)], x, np.zeros(50), np.arange(50))
    np.testing.assert_allclose(contrast.mean((1, 2, 3)), x.mean((1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(contrast.std((1, 2, 3)) / x.std((1, 2, 3)), factors, rtol=1e-4)


def test_values_stay_within_their_range():
    x = np.random.default_rng(0).random((20, 3, 6, 6), np.float32)
    for transform in (data.RandomBrightness(1.0), data.RandomContrast(1.0), data.GaussianNoise(1.0)):
        found, _ = run([transform], x, np.zeros(20), np.arange(20))
        assert found.min() >= 0
        assert found.max() <= 1


def test_cutout_fills_a_square_that_may_be_cut_off():
    found, _ = run([data.Cutout(4, fill=0.25)], floats(1.0, (1, 2, 9, 9), 200), np.zeros(200), np.arange(200))
    holes = found[:, 0] == 0.25
    assert (holes == (found[:, 1] == 0.25)).all()
    rows, columns = holes.any(axis=2).sum(axis=1), holes.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(holes.sum(axis=(1, 2)), rows * columns)
    assert set(rows) == set(columns) == {2, 3, 4}


# ---------------------------------------------------------------------------------------------------- mixing
def test_mixup_blends_pictures_and_labels_by_the_same_weight():
    y = np.arange(6)
    x = np.broadcast_to(np.eye(6, dtype=np.float32)[:, :, None, None], (6, 6, 2, 2))
    found, labels = run([data.MixUp(1.0)], x, y, np.arange(6))
    np.testing.assert_allclose(found[..., 0, 0], labels[:, :6], atol=1e-6)  # each picture says what it is made of
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert ((labels > 0).sum(axis=1) == 2).all()


def test_cutmix_puts_in_a_rectangle_and_weights_labels_by_its_area():
    y = np.arange(6)
    x = np.broadcast_to(np.arange(6, dtype=np.float32)[:, None, None, None], (6, 1, 8, 8))
    found, labels = run([data.CutMix()], x, y, np.arange(6))
    shares = np.stack([(found[:, 0] == c).mean(axis=(1, 2)) for c in range(10)], axis=1)
    np.testing.assert_allclose(labels, shares, atol=1e-6)
    assert (labels > 0).sum() > 8


def test_mixed_labels_train_a_network():
    x, y, index = batch()
    soft = run([data.MixUp(), data.CutMix()], x, y, index)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 14, 10))
    logits = model(cr.asarray(soft[0]))
    loss = nn.CrossEntropyLoss()(logits, cr.asarray(soft[1]))
    expected = -(soft[1] * cr.log_softmax(logits, axis=1).numpy()).sum(axis=1).mean()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert np.isfinite(model[1].weight.grad.numpy()).all()


def test_partners_form_one_ring():
    found = partners(np, np.random.default_rng(0).integers(0, 2**63, 9).astype(np.uint64))
    place, seen = 0, []
    for _ in range(9):
        seen.append(place)
        place = int(found[place])
    assert place == 0
    assert sorted(seen) == list(range(9))


def test_quantiles_of_the_beta_distribution():
    u = np.arange(4097) / 4096
    np.testing.assert_allclose(beta_quantiles(1.0)[:-1], u, atol=1e-6)
    np.testing.assert_allclose(beta_quantiles(0.5)[:-1], np.sin(np.pi / 2 * u) ** 2, atol=1e-5)  # the arcsine law
    x = beta_quantiles(2.0)[:-1].astype(float)
    np.testing.assert_allclose(x * x * (3 - 2 * x), u, atol=1e-5)
    assert (np.diff(beta_quantiles(0.05)) >= 0).all()


# ---------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (
            lambda: data.RandomHorizontalFlip(1.5),
            ValueError,
            "RandomHorizontalFlip.p must be a number in [0, 1]; got 1.5.",
        ),
        (lambda: data.RandomCrop(padding=-1), ValueError, "RandomCrop.padding must be an int >= 0; got -1."),
        (
            lambda: data.RandomShift(2, "reflekt"),
            ValueError,
            "RandomShift.padding_mode must be one of 'constant', 'reflect', 'replicate'; got 'reflekt'; "
            "did you mean 'reflect'?",
        ),
        (lambda: data.RandomZoom(1.2, 1.1), ValueError, "RandomZoom.high must be a number >= 1.2; got 1.1."),
        (
            lambda: data.RandomRotation(float("nan")),
            ValueError,
            "RandomRotation.degrees must be a number in [0, 180]; got nan.",
        ),
        (
            lambda: data.Normalize([0.5], [0.0]),
            ValueError,
            "Normalize.mean and Normalize.std must be as many finite numbers, one per channel, and each std > 0; "
            "got (0.5,) and (0.0,).",
        ),
        (
            lambda: data.Augment([data.MixUp()]),
            SettingError,
            "MixUp makes labels distributions over the classes, so Augment needs their number: pass classes=10, for "
            "example.",
        ),
        (
            lambda: data.Augment(["flip"]),
            SettingError,
            "Augment takes transforms such as RandomHorizontalFlip(); got 'flip'. A transform of your own is a class "
            "with the base data.Transform.",
        ),
        (
            lambda: data.Augment([])(np.zeros((2, 28, 28), np.uint8), np.zeros(2), np.arange(2)),
            ShapeError,
            "Augment needs pictures [batch, channels, height, width]; got the shape (2, 28, 28). For grey pictures "
            "without that axis write x[:, None].",
        ),
        (
            lambda: data.Augment([])(np.zeros((2, 1, 2, 2), np.int64), np.zeros(2), np.arange(2)),
            DTypeError,
            "Augment needs uint8 pictures, or floats from 0 to 1; got int64.",
        ),
        (
            lambda: data.Augment([])(np.zeros((2, 1, 2, 2), np.uint8), np.zeros(2), np.arange(3)),
            ShapeError,
            "Augment got 2 pictures and sample numbers of shape (3,); it needs one number per picture, shape (2,).",
        ),
        (
            lambda: run([data.RandomCrop(9, 1)], floats(0.0), [0], [0]),
            ShapeError,
            "RandomCrop(size=9, padding=1, padding_mode='constant', fill=0.0) got pictures of 4 x 4 pixels; with the "
            "padding they are smaller than the window of 9 x 9.",
        ),
        (
            lambda: run([data.Normalize([0.5] * 3, [1.0] * 3)], floats(0.0), [0], [0]),
            ShapeError,
            "Normalize has 3 means and the pictures have 1 channels; it needs one mean and one std per channel.",
        ),
    ],
)
def test_errors(make, kind, message):
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value).split("\n")[0] == message


# ---------------------------------------------------------------------------------------------------- in the loader
def loader(prefetch=0, **settings):
    x, y, _ = batch(20)
    transforms = [data.RandomCrop(), data.RandomHorizontalFlip(), data.GaussianNoise()]
    return data.DataLoader(
        data.ArrayDataset(x, y), 6, True, seed=3, prefetch=prefetch, augment=data.Augment(transforms, 5, 10), **settings
    )


def epochs(loading, count):
    return [[(x.numpy().copy(), y.numpy().copy()) for x, y in loading] for _ in range(count)]


def test_the_loader_changes_each_sample_by_its_number_and_the_epoch():
    loading = loader()
    for epoch, batches in enumerate(epochs(loading, 2)):
        order = loading.order(epoch)
        x, y = loading.dataset.arrays
        expected, _ = loading.augment(x[order], y[order], order, loading.augment.key(epoch))
        np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), expected)
        np.testing.assert_array_equal(np.concatenate([b[1] for b in batches]), y[order])


def test_threads_make_no_difference():
    for a, b in zip(sum(epochs(loader(), 2), []), sum(epochs(loader(prefetch=3), 2), []), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_a_resumed_loader_goes_on_with_the_same_pictures():
    whole = sum(epochs(loader(), 2), [])
    first, got = loader(prefetch=2), []
    for x, y in first:
        got.append((x.numpy().copy(), y.numpy().copy()))
        if len(got) == 2:
            state = first.state_dict()
            break
    second = loader()
    second.load_state_dict(state)
    got += sum(epochs(second, 2), [])
    for a, b in zip(whole, got, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def test_augmented_batches_are_not_taken_as_rows():
    assert loader().rows() is None


def test_the_transform_comes_after():
    plain, scaled = loader(), loader(transform=lambda x: x * 2)
    np.testing.assert_array_equal(next(iter(plain))[0].numpy() * 2, next(iter(scaled))[0].numpy())


def test_batches_that_are_no_pictures_and_labels():
    loading = data.DataLoader(data.ArrayDataset(batch()[0]), augment=data.Augment([]))
    with pytest.raises(data.loader.DataError) as caught:
        next(iter(loading))
    assert str(caught.value) == ("DataLoader.augment needs batches (pictures, labels); this data set gives tuple of 1.")
