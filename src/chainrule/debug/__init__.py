"""Looking into a run: where a NaN or an infinity began.

What enters: a Python step that runs eagerly. What leaves: the module, operation and line of its first non-finite value.
"""

from chainrule.debug.nan import Finding, debug_nans, find_nan

__all__ = ["Finding", "debug_nans", "find_nan"]
