// The primitives of src/wavejit/backends/cuda/device.cuh on a host: each thread of a launch is a fibre, and a seeded
// generator says which warp runs next, as far as it can: a missing barrier shows as a wrong result in some order.
//
// Tensor cores, shuffles and barriers are what the PTX manual says of them. What is stored in global memory for other
// blocks is seen by them at once or, as a draw says, not before it is released; and a block goes on seeing what it has
// seen there before until it acquires. What is not emulated: that a store to another block of a cluster may become visible
// late; compute-sanitizer looks for that where there is a GPU.

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <map>
#include <vector>

#define DEVICE
#define KERNEL static
#define LAUNCH_BOUNDS(threads)
#define UNROLLED
#define NOT_UNROLLED

typedef unsigned int word;

const int FIBRE_STACK = 256 * 1024;

struct Exchange {  // what the lanes of a warp bring to an instruction that all take part in
  char given[32][64];
  int arrived = 0;
  unsigned round = 0;
};

struct Meeting {  // bar.sync
  int arrived = 0;
  unsigned round = 0;
};

struct alignas(16) Tile { word w[4]; };
struct Pair { word a, b; };

struct Block {
  std::vector<char> memory;
  std::vector<Exchange> warps;
  Meeting teams[16], whole;
  std::map<const char*, Tile> seen;  // of global memory, since it acquired
};

struct Unreleased {  // a store to global memory that no other block sees yet
  char* at;
  word x;
  int size;
};

struct Cluster {
  std::vector<Block> blocks;
  Meeting meeting;
};

struct Fibre {
  ucontext_t context;
  jmp_buf place;
  std::vector<char> stack;
  int block, thread;
  bool begun = false, ended = false;
  std::vector<Unreleased> unreleased;
  unsigned sums_seen = 0;  // how many additions there had been when it last looked at a sum
  const unsigned* waits_for = nullptr;  // until this …
  unsigned mask = 0, is = 0;            // … and the mask is something else
};

static Cluster* cluster;
static Fibre* self;
static ucontext_t scheduler_context;
static jmp_buf scheduler;
static std::vector<Fibre>* fibres;
static int threads_a_block, first_block;
static bool in_grid;
static unsigned additions;
static unsigned long long random_state;

static unsigned long long drawn() {
  random_state ^= random_state << 13; random_state ^= random_state >> 7; random_state ^= random_state << 17;
  return random_state;
}

// Let others run until `*what & mask` is not `is`. Contexts are changed by jumps: they save no signals' mask.
static void wait_while(const unsigned* what, unsigned mask, unsigned is) {
  while ((*(const volatile unsigned*)what & mask) == is) {
    self->waits_for = what;
    self->mask = mask;
    self->is = is;
    if (!_setjmp(self->place)) _longjmp(scheduler, 1);
  }
}

static int thread() { return self->thread; }
static int lane() { return self->thread % 32; }
static int anew(int x) { return x; }
static int block_threads() { return threads_a_block; }
static int block_number() { return first_block + self->block; }
static word block_in_cluster() { return self->block; }
static Block& own_block() { return cluster->blocks[self->block]; }
static char* memory() { return own_block().memory.data(); }

static void meet(Meeting& meeting, int count) {
  const unsigned round = meeting.round;
  if (++meeting.arrived == count) {
    meeting.arrived = 0;
    ++meeting.round;
  }
  wait_while(&meeting.round, ~0u, round);
}

static void team_barrier(int team) { meet(own_block().teams[team], 128); }
static void block_barrier() { meet(own_block().whole, threads_a_block); }
static void cluster_barrier() { meet(cluster->meeting, threads_a_block * (int)cluster->blocks.size()); }
static void barriers_are_made() {}
static void give_registers() {}
static void take_registers() {}
static void have_registers_back() {}
static void give_registers_back() {}

// All lanes bring `x`; each then sees what all brought.
template <typename T>
static void gather_lanes(const T& x, T (&all)[32]) {
  static_assert(sizeof(T) <= 64, "room");
  Exchange& exchange = own_block().warps[self->thread / 32];
  for (int pass = 0; pass < 2; ++pass) {  // the second: all have read, and the room is free again
    const unsigned round = exchange.round;
    if (pass == 0) memcpy(exchange.given[lane()], &x, sizeof(T));
    if (++exchange.arrived == 32) {
      exchange.arrived = 0;
      ++exchange.round;
    }
    wait_while(&exchange.round, ~0u, round);
    if (pass == 0)
      for (int i = 0; i < 32; ++i) memcpy((void*)&all[i], exchange.given[i], sizeof(T));
  }
}

static void warp_barrier() {
  int all[32];
  gather_lanes(0, all);
}

template <typename T>
static T from_lane(T x, int from) {
  T all[32];
  gather_lanes(x, all);
  return all[from & 31];
}

