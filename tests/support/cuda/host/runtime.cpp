// Runs the blocks of one launch: one after the other, each in a thread of the operating system, with
// a fiber for each CUDA thread. Compiled without ThreadSanitizer, which is told of fibers and barriers
// by name; what else happens here is not the kernel's doing.
//
// `program kernel gx gy gz bx by bz shared seed < arguments > results`; the arguments are, one after
// another, eight bytes of length and as many bytes (length -1: a null pointer); the results are the
// bytes of every pointer that is not to const. Without a kernel it prints the kernels' parameters.
#include "sanitizers.h"
#include "shim.h"

#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuda_host {

void* dynamic_shared;

namespace {

constexpr std::size_t STACK = 256 * 1024, GUARD = 64 * 1024;  // whole pages, everywhere
constexpr std::size_t KEPT = 2048;  // fibers, of the 8,128 threads that ThreadSanitizer can have
constexpr int FAULT = 3;  // exit status
constexpr int POISON = 0xff;  // NaN, -1

enum class State { ready, at_barrier, in_warp, left };

struct Fiber {
    uint3 index;
    State state;
    const char* operation;
    int line;
    unsigned mask, parity, acquire;
    std::uint64_t bits;
    Lanes lanes;
    ucontext_t context;
    void* jump[5];
    bool started;
    sanitizer::Side side;
};

const Kernel* kernel;
std::vector<void*> arguments;
std::size_t shared_bytes;
std::uint64_t random_state;
std::size_t kept;

// Of the block that runs.
std::vector<Fiber> fibers;
std::vector<int> order;
Fiber* current;
void* scheduler_jump[5];
sanitizer::Side scheduler;
unsigned barriers;               // passed so far
std::vector<unsigned> meetings;  // of each warp, passed so far
// Addresses that are clocks to ThreadSanitizer. Those of barriers alternate, since one thread may
// reach the next barrier before another has left this one; and each block has its own.
char* clocks;
char fence_clock;

char* end_clock() { return clocks; }
char* barrier_clock(unsigned parity) { return clocks + 1 + parity; }
char* warp_clock(std::size_t warp, unsigned parity) { return clocks + 3 + 2 * warp + parity; }

using sanitizer::acquire;
using sanitizer::release;

std::uint64_t random(std::uint64_t below) {  // splitmix64
    std::uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

void count_up(std::vector<int>& numbers) {
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = int(i);
}

void shuffle_order(std::vector<int>& order) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random(i)]);
}

// ---- arithmetic ----------------------------------------------------------------------------------

// As with -ftz=true, which CuPy compiles with: subnormal numbers are read, and written, as zero. (On
// the device that is so of float alone, here of double too.) Elsewhere nothing is known that does it.
void flush_subnormals(bool flush) {
#if defined(__x86_64__)
    constexpr unsigned FTZ_DAZ = 0x8040;
    const unsigned rest = __builtin_ia32_stmxcsr() & ~FTZ_DAZ;
    __builtin_ia32_ldmxcsr(flush ? rest | FTZ_DAZ : rest);
#elif defined(__aarch64__)
    constexpr std::uint64_t FZ = 1u << 24;
    std::uint64_t state;
    asm volatile("mrs %0, fpcr" : "=r"(state));
    asm volatile("msr fpcr, %0" : : "r"(flush ? state | FZ : state & ~FZ));
#else
    (void)flush;
#endif
}

// ---- switching -----------------------------------------------------------------------------------
// By the compiler's own setjmp: no system calls, unlike swapcontext, and no sanitizer meddles. noipa:
// neither what is left alone here nor where these calls return to is for a caller to know.

[[gnu::noipa]] void jump(void** to) { __builtin_longjmp(to, 1); }

[[gnu::noipa]] void begin(ucontext_t* context) { setcontext(context); }

[[gnu::noipa]] void to_scheduler(bool for_ever = false) {
    sanitizer::leave(current->side, scheduler, for_ever);
    if (!__builtin_setjmp(current->jump)) jump(scheduler_jump);
    sanitizer::arrive(current->side, scheduler);
}

void body() {
    sanitizer::arrive(current->side, scheduler);
    flush_subnormals(true);  // which setcontext has undone
    kernel->call(arguments.data());
    release(end_clock());
    current->state = State::left;
    to_scheduler(true);
}

