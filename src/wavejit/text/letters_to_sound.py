"""Pronunciations of words that no dictionary has: a small encoder-decoder, run in NumPy.

    E_i          = rows of two bidirectional GRU layers over the letters of the word, forwards and backwards
    h1_t         = GRU(phoneme t-1)              begins where the first layer's forward direction ended
    c_t          = sum_i softmax_i(E_i . Q h1_t) E_i
    h2_t         = GRU(h1_t, c_t)                begins where the second layer's forward direction ended
    P(phoneme t) = softmax(S (O [h2_t, c_t] + o) + s)   S: the phonemes' embedding

Decoding keeps the `BEAM` likeliest beginnings. The weights are integers of 8 bits with a scale for each row.
Nothing is drawn: the same word gives the same phonemes.

Source: Arik et al. 2017, arXiv 1702.07825, section 3.1 (bidirectional encoder, decoder started from its forward
states, beam); attention after Luong et al. 2015, arXiv 1508.04025, section 3.1, which lets a tenth of the weights do.
`wavejit.training.letters_to_sound` trains it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from wavejit.errors import InputError
from wavejit.text.lexicon import Pronunciation
from wavejit.text.phonemes import PAUSE, PHONEMES

LETTERS = "'-abcdefghijklmnopqrstuvwxyz"
START = 0  # class of the beginning and of the end of a word: where `PHONEMES` has the pause, which no word holds
assert PHONEMES[START] == PAUSE
BEAM = 5
LONGEST = 32  # letters that are read at once; words of the dictionary are not longer
WEIGHTS = "letters_to_sound.safetensors"
_SCALE = ".scale"

Array = NDArray[np.float32]


@dataclass(frozen=True)
class _Gru:
    """A GRU layer as PyTorch defines it: gates in the order reset, update, new; `(3 * width, inputs)`."""

    inputs: Array
    state: Array
    inputs_bias: Array
    state_bias: Array

    @property
    def width(self) -> int:
        return self.state.shape[1]

    def step(self, x: Array, h: Array) -> Array:
        """The next states, `(rows, width)`, from `x @ inputs.T + inputs_bias` and the states."""
        width = self.width
        past = h @ self.state.T + self.state_bias
        gates = 1.0 / (1.0 + np.exp(-(x[:, : 2 * width] + past[:, : 2 * width])))
        new = np.tanh(x[:, 2 * width :] + gates[:, :width] * past[:, 2 * width :])
        return np.asarray(new + gates[:, width:] * (h - new), np.float32)

    def run(self, x: Array) -> Array:
        """The states `(steps, width)` over a sequence `(steps, inputs)`, from zeros."""
        read = x @ self.inputs.T + self.inputs_bias
        h, states = np.zeros((1, self.width), np.float32), []
        for row in read:
            h = self.step(row[None], h)
            states.append(h[0])
        return np.stack(states)


class LettersToSound:
    """The trained network; nothing in it changes.

    Args:
        weights: float32, by the names of the training twin.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        def gru(name: str, ending: str = "l0") -> _Gru:
            parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            return _Gru(*(weights[f"{name}.{part}_{ending}"] for part in parts))

        self._letters, self._phonemes = weights["letters.weight"], weights["phonemes.weight"]
        self._encoder = [(gru(f"encoder.{i}"), gru(f"encoder.{i}", "l0_reverse")) for i in range(2)]
        self._decoder = [gru(f"decoder.{i}") for i in range(2)]
        self._query = weights["query.weight"]
        self._out, self._out_bias = weights["out.weight"], weights["out.bias"]
        self._scores_bias = weights["scores_bias"]
        # What the decoder's first layer makes of each phoneme does not depend on the word.
        first = self._decoder[0]
        self._spoken = self._phonemes @ first.inputs.T + first.inputs_bias

    def pronounce(self, word: str) -> Pronunciation:
        """The likeliest phonemes of `word`, one or more of `LETTERS`; long words are read `LONGEST` at a time.

        Raises:
            ValueError: the word is empty, or holds something else.
        """
        if not word or set(word) - set(LETTERS):
            raise ValueError(f"{word!r} is no word of small letters, apostrophes and hyphens")
        parts = (word[start : start + LONGEST] for start in range(0, len(word), LONGEST))
        return tuple(PHONEMES[index] for part in parts for index in self._decode(part))

    def _encode(self, word: str) -> tuple[Array, list[Array]]:
        """What the decoder looks at, `(letters, 2 * width)`, and the states in which it begins, `(1, width)` each."""
        x = self._letters[[LETTERS.index(letter) for letter in word]]
        starts: list[Array] = []
        for forward, backward in self._encoder:
            ahead, behind = forward.run(x), backward.run(x[::-1])[::-1]
            starts.append(ahead[-1:])
            x = np.concatenate((ahead, behind), axis=1)
        return x, starts

    def _decode(self, word: str) -> list[int]:
        memory, states = self._encode(word)
        states = [state.copy() for state in states]
        begun: list[list[int]] = [[]]
        scores = np.zeros(1, np.float32)
        last = np.array([START])
        best, best_score = [START + 1], -np.inf  # replaced at the latest when the steps have run out
        for step in range(2 * len(word) + 6):
            log_p, states = self._step(memory, last, states)
            log_p[:, START] = log_p[:, START] if step else -np.inf  # every word has a sound
            ended = scores + log_p[:, START]
            if ended.max() > best_score:
                best, best_score = begun[int(ended.argmax())], float(ended.max())
            log_p[:, START] = -np.inf
            total = (scores[:, None] + log_p).ravel()
            kept = np.argsort(-total, kind="stable")[:BEAM]
            kept = kept[total[kept] > best_score]  # a beginning never gets likelier
            if not len(kept):
                return best
            rows, last = np.divmod(kept, log_p.shape[1])
            begun = [[*begun[row], int(index)] for row, index in zip(rows, last, strict=True)]
            scores, states = total[kept], [state[rows] for state in states]
        return best if best_score > -np.inf else begun[0]

    def _step(self, memory: Array, last: NDArray[np.intp], states: list[Array]) -> tuple[Array, list[Array]]:
        """Logarithms of the next phonemes' probabilities, `(rows, phonemes)`, and the next states."""
        first = self._decoder[0].step(self._spoken[last], states[0])
        match = (first @ self._query.T) @ memory.T
        weights = np.exp(match - match.max(axis=1, keepdims=True))
        context = (weights / weights.sum(axis=1, keepdims=True)) @ memory
        layer = self._decoder[1]
        read = np.concatenate((first, context), axis=1) @ layer.inputs.T + layer.inputs_bias
        second = layer.step(read, states[1])
        scores = np.concatenate((second, context), axis=1) @ self._out.T + self._out_bias
        scores = scores @ self._phonemes.T + self._scores_bias
        scores -= scores.max(axis=1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)), [first, second]


