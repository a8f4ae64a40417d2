"""The workloads by name, in the order of the report. A file holds one network and its variants, or a family.

`USUAL` are those that run without `--only`; `GROUPS` are names for several.
"""

from __future__ import annotations

from benchmarks.workload import Workload
from benchmarks.workloads import architectures, autoencoder, cifar_m1, cifar_m2, cifar_m3, mlp, mlp_wide, resnet18

__all__ = ["GROUPS", "USUAL", "WORKLOADS"]

FILES = (mlp, cifar_m2, cifar_m1, mlp_wide, autoencoder, cifar_m3, resnet18, architectures)
WORKLOADS: dict[str, Workload] = {workload.name: workload for file in FILES for workload in file.WORKLOADS}
GROUPS = {
    group: tuple(name for name, workload in WORKLOADS.items() if workload.group == group)
    for group in ("architectures", "variants")
}
USUAL = tuple(name for name, workload in WORKLOADS.items() if workload not in architectures.WORKLOADS)
