"""The GPU backend: one persistent CUDA kernel a model, its weights in registers and shared memory.

`graph.py` sorts a step's operations into tasks; `tiles.py` cuts weights into what a tensor core multiplies;
`partition.py` gives tasks to teams of warps; `place.py` gives values and weights their places; `plan.py` joins these
and chooses; `source.py` writes the kernel's text, and `frames.py` that of the conditioning network; `compile.py` has it
compiled, and `report.py` says what came of it. The text is written in `common.cuh`, above `device.cuh`.
"""
