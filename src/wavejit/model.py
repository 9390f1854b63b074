"""A model that is loaded but not compiled, and what it can be compiled to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.audio.contract import FeatureContract
from wavejit.checkpoints.folder import ModelFiles, read_folder
from wavejit.choices import (
    AUTO,
    BACKENDS,
    C_IDENTIFIER,
    MOST_ON_A_GPU,
    MOST_STREAMS,
    c_name,
    check,
    with_choices,
)
from wavejit.errors import InputError
from wavejit.ir.ops import Step
from wavejit.models import BUILTIN_NAMES, builtin
from wavejit.vocoder import Vocoder

if TYPE_CHECKING:
    from wavejit.backends.cuda.plan import Plan
    from wavejit.backends.llvm.ahead import CLibrary
    from wavejit.backends.llvm.program import Program
    from wavejit.ir.target import Target


CALIBRATION_TICKS = 4000


def load(model: str | Path) -> Model:
    """Load a model folder, or a built-in network with random weights by its name (for measuring).

    Raises:
        InputError: there is no such folder or name, or the folder is not a sound model.
    """
    folder = Path(model)
    if folder.is_dir():
        return Model(folder.resolve().name or "model", read_folder(folder))
    found = builtin(str(model))
    if found is None:
        raise InputError(f"{model}: there is no such model folder, and the built-in networks are {BUILTIN_NAMES}")
    family, network = found
    return Model(str(model), ModelFiles(family, network, family.random_weights(network), None))


@dataclass(frozen=True)
class Model:
    """A model that is loaded but not compiled.

    Attributes:
        name: its folder's name, or a built-in name.
        files: family, configuration, weights, features, licence and provenance.
    """

    name: str
    files: ModelFiles

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.files.network.sample_rate

    @property
    def features(self) -> FeatureContract | None:
        """What its features must be; None for an unconditional or built-in model."""
        return self.files.features

    @property
    def bins(self) -> int:
        """Features a frame; 0 for an unconditional model."""
        return self.files.family.bins(self.files.network)

    @property
    def behind(self) -> int:
        """Samples by which the audio is behind its features."""
        return self.files.family.behind(self.files.network)

    @cached_property
    def step(self) -> Step:
        """What one tick computes."""
        step = self.files.family.step(self.name, self.files.network, self.files.weights)
        return replace(step, ranges=self.files.ranges, clips=self.files.clips)

    def pruned(self, sparsity: float, block: tuple[int, int]) -> Model:
        """This model with that share of its matrices' blocks zeroed, for measuring; `compression/prune.py` says how.

        Ranges that were found before are not its own, and are left out.
        """
        from wavejit.compression.prune import prune

        files = replace(self.files, weights=prune(self.files.weights, sparsity, block), ranges={}, clips={})
        return Model(self.name, files)

    def calibrated(self, features: ArrayLike | None = None, ticks: int = CALIBRATION_TICKS, seed: int = 0) -> Model:
        """This model with ranges found on data: integers then take them, and need not measure their inputs each tick.

        The model runs in the reference, which is slow. Values beyond the ranges, and a margin, or in 8 bits beyond
        what errs least, are clipped from then on: features must be such as the model is to speak from.

        Args:
            features: `(frames, bins)`, of speech; excerpts are taken all over them. None for an unconditional model,
                and for a built-in network, whose weights are random: it is run on zeros, as `wavejit bench` does.
            ticks: how many to run in all, as far as the features last.
            seed: of what is drawn.

        Raises:
            InputError: features of another shape, not finite, missing, or not wanted; no tick to run; a seed out of
                range; a value that grew without end.
        """
        from wavejit.runtime.calibrate import calibrated

        if ticks < 1:
            raise InputError(f"ticks is {ticks}, expected at least 1")
        if not 0 <= seed < 2**64:
            raise InputError(f"seed is {seed}, expected 0 to 2**64 - 1")
        found = calibrated(self.step, self._calibration_frames(features, ticks), ticks, seed)
        return Model(self.name, replace(self.files, ranges=found.largest, clips=found.clips))

    def _calibration_frames(self, features: ArrayLike | None, ticks: int) -> NDArray[np.float32]:
        """What a model is calibrated on, with frames for its look-ahead."""
        from wavejit.runtime.calibrate import frames_of_zeros

        if features is None:
            if self.features is not None:
                raise InputError(
                    f"{self.name}: features are missing, expected (frames, {self.bins}) of what the model is to say"
                )
            return frames_of_zeros(self.step, ticks)
        if not self.bins:
            raise InputError(f"{self.name}: features are given, but the model is unconditional")
        found = self.compile(backend="reference").checked(features)
        if not len(found):
            raise InputError(f"features have no frames, expected (frames, {self.bins}) with at least 1")
        return np.concatenate([found, np.zeros((self.step.lookahead, self.bins), np.float32)])

    def compile(
        self,
        precision: str = "float32",
        threads: int | str = 1,
        streams: int = 1,
        backend: str = "llvm",
        target: str | None = None,
        accuracy: str = AUTO,
    ) -> Vocoder:
        """Compile the sample loop.

        Args:
            precision: of weights: "float32", "bfloat16", "float16", "int16", "mxint8", "int8" or "int4". The
                smaller they are, the faster a model runs that is bound by reading them; `ir/formats.py` says what
                each computes. "auto" takes the fastest here of those that no model was heard to suffer from: those
                of 16 and 32 bits. Layers may be excepted by the beginning of their weights' names:
                "int8,hidden=int16".
            threads: that one stream may run on: 1 or 2, or "auto" for as many as there are cores, at most 2. The
                audio is the same, byte for byte; the second is used while that is faster, which is measured.
            streams: that may share a pass over the weights (`Vocoder.generate_many`), 1 to 64; on a GPU, that run side
                by side, 1 to 4096. Any number of independent streams may run beside each other whatever this is.
            backend: "llvm" for native code, "cuda" for one kernel on an NVIDIA GPU (float32, bfloat16, float16 and
                int8), "reference" for NumPy in float64.
            target: an instruction set of this machine, such as "avx2", or for cuda an architecture such as "sm_90a";
                None for what is here.
            accuracy: of tanh, sigmoid and exp: "exact" (2 ulp) or "fast" (rational, 1e-4); "auto" is fast for
                integers of 8 bits and fewer, whose steps are coarser.

        Raises:
            InputError: a choice that there is not.
        """
        check("backend", backend, BACKENDS)
        check("threads", threads, (1, 2, AUTO))
        most = MOST_ON_A_GPU if backend == "cuda" else MOST_STREAMS
        if not 1 <= streams <= most:
            raise InputError(f"streams is {streams}, expected 1 to {most}")
        if backend == "reference":
            from wavejit.runtime.reference import ReferenceEngine

            step, _ = with_choices(self.step, precision, accuracy)
            return Vocoder(self, ReferenceEngine(step))
        if backend == "cuda":
            if threads not in (1, AUTO):
                raise InputError(f"threads is {threads}, expected 1 for the cuda backend: a GPU has its own")
            from wavejit.runtime.cuda_open import open_engine

            check("accuracy", accuracy, (AUTO,))
            step = self.asked("float16" if precision == AUTO else precision)
            return Vocoder(self, open_engine(step, target, streams))
        from wavejit.backends.llvm.compile import host_target
        from wavejit.backends.llvm.program import UnsupportedError
        from wavejit.runtime.cores import allowed
        from wavejit.runtime.engine import Engine
        from wavejit.runtime.fastest import fastest_precision

        try:
            chosen = host_target(target)
            if precision == AUTO:
                precision = fastest_precision(self.step, chosen)
            step, functions = with_choices(self.step, precision, accuracy)
            count = min(2, len(allowed())) if threads == AUTO else int(threads)
            return Vocoder(self, Engine(step, chosen, functions, threads=count, streams=streams))
        except UnsupportedError as error:
            raise InputError(str(error)) from None

    def program(
        self,
        precision: str = "float32",
        target: str | None = None,
        accuracy: str = AUTO,
        on_pass: Callable[[str, Step], None] | None = None,
    ) -> tuple[Step, Target, Program]:
        """The native program without compiling it: the lowered step, what it is for, and LLVM's text.

        Args:
            precision, accuracy: as for `compile`.
            target: an instruction set of this machine, or an LLVM triple such as "aarch64-linux-gnu".
            on_pass: called with each pass's name and result.
        """
        from wavejit.backends.llvm.compile import target_of
        from wavejit.backends.llvm.program import UnsupportedError, generate
        from wavejit.passes import ignore, lower

        asked, functions = with_choices(self.step, precision, accuracy)
        try:
            chosen = target_of(target)
            step = lower(asked, chosen, on_pass or ignore)
            return step, chosen, generate(step, chosen, functions)
        except UnsupportedError as error:
            raise InputError(str(error)) from None

    def kernel(
        self,
        precision: str = "float16",
        target: str | None = None,
        streams: int = 1,
        on_pass: Callable[[str, Step], None] | None = None,
    ) -> Plan:
        """The plan of the CUDA backend's kernel, and its text, for any GPU; needs none.

        Args:
            precision: as for `compile`.
            target: an architecture such as "sm_90a", which is the default.
            streams: that run side by side.
            on_pass: called with each pass's name and result.
        """
        from wavejit.backends.cuda.device import device_of
        from wavejit.backends.cuda.plan import plan_streams
        from wavejit.passes import GPU_PIPELINE, ignore, lower

        device = device_of(target)
        lowered = lower(self.asked(precision), device.target, on_pass or ignore, GPU_PIPELINE)
        return plan_streams(lowered, device, streams)

    def asked(self, precision: str) -> Step:
        """The step with the precision that is asked for, as `compile` takes it."""
        return with_choices(self.step, precision, AUTO)[0]

    def compile_ahead(
        self,
        target: str | None = None,
        isa: str | None = None,
        precision: str = "float32",
        accuracy: str = AUTO,
        name: str | None = None,
    ) -> CLibrary:
        """Compile the sample loop into an object file for C, for this machine's kind or another.

        Args:
            target: an LLVM triple such as "aarch64-linux-gnu"; an instruction set, for systems like this one; None for
                this system and its widest vectors.
            isa: the instruction set for a triple; None for what every processor of the architecture has.
            precision, accuracy: as for `compile`.
            name: a C identifier that files and functions begin with; None for the model's name made one.

        Raises:
            InputError: a choice that there is not.
        """
        from wavejit.backends.llvm.ahead import compile_ahead
        from wavejit.backends.llvm.compile import portable_target
        from wavejit.backends.llvm.program import UnsupportedError
        from wavejit.passes import lower

        asked, functions = with_choices(self.step, precision, accuracy)
        name = c_name(self.name) if name is None else name
        if not C_IDENTIFIER.fullmatch(name):
            raise InputError(f"name is {name!r}, expected a C identifier: letters, digits and _, no digit first")
        try:
            chosen = portable_target(target, isa)
            return compile_ahead(lower(asked, chosen), chosen, functions, name, self._notes())
        except UnsupportedError as error:
            raise InputError(str(error)) from None

    def _notes(self) -> tuple[str, ...]:
        """What a header says about the model: where it is from, what it is trained on."""
        notes = [f"Model: {self.name}."]
        if self.files.provenance:
            notes.append(f"From: {self.files.provenance}.")
        if self.files.licence:
            notes.append(f"Licence of the weights, which the object holds: {self.files.licence}.")
        if self.features is not None:
            fields = ", ".join(f"{name} {value}" for name, value in msgspec.to_builtins(self.features).items())
            notes.append(f"Features: {fields}.")
        if self.files.postfilter is not None:
            notes.append("Without the model's post-filter: pull gives the samples as they are drawn.")
        return tuple(notes)
