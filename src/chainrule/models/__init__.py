"""Floor 6, models: architectures. What enters is a batch of samples, what leaves are the network's outputs (logits).

mlp.py    the multilayer perceptron
"""

from chainrule.models.mlp import MLP

__all__ = ["MLP"]
