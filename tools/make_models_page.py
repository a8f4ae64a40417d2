"""Write docs/models.md, the list of architectures, from `chainrule.models.CATALOGUE`.

Usage: python tools/make_models_page.py      Tests compare the page with the list and with what this file would write.
"""

from __future__ import annotations

import pathlib

from chainrule import models, nn
from chainrule.models import _parts

HEAD = """# Architectures

<!-- written by tools/make_models_page.py from chainrule/models/catalogue.py -->

Each architecture is one file of `chainrule/models` that reads like the table of its paper. `models.create` makes one by
its name; all settings of its class can be given: the number of classes, of channels, dropout.

```python
import chainrule as cr
from chainrule import models

model = models.create("resnet18", num_classes=10, stem="cifar")
print(sum(p.size for p in model.parameters()))  # 11173962
print(model.summary((1, 3, 32, 32)).flops)
```

State dicts have torchvision's names where torchvision has the model, so its weights load as they are. FLOPs are those
of one picture in eval mode, an addition and a multiplication each counted. Initial values are torchvision's, or the
paper's.

| name | class | picture | parameters | FLOPs | source |
| --- | --- | --- | ---: | ---: | --- |
"""

SMALL = """
## For pictures of 32x32

With `stem="cifar"` and ten classes. The first convolution is 3x3 with stride 1, and a factor of 4 of what halves the
picture is left out with it: ResNet, GoogLeNet and SqueezeNet have no pooling after the first convolution, MobileNet has
stride 1 in its first strided block, AlexNet loses the stride of 4. VGG's stem is 3x3 with stride 1 already; its linear
layers are 512-512-512-10. AlexNet's first linear layer has 2304 inputs.

| name | settings | parameters | FLOPs | maps |
| --- | --- | ---: | ---: | --- |
"""

MAPS = {"alexnet": "32, 15, 7, 3", "vgg": "32, 16, 8, 4, 2, 1", "googlenet": "32, 16, 8, 4", "resnet": "32, 16, 8, 4",
        "squeezenet": "32, 16, 8", "mobilenet": "32, 16, 8, 4"}  # fmt: skip

TAIL = """
## What differs from the papers

| architecture | what |
| --- | --- |
| `lenet5` | all of the paper: sparse C3, trained pooling, scaled tanh, distances to drawn digits, 60,000 parameters; \
the drawings are ours, and 28x28 pictures are framed with zeros |
| `lenet5_modern` | C3 sees all maps, pooling without parameters, linear output |
| `alexnet` | torchvision's: one column of "One weird trick" (2014); `alexnet_paper` is that of 2012, with two groups \
and response norms |
| `googlenet` | torchvision's: batch norm, 3x3 in place of 5x5; `googlenet_paper` has 5x5, biases and response norms |
| `resnet50` and deeper | the stride stands in the 3x3 convolution, as in torchvision; the paper has it in the 1x1 \
before |
| `resnet20` to `resnet110` | shortcuts of option A, as in the paper; `shortcut="B"` has 1x1 convolutions |
| `squeezenet1_0` | `variant="caffe"` for the authors' weights: padding 1 in the last convolution |
| `mobilenet` | `variant="tensorflow"` for the authors' weights: relu6, eps 1e-3, padding below and to the right |
"""


def _amount(flops: int) -> str:
    return f"{flops / 1e9:.2f} G" if flops >= 1e9 else f"{flops / 1e6:.1f} M"


def _measured(row: models.Architecture, shape: tuple[int, int, int], settings: dict) -> tuple[int, int]:
    table = models.create(row.name, **settings).eval().summary((1, *shape))
    return table.parameters, table.flops


def _without_draws() -> None:
    """Leave initial values out: only shapes are looked at."""
    for name in ("uniform_", "normal_", "kaiming_uniform_"):
        setattr(nn.init, name, lambda tensor, *_args, **_settings: tensor)
    _parts._fill = lambda tensor, *_args: tensor


def page() -> str:
    """Return the whole page."""
    kept = [(nn.init, name, getattr(nn.init, name)) for name in ("uniform_", "normal_", "kaiming_uniform_")]
    kept.append((_parts, "_fill", _parts._fill))
    _without_draws()
    try:
        large, small = "", ""
        for row in models.CATALOGUE.values():
            shape = "x".join(map(str, row.input_shape))
            parameters, flops = _measured(row, row.input_shape, {})
            large += f"| `{row.name}` | `{row.make.__name__}` | {shape} | "
            large += f"{parameters:,} | {_amount(flops)} | {row.source} |\n"
            if row.cifar_parameters is not None:
                parameters, flops = _measured(row, (3, 32, 32), {"num_classes": 10, "stem": "cifar"})
                maps = next(text for start, text in MAPS.items() if row.name.startswith(start))
                small += f'| `{row.name}` | `stem="cifar"` | {parameters:,} | {_amount(flops)} | {maps} |\n'
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)
    return HEAD + large + SMALL + small + TAIL


def main() -> None:
    """Write the page."""
    (pathlib.Path(__file__).resolve().parent.parent / "docs" / "models.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
