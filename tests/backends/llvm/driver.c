/* Run a compiled step from files: test_targets.py writes the first argument and reads the second. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct request {
    float *state;
    float *weights;
    float *frames;
    int64_t ticks;
    float *out;
    float *forced;
    float *parameters;
    int64_t seed;
    int64_t stream;
    float temperature;
    void *yield_core;
};

void run(struct request *);

static float *array(int64_t elements) {
    void *memory = aligned_alloc(64, (elements * 4 / 64 + 2) * 64);
    memset(memory, 0, (elements * 4 / 64 + 2) * 64);
    return memory;
}

int main(int count, char **arguments) {
    FILE *in = fopen(arguments[1], "rb"), *out = fopen(arguments[2], "wb");
    int64_t head[9]; /* sizes of state, weights, frames, forced, samples, parameters; ticks, seed, stream */
    float *arrays[6];
    if (count != 3 || !in || !out || fread(head, 8, 9, in) != 9) return 1;
    for (int i = 0; i < 6; i++) {
        arrays[i] = array(head[i]);
        if (i < 4 && fread(arrays[i], 4, head[i], in) != (size_t)head[i]) return 2;
    }
    struct request request = {
        .state = arrays[0], .weights = arrays[1], .frames = arrays[2], .ticks = head[6], .out = arrays[4],
        .forced = head[3] ? arrays[3] : NULL, .parameters = arrays[5], .seed = head[7], .stream = head[8],
        .temperature = 1.0f,
    };
    run(&request);
    fwrite(arrays[4], 4, head[4], out);
    fwrite(arrays[5], 4, head[5], out);
    return fclose(out);
}
