"""The GPU backend: one persistent CUDA kernel a model, its weights in registers and shared memory.

In the order in which a step passes through them: `graph.py` sorts its operations into tasks; `tiles.py` cuts weights
into what a tensor core multiplies; `partition.py` gives tasks to teams of warps; `handover.py` says how values get from
block to block; `place.py` and `images.py` give values and weights their places; `plan.py` chooses among partitions.
`source.py` writes the kernel's text with `blocks.py`, `team.py` and `product.py`, and `frames.py` that of the
conditioning network. `compile.py` has it compiled, and `report.py` says what came of it. The text is written in
`common.cuh`, and for grids in `grid.cuh`, above `device.cuh`.
"""
