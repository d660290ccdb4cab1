//! The same thing done on whichever backend a value turned out to be of.

/// What an expression makes of what the value holds (`$inner`) on its backend (`$backend`, a type): as it is, or as the same variant
/// of another enum.
macro_rules! each_backend {
    ($value:expr, $from:ident($inner:ident) as $backend:ident $(into $to:ident)? => $made:expr) => {
        match $value {
            $from::Cpu($inner) => {
                type $backend = Cpu;
                $($to::Cpu)?($made)
            }
            #[cfg(feature = "cuda")]
            $from::Cuda($inner) => {
                type $backend = Cuda;
                $($to::Cuda)?($made)
            }
        }
    };
}
pub(super) use each_backend;
