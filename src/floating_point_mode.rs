//! The processor's floating-point mode while this crate computes.
//!
//! Programs set it, often without knowing: audio code and some compilers' start-up code flush subnormal numbers to zero. It
//! belongs to a thread, so that results would depend on who takes which tile.
#![cfg_attr(
    all(
        any(
            all(
                any(target_arch = "x86_64", target_arch = "x86"),
                target_feature = "sse2"
            ),
            target_arch = "aarch64"
        ),
        not(miri)
    ),
    expect(
        unsafe_code,
        reason = "the mode is a register that no safe code reaches"
    )
)]

use register::{CONTROL_BITS, DEFAULT, control_register, set_control_register};

/// The default mode of this thread, until this is dropped: round to nearest, ties to even; subnormal numbers as they are; no exceptions.
#[derive(Debug)]
pub(crate) struct DefaultMode {
    before: Option<u64>,
}

impl DefaultMode {
    /// Sets the mode of this thread, if it is another.
    #[inline(always)]
    pub(crate) fn enter() -> Self {
        let found = control_register();
        let is_default = found & CONTROL_BITS == DEFAULT;
        if !is_default {
            set_control_register(DEFAULT);
        }
        Self {
            before: (!is_default).then_some(found),
        }
    }

    /// A number that is computed in the default mode. What is written to memory is written before the mode is left; a number that
    /// stays in a register the optimizer would be free to compute when it is used.
    #[inline(always)]
    pub(crate) fn number(compute: impl FnOnce() -> f64) -> f64 {
        let _mode = Self::enter();
        std::hint::black_box(compute())
    }
}

impl Drop for DefaultMode {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(before) = self.before {
            set_control_register(before);
        }
    }
}

#[cfg(all(
    any(target_arch = "x86_64", target_arch = "x86"),
    target_feature = "sse2",
    not(miri)
))]
mod register {
    /// Of MXCSR, without the six flags of exceptions that have happened.
    pub(super) const CONTROL_BITS: u64 = 0xffc0;
    /// All exceptions masked.
    pub(super) const DEFAULT: u64 = 0x1f80;

    #[inline(always)]
    pub(super) fn control_register() -> u64 {
        let mut value = 0u32;
        // SAFETY: it writes four bytes, to where `value` is. SSE, which has the instruction, comes with SSE2.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags));
        }
        u64::from(value)
    }

    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what was read of this register, or its default"
    )]
    pub(super) fn set_control_register(value: u64) {
        let value = value as u32;
        // SAFETY: it reads four bytes, where `value` is; the bits are those of the default mode, which is what Rust assumes, or
        // those that this thread had before, which its program has set.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags));
        }
    }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
mod register {
    /// Of FPCR: alternative half precision, NaN and subnormal handling, rounding, traps (AHP, DN, FZ, RMode, FZ16; IDE, IXE, UFE, OFE,
    /// DZE, IOE; NEP, AH, FIZ), and the Stride and Len of AArch32, which are zero here.
    pub(super) const CONTROL_BITS: u64 = 0x07ff_9f07;
    pub(super) const DEFAULT: u64 = 0;

    #[inline(always)]
    pub(super) fn control_register() -> u64 {
        let value: u64;
        // SAFETY: it reads a register that every program may read.
        unsafe {
            std::arch::asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags));
        }
        value
    }

    #[inline(always)]
    pub(super) fn set_control_register(value: u64) {
        // SAFETY: the bits are those of the default mode, which is what Rust assumes, or those that this thread had before, which
        // its program has set.
        unsafe {
            std::arch::asm!("msr fpcr, {}", in(reg) value, options(nostack, preserves_flags));
        }
    }
}

/// Where the register is not known, or there is none to ask, the mode stays what it is.
#[cfg(not(all(
    any(
        all(
            any(target_arch = "x86_64", target_arch = "x86"),
            target_feature = "sse2"
        ),
        target_arch = "aarch64"
    ),
    not(miri)
)))]
mod register {
    pub(super) const CONTROL_BITS: u64 = 0;
    pub(super) const DEFAULT: u64 = 0;

    pub(super) fn control_register() -> u64 {
        DEFAULT
    }

    pub(super) fn set_control_register(_: u64) {}
}