static word votes(bool yes) {
  int all[32];
  gather_lanes((int)yes, all);
  word found = 0;
  for (int i = 0; i < 32; ++i) found |= (word)all[i] << i;
  return found;
}
static int lowest_bit(word x) { return __builtin_ffs((int)x) - 1; }
static int least_of_lanes(int x) {
  int all[32];
  gather_lanes(x, all);
  for (int other : all) x = other < x ? other : x;
  return x;
}

// ------------------------------------------------------------------------------------------------ arithmetic

static float of_bits(word x) { float f; memcpy(&f, &x, 4); return f; }
static word bits_of(float x) { word w; memcpy(&w, &x, 4); return w; }
static float power_of_e(float x) { return expf(x); }
static float divide(float x, float y) { return x / y; }
static float nearest(float x) { return nearbyintf(x); }
static float truncated(float x) { return of_bits(bits_of(x) & 0xffffe000u); }
static word to_bfloat16(float x) {
  const word bits = bits_of(x);
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
static float from_bfloat16(word bits) { return of_bits(bits << 16); }
static word to_float16(float x) { _Float16 h = (_Float16)x; uint16_t b; memcpy(&b, &h, 2); return b; }
static float from_float16(word bits) { uint16_t b = (uint16_t)bits; _Float16 h; memcpy(&h, &b, 2); return (float)h; }

struct Fragments { Tile a; Pair b; };

// c += a @ b with a of 16 rows and b of 8 columns; `element(word, i)` is the i-th number in a word.
template <typename T, typename Element>
static void multiply(T (&c)[4], const Tile& a, const Pair& b, int in_a_word, Element element) {
  Fragments all[32];
  gather_lanes(Fragments{a, b}, all);
  const int row = lane() / 4, quad = lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int r = row + 8 * (i / 2), column = 2 * quad + i % 2;
    double sum = 0;
    for (int k = 0; k < 4; ++k)           // the quad that holds a word
      for (int half = 0; half < 2; ++half) {
        const word of_a = all[4 * (r % 8) + k].a.w[r / 8 + 2 * half];
        const word of_b = half ? all[4 * column + k].b.b : all[4 * column + k].b.a;
        for (int n = 0; n < in_a_word; ++n) sum += (double)element(of_a, n) * (double)element(of_b, n);
      }
    c[i] = (T)(c[i] + sum);
  }
}

static void multiply_float16(float (&c)[4], const Tile& a, const Pair& b) {
  multiply(c, a, b, 2, [](word w, int n) { return from_float16(w >> (16 * n) & 0xffffu); });
}
static void multiply_bfloat16(float (&c)[4], const Tile& a, const Pair& b) {
  multiply(c, a, b, 2, [](word w, int n) { return from_bfloat16(w >> (16 * n) & 0xffffu); });
}
static void multiply_tf32(float (&c)[4], const Tile& a, const Pair& b) {
  multiply(c, a, b, 1, [](word w, int) { return truncated(of_bits(w)); });
}
static void multiply_float32(float (&c)[4], const Tile& a, const Pair& x) {
  Tile high, low;
  for (int i = 0; i < 4; ++i) {
    const float weight = of_bits(a.w[i]), first = truncated(weight);
    high.w[i] = bits_of(first);
    low.w[i] = bits_of(weight - first);
  }
  multiply_tf32(c, high, x);
  multiply_tf32(c, low, x);
}
static void multiply_int8(int (&c)[4], const Tile& a, const Pair& b) {
  multiply(c, a, b, 4, [](word w, int n) { return (int)(int8_t)(w >> (8 * n) & 0xffu); });
}

// ---------------------------------------------------------------------------------------------------- memory

static word load_kept(const char* from) { word x; memcpy(&x, from, 4); return x; }
static Tile load_weights(const char* from) { Tile x; memcpy(&x, from, 16); return x; }
static Tile load_tile(const char* shared) { Tile x; memcpy(&x, shared, 16); return x; }
static Pair load_pair(const char* shared) { Pair x; memcpy(&x, shared, 8); return x; }
static float load_weight(const char* from) { float x; memcpy(&x, from, 4); return x; }
static float load_frame(const char* from, int i) { float x; memcpy(&x, from + 4ll * i, 4); return x; }
static float load_past(const char* from) { float x; memcpy(&x, from, 4); return x; }

static char* at_block(void* shared, word rank) {
  const size_t offset = (char*)shared - memory();
  if (rank >= (in_grid ? 1 : cluster->blocks.size()) || offset >= own_block().memory.size()) {
    fprintf(stderr, "a store at %zu of block %u\n", offset, rank);
    abort();
  }
  return cluster->blocks[in_grid ? self->block : rank].memory.data() + offset;
}

const word ELSEWHERE = 16;

static void store(void* at, word rank, word x, int size) {
  if (rank != ELSEWHERE) memcpy(at_block(at, rank), &x, size);
  else if (drawn() % 2) self->unreleased.push_back({(char*)at, x, size});
  else memcpy(at, &x, size);
}
static void store_word(void* shared, word rank, word x) { store(shared, rank, x, 4); }
static void store_half(void* shared, word rank, word x) { store(shared, rank, x, 2); }
static void store_byte(void* shared, word rank, word x) { store(shared, rank, x, 1); }