[[gnu::noipa]] void resume(Fiber& fiber) {
    current = &fiber;
    threadIdx = fiber.index;
    sanitizer::leave(scheduler, fiber.side);
    if (!__builtin_setjmp(scheduler_jump)) {
        if (fiber.started) jump(fiber.jump);
        fiber.started = true;
        begin(&fiber.context);
    }
    sanitizer::arrive(scheduler, current->side);
}

// ---- meeting -------------------------------------------------------------------------------------

[[noreturn]] void fault(const char* format, auto... values) {
    std::fprintf(stderr, "kernel %s, block (%u, %u, %u): ", kernel->name, blockIdx.x, blockIdx.y,
                 blockIdx.z);
    std::fprintf(stderr, format, values...);
    std::fputc('\n', stderr);
    std::fflush(stderr);
    _exit(FAULT);
}

// Nobody can go on: say where everybody is.
[[noreturn]] void diverged() {
    struct Place {
        State state;
        const char* operation;
        int line;
        unsigned mask;
        int count;
        uint3 first;
    };
    std::vector<Place> places;
    for (const Fiber& f : fibers) {
        auto same = [&](const Place& p) {
            return p.state == f.state && (f.state == State::left || (p.line == f.line && p.mask == f.mask));
        };
        auto found = std::find_if(places.begin(), places.end(), same);
        if (found != places.end()) ++found->count;
        else places.push_back({f.state, f.operation, f.line, f.mask, 1, f.index});
    }
    std::string text = "divergent barrier:";
    for (const Place& p : places) {
        char line[200];
        std::snprintf(line, sizeof line, " %d threads, (%u, %u, %u) the first, ", p.count, p.first.x,
                      p.first.y, p.first.z);
        text += line;
        if (p.state == State::left) text += "have left the kernel;";
        else if (p.state == State::at_barrier)
            text += "wait at __syncthreads on line " + std::to_string(p.line) + ";";
        else {
            std::snprintf(line, sizeof line, "wait in %s(0x%08x) on line %d;", p.operation, p.mask, p.line);
            text += line;
        }
    }
    text.pop_back();
    fault("%s", text.c_str());
}

// All lanes that a mask names, and that have not left, in the same operation: they go on.
bool release_warp(std::size_t warp) {
    const std::size_t first = 32 * warp, count = std::min<std::size_t>(32, fibers.size() - first);
    bool released = false;
    for (std::size_t i = 0; i < count; ++i) {
        const Fiber& leader = fibers[first + i];
        if (leader.state != State::in_warp) continue;
        Lanes lanes;
        lanes.present = 0;
        std::memset(lanes.bits, POISON, sizeof lanes.bits);
        unsigned parities = 0;
        bool complete = true;
        for (std::size_t j = 0; j < count; ++j) {
            const Fiber& f = fibers[first + j];
            if (!(leader.mask >> j & 1) || f.state == State::left) continue;
            complete &= f.state == State::in_warp && f.mask == leader.mask && f.line == leader.line &&
                        !std::strcmp(f.operation, leader.operation);
            lanes.present |= 1u << j;
            lanes.bits[j] = f.bits;
            parities |= 1u << f.parity;
        }
        if (!complete) continue;
        for (std::size_t j = 0; j < count; ++j) {
            if (!(lanes.present >> j & 1)) continue;
            Fiber& f = fibers[first + j];
            f.state = State::ready;
            f.lanes = lanes;
            f.acquire = parities;
        }
        ++meetings[warp];
        released = true;
    }
    return released;
}

bool release_block() {
    for (const Fiber& f : fibers)
        if (f.state != State::at_barrier || f.line != fibers[0].line) return false;
    for (Fiber& f : fibers) f.state = State::ready;
    ++barriers;
    return true;
}

// ---- blocks --------------------------------------------------------------------------------------

// `__shared__` variables are this program's thread-local ones, and it has no other.
int poison_shared(dl_phdr_info* info, std::size_t, void*) {
    for (int i = 0; i < info->dlpi_phnum; ++i)
        if (info->dlpi_phdr[i].p_type == PT_TLS && info->dlpi_tls_data)
            std::memset(info->dlpi_tls_data, POISON, info->dlpi_phdr[i].p_memsz);
    return 1;  // the program comes first
}

