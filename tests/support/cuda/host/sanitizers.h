// What sanitizers are told: of fibers, and of what orders them. Without one, nothing.
#pragma once

#include <cstddef>

#if defined(CUDA_HOST_TSAN)
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void* __tsan_get_current_fiber();
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
}
#define IF_TSAN(...) __VA_ARGS__
#else
#define IF_TSAN(...)
#endif

#if defined(CUDA_HOST_ASAN)
extern "C" {
void __sanitizer_start_switch_fiber(void** save, const void* bottom, std::size_t size);
void __sanitizer_finish_switch_fiber(void* saved, const void** bottom, std::size_t* size);
}
#define IF_ASAN(...) __VA_ARGS__
#else
#define IF_ASAN(...)
#endif

namespace sanitizer {

// A stack, and what the sanitizers call it.
struct Side {
    const void* stack = nullptr;
    std::size_t size = 0;
    void *fake = nullptr, *thread = nullptr;
};

// Before a switch on the one side, and after it on the other.
inline void leave([[maybe_unused]] Side& from, [[maybe_unused]] const Side& to,
                  [[maybe_unused]] bool for_ever = false) {
    IF_ASAN(__sanitizer_start_switch_fiber(for_ever ? nullptr : &from.fake, to.stack, to.size);)
    IF_TSAN(__tsan_switch_to_fiber(to.thread, 1);)  // 1: the switch itself orders nothing
}
inline void arrive([[maybe_unused]] Side& at, [[maybe_unused]] Side& from) {
    IF_ASAN(__sanitizer_finish_switch_fiber(at.fake, &from.stack, &from.size);)
}

// Whoever acquires a clock comes after all that released it before. A clock is an address.
inline void acquire([[maybe_unused]] void* clock) { IF_TSAN(__tsan_acquire(clock);) }
inline void release([[maybe_unused]] void* clock) { IF_TSAN(__tsan_release(clock);) }

}  // namespace sanitizer
