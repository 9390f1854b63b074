"""The texts that `c_interface.py` fills in: header, and an example in C or, for WebAssembly, in JavaScript."""

HEADER = """\
/* $name: a neural vocoder as one object file.
 *
$notes
 *
 * Build: $build
 *
 * The object calls nothing, not even the C library. It allocates nothing, and writes only to what it is given. A
 * stream is memory of yours: one thread at a time may use it, and any number of streams may run at once.
 */
#ifndef ${NAME}_H
#define ${NAME}_H

#include <stddef.h>
#include <stdint.h>

$constants

#ifdef __cplusplus
extern "C" {
#endif

/* One stream. It may be copied, to save it or to begin another where it stands. */
typedef struct ${name}_state {
#if defined(__cplusplus)
    alignas($alignment)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
    _Alignas($alignment)
#else
    __attribute__((aligned($alignment)))
#endif
    unsigned char memory[${NAME}_STATE_BYTES];
} ${name}_state;

/* ${NAME}_STATE_BYTES, for languages that cannot read this file; the memory is to be aligned to $alignment bytes. */
size_t ${name}_state_bytes(void);

/* Begin a stream, in memory that may hold anything. The same seed and stream number give the same samples.
 * Temperature 1 draws as the model predicts, less is calmer, 0 takes the likeliest. */
void ${name}_reset(${name}_state *state, uint64_t seed, uint32_t stream, float temperature);

$push/* Make up to `count` samples in [-1, 1]. Returns how many were made$made.
 * However the calls are cut, the samples are the same. */
size_t ${name}_pull(${name}_state *state, float *samples, size_t count);

#ifdef __cplusplus
}
#endif

#endif
"""

PUSH = """\
/* Take up to `count` frames of ${NAME}_FRAME_SIZE floats, or frames of zeros where `frames` is NULL. Returns how many
 * there was room for. The first ${NAME}_LOOKAHEAD frames make no sound yet: at the end push as many of zeros. */
size_t ${name}_push(${name}_state *state, const float *frames, size_t count);

"""

EXAMPLE = """\
/* Sound from frames of features: float32 in, float32 samples at $sample_rate Hz out.
 *
 *     $build
 *     $run
 */
#include <stdio.h>

#include "$name.h"

static ${name}_state state;

static void speak(void) {
    static float samples[${NAME}_HOP_LENGTH]; /* any number will do */
    size_t made;
    while ((made = ${name}_pull(&state, samples, ${NAME}_HOP_LENGTH)) > 0)
        fwrite(samples, sizeof *samples, made, stdout);
}

int main(void) {
    static float frame[${NAME}_FRAME_SIZE];
    ${name}_reset(&state, 0, 0, 1.0f);
    while (fread(frame, sizeof frame, 1, stdin) == 1) {
        ${name}_push(&state, frame, 1);
        speak();
    }
    for (int i = 0; i < ${NAME}_LOOKAHEAD; i++) {
        ${name}_push(&state, NULL, 1);
        speak();
    }
    return fflush(stdout) != 0 || ferror(stdout);
}
"""

UNCONDITIONAL = """\
/* One second of float32 samples at $sample_rate Hz.
 *
 *     $build
 *     $run
 */
#include <stdio.h>

#include "$name.h"

static ${name}_state state;
static float samples[${NAME}_SAMPLE_RATE];

int main(void) {
    ${name}_reset(&state, 0, 0, 1.0f);
    size_t made = ${name}_pull(&state, samples, ${NAME}_SAMPLE_RATE);
    fwrite(samples, sizeof *samples, made, stdout);
    return fflush(stdout) != 0 || ferror(stdout);
}
"""

_WASM_START = """\
//     $build
//     $run
import { readFileSync, writeSync } from "node:fs";

const file = readFileSync(new URL("$name.wasm", import.meta.url));
const { memory, __heap_base, ...voice } = (await WebAssembly.instantiate(file)).instance.exports;

// Behind what the module itself needs: a stream, then numbers that go in and out.
const state = (__heap_base.value + $alignment - 1) & -$alignment;
const numbers = state + voice.${name}_state_bytes();
"""

WASM_EXAMPLE = (
    """\
// Sound from frames of features: float32 in, float32 samples at $sample_rate Hz out.
//
"""
    + _WASM_START
    + """\
const FRAME_SIZE = $frame_size, LOOKAHEAD = $lookahead, HOP_LENGTH = $hop_length;
memory.grow(Math.ceil((numbers + 4 * Math.max(FRAME_SIZE, HOP_LENGTH)) / 65536));

function speak() {
  for (let made; (made = voice.${name}_pull(state, numbers, HOP_LENGTH)) > 0; ) {
    writeSync(1, new Uint8Array(memory.buffer, numbers, 4 * made));
  }
}

const frames = readFileSync(0), bytes = 4 * FRAME_SIZE;
voice.${name}_reset(state, 0n, 0, 1);
for (let at = 0; at + bytes <= frames.length; at += bytes) {
  new Uint8Array(memory.buffer, numbers, bytes).set(frames.subarray(at, at + bytes));
  voice.${name}_push(state, numbers, 1);
  speak();
}
for (let i = 0; i < LOOKAHEAD; i++) {
  voice.${name}_push(state, 0, 1);
  speak();
}
"""
)

WASM_UNCONDITIONAL = (
    """\
// One second of float32 samples at $sample_rate Hz.
//
"""
    + _WASM_START
    + """\
const SAMPLE_RATE = $sample_rate;
memory.grow(Math.ceil((numbers + 4 * SAMPLE_RATE) / 65536));

voice.${name}_reset(state, 0n, 0, 1);
const made = voice.${name}_pull(state, numbers, SAMPLE_RATE);
writeSync(1, new Uint8Array(memory.buffer, numbers, 4 * made));
"""
)