void prepare(std::size_t i, char* stacks) {
    Fiber& f = fibers[i];
    f = {};
    const unsigned n = unsigned(i);
    f.index = {n % blockDim.x, n / blockDim.x % blockDim.y, n / (blockDim.x * blockDim.y)};
    f.state = State::ready;
    char* stack = stacks + i * (STACK + GUARD) + GUARD;
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = stack;
    f.context.uc_stack.ss_size = STACK;
    makecontext(&f.context, body, 0);
    f.side.stack = stack;
    f.side.size = STACK;
    IF_TSAN(f.side.thread = __tsan_create_fiber(0);)
}

char* map_stacks(std::size_t n) {
    char* stacks = static_cast<char*>(mmap(nullptr, n * (STACK + GUARD), PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (stacks == MAP_FAILED) std::perror("mmap"), _exit(1);
    for (std::size_t i = 0; i < n; ++i) mprotect(stacks + i * (STACK + GUARD), GUARD, PROT_NONE);
    return stacks;
}

void run_block(char* stacks) {
    dl_iterate_phdr(poison_shared, nullptr);
    posix_memalign(&dynamic_shared, 1024, shared_bytes);
    std::memset(dynamic_shared, POISON, shared_bytes);
    const std::size_t n_warps = (fibers.size() + 31) / 32;
    meetings.assign(n_warps, 0);
    barriers = 0;
    clocks = static_cast<char*>(std::malloc(3 + 2 * n_warps));  // for ever: no two blocks share them
    IF_TSAN(scheduler.thread = __tsan_get_current_fiber();)
    for (std::size_t i = 0; i < fibers.size(); ++i) prepare(i, stacks);
    for (;;) {
        shuffle_order(order);
        for (int i : order)
            if (fibers[i].state == State::ready) resume(fibers[i]);
        if (std::all_of(fibers.begin(), fibers.end(),
                        [](const Fiber& f) { return f.state == State::left; }))
            break;
        bool released = false;
        for (std::size_t warp = 0; warp < n_warps; ++warp) released |= release_warp(warp);
        if (!released && !release_block()) diverged();
    }
    acquire(end_clock());
    // A fiber that gets the number of another is taken for the same thread: so the first ones keep it.
    if ((kept += fibers.size()) > KEPT)
        for ([[maybe_unused]] Fiber& f : fibers) IF_TSAN(__tsan_destroy_fiber(f.side.thread));
    std::free(dynamic_shared);
}

#if defined(CUDA_HOST_TSAN)
int running;

void* block_thread(void*) {
    char* stacks = map_stacks(fibers.size());
    __tsan_ignore_thread_begin();  // this thread, not its fibers: its memset is seen otherwise
    run_block(stacks);
    __tsan_ignore_thread_end();
    munmap(stacks, fibers.size() * (STACK + GUARD));
    __atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
    return nullptr;
}
#endif

void run_grid() {
    std::vector<int> blocks(std::size_t(gridDim.x) * gridDim.y * gridDim.z);
    count_up(blocks);
    shuffle_order(blocks);
    fibers.resize(std::size_t(blockDim.x) * blockDim.y * blockDim.z);
    order.resize(fibers.size());
    count_up(order);
    auto set_block = [](unsigned b) {
        blockIdx = {b % gridDim.x, b / gridDim.x % gridDim.y, b / (gridDim.x * gridDim.y)};
    };
#if defined(CUDA_HOST_TSAN)
    // A thread for each block, and none is joined before all are through: they run one after the
    // other, but ThreadSanitizer is not to know, since nothing orders blocks on the device.
    std::vector<pthread_t> threads;
    for (int b : blocks) {
        set_block(unsigned(b));
        __atomic_store_n(&running, 1, __ATOMIC_SEQ_CST);
        threads.emplace_back();
        if (pthread_create(&threads.back(), nullptr, block_thread, nullptr))
            std::perror("pthread_create"), _exit(1);
        while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) usleep(20);
    }
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
#else
    char* stacks = map_stacks(fibers.size());
    for (unsigned b : blocks) {
        set_block(b);
        run_block(stacks);
    }
#endif
}

// ---- arguments -----------------------------------------------------------------------------------

void read_all(void* to, std::size_t size) {
    if (size && std::fread(to, 1, size, stdin) != size) std::fputs("arguments end early\n", stderr), _exit(1);
}

void write_all(int file, const void* from, std::int64_t size) {
    while (size > 0) {
        const ssize_t written = write(file, from, std::size_t(size));
        if (written <= 0) std::perror("write"), _exit(1);
        from = static_cast<const char*>(from) + written;
        size -= written;
    }
}

}  // namespace

