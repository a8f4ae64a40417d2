"""Measurements: `python -m benchmarks` trains the same networks here and in PyTorch, JAX and tinygrad, interleaved.

    workloads/   one network per file, in every library; its data, optimizer and the ratio it is to reach;
                 `architectures` is all of `chainrule.models`
    twins        those networks in PyTorch
    losses       whether two libraries compute the same
    peers/       one library per file: its modes, and how a workload becomes a call there
    contestant   the process in which one mode of one library runs one workload
    driver       starts the contestants, lets them take turns while the others stand still, collects times
    report       the tables and the JSON
    commands     whole commands, `chainrule train mnist-mlp` beside a PyTorch script

The scripts beside them (`accuracy.py`, `eager.py`, ...) measure one thing each and run on their own.
"""
