"""Everything of the compiler that knows LLVM: texts of instructions go in, machine code and its results come out.

`machine` turns text into code for an instruction set, `cache` keeps code on the disk, `pool` runs it on all cores.
llvmlite is imported by the first compilation and not before: `import chainrule` and eager work do without it.
"""
