#include "fiber.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "sanitizers.h"

#if defined(__x86_64__) && !defined(SIMT_UCONTEXT)
#define SIMT_OWN_SWITCH 1
#else
#include <ucontext.h>
#endif

namespace simt {

namespace {

// Sanitizers put more on a stack, and report from it.
constexpr std::size_t stack_bytes = SIMT_SANITIZED ? 256 << 10 : 64 << 10;
// Between two stacks, so that their tops do not share cache lines' sets.
constexpr std::size_t colour_bytes = 5 * 64;
constexpr std::size_t stacks_in_chunk = 64;
// In front of the first, so that an overflow of that one too is found by its canary and does not fault.
constexpr std::size_t slack_bytes = stack_bytes;
constexpr std::size_t chunk_bytes = slack_bytes + stacks_in_chunk * (stack_bytes + colour_bytes);
// At the end of a stack, which is mapped as zeros: another value there is an overflow. Zeros need no memory until written.
constexpr std::size_t canary_bytes = 64;

}  // namespace

#ifdef SIMT_OWN_SWITCH

// Saves the registers that a call must keep on this stack, and this stack's pointer at `from`; goes on at `to`.
extern "C" void simt_switch_stack(void** from, void* to);
asm(R"(
.text
.p2align 4
.globl simt_switch_stack
.hidden simt_switch_stack
.type simt_switch_stack, @function
simt_switch_stack:
    endbr64
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmpq *%rcx
.size simt_switch_stack, . - simt_switch_stack
)");

struct Context {
    void* stack_pointer = nullptr;

    void prepare(char* bottom, void (*entry)()) {
        void** top = reinterpret_cast<void**>(reinterpret_cast<std::size_t>(bottom + stack_bytes) / 16 * 16);
        // Where `entry` would return to; then what simt_switch_stack restores: where to go on, and six registers.
        *--top = nullptr;
        *--top = reinterpret_cast<void*>(entry);
        for (int i = 0; i < 6; ++i) *--top = nullptr;
        stack_pointer = top;
    }
    static void change(Context& from, Context& to) { simt_switch_stack(&from.stack_pointer, to.stack_pointer); }
};

#else

struct Context {
    ucontext_t context;

    void prepare(char* bottom, void (*entry)()) {
        getcontext(&context);
        context.uc_stack.ss_sp = bottom;
        context.uc_stack.ss_size = stack_bytes;
        context.uc_link = nullptr;
        makecontext(&context, entry, 0);
    }
    static void change(Context& from, Context& to) { swapcontext(&from.context, &to.context); }
};

#endif

struct Fiber {
    char* bottom;
    Context context;
    void* fake_stack = nullptr;
};

struct Fibers::Resumer {
    Context context;
    StackBounds bounds;
};

Fibers::Fibers() : resumer_(new Resumer) {}

Fibers::~Fibers() {
    for (char* chunk : chunks_) munmap(chunk, chunk_bytes);
}

void Fibers::grow() {
    void* memory =
        mmap(nullptr, chunk_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    // A large page would be given to 32 stacks at the first touch of one.
    madvise(memory, chunk_bytes, MADV_NOHUGEPAGE);
    char* chunk = static_cast<char*>(memory);
    forget_poison(chunk, chunk_bytes);
    chunks_.push_back(chunk);
    for (std::size_t i = stacks_in_chunk; i-- > 0;) {
        all_.emplace_back(new Fiber);
        all_.back()->bottom = chunk + slack_bytes + i * (stack_bytes + colour_bytes);
        free_.push_back(all_.back().get());
    }
}

Fiber& Fibers::begin(void (*entry)()) {
    if (free_.empty()) grow();
    Fiber& fiber = *free_.back();
    free_.pop_back();
    fiber.context.prepare(fiber.bottom, entry);
    fiber.fake_stack = nullptr;
    return fiber;
}

void Fibers::resume(Fiber& fiber) {
    void* fake_stack = nullptr;
    switch_begins(&fake_stack, {fiber.bottom, stack_bytes});
    Context::change(resumer_->context, fiber.context);
    switch_ends(fake_stack, nullptr);
}

void Fibers::entered() { switch_ends(nullptr, &resumer_->bounds); }

void Fibers::leave(Fiber& fiber) {
    switch_begins(&fiber.fake_stack, resumer_->bounds);
    Context::change(fiber.context, resumer_->context);
    switch_ends(fiber.fake_stack, &resumer_->bounds);
}

void Fibers::leave_for_ever(Fiber& fiber) {
    switch_begins(nullptr, resumer_->bounds);
    Context::change(fiber.context, resumer_->context);
    std::abort();
}

bool Fibers::end(Fiber& fiber) {
    static const char zeros[canary_bytes] = {};
    free_.push_back(&fiber);
    return std::memcmp(fiber.bottom, zeros, canary_bytes) == 0;
}

}  // namespace simt
