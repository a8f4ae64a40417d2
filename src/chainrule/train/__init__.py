"""Floor 6: the training loop, what hooks into it, and what survives an interruption.

What enters: a model, a loss, an optimizer, loaders. What leaves: a trained model, records of the run, checkpoints.
"""

from chainrule.train.callbacks import Callback, EarlyStopping, JSONLines, TensorBoard
from chainrule.train.checkpoint import Checkpoints
from chainrule.train.progress import Progress
from chainrule.train.trainer import Trainer

__all__ = ["Callback", "Checkpoints", "EarlyStopping", "JSONLines", "Progress", "TensorBoard", "Trainer"]
