"""The families' papers as plain NumPy loops, written apart from the families: no IR, no Step."""

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, NDArray[np.float32]]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def double(weights: Weights) -> dict[str, Array]:
    return {name: data.astype(np.float64) for name, data in weights.items()}


def wavenet_logits(weights: Weights, dilations: list[int], labels: Array, conditioning: Array | None) -> Array:
    """Deep Voice, teacher-forced: logits of each label from those before it.

    Args:
        dilations: one a layer.
        labels: y, `(ticks,)`.
        conditioning: the frame of each tick, `(ticks, channels)`.

    Source: Arik et al. 2017, appendix D; the two embeddings as in nv-wavenet's reference.
    """
    w = double(weights)
    start = len(w["embed_current"]) // 2
    y = [start, start, *labels.astype(int)]
    history: list[list[Array]] = [[] for _ in dilations]  # each layer's inputs
    logits = []
    for t in range(len(labels)):
        x = np.tanh(w["embed_previous"][y[t]] + w["embed_current"][y[t + 1]])
        q = 0.0
        for i, d in enumerate(dilations):
            layer = {name.removeprefix(f"layers.{i}."): data for name, data in w.items() if f"layers.{i}." in name}
            past = history[i][t - d] if t >= d else np.zeros_like(x)
            history[i].append(x)
            a = layer["previous.weight"] @ past + layer["current.weight"] @ x + layer["current.bias"]
            if conditioning is not None:
                a = a + layer["conditioning.weight"] @ conditioning[t]
            r = len(x)
            h = np.tanh(a[:r]) * sigmoid(a[r:])
            x = x + layer["residual.weight"] @ h + layer["residual.bias"]
            q = q + layer["skip.weight"] @ h + layer["skip.bias"]
        z = relu(w["head.weight"] @ relu(np.asarray(q)) + w["head.bias"])
        logits.append(w["out.weight"] @ z + w["out.bias"])
    return np.array(logits)


def wavernn_logits(
    weights: Weights, coarse: Array, fine: Array, conditioning: Array | None, unit: Array
) -> tuple[Array, Array]:
    """WaveRNN with the dual softmax, teacher-forced: logits of each coarse and fine byte.

    One recurrence over the whole state, with the mask that keeps c_t from the coarse half written out: rows
    of the coarse half have no weight for it.

    Args:
        coarse: the bytes drawn, `(ticks,)`; `fine` likewise.
        conditioning: the frame of each tick, `(ticks, channels)`.
        unit: each byte as the network sees it, `(256,)`.

    Source: Kalchbrenner et al. 2018, equation 2.
    """
    w = double(weights)
    half = len(w["coarse.hidden.bias"])

    def gate(which: int) -> tuple[Array, Array, Array]:
        rows = slice(which * half, (which + 1) * half)
        masked = np.pad(w["coarse.inputs.weight"][rows], ((0, 0), (0, 1)))
        i = np.concatenate([masked, w["fine.inputs.weight"][rows]])
        r = np.concatenate([w[f"{byte}.recurrent.weight"][rows] for byte in ("coarse", "fine")])
        b = np.concatenate([w[f"{byte}.inputs.bias"][rows] for byte in ("coarse", "fine")])
        return r, i, b

    def frame(which: int, t: int) -> Array | float:
        if conditioning is None:
            return 0.0
        rows = slice(which * half, (which + 1) * half)
        c = np.concatenate([w[f"{byte}.conditioning.weight"][rows] for byte in ("coarse", "fine")])
        return c @ conditioning[t]

    (R_u, I_u, b_u), (R_r, I_r, b_r), (R_e, I_e, b_e) = (gate(i) for i in range(3))
    h = np.zeros(2 * half)
    c_last, f_last = 128, 0
    logits_c, logits_f = [], []
    for t, (c, f) in enumerate(zip(coarse.astype(int), fine.astype(int), strict=True)):
        x = np.array([unit[c_last], unit[f_last], unit[c]])
        u = sigmoid(R_u @ h + I_u @ x + b_u + frame(0, t))
        r = sigmoid(R_r @ h + I_r @ x + b_r + frame(1, t))
        e = np.tanh(r * (R_e @ h) + I_e @ x + b_e + frame(2, t))
        h = u * h + (1 - u) * e
        y_c, y_f = np.split(h, 2)
        for byte, y, logits in (("coarse", y_c, logits_c), ("fine", y_f, logits_f)):
            inner = relu(w[f"{byte}.hidden.weight"] @ y + w[f"{byte}.hidden.bias"])
            logits.append(w[f"{byte}.out.weight"] @ inner + w[f"{byte}.out.bias"])
        c_last, f_last = c, f
    return np.array(logits_c), np.array(logits_f)