def encode_weights(weights: Mapping[str, Array]) -> bytes:
    """The network as a file: matrices as int8 with a float32 scale for each row, vectors as float32."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[np.generic]] = {}
    for name, data in weights.items():
        if data.ndim == 1:
            tensors[name] = np.ascontiguousarray(data, np.float32)
            continue
        scale = np.maximum(np.abs(data).max(axis=1), 1e-12).astype(np.float32) / 127
        tensors[name] = np.rint(data / scale[:, None]).astype(np.int8)
        tensors[name + _SCALE] = scale
    return save(tensors)


def decode_weights(content: bytes, name: str) -> LettersToSound:
    """The network that `encode_weights` wrote.

    Raises:
        InputError: `content` is no safetensors file, or lacks a weight; names `name`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
        weights = {
            key: data * tensors[key + _SCALE][:, None] if key + _SCALE in tensors else data
            for key, data in tensors.items()
            if not key.endswith(_SCALE)
        }
        return LettersToSound(weights)
    except SafetensorError as error:
        raise InputError(f"{name}: is no safetensors file: {error}") from None
    except KeyError as error:
        raise InputError(f"{name}: has no weight {error}, expected those of letters to sound") from None


@cache
def bundled_letters_to_sound() -> LettersToSound:
    """The network that comes with wavejit; read once, when first asked for."""
    content = resources.files("wavejit.text").joinpath("data", WEIGHTS).read_bytes()
    return decode_weights(content, f"wavejit/text/data/{WEIGHTS}")
