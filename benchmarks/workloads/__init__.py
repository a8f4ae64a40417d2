"""The workloads by name, in the order of the report. A file holds one network and its variants."""

from __future__ import annotations

from benchmarks.workload import Workload
from benchmarks.workloads import autoencoder, cifar_m1, cifar_m2, cifar_m3, mlp, mlp_wide, resnet18

__all__ = ["WORKLOADS"]

FILES = (mlp, cifar_m2, cifar_m1, mlp_wide, autoencoder, cifar_m3, resnet18)
WORKLOADS: dict[str, Workload] = {workload.name: workload for file in FILES for workload in file.WORKLOADS}