float keep_subnormals(float a, float b, float c) {
    // volatile: the compiler may not know that the mode matters to what stands between.
    volatile float factor = a, result;
    flush_subnormals(false);
    result = fmaf(factor, b, c);
    flush_subnormals(true);
    return result;
}

void sync_block(int line) {
    Fiber& f = *current;
    f.state = State::at_barrier;
    f.operation = "__syncthreads";
    f.line = line;
    f.mask = 0;
    const unsigned parity = barriers & 1;
    release(barrier_clock(parity));
    to_scheduler();
    acquire(barrier_clock(parity));
}

unsigned lane() { return unsigned(current - fibers.data()) & 31; }

const Lanes& meet(unsigned mask, std::uint64_t bits, const char* operation, int line) {
    Fiber& f = *current;
    const std::size_t warp = std::size_t(current - fibers.data()) / 32;
    if (!(mask >> lane() & 1)) fault("%s(0x%08x) on line %d by lane %u, which the mask lacks", operation, mask, line, lane());
    f.state = State::in_warp;
    f.operation = operation;
    f.line = line;
    f.mask = mask;
    f.bits = bits;
    f.parity = meetings[warp] & 1;
    release(warp_clock(warp, f.parity));
    to_scheduler();
    for (unsigned parity = 0; parity < 2; ++parity)
        if (f.acquire >> parity & 1) acquire(warp_clock(warp, parity));
    return f.lanes;
}

void fence() {
    acquire(&fence_clock);
    release(&fence_clock);
}

void trap(const char* why, int line) { fault("%s on line %d", why, line); }

}  // namespace cuda_host

int main(int argc, char** argv) {
    using namespace cuda_host;
    if (argc == 1) {
        for (int i = 0; i < n_kernels; ++i) {
            std::printf("%s", kernels[i].name);
            kernels[i].describe();
            std::printf("\n");
        }
        return 0;
    }
    if (argc != 10) return 2;
    const int results = dup(1);
    dup2(2, 1);  // what a kernel prints is no result
    for (int i = 0; i < n_kernels; ++i)
        if (!std::strcmp(kernels[i].name, argv[1])) kernel = &kernels[i];
    if (!kernel) return 2;
    auto number = [&](int i) { return std::strtoull(argv[i], nullptr, 10); };
    gridDim = {unsigned(number(2)), unsigned(number(3)), unsigned(number(4))};
    blockDim = {unsigned(number(5)), unsigned(number(6)), unsigned(number(7))};
    shared_bytes = number(8);
    random_state = number(9);

    struct Argument {
        std::int64_t size;
        void* data;  // a buffer of exactly that many bytes, so that one more is found by a sanitizer
    };
    std::vector<Argument> given(kernel->n_parameters);
    std::vector<char> writable(kernel->n_parameters);
    for (int i = 0; i < kernel->n_parameters; ++i) {
        char kind;  // v: a value; r: a pointer to read; w: one to write
        read_all(&kind, 1);
        read_all(&given[i].size, sizeof given[i].size);
        given[i].data = nullptr;
        if (given[i].size >= 0) {
            posix_memalign(&given[i].data, 256, given[i].size);  // aligned as by cudaMalloc
            read_all(given[i].data, given[i].size);
        }
        writable[i] = kind == 'w';
        arguments.push_back(kind == 'v' ? given[i].data : &given[i].data);
    }
    run_grid();
    for (int i = 0; i < kernel->n_parameters; ++i)
        if (writable[i]) write_all(results, given[i].data, given[i].size);
    std::fflush(stdout);
    _exit(0);
}
