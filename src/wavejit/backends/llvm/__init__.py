"""Native code for CPUs, written as LLVM's textual representation."""
