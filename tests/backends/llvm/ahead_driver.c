/* Run a compiled model `v`: frames on standard input, samples on standard output, pushed and pulled in chunks.
 * Arguments: frames a push, samples a pull, seed, stream, temperature, samples in all (of an unconditional model). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "v.h"

static v_state first;
static float samples[1 << 16];

static size_t pull(v_state *state, size_t count) {
    size_t made = v_pull(state, samples, count);
    fwrite(samples, sizeof *samples, made, stdout);
    return made;
}

int main(int count, char **arguments) {
    if (count != 7 || v_state_bytes() != sizeof first || (size_t)&first % 64) return 1;
    size_t pulled = strtoul(arguments[2], NULL, 10);
    v_state *state = &first;
    memset(state, 0xA5, sizeof *state); /* what a stream's memory held before must not matter */
    v_reset(state, strtoull(arguments[3], NULL, 10), (uint32_t)strtoul(arguments[4], NULL, 10), strtof(arguments[5], NULL));
#ifdef V_FRAME_SIZE
    static v_state second;
    static float frames[1 << 18];
    size_t pushed = strtoul(arguments[1], NULL, 10);
    size_t left = fread(frames, sizeof(float) * V_FRAME_SIZE, (1 << 18) / V_FRAME_SIZE, stdin), silent = V_LOOKAHEAD;
    for (const float *next = frames; left + silent > 0;) {
        size_t wanted = left ? (left < pushed ? left : pushed) : (silent < pushed ? silent : pushed);
        size_t taken = v_push(state, left ? next : NULL, wanted);
        if (taken > wanted || taken == 0) return 2;
        if (left) next += taken * V_FRAME_SIZE, left -= taken;
        else silent -= taken;
        while (pull(state, pulled) == pulled) {
        }
        /* A stream may be copied at any time. */
        v_state *other = state == &first ? &second : &first;
        memcpy(other, state, sizeof *state);
        memset(state, 0x5A, sizeof *state);
        state = other;
    }
#else
    for (size_t left = strtoul(arguments[6], NULL, 10); left > 0;) {
        size_t made = pull(state, pulled < left ? pulled : left);
        if (made == 0) return 3;
        left -= made;
    }
#endif
    return fflush(stdout);
}
