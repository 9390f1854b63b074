// What generated kernels are written in, above the primitives of the machine (device.cuh, or an emulation of it).
//
// A team is four warps. Lane 4 * row + quad of a warp has, of what a tile makes, rows `row` and `row + 8`, of stream
// `quad` where a pass has four streams; of eight, of `4 * g + quad` for each group `g`.

struct Request {            // one stream of a launch; the host fills these in
  long long tick;           // of clock 1, since the stream began
  char* state;
  const float* frames;      // those that begin in this launch
  float* out;
  const float* forced;      // what each draw is to give, or null
  float* parameters;        // where to write what each draw drew from, or null
  unsigned long long seed;
  word stream;
  float temperature;
  long long primed;         // frames taken ahead of the audio
};

struct Clock {              // of n ticks
  word count;               // its tick, this one or the one that is held
  word phase;               // ticks since that began; 0 where it runs
  int ran;                  // how often it has run in this launch, less one
};

DEVICE inline Clock clock_at(long long tick, word ticks) {
  const word phase = (word)(tick % ticks);
  return {(word)(tick / ticks), phase, phase == 0 ? 0 : -1};
}

DEVICE inline void advance(Clock& clock, word ticks) {
  if (++clock.phase == ticks) {
    clock.phase = 0;
    ++clock.count;
    ++clock.ran;
  }
}

DEVICE inline float sum_of_lanes(float x) {
  NOT_UNROLLED for (int apart = 16; apart > 0; apart /= 2) x += from_lane(x, lane() ^ apart);
  return x;
}

DEVICE inline int least(int a, int b) { return a < b ? a : b; }

// A block's part of what a launch begins with: its barriers, its weights, its values of each stream.
DEVICE inline void begin_launch(const Request* group, int streams, word block, const char* counts, int barriers,
                                int values, int a_stream, const char* image, int image_start, unsigned image_bytes) {
  for (int n = thread(); n < barriers; n += block_threads()) {
    const word count = load_kept(counts + 4 * n);
    if (count) make_barrier(memory() + 8 * n, count);
  }
  for (unsigned n = 16 * thread(); n < image_bytes; n += 16 * block_threads())
    *(Tile*)(memory() + image_start + n) = load_weights(image + n);
  for (int s = 0; s < streams; ++s)
    for (int n = 16 * thread(); n < a_stream; n += 16 * block_threads())
      *(Tile*)(memory() + values + s * a_stream + n) = *(const Tile*)(group[s].state + (long long)block * a_stream + n);
  barriers_are_made();
}

// … and what it leaves for the next one.
DEVICE inline void end_launch(const Request* group, int streams, word block, int values, int a_stream) {
  for (int s = 0; s < streams; ++s)
    for (int n = 16 * thread(); n < a_stream; n += 16 * block_threads())
      *(Tile*)(group[s].state + (long long)block * a_stream + n) = *(const Tile*)(memory() + values + s * a_stream + n);
}

// ------------------------------------------------------------------------------------------------ functions

DEVICE inline float relu(float x) { return x > 0.0f ? x : 0.0f; }
DEVICE inline float negate(float x) { return -x; }
DEVICE inline float sigmoid(float x) { return divide(1.0f, 1.0f + power_of_e(-x)); }

// Within 2e-7 anywhere: a short odd series near 0, where 1 - 2 / (1 + exp 2x) would lose its digits.
DEVICE inline float hyperbolic_tangent(float x) {
  const float magnitude = fabsf(x);
  const float far = 1.0f - divide(2.0f, 1.0f + power_of_e(2.0f * magnitude));
  const float z = x * x;
  const float near = magnitude * (1.0f + z * (-0.33333333f + z * (0.13333333f + z * (-0.05396825f + z * 0.02186949f))));
  const float found = magnitude < 0.25f ? near : far;
  return x < 0.0f ? -found : found;
}

// A lag as whole ticks from 1 to `most`: the nearest, halves up; 1 for what is not a number.
DEVICE inline word whole_lag(float lag, float most) {
  const float held = lag > 1.0f ? (lag < most ? lag : most) : 1.0f;
  return (word)(held + 0.5f);
}

// ------------------------------------------------------------------------------------------- what is stored

DEVICE inline word as_int8(float x, float steps) {
  const float held = nearest(x * steps);
  return (word)(int)(held > 127.0f ? 127.0f : held < -127.0f ? -127.0f : held) & 255u;
}

DEVICE inline float read(const char* from, int i) { return ((const float*)from)[i]; }
DEVICE inline int read_class(const char* from) { return *(const int*)from; }

// What a lane needs of an input of eight words at `from`: two that follow each other, or two that a list names.
DEVICE inline Pair listed(const char* from, word list) {
  return {*(const word*)(from + (list & 0xffffu)), *(const word*)(from + (list >> 16))};
}

// Of float32 inputs the first 11 bits, or the rest.
DEVICE inline Pair cut(Pair x, bool rest) {
  const float a = of_bits(x.a), b = of_bits(x.b), high_a = truncated(a), high_b = truncated(b);
  return rest ? Pair{bits_of(a - high_a), bits_of(b - high_b)} : Pair{bits_of(high_a), bits_of(high_b)};
}

DEVICE inline Tile kept(const word* w) { return {{w[0], w[1], w[2], w[3]}}; }

DEVICE inline float total(const float (&c)[4], int half) { return c[2 * half] + c[2 * half + 1]; }
DEVICE inline int total(const int (&c)[4], int half) { return c[2 * half]; }

