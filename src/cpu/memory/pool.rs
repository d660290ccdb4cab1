//! What a pass frees, the next can have: large memory that the system takes back is handed out again page by page, which
//! takes several times as long as the pass that writes it.

use std::sync::MutexGuard;

use crate::cpu::memory::block::Block;
use crate::cpu::memory::forked_lock::ForkedLock;
use crate::error::Result;

/// Smaller blocks go back to the allocator, which is as fast with them.
const MIN_RETAINED_BYTES: usize = 1 << 12;
/// How many blocks are looked through.
const MAX_RETAINED_BLOCKS: usize = 128;
/// The bound until another is set.
const DEFAULT_LIMIT: usize = 512 << 20;

/// The processor's: of all threads, as one frees what another has asked for.
pub(super) static POOL: MemoryPool = MemoryPool::new(DEFAULT_LIMIT);

/// Blocks that are not in use, never of more bytes than the limit.
#[derive(Debug)]
pub(super) struct MemoryPool(ForkedLock<Retained>);

#[derive(Debug)]
struct Retained {
    /// The one freed last at the end.
    blocks: Vec<Block>,
    /// Of all of them.
    bytes: usize,
    limit: usize,
}

impl MemoryPool {
    const fn new(limit: usize) -> Self {
        Self(ForkedLock::new(Retained {
            blocks: Vec::new(),
            bytes: 0,
            limit,
        }))
    }

    /// Memory of at least so many bytes, of whatever was written there last.
    pub(super) fn take(&self, bytes: usize) -> Result<Block> {
        match self.take_retained(bytes) {
            Some(block) => Ok(block),
            None => self.new_block(bytes),
        }
    }

    /// Memory of at least so many bytes, all zero.
    pub(super) fn take_zeroed(&self, bytes: usize) -> Result<Block> {
        match self.take_retained(bytes) {
            Some(mut block) => {
                block.bytes_mut().fill(0);
                Ok(block)
            }
            None => self.new_block(bytes),
        }
    }

    fn take_retained(&self, bytes: usize) -> Option<Block> {
        if bytes < MIN_RETAINED_BYTES {
            return None;
        }
        self.retained()?.take(bytes)
    }

    fn new_block(&self, bytes: usize) -> Result<Block> {
        Block::new(bytes).or_else(|_| {
            // There may be room once nothing is retained.
            self.release();
            Block::new(bytes)
        })
    }

    /// Retains a block that is not in use any more, or gives it back.
    pub(super) fn put(&self, block: Block) {
        if block.len() >= MIN_RETAINED_BYTES {
            // The lock is released before memory is given back to the system.
            let given_back = self.retained().map(|mut retained| retained.put(block));
            drop(given_back);
        }
    }

    /// Gives back all that is retained.
    pub(super) fn release(&self) {
        let given_back = self.retained().map(|mut retained| retained.shrink_to(0));
        drop(given_back);
    }

    /// Retains no more than so many bytes from now on.
    pub(super) fn set_limit(&self, bytes: usize) {
        let given_back = self.retained().map(|mut retained| {
            retained.limit = bytes;
            retained.shrink_to(bytes)
        });
        drop(given_back);
    }

    /// How many bytes are retained.
    pub(super) fn retained_bytes(&self) -> usize {
        self.retained().map_or(0, |retained| retained.bytes)
    }

    /// What is retained; none in a forked child that cannot have it.
    fn retained(&self) -> Option<MutexGuard<'_, Retained>> {
        self.0.lock()
    }
}

impl Retained {
    /// The smallest block that is large enough and not by more than a quarter too large; of several the one freed last, which
    /// may be in the caches.
    fn take(&mut self, bytes: usize) -> Option<Block> {
        let largest = bytes.saturating_add(bytes / 4);
        let fitting = |(at, block): (usize, &Block)| {
            let len = block.len();
            (bytes..=largest).contains(&len).then_some((len, at))
        };
        let blocks = self.blocks.iter().enumerate().rev();
        let (len, at) = blocks.filter_map(fitting).min_by_key(|&(len, _)| len)?;
        self.bytes -= len;
        Some(self.blocks.remove(at))
    }

    /// Returns what there is no room for: of what is retained, the first freed.
    fn put(&mut self, block: Block) -> Vec<Block> {
        let bytes = block.len();
        let mut given_back = Vec::new();
        if bytes > self.limit || self.blocks.try_reserve(1).is_err() {
            give_back(block, &mut given_back);
            return given_back;
        }
        given_back = self.shrink_to(self.limit - bytes);
        if self.blocks.len() == MAX_RETAINED_BLOCKS {
            give_back(self.remove_first(), &mut given_back);
        }
        self.blocks.push(block);
        self.bytes += bytes;
        given_back
    }

    fn shrink_to(&mut self, bytes: usize) -> Vec<Block> {
        let mut given_back = Vec::new();
        while self.bytes > bytes {
            give_back(self.remove_first(), &mut given_back);
        }
        given_back
    }

    fn remove_first(&mut self) -> Block {
        let block = self.blocks.remove(0);
        self.bytes -= block.len();
        block
    }
}

