// The machine's own primitives. Nothing but PTX: NVRTC needs no header for it.

#define DEVICE __device__
#define KERNEL extern "C" __global__
#define LAUNCH_BOUNDS(threads) __launch_bounds__(threads, 1)
#define UNROLLED _Pragma("unroll")
#define NOT_UNROLLED _Pragma("unroll 1")

typedef unsigned int word;
extern __shared__ __align__(128) char shared_memory[];

// The same number, but not one that is known: what follows from it is not worked out before the loop and kept.
DEVICE inline int anew(int x) {
  asm volatile("" : "+r"(x));
  return x;
}
DEVICE inline int thread() { return threadIdx.x; }
DEVICE inline int lane() { return anew(threadIdx.x) % 32; }
DEVICE inline int block_number() { return blockIdx.x; }
DEVICE inline int block_threads() { return blockDim.x; }
DEVICE inline char* memory() { return shared_memory; }
DEVICE inline word address(const void* shared) { return (word)__cvta_generic_to_shared(shared); }

// ---------------------------------------------------------------------------------------------- arithmetic

DEVICE inline float power_of_e(float x) { return __expf(x); }
DEVICE inline float divide(float x, float y) { return __fdividef(x, y); }
DEVICE inline float nearest(float x) { return rintf(x); }

DEVICE inline float from_lane(float x, int from) { return __shfl_sync(~0u, x, from); }
DEVICE inline int from_lane(int x, int from) { return __shfl_sync(~0u, x, from); }

DEVICE inline word votes(bool yes) { return __ballot_sync(~0u, yes); }
DEVICE inline int lowest_bit(word x) { return __ffs(x) - 1; }
DEVICE inline int least_of_lanes(int x) { return __reduce_min_sync(~0u, x); }

DEVICE inline word to_float16(float x) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
DEVICE inline float from_float16(word bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((unsigned short)bits));
  return x;
}
DEVICE inline word to_bfloat16(float x) {
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
DEVICE inline float from_bfloat16(word bits) { return __uint_as_float(bits << 16); }
DEVICE inline float truncated(float x) { return __uint_as_float(__float_as_uint(x) & 0xffffe000u); }
DEVICE inline word bits_of(float x) { return __float_as_uint(x); }
DEVICE inline float of_bits(word x) { return __uint_as_float(x); }

// --------------------------------------------------------------------------------------------- tensor cores

struct __align__(16) Tile { word w[4]; };   // four words of a lane
struct Pair { word a, b; };   // a lane's words of one of eight vectors

#define MULTIPLY(name, instruction)                                                                                  \
  DEVICE inline void name(float (&c)[4], const Tile& a, const Pair& x) {                                             \
    asm("mma.sync.aligned." instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"           \
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                                             \
        : "r"(a.w[0]), "r"(a.w[1]), "r"(a.w[2]), "r"(a.w[3]), "r"(x.a), "r"(x.b));                                   \
  }
MULTIPLY(multiply_float16, "m16n8k16.row.col.f32.f16.f16.f32")
MULTIPLY(multiply_bfloat16, "m16n8k16.row.col.f32.bf16.bf16.f32")
MULTIPLY(multiply_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")

// Two products: the weights' first 11 bits, and the rest. They are cut anew each time, or both would be kept.
DEVICE inline void multiply_float32(float (&c)[4], const Tile& a, const Pair& x) {
  Tile high, low;
  UNROLLED for (int i = 0; i < 4; ++i) {
    const word weight = (word)anew((int)a.w[i]), first = weight & 0xffffe000u;
    high.w[i] = first;
    low.w[i] = bits_of(of_bits(weight) - of_bits(first));
  }
  multiply_tf32(c, high, x);
  multiply_tf32(c, low, x);
}

DEVICE inline void multiply_int8(int (&c)[4], const Tile& a, const Pair& x) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a.w[0]), "r"(a.w[1]), "r"(a.w[2]), "r"(a.w[3]), "r"(x.a), "r"(x.b));
}

// -------------------------------------------------------------------------------------------------- memory

// Volatile, so that no compiler reads weights again inside the loop instead of keeping them.
DEVICE inline word load_kept(const char* from) {
  word found;
  asm volatile("ld.global.nc.u32 %0, [%1];" : "=r"(found) : "l"(from));
  return found;
}
DEVICE inline Tile load_weights(const char* from) {
  Tile tile;
  asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(tile.w[0]), "=r"(tile.w[1]), "=r"(tile.w[2]), "=r"(tile.w[3]) : "l"(from));
  return tile;
}
DEVICE inline Tile load_tile(const char* shared) {
  const uint4 found = *(const uint4*)shared;
  return {{found.x, found.y, found.z, found.w}};
}
DEVICE inline Pair load_pair(const char* shared) {
  const uint2 found = *(const uint2*)shared;
  return {found.x, found.y};
}
DEVICE inline float load_weight(const char* from) { return of_bits(load_kept(from)); }
// What the conditioning network made before this launch.
DEVICE inline float load_frame(const char* from, int i) {
  float found;
  asm("ld.global.f32 %0, [%1];" : "=f"(found) : "l"(from + 4ll * i));
  return found;
}
// What another multiprocessor has written: not from the nearest cache.
DEVICE inline float load_past(const char* from) {
  float found;
  asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(found) : "l"(from) : "memory");
  return found;
}


