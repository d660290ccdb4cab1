#include "block.h"

#include <sched.h>

#include <map>
#include <thread>

#include "place.h"

namespace simt {

namespace {

constexpr u32 warp_lanes = 32;
// So often others are let run before this block sleeps between its looks at a flag.
constexpr u32 eager_rounds = 64;
// So long nothing must have happened anywhere before that is an error.
constexpr std::chrono::milliseconds patience(500);

__thread Block* running_block;

}  // namespace

__thread Here here;

Block& Block::running() { return *running_block; }

bool Block::run(Launch& launch, Cluster& cluster, u32 worker, u32 index) {
    launch_ = &launch;
    cluster_ = &cluster;
    worker_ = worker;
    begin(index);
    // Only when all blocks of a cluster have begun can one look into another's memory.
    if (!meet_cluster_outside(block_begins) || !run_threads()) return false;
    if (!shared.end()) {
        launch.fail("block " + std::to_string(index) + " has written past the end of its shared memory");
        return false;
    }
    return meet_cluster_outside(block_ends);
}

void Block::begin(u32 index) {
    const SimtLaunch& shape = launch_->shape;
    running_block = this;
    here = {{0}, {shape.threads}, {index}, {shape.blocks}, index % shape.cluster, shape.cluster};
    random_ = Random(launch_->shape.seed + index * 0x2545f4914f6cdd1dull);
    threads_.assign(shape.threads, Thread());
    warps_.assign((shape.threads + warp_lanes - 1) / warp_lanes, Meeting());
    all_ = Meeting();
    ready_.clear();
    pausing_.clear();
    release(0, shape.threads);
    moved_ = true;
    at_cluster_barrier_ = false;
    shared.begin(shape.shared_bytes, shape.shared_limit);
    cluster_->join(here.cluster_rank, *this);
    launch_->progress();
}

bool Block::run_threads() {
    while (all_.ended < here.threads.x) {
        if (launch_->failed()) return false;
        if (ready_.empty()) {
            if (!next_round()) return false;
            continue;
        }
        u32& picked = ready_[random_.below(static_cast<u32>(ready_.size()))];
        u32 number = picked;
        picked = ready_.back();
        ready_.pop_back();
        if (!run_thread(number)) return false;
    }
    launch_->progress();
    return true;
}

bool Block::run_thread(u32 number) {
    here.thread.x = number;
    Thread& thread = threads_[number];
    if (!thread.fiber) thread.fiber = &fibers_.begin([] { Block::running().thread_main(); });
    fibers_.resume(*thread.fiber);
    if (thread.state != State::Ended) return true;
    if (fibers_.end(*thread.fiber)) return true;
    launch_->fail("a thread has used more stack than the host gives");
    return false;
}

void Block::thread_main() {
    fibers_.entered();
    launch_->kernel.body(launch_->arguments);
    thread_ended();
    fibers_.leave_for_ever(*threads_[here.thread.x].fiber);
}

void Block::thread_ended() {
    Meeting& warp = warps_[here.thread.x / warp_lanes];
    for (Meeting* meeting : {&all_, &warp}) {
        ++meeting->ended;
        if (meeting->arrived > 0) refuse("has ended, but others wait for it " + described(meeting->place), nowhere);
    }
    threads_[here.thread.x].state = State::Ended;
    moved_ = true;
}

void Block::meet_block(Place place) {
    arrive(all_, State::AtBarrier, place);
    if (all_.arrived == here.threads.x) {
        all_.arrived = 0;
        release(0, here.threads.x);
    }
    leave();
}

void Block::meet_cluster(Place place) {
    if (here.cluster_blocks == 1) return meet_block(place);
    arrive(all_, State::AtClusterBarrier, place);
    if (all_.arrived == here.threads.x) {
        all_.arrived = 0;
        cluster_turn_ = cluster_->arrive(*launch_, here.cluster_rank, place);
        at_cluster_barrier_ = true;
    }
    leave();
}

bool Block::meet_cluster_outside(Place place) {
    if (here.cluster_blocks == 1) return true;
    u32 turn = cluster_->arrive(*launch_, here.cluster_rank, place);
    while (!cluster_->passed(turn)) {
        if (!still_waiting()) return false;
    }
    return !launch_->failed();
}

double Block::meet_warp(double value, u32 offset, Place place) {
    u32 first = here.thread.x / warp_lanes * warp_lanes;
    if (first + warp_lanes > here.threads.x) refuse("shuffles, but its warp has no 32 lanes", place);
    Thread& thread = threads_[here.thread.x];
    thread.value = value;
    thread.offset = offset;
    Meeting& warp = warps_[here.thread.x / warp_lanes];
    arrive(warp, State::InShuffle, place);
    if (warp.arrived == warp_lanes) {
        warp.arrived = 0;
        shuffle(first);
        release(first, first + warp_lanes);
    }
    leave();
    return thread.shuffled;
}

void Block::shuffle(u32 first) {
    for (u32 lane = 0; lane < warp_lanes; ++lane) {
        Thread& thread = threads_[first + lane];
        u32 from = lane + thread.offset;
        thread.shuffled = threads_[first + (from < warp_lanes ? from : lane)].value;
    }
}

void Block::pause(Place place) {
    Thread& thread = threads_[here.thread.x];
    thread.state = State::Pausing;
    thread.place = place;
    pausing_.push_back(here.thread.x);
    fibers_.leave(*thread.fiber);
}

void Block::progress() {
    launch_->progress();
    // Others may go a long way now, as if this block were slow: what they do not wait for is not there yet.
    if (random_.below(16) == 0) std::this_thread::sleep_for(std::chrono::microseconds(20));
}

void Block::arrive(Meeting& meeting, State state, Place place) {
    if (meeting.ended > 0) refuse("waits for threads that have ended", place);
    if (meeting.arrived == 0) {
        meeting.state = state;
        meeting.place = place;
    } else if (meeting.state != state || !same(meeting.place, place)) {
        refuse("waits here, but others wait for it " + described(meeting.place), place);
    }
    ++meeting.arrived;
    Thread& thread = threads_[here.thread.x];
    thread.state = state;
    thread.place = place;
    moved_ = true;
}

void Block::leave() { fibers_.leave(*threads_[here.thread.x].fiber); }

void Block::release(u32 first, u32 end) {
    for (u32 number = first; number < end; ++number) {
        threads_[number].state = State::Ready;
        ready_.push_back(number);
    }
}

bool Block::next_round() {
    if (at_cluster_barrier_ && cluster_->passed(cluster_turn_)) {
        at_cluster_barrier_ = false;
        release(0, here.threads.x);
        return true;
    }
    if (pausing_.empty() && !at_cluster_barrier_) {
        launch_->fail("nothing can go on" + where_threads_are());
        return false;
    }
    if (!still_waiting()) return false;
    for (u32 number : pausing_) threads_[number].state = State::Ready;
    ready_.swap(pausing_);
    return true;
}

bool Block::still_waiting() {
    using Clock = std::chrono::steady_clock;
    if (launch_->failed()) return false;
    u64 events = launch_->events();
    if (moved_ || events != events_) {
        moved_ = false;
        events_ = events;
        rounds_ = 0;
    }
    if (++rounds_ < eager_rounds) {
        sched_yield();
        return true;
    }
    if (rounds_ == eager_rounds) since_ = Clock::now();
    launch_->waits_since(worker_, events);
    if (rounds_ % eager_rounds == 0 && launch_->all_wait() && Clock::now() - since_ > patience) {
        launch_->fail("all blocks wait for what never happens" + where_threads_are());
        return false;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20));
    return true;
}