def upsample(mels: Array, scales: list[int], filters: list[Array], padding: int) -> Array:
    """Padded mels `(frames + 2 * padding, bins)` to `(frames * hop, bins)`: repeat, smooth, stage by stage, cut."""
    x = mels
    for scale, kernel in zip(scales, filters, strict=True):
        x = np.repeat(x, scale, axis=0)
        around = np.pad(x, ((scale, scale), (0, 0)))
        x = np.array([kernel @ around[t : t + 2 * scale + 1] for t in range(len(x))])  # as Conv2d: no flip
    indent = padding * prod(scales)
    return x[indent : len(x) - indent]


def mel_wavernn_parameters(
    weights: Weights,
    previous: Array,
    mels: Array,
    padding: int,
    upsampled: Array,
    auxiliary: list[tuple[int, int]],
) -> Array:
    """A mel-conditioned WaveRNN, teacher-forced: the parameters of each draw.

    Args:
        previous: the sample before each tick, as the network sees it, `(ticks,)`.
        mels: `(frames, bins)`, unpadded.
        padding: frames of context on each side, zeros beyond the ends.
        upsampled: the mel of each tick, `(ticks, bins)`.
        auxiliary: start and size of the part for each GRU, then for each hidden layer.

    Source: `WaveRNN.generate` of fatchord's implementation.
    """
    w = double(weights)
    padded = np.pad(mels, ((padding, padding), (0, 0)))
    bins, hop = mels.shape[1], len(previous) // len(mels)

    def linear(name: str, x: Array) -> Array:
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    def residual(frame: int) -> Array:
        kernel = w["residual.first.weight"].reshape(-1, 2 * padding + 1, bins)
        x = w["residual.first.bias"] + sum(kernel[:, k] @ padded[frame + k] for k in range(2 * padding + 1))
        x = relu(x)
        i = 0
        while f"residual.blocks.{i}.first.weight" in w:
            x = x + linear(f"residual.blocks.{i}.second", relu(linear(f"residual.blocks.{i}.first", x)))
            i += 1
        return linear("residual.last", x)

    aux = np.repeat([residual(frame) for frame in range(len(mels))], hop, axis=0)
    grus = sum(name.endswith("recurrent.bias") for name in w)
    hiddens = sum(name.startswith("hidden.") and name.endswith("bias") for name in w)
    width = len(w["inputs.bias"])
    h = [np.zeros(width) for _ in range(grus)]
    parameters = []
    for t, sample in enumerate(previous):
        a = [aux[t, start : start + size] for start, size in auxiliary]
        x = linear("inputs", np.concatenate([[sample], upsampled[t], a[0]]))
        for i in range(grus):
            inputs = x if i == 0 else np.concatenate([x, a[i]])
            i_r, i_z, i_n = np.split(linear(f"gru.{i}.inputs", inputs), 3)
            h_r, h_z, h_n = np.split(linear(f"gru.{i}.recurrent", h[i]), 3)
            r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
            n = np.tanh(i_n + r * h_n)
            h[i] = (1 - z) * n + z * h[i]
            x = x + h[i]
        for i in range(hiddens):
            x = relu(linear(f"hidden.{i}", np.concatenate([x, a[grus + i]])))
        parameters.append(linear("out", x))
    return np.array(parameters)


