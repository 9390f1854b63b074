"""What runs a step: the reference in NumPy, and native code for CPUs."""