void Block::refuse(const std::string& why, Place place) {
    std::string who = "thread " + std::to_string(here.thread.x) + " of block " + std::to_string(here.block.x);
    launch_->fail(who + " " + why + (place.line == 0 ? "" : " (" + described(place) + ")"));
    Thread& thread = threads_[here.thread.x];
    thread.state = State::Refused;
    fibers_.leave_for_ever(*thread.fiber);
}

const void* Block::in_cluster(const void* address, u32 rank) {
    if (rank < here.cluster_blocks) {
        if (const void* there = cluster_->block(rank).shared.same_place(address, shared)) return there;
    }
    refuse("looks into the shared memory of rank " + std::to_string(rank) + " of its cluster, which is not there",
           nowhere);
}

std::string Block::where_threads_are() const {
    std::map<std::string, u32> groups;
    for (const Thread& thread : threads_) {
        switch (thread.state) {
            case State::Ended: ++groups["have ended"]; break;
            case State::Pausing: ++groups["look at a flag " + described(thread.place)]; break;
            case State::InShuffle: ++groups["wait for their warp " + described(thread.place)]; break;
            case State::AtBarrier: ++groups["wait for their block " + described(thread.place)]; break;
            case State::AtClusterBarrier: ++groups["wait for their cluster " + described(thread.place)]; break;
            case State::Ready:
            case State::Refused: ++groups["could run"]; break;
        }
    }
    std::string text = ": of block " + std::to_string(here.block.x);
    const char* between = " ";
    for (const auto& [what, threads] : groups) {
        text += between + std::to_string(threads) + " threads " + what;
        between = ", ";
    }
    return text;
}

void block_barrier(Place place) { Block::running().meet_block(place); }
void cluster_barrier(Place place) { Block::running().meet_cluster(place); }
double shuffle_down(double value, u32 offset, Place place) { return Block::running().meet_warp(value, offset, place); }
void pause(Place place) { Block::running().pause(place); }
void progressed() { Block::running().progress(); }
void refuse(const char* why, Place place) { Block::running().refuse(why, place); }
void* dynamic_shared() { return Block::running().shared.dynamic(); }
const void* in_cluster(const void* shared, u32 rank) { return Block::running().in_cluster(shared, rank); }

void* shared_array(u32 number, u64 bytes, const char* name) {
    Block& block = Block::running();
    void* array = block.shared.named(number, bytes);
    if (!array) block.refuse(std::string("has no room for the shared array ") + name, nowhere);
    return array;
}

}  // namespace simt