def wavegru_parameters(weights: Weights, drawn: Array, conditioning: Array | None) -> Array:
    """A WaveGRU, teacher-forced: the parameters of each band's mixture, `(ticks, bands, parameters)`.

    Args:
        drawn: the value of each band, `(ticks, bands)`.
        conditioning: the frame of each tick, `(ticks, channels)`.

    Source: the update of Cho et al. 2014, with the reset gate after the recurrent product, as in Lyra.
    """
    w = double(weights)
    h = np.zeros(w["gru.recurrent.weight"].shape[1])
    R_r, R_z, R_n = np.split(w["gru.recurrent.weight"], 3)
    b_r, b_z, b_n = np.split(w["gru.recurrent.bias"], 3)
    parameters = []
    for t in range(len(drawn)):
        x = drawn[t - 1] if t else np.zeros(drawn.shape[1])
        if conditioning is not None:
            x = np.concatenate([x, conditioning[t]])
        x_r, x_z, x_n = np.split(w["gru.inputs.weight"] @ x + w["gru.inputs.bias"], 3)
        r, z = sigmoid(x_r + R_r @ h + b_r), sigmoid(x_z + R_z @ h + b_z)
        n = np.tanh(x_n + r * (R_n @ h + b_n))
        h = (1 - z) * n + z * h
        y = relu(w["dense.weight"] @ h + w["dense.bias"])
        parameters.append((w["out.weight"] @ y + w["out.bias"]).reshape(drawn.shape[1], -1))
    return np.array(parameters)


def synthesis(bands: Array, cutoff: float) -> Array:
    """The signal of `(ticks, bands)` by a cosine-modulated filter bank, one band's filter after the other.

    Args:
        cutoff: of the prototype, a Kaiser window of beta 9 over 16 values of each band, in half the sample rate.
    """
    ticks, count = bands.shape
    middle = 8 * count - 1
    signal = np.zeros(ticks * count)
    for k in range(count):
        for m in range(ticks):
            for n in range(2 * middle + 1):
                if m * count + n < len(signal):
                    t = n - middle
                    window = np.i0(9.0 * np.sqrt(1 - (t / middle) ** 2)) / np.i0(9.0)
                    lowpass = cutoff if t == 0 else np.sin(np.pi * cutoff * t) / (np.pi * t)
                    shift = np.cos((2 * k + 1) * np.pi / (2 * count) * t - (-1) ** k * np.pi / 4)
                    signal[m * count + n] += bands[m, k] * count * 2 * lowpass * window * shift
    return signal


def samplernn_logits(weights: Weights, labels: Array, frame_sizes: tuple[int, int]) -> Array:
    """SampleRNN of three tiers, teacher-forced: logits of each label from those before it.

    Frame by frame, as in the paper: each tier takes the samples of its frame before and the conditioning of the tier
    above, and makes the conditioning of every frame of the tier below at once.

    Args:
        labels: `(ticks,)`, whole frames of the top tier.
        frame_sizes: samples in a frame of the top and of the middle tier.

    Source: Mehri et al. 2017, equations 1 to 9.
    """
    w = double(weights)
    top, middle = frame_sizes
    classes = len(w["embed"])
    y = np.concatenate([np.full(top, classes // 2), labels]).astype(int)
    # The model's table of samples is float32.
    unit = 2 * (2 * np.arange(classes) / (classes - 1) - 1).astype(np.float32).astype(np.float64)

    def linear(name: str, x: Array) -> Array:
        return w[f"{name}.weight"] @ x + w.get(f"{name}.bias", 0.0)

    def gru(name: str, x: Array, h: Array) -> Array:
        x_r, x_z, x_n = np.split(linear(f"{name}.inputs", x), 3)
        h_r, h_z, h_n = np.split(linear(f"{name}.recurrent", h), 3)
        z = sigmoid(x_z + h_z)
        return (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h

    logits = []
    h_top, h_middle = w["top.initial"], w["middle.initial"]
    for i in range(0, len(labels), top):
        h_top = gru("top", unit[y[i : i + top]], h_top)
        for j, c_top in enumerate(np.split(linear("top.out", h_top), top // middle)):
            first = top + i + j * middle  # of the frame, in y
            h_middle = gru("middle", linear("middle.samples", unit[y[first - middle : first]]) + c_top, h_middle)
            for k, c_middle in enumerate(np.split(linear("middle.out", h_middle), middle)):
                last = y[first + k - middle : first + k]
                x = c_middle + sum(w[f"bottom.samples.{m}.weight"] @ w["embed"][last[m]] for m in range(middle))
                logits.append(linear("out", relu(linear("hidden.1", relu(linear("hidden.0", x))))))
    return np.array(logits)