// Releases what the lanes of the warp have stored: it has met at a barrier of its own, or else some of them are still to
// store. What other warps have stored they release themselves.
static void add_release(void* sum) {
  const int first = self->block * threads_a_block + self->thread / 32 * 32;
  for (int i = first; i < first + 32; ++i) {
    for (const auto& one : (*fibres)[i].unreleased) memcpy(one.at, &one.x, one.size);
    (*fibres)[i].unreleased.clear();
  }
  ++*(word*)sum;
  ++additions;
}
static word sum_at(const void* sum) {
  self->sums_seen = additions;
  return *(const word*)sum;
}
static void wait_for_sums() { wait_while(&additions, ~0u, self->sums_seen); }
static void acquire() { own_block().seen.clear(); }
static Tile load_handed(const char* from) {
  Tile now;
  memcpy(&now, from, 16);
  return own_block().seen.emplace(from, now).first->second;
}

// An mbarrier: how many arrivals a phase takes, how many are still to come, how many phases are complete.
struct Barrier { uint16_t count, left; uint32_t phases; };

static void make_barrier(void* at, word count) {
  const Barrier barrier = {(uint16_t)count, (uint16_t)count, 0};
  memcpy(at, &barrier, sizeof barrier);
}
static void arrive(void* at, word rank) {
  Barrier barrier;
  char* there = at_block(at, rank);
  memcpy(&barrier, there, sizeof barrier);
  if (barrier.left == 0) {
    fprintf(stderr, "an arrival at a barrier that was not made\n");
    abort();
  }
  if (--barrier.left == 0) {
    barrier.left = barrier.count;
    ++barrier.phases;
  }
  memcpy(there, &barrier, sizeof barrier);
}
static void wait_for(void* at, word parity) { wait_while((const unsigned*)((char*)at + 4), 1u, parity); }

// ---------------------------------------------------------------------------------------------------- launch

typedef void (*Body)(void*);
static Body body;
static void* arguments;

static void enter() {
  body(arguments);
  self->ended = true;
  _longjmp(scheduler, 1);
}

static bool may_run(const Fibre& fibre) {
  return !fibre.waits_for || (*fibre.waits_for & fibre.mask) != fibre.is;
}

static void run(Fibre* fibre) {
  self = fibre;
  self->waits_for = nullptr;
  if (_setjmp(scheduler)) return;
  if (self->begun) _longjmp(self->place, 1);
  self->begun = true;
  swapcontext(&scheduler_context, &self->context);
}

// Runs one cluster, or the blocks of one pass of a grid, after the other. False where no thread can go on.
static bool launch(int clusters, int blocks, bool grid, int threads, int shared_bytes, unsigned long long seed, Body what,
                   void* with) {
  body = what;
  arguments = with;
  threads_a_block = threads;
  random_state = seed * 2654435761ull + 88172645463325252ull;
  in_grid = grid;
  std::vector<Fibre> all(blocks * threads);
  fibres = &all;
  for (auto& fibre : all) fibre.stack.resize(FIBRE_STACK);
  for (int c = 0; c < clusters; ++c) {
    Cluster here;
    here.blocks.resize(blocks);
    for (auto& block : here.blocks) {
      block.memory.assign(shared_bytes + 128, (char)0x7f);  // NaN to whoever reads what nothing wrote
      block.warps.resize(threads / 32);
    }
    cluster = &here;
    first_block = c * blocks;
    for (int i = 0; i < blocks * threads; ++i) {
      Fibre& fibre = all[i];
      fibre.block = i / threads;
      fibre.thread = i % threads;
      fibre.begun = fibre.ended = false;
      fibre.waits_for = nullptr;
      fibre.unreleased.clear();
      getcontext(&fibre.context);
      fibre.context.uc_stack.ss_sp = fibre.stack.data();
      fibre.context.uc_stack.ss_size = FIBRE_STACK;
      fibre.context.uc_link = &scheduler_context;
      makecontext(&fibre.context, enter, 0);
    }
    // One warp at a time, any, goes as far as it can without the others: whoever reads too early does so here.
    const int warps = blocks * threads / 32;
    int idle = 0, start = 0;
    while (idle < warps) {
      // The next ones in turn where the last could do nothing, so that all have been asked before the launch stands still.
      start = idle ? (start + 1) % warps : (int)(drawn() % warps);
      bool any = false;
      for (bool more = true; more;) {
        more = false;
        for (int l = 0; l < 32; ++l) {
          Fibre& fibre = all[32 * start + l];
          if (fibre.ended || !may_run(fibre)) continue;
          run(&fibre);
          any = more = true;
        }
      }
      idle = any ? 0 : idle + 1;
    }
    for (const auto& fibre : all)
      if (!fibre.ended) return false;
  }
  return true;
}
