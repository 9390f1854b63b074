"""Kernels: each module writes functions of one kind, for given sizes and instruction set."""
