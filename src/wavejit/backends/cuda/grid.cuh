// Handing over through global memory, between blocks that cannot write into each other's shared memory.
//
// What a pass hands over begins with counters, two for the end of a tick and two for each value, and holds the values of
// two runs. Whoever adds to a counter releases what it has written, and a courier that has seen the sum acquires it.

struct Errand {     // of a courier: a value, each run of what makes it
  word counters;    // bytes from the start of what the pass hands over
  word arrivals;    // at a counter before a run is there
  word from;        // bytes from the start of what the pass hands over
  word size;        // of one stream, in bytes; 0 for the end of a tick, which is each courier's first errand
  word to;          // bytes from the start of a stream's values
  word slots;
  word barrier;     // bytes from the start of shared memory
  word clock;
};

// One warp tells all couriers that its part of a run is stored.
DEVICE inline void tell_couriers(char* counters, int run) {
  warp_barrier();
  if (lane() == 0) add_release(counters + 4 * (run & 1));
}

// Copies one run of a value, of all streams, which lie one behind the other. All loads are on their way before the first
// is stored.
template <int STREAMS>
DEVICE inline void bring(const Errand& errand, const char* handed, word run, word slot, int apart, char* values,
                         int a_stream) {
  const int held_at_once = STREAMS == 1 ? 8 : 4;  // a courier has few registers
  const int size = (int)errand.size, whole = STREAMS * size;
  const char* from = handed + errand.from + (run & 1u) * whole;
  NOT_UNROLLED for (int start = 0; start < whole; start += held_at_once * 512) {
    Tile held[held_at_once];
    UNROLLED for (int i = 0; i < held_at_once; ++i) {
      const int at = start + 512 * i + 16 * lane();
      if (at < whole) held[i] = load_handed(from + at);
    }
    UNROLLED for (int i = 0; i < held_at_once; ++i) {
      const int at = start + 512 * i + 16 * lane(), stream = STREAMS == 1 ? 0 : at / size;
      const word of_stream = STREAMS == 1 ? slot : slot + (word)from_lane(apart, stream);
      char* to = values + stream * a_stream + errand.to + (of_stream & (errand.slots - 1)) * size;
      if (at < whole) *(Tile*)(to + at - stream * size) = held[i];
    }
  }
}

// What a courier does in a launch of `count` ticks; each lane looks after `EACH` errands. Runs are brought as they come:
// what is made ahead of others does not wait for them.
template <int EACH, int STREAMS>
DEVICE inline void courier(const Request* group, const Errand* errands, int errand_count, char* handed, int count,
                           char* values, int a_stream) {
  const int apart = (int)(group[lane() % STREAMS].tick - group[0].tick);  // streams may be at different ticks
  int next[EACH];    // the tick of this launch in which the next run is made
  word runs[EACH];   // that have been brought
  word slots[EACH];  // of the first stream, for the next run
  UNROLLED for (int e = 0; e < EACH; ++e) {
    const int n = 32 * e + lane();
    const long long clock = n < errand_count ? errands[n].clock : 1;
    const long long first = (group[0].tick + clock - 1) / clock;
    next[e] = n < errand_count ? (int)(first * clock - group[0].tick) : count;
    slots[e] = (word)first;
    runs[e] = 0;
  }
  for (int ended = 0, last = 0; last < count;) {
    bool nothing = true;
    UNROLLED for (int e = 0; e < EACH; ++e) {
      const Errand& mine = errands[least(32 * e + lane(), errand_count - 1)];
      const word wanted = mine.arrivals * (runs[e] / 2 + 1);
      const bool there = next[e] < count && sum_at(handed + mine.counters + 4 * (runs[e] & 1u)) >= wanted;
      word ready = votes(there);
      if (!ready) continue;
      nothing = false;
      acquire();
      warp_barrier();
      for (; ready; ready &= ready - 1) {
        const int from = lowest_bit(ready);
        const Errand& errand = errands[32 * e + from];
        const word run = (word)from_lane((int)runs[e], from), slot = (word)from_lane((int)slots[e], from);
        bring<STREAMS>(errand, handed, run, slot, apart, values, a_stream);
        warp_barrier();
        if (lane() == 0) arrive(memory() + errand.barrier + 8 * (run & 3u), 0);
      }
      if (there) {
        ++runs[e];
        ++slots[e];
        next[e] += (int)mine.clock;
      }
    }
    // A courier has ended a tick when it has brought what is made in it, and not before all have ended the last but one.
    const int done = from_lane(next[0], 0);
    int brought = lane() == 0 ? count : next[0];
    UNROLLED for (int e = 1; e < EACH; ++e) brought = least(brought, next[e]);
    brought = least(least_of_lanes(brought), count);
    for (; ended < brought && ended < done + 2; ++ended) tell_couriers(handed, ended);
    last = least(ended, done);
    if (nothing) wait_for_sums();
  }
}
