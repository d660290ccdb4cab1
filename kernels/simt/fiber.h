// Fibers: many threads of a kernel on one thread of the host, each with its own stack.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace simt {

// A fiber's stack and where it stands. It stays with its host thread.
struct Fiber;

// The fibers of one host thread. Their stacks are used again and again, and never cleared.
class Fibers {
   public:
    Fibers();
    ~Fibers();
    Fibers(const Fibers&) = delete;

    // A fiber that will run `entry`, which calls entered() first and never returns.
    Fiber& begin(void (*entry)());
    // Runs it until it leaves.
    void resume(Fiber& fiber);
    // On the fiber: it runs for the first time.
    void entered();
    // On the fiber: back to who resumed it.
    void leave(Fiber& fiber);
    // On the fiber: for the last time.
    [[noreturn]] void leave_for_ever(Fiber& fiber);
    // Takes back the stack of a fiber that has left for ever. False if it has used more than there is.
    bool end(Fiber& fiber);

   private:
    void grow();

    struct Resumer;
    std::unique_ptr<Resumer> resumer_;
    std::vector<std::unique_ptr<Fiber>> all_;
    std::vector<Fiber*> free_;
    std::vector<char*> chunks_;
};

}  // namespace simt