/// Leaves a block to be given back after the lock; at once where there is no memory to note it in.
fn give_back(block: Block, later: &mut Vec<Block>) {
    if later.try_reserve(1).is_ok() {
        later.push(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(block: &Block) -> usize {
        block.bytes().as_ptr().addr()
    }

    /// A block of each size, freed in this order, and their addresses.
    fn freed(pool: &MemoryPool, sizes: &[usize]) -> Vec<usize> {
        let blocks: Vec<_> = sizes.iter().map(|&size| pool.take(size).unwrap()).collect();
        let addresses = blocks.iter().map(address).collect();
        for block in blocks {
            pool.put(block);
        }
        addresses
    }

    #[test]
    fn what_was_freed_is_had_again_with_what_was_written() {
        let pool = MemoryPool::new(1 << 30);
        for bytes in [MIN_RETAINED_BYTES, 100_000, 3 << 20, 9 << 20] {
            let mut block = pool.take(bytes).unwrap();
            block.bytes_mut().fill(7);
            let at = address(&block);
            pool.put(block);
            let block = pool.take(bytes).unwrap();
            assert_eq!((address(&block), block.bytes()[bytes - 1]), (at, 7));
            pool.put(block);
            let block = pool.take_zeroed(bytes).unwrap();
            assert_eq!(address(&block), at);
            assert!(block.bytes().iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn the_best_fit_is_taken_and_of_equals_the_last_freed() {
        let pool = MemoryPool::new(1 << 30);
        let at = freed(&pool, &[11_000, 10_000, 20_000, 10_000]);
        let first = pool.take(10_000).unwrap();
        assert_eq!(address(&first), at[3]);
        assert_eq!(address(&pool.take(9_000).unwrap()), at[1]);
        assert_eq!(address(&pool.take(9_000).unwrap()), at[0]);
        // Far too large.
        assert_ne!(address(&pool.take(9_000).unwrap()), at[2]);
    }

    #[test]
    fn never_more_is_retained_than_the_limit_and_the_first_freed_goes_first() {
        let pool = MemoryPool::new(50_000);
        let at = freed(&pool, &[16_000, 16_000, 16_000, 16_000]);
        assert_eq!(pool.retained_bytes(), 48_000);
        let again = [0; 3].map(|_| address(&pool.take(16_000).unwrap()));
        assert!(!again.contains(&at[0]), "{again:?} of {at:?}");
        pool.put(Block::new(60_000).unwrap());
        assert_eq!(pool.retained_bytes(), 0);

        freed(&pool, &[16_000, 16_000]);
        pool.set_limit(20_000);
        assert_eq!(pool.retained_bytes(), 16_000);
        pool.release();
        assert_eq!(pool.retained_bytes(), 0);
        pool.set_limit(0);
        freed(&pool, &[5_000]);
        assert_eq!(pool.retained_bytes(), 0);
    }

    #[test]
    fn there_are_never_more_blocks_than_can_be_looked_through() {
        let pool = MemoryPool::new(1 << 30);
        freed(&pool, &[MIN_RETAINED_BYTES; MAX_RETAINED_BLOCKS + 5]);
        let all = MAX_RETAINED_BLOCKS * MIN_RETAINED_BYTES;
        assert_eq!(pool.retained_bytes(), all);
    }

    #[test]
    fn small_memory_is_the_allocators() {
        let pool = MemoryPool::new(1 << 30);
        freed(&pool, &[0, 1, MIN_RETAINED_BYTES - 16]);
        assert_eq!(pool.retained_bytes(), 0);
    }

    #[test]
    fn threads_share_it() {
        // Miri takes seconds for a round.
        let rounds = if cfg!(miri) { 2 } else { 200 };
        let pool = MemoryPool::new(1 << 20);
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..rounds {
                        let mut block = pool.take(MIN_RETAINED_BYTES << (round % 5)).unwrap();
                        block.bytes_mut().fill(thread);
                        std::thread::yield_now();
                        assert!(block.bytes().iter().all(|&byte| byte == thread));
                        pool.put(block);
                        assert!(pool.retained_bytes() <= 1 << 20);
                    }
                });
            }
        });
    }

    #[test]
    fn a_forked_child_goes_without_what_its_parent_holds() {
        let pool = MemoryPool::new(1 << 20);
        freed(&pool, &[10_000]);
        let of_parent = pool.retained();
        pool.0.is_of_a_child();
        freed(&pool, &[10_000, 20_000]);
        assert!(pool.take_zeroed(9_000).unwrap().len() >= 9_000);
        pool.release();
        pool.set_limit(0);
        assert_eq!(pool.retained_bytes(), 0);
        drop(of_parent);
        assert!(pool.retained_bytes() >= 10_000);
    }

    #[test]
    fn no_room_is_an_error_after_all_has_been_given_back() {
        let pool = MemoryPool::new(1 << 20);
        freed(&pool, &[10_000]);
        let enormous = usize::try_from(1u64 << 60).unwrap_or(usize::MAX);
        assert!(pool.take(enormous).is_err());
        assert_eq!(pool.retained_bytes(), 0);
    }
}