DEVICE inline float within_float16(float x) { return x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x; }

DEVICE inline void store_float16(char* at, int plane, int i, word to, float x) {
  const float held = within_float16(x);
  const word first = to_float16(held);
  store_half(at + 2 * i, to, first);
  store_half(at + plane + 2 * i, to, to_float16(held - from_float16(first)));
}

DEVICE inline void store_bfloat16(char* at, int plane, int i, word to, float x) {
  const word first = to_bfloat16(x);
  store_half(at + 2 * i, to, first);
  store_half(at + plane + 2 * i, to, to_bfloat16(x - from_bfloat16(first)));
}

// -------------------------------------------------------------------------------------------- signals

// Each of four barriers serves every fourth run of what makes a value; `run` counts from 0 in each launch. A reader waits
// for its maker's last run or the one before, and the maker may be two runs further: of two barriers, one could have gone
// a phase too far. What was made before the launch, run -1 or -2, is there: a new barrier takes its last phase for done.
DEVICE inline void wait_for_run(char* barriers, int run) { wait_for(barriers + 8 * (run & 3), (run >> 2) & 1); }

// One warp tells so many blocks, a block four bits of `which`, that its part is stored.
DEVICE inline void tell(char* barriers, int run, unsigned long long which, int count) {
  warp_barrier();
  if (lane() < count) arrive(barriers + 8 * (run & 3), (word)(which >> (4 * lane())) & 15u);
}

// ------------------------------------------------------------------------------------------------- draws

struct Uniforms { float first, second; };

// Philox 4x32-10 (Salmon et al. 2011): two numbers in [0, 1) for one draw of one tick.
DEVICE inline Uniforms uniforms(unsigned long long index, word draw, unsigned long long seed, word stream) {
  word c0 = (word)index, c1 = (word)(index >> 32), c2 = draw, c3 = stream;
  word k0 = (word)seed, k1 = (word)(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const unsigned long long p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
    c0 = (word)(p1 >> 32) ^ c1 ^ k0;
    c1 = (word)p1;
    c2 = (word)(p0 >> 32) ^ c3 ^ k1;
    c3 = (word)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {(float)(c0 >> 8) * 0x1p-24f, (float)(c1 >> 8) * 0x1p-24f};
}

// Each of these is run by one whole warp, and every lane has the result.

DEVICE inline float largest_of(const float* parameters, int count) {
  float largest = -3.0e38f;
  for (int i = lane(); i < count; i += 32) largest = fmaxf(largest, parameters[i]);
  for (int apart = 16; apart > 0; apart /= 2) largest = fmaxf(largest, from_lane(largest, lane() ^ apart));
  return largest;
}

// The first class with the largest logit.
DEVICE inline int draw_greedy(const float* logits, int classes) {
  const float largest = largest_of(logits, classes);
  int found = classes;
  for (int i = lane(); i < classes; i += 32) found = logits[i] == largest && i < found ? i : found;
  for (int apart = 16; apart > 0; apart /= 2) {
    const int other = from_lane(found, lane() ^ apart);
    found = other < found ? other : found;
  }
  return found;
}

// The first class whose cumulative weight exceeds `u` of the whole. A lane has classes that follow each other.
DEVICE inline int draw_categorical(const float* logits, int classes, float u, float temperature) {
  const float largest = largest_of(logits, classes);
  const int each = (classes + 31) / 32, first = lane() * each;
  float own = 0.0f;
  NOT_UNROLLED for (int i = 0; i < each; ++i)
    if (first + i < classes) own += power_of_e((logits[first + i] - largest) / temperature);
  float below = own;
  for (int apart = 1; apart < 32; apart *= 2) {
    const float other = from_lane(below, lane() >= apart ? lane() - apart : lane());
    if (lane() >= apart) below += other;
  }
  const float target = u * from_lane(below, 31);
  int passed = 0;
  float sum = below - own;
  NOT_UNROLLED for (int i = 0; i < each; ++i) {
    if (first + i < classes) sum += power_of_e((logits[first + i] - largest) / temperature);
    passed += first + i < classes && sum <= target;
  }
  const int own_classes = classes - first < each ? classes - first : each;
  int found = passed < own_classes ? first + passed : classes;
  for (int apart = 16; apart > 0; apart /= 2) {
    const int other = from_lane(found, lane() ^ apart);
    found = other < found ? other : found;
  }
  return found < classes ? found : classes - 1;
}

DEVICE inline float within_unit(float x) { return x > 1.0f ? 1.0f : x < -1.0f ? -1.0f : x; }

DEVICE inline float draw_logistics(const float* parameters, int components, float least, Uniforms u, float temperature) {
  const int chosen = draw_categorical(parameters, components, u.first, temperature);
  const float margin = 1e-5f;
  const float v = margin + u.second * (1.0f - 2.0f * margin), rest = margin + (1.0f - u.second) * (1.0f - 2.0f * margin);
  const float scale = power_of_e(fmaxf(parameters[2 * components + chosen], least)) * temperature;
  return within_unit(parameters[components + chosen] + scale * (logf(v) - logf(rest)));
}

DEVICE inline float draw_gaussian(const float* parameters, float least, Uniforms u, float temperature) {
  const float radius = sqrtf(-2.0f * logf(1.0f - u.first));  // Box and Muller 1958
  const float scale = power_of_e(fmaxf(parameters[1], least)) * temperature;
  return within_unit(parameters[0] + scale * radius * cosf(6.283185307f * u.second));
}