// A store goes to the shared memory of a block in the cluster, or elsewhere: to global memory, where others see it once
// it is released.
const word ELSEWHERE = 16;

#if __CUDA_ARCH__ >= 900

DEVICE inline word block_in_cluster() {
  word rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// Volatile: worked out anew where it is used, or dozens of addresses would take registers from weights.
DEVICE inline word at_block(const void* shared, word rank) {
  word found;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(found) : "r"(address(shared)), "r"(rank));
  return found;
}
DEVICE inline void store_word(void* shared, word rank, word x) {
  if (rank == ELSEWHERE) { *(volatile word*)shared = x; return; }
  asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(at_block(shared, rank)), "r"(x) : "memory");
}
DEVICE inline void store_half(void* shared, word rank, word x) {
  if (rank == ELSEWHERE) { *(volatile unsigned short*)shared = (unsigned short)x; return; }
  asm volatile("st.shared::cluster.u16 [%0], %1;" ::"r"(at_block(shared, rank)), "h"((unsigned short)x) : "memory");
}
DEVICE inline void store_byte(void* shared, word rank, word x) {
  if (rank == ELSEWHERE) { *(volatile unsigned char*)shared = (unsigned char)x; return; }
  asm volatile("st.shared::cluster.u8 [%0], %1;" ::"r"(at_block(shared, rank)), "r"(x) : "memory");
}
DEVICE inline void arrive(void* barrier, word rank) {
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(at_block(barrier, rank)) : "memory");
}
DEVICE inline void wait_for(void* barrier, word parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(address(barrier)), "r"(parity) : "memory");
}
DEVICE inline void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}
DEVICE inline void barriers_are_made() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

#else  // no clusters: a block is alone

DEVICE inline word block_in_cluster() { return 0; }
DEVICE inline void store_word(void* shared, word, word x) { *(volatile word*)shared = x; }
DEVICE inline void store_half(void* shared, word, word x) { *(volatile unsigned short*)shared = (unsigned short)x; }
DEVICE inline void store_byte(void* shared, word, word x) { *(volatile unsigned char*)shared = (unsigned char)x; }
DEVICE inline void arrive(void* barrier, word) {
  asm volatile("{\n.reg .b64 state;\nmbarrier.arrive.shared.b64 state, [%0];\n}" ::"r"(address(barrier)) : "memory");
}
DEVICE inline void wait_for(void* barrier, word parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again: mbarrier.test_wait.parity.shared.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(address(barrier)), "r"(parity) : "memory");
}
DEVICE inline void cluster_barrier() { __syncthreads(); }
DEVICE inline void barriers_are_made() {}

#endif

DEVICE inline void make_barrier(void* barrier, word count) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(address(barrier)), "r"(count) : "memory");
}

// Sums of what blocks add up in global memory. What was written before an addition, by whoever met the adder, is seen by
// those that acquire after they have seen the sum.
DEVICE inline void add_release(void* sum) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(sum) : "memory");
}
DEVICE inline word sum_at(const void* sum) {
  word found;
  asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(found) : "l"(sum) : "memory");
  return found;
}
DEVICE inline void acquire() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }
DEVICE inline void wait_for_sums() {}  // an emulation lets others run
DEVICE inline Tile load_handed(const char* from) {
  Tile tile;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(tile.w[0]), "=r"(tile.w[1]), "=r"(tile.w[2]), "=r"(tile.w[3]) : "l"(from) : "memory");
  return tile;
}

// Three teams of warps have 168 registers each; one that needs few can give some to the others, and has them back before
// all run the same code again.
#if __CUDA_ARCH__ >= 900
DEVICE inline void give_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 72;"); }
DEVICE inline void take_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 216;"); }
DEVICE inline void have_registers_back() { asm volatile("setmaxnreg.inc.sync.aligned.u32 168;"); }
DEVICE inline void give_registers_back() { asm volatile("setmaxnreg.dec.sync.aligned.u32 168;"); }
#else
DEVICE inline void give_registers() {}
DEVICE inline void take_registers() {}
DEVICE inline void have_registers_back() {}
DEVICE inline void give_registers_back() {}
#endif

DEVICE inline void team_barrier(int team) { asm volatile("bar.sync %0, 128;" ::"r"(team + 1) : "memory"); }
DEVICE inline void block_barrier() { __syncthreads(); }
DEVICE inline void warp_barrier() { __syncwarp(); }
